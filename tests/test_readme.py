"""The documents say what the code does: every setting, every command, every path."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from curate.cli import cli
from curate.config import settings
from curate.local_llm import CATALOGUE

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^(?:\S+=\S+ )?(?:echo .*\| )?(curate (?:[^#\n\\]|\\\n)*)", README, re.MULTILINE)


def test_the_settings_table_is_what_the_code_says() -> None:
    printed = CliRunner().invoke(cli, ["settings", "--markdown"]).output
    before, rest = README.split("<!-- settings -->\n")
    table, after = rest.split("<!-- /settings -->")
    if os.environ.get("CURATE_UPDATE_SNAPSHOTS"):
        (ROOT / "README.md").write_text(
            f"{before}<!-- settings -->\n{printed}<!-- /settings -->{after}", encoding="utf-8"
        )
        return
    assert table == printed, "CURATE_UPDATE_SNAPSHOTS=1 pytest tests/test_readme.py writes it anew"


def test_every_setting_says_what_it_means() -> None:
    assert [s.key for s in settings() if len(s.meaning) < 10] == []


def test_every_command_is_in_the_readme() -> None:
    missing = [
        name for name in cli.commands if not re.search(rf"curate {name}\b|^\| `{name}` \|", README, re.MULTILINE)
    ]
    assert missing == []


def test_the_readme_has_commands() -> None:
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_readme_is_understood(line: str) -> None:
    """Its words are parsed by the command itself; nothing is run."""
    words = shlex.split(line.replace("\\\n", " "))
    command: click.Group = cli
    name, *rest = words[1:]
    while isinstance(command.commands[name], click.Group):
        command, (name, *rest) = command.commands[name], rest
    command.commands[name].make_context(name, rest, resilient_parsing=False).close()


def test_every_file_that_the_readme_names_is_there() -> None:
    named = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    paths = re.findall(r"\b(?:pipelines|rubrics)/(?!mine|NAME|<)[\w/]+\.\w+", README)
    assert [p for p in [*paths, *named] if not (ROOT / p).exists()] == []
    assert len(paths) > 4


def test_every_embedded_model_is_in_the_readme() -> None:
    assert [name for name in CATALOGUE if f"`local/{name}`" not in README] == []


def test_make_knows_the_targets_that_the_documents_name() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?:^|`)make ([a-z]+)\b", text, re.MULTILINE))
    assert {"demo", "test", "check", "bench"} <= targets
    assert [t for t in targets if not re.search(rf"^{t}:", makefile, re.MULTILINE)] == []


def test_help_imports_nothing_heavy() -> None:
    """Which is why it answers in a blink; the time itself is measured by the benchmarks."""
    heavy = "{'torch', 'litellm', 'dspy', 'datasets', 'sklearn', 'numpy', 'pyarrow', 'duckdb', 'pydantic'}"
    code = f"import sys; sys.argv = ['curate', '--help']\nfrom curate.cli import cli\ntry: cli()\nexcept SystemExit: pass\nprint({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "curate", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("curate, version")
