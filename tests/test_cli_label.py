"""`curate label`: what it asks before the desk is served."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from small_desk import opened

from curate.cli import cli
from curate.errors import BadInput


def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the desk is served with, in place of serving it."""
    found: dict[str, Any] = {}
    monkeypatch.setattr("curate.web.app.serve", lambda desk, **given: found.update(given, desk=desk))
    return found


def label(folder: Path, *words: str, typed: str = "") -> Result:
    opened(folder)
    return CliRunner().invoke(cli, ["label", str(folder / "p.yaml"), "--no-browser", *words], input=typed)


def test_a_password_is_asked_for_twice_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = served(monkeypatch)
    result = label(tmp_path, "--host", "0.0.0.0", "--password", typed="a word\na word\n")
    assert found["password"] == "a word"
    assert "a word" not in result.output


def test_a_password_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = served(monkeypatch)
    monkeypatch.setenv("CURATE_LABEL_PASSWORD", "from there")
    label(tmp_path, "--host", "0.0.0.0")
    assert found["password"] == "from there"


@pytest.mark.parametrize("words", [("--assist",), ("--assist", "before")])
def test_help_needs_a_judge(tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    found = served(monkeypatch)
    result = label(tmp_path, *words)
    assert isinstance(result.exception, BadInput) or result.exit_code == 2
    assert "no judge has said anything" in f"{result.exception}{result.output}"
    assert not found
