"""Texts kept in tests/snapshots/: a changed word shows in the diff. CURATE_UPDATE_SNAPSHOTS=1 writes them anew."""

import difflib
import os
from pathlib import Path

FOLDER = Path(__file__).parent / "snapshots"
UPDATE = os.environ.get("CURATE_UPDATE_SNAPSHOTS") == "1"


def check(name: str, text: str, *, folder: Path = FOLDER, update: bool = UPDATE) -> None:
    """Fail with a diff where `text` is not what the file holds."""
    path = folder / name
    if update:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    held = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = difflib.unified_diff(held.splitlines(), text.splitlines(), str(path), "now", lineterm="")
    assert held == text, "\n".join([f"{name}: not as kept (CURATE_UPDATE_SNAPSHOTS=1 writes it anew)", *lines])
