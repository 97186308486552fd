"""Labelling in the terminal, by keys, on a real desk; and once in a real terminal."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_desk import REASON, desk, judged_desk, opened, pages

from curate.cli.terminal import FIRST_LINES, _wrapped, sit
from curate.web.desk import PipelineDesk

ESCAPES = "before \x1b[31m red \x1b]0;owned\x07 \x08\x08 \x9b2J after"


def keys(at: PipelineDesk, pressed: str, rater: str = "anna") -> None:
    rest: Iterator[str] = iter(pressed)
    sit(at, rater, read_key=lambda: next(rest))


def rows(at: PipelineDesk) -> list[dict[str, Any]]:
    return sorted(at.store.rows("labels"), key=lambda row: str(row["at"]))


def test_a_level_with_its_criteria_is_a_label_as_at_the_desk(tmp_path: Path) -> None:
    at = desk(tmp_path)
    (first,) = at.ahead("anna")
    keys(at, "2" + "1" + "q")
    (row,) = rows(at)
    assert (row["page_id"], row["rater"], row["level"], row["criteria"]) == (
        first["page_id"],
        "anna",
        2,
        '{"layout": 1}',
    )
    assert (row["shown"], row["assisted"], row["flag"]) == ("text", False, "")
    assert row["seconds"] >= 0


def test_skip_flag_and_an_open_criterion(tmp_path: Path) -> None:
    at = desk(tmp_path)
    keys(at, "s" + "f" + "x9" + "0" + "\r" + "q")
    assert [(row["level"], row["flag"], row["criteria"]) for row in rows(at)] == [
        (None, "skipped", None),
        (None, "unusable", None),
        (0, "", None),
    ]


def test_undo_brings_the_page_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = desk(tmp_path)
    keys(at, "u" + "1\r" + "u" + "2\r" + "q")
    said = rows(at)
    assert [(row["level"], row["flag"]) for row in said] == [(1, ""), (None, "undone"), (2, "")]
    assert len({row["page_id"] for row in said}) == 1
    assert "nothing to take back" in capsys.readouterr().out


def test_a_note_goes_with_the_next_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = desk(tmp_path)
    monkeypatch.setattr("curate.cli.terminal.click.prompt", lambda *_, **__: "  clear enough ")
    keys(at, "n" + "2\r" + "1\r" + "q")
    assert [row["note"] for row in rows(at)] == ["clear enough", ""]


def test_a_page_cannot_move_the_cursor_or_change_colours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = desk(
        tmp_path, rows=[{**row, "text": f"{row['text']} {ESCAPES}", "url": f"{row['url']}\x1b[2J"} for row in pages()]
    )
    keys(at, "q")
    out = capsys.readouterr().out
    assert "before" in out
    assert "after" in out
    assert not set("\x1b\x07\x08\x9b") & set(out)


def test_a_long_page_is_folded_and_its_rest_counts_as_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = [{**row, "text": "\n".join(f"line {i} of {row['text']}" for i in range(300))} for row in pages()]
    at = desk(tmp_path, rows=long)
    keys(at, "1\r" + "m" + "1\r" + "q")
    assert "line 299" in capsys.readouterr().out
    first, second = (row["shown"] for row in rows(at))
    text = {row["page_id"]: row["text"] for row in at.store.rows("pages")}[rows(at)[0]["page_id"]]
    lines = [piece for line in text.splitlines(keepends=True) for piece in _wrapped(line, 80)][:FIRST_LINES]
    assert first == f"text {len(''.join(lines))} of {len(text)} characters"
    assert second == "text"


@given(st.text(alphabet="ab \t\x1b", max_size=200), st.integers(2, 30))
def test_a_wrapped_line_is_the_line_in_pieces_that_fit(line: str, width: int) -> None:
    pieces = _wrapped(line, width)
    assert "".join(pieces) == line
    assert all(len(piece) <= width for piece in pieces)


def test_a_question_mark_shows_the_whole_rubric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys(desk(tmp_path), "?q")
    out = capsys.readouterr().out
    assert "Say how useful the page is." in out
    assert "2: very" in out


def test_after_a_first_choice_the_judge_is_shown_and_a_level_changes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = judged_desk(tmp_path, assist="after", rows=pages(30), overlap=0, raters_test=1)
    split = {row["page_id"]: row["split"] for row in at.store.rows("pages")}
    order = [split[page["page_id"]] for page in at.ahead("anna", count=30)]
    keys(at, "".join("1\r" if one == "test" else "1\r2" for one in order[:12]) + "q")
    said = rows(at)
    free = sum(one != "test" for one in order[:12])
    assert [row["assisted"] for row in said].count(True) == free > 0
    assert capsys.readouterr().out.count(REASON) == free
    assert all(split[row["page_id"]] != "test" for row in said if row["assisted"])


def test_when_nothing_is_left_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys(desk(tmp_path), "1\r" * 12)
    assert "No pages left for you." in capsys.readouterr().out


@pytest.mark.slow
def test_in_a_real_terminal(tmp_path: Path) -> None:
    found = opened(tmp_path)
    command = [sys.executable, "-m", "curate", "label", "p.yaml", "--terminal", "--rater", "anna"]
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command, cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm"}
    )
    os.close(slave)
    seen = b""

    def until(words: bytes) -> None:
        nonlocal seen
        end = time.monotonic() + 60
        while words not in seen:
            assert time.monotonic() < end, seen
            if select.select([master], [], [], 0.2)[0]:
                seen += os.read(master, 65536)

    def press(key: bytes, answer: bytes) -> None:
        """Press until it is taken: what is pressed before a page can be seen counts for nothing."""
        for _ in range(20):
            time.sleep(0.3)
            os.write(master, key)
            if answer in seen or select.select([master], [], [], 1)[0]:
                break
        until(answer)

    try:
        until(b"0 of 4 pages labelled")
        press(b"2", b"Did the layout survive?")
        press(b"\r", b"1 of 4 pages labelled")
        press(b"q", b"more labelled pages are needed")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert [row["level"] for row in PipelineDesk(found).store.rows("labels")] == [2]
