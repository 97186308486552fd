"""How long a command takes from the shell, whole process."""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from measure import Case, Row, cannot_run, rows, seconds

ROOT = Path(__file__).parents[2]


def run(*, quick: bool) -> list[Row]:
    """`curate --help` and `curate status` against a Python that does nothing."""
    curate = shutil.which("curate", path=str(Path(sys.executable).parent))
    if curate is None:
        return cannot_run("cli", f"no curate command beside {Path(sys.executable).name}")
    with TemporaryDirectory() as folder:
        status = [curate, "status", "pipelines/demo.yaml", "--set", f"workspace={folder}/none"]
        cases = [
            Case("python -c pass", lambda: _milliseconds([sys.executable, "-c", "pass"])),
            Case("curate --help", lambda: _milliseconds([curate, "--help"])),
            Case("curate status demo", lambda: _milliseconds(status), "of a workspace where nothing was run yet"),
        ]
        return rows("cli", cases, unit="ms", runs=3 if quick else 11, warm=True)


def _milliseconds(command: list[str]) -> float:
    return 1000 * seconds(lambda: subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL))
