import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate import progress
from curate.progress import Bars, Lines, Quiet, duration, for_terminal


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def monotonic(self) -> float:
        return self.time

    def strftime(self, form: str) -> str:
        return "12:00:00"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def test_lines_say_count_share_rate_time_left_and_spend(clock: Clock) -> None:
    out, spent = io.StringIO(), 0.0
    lines = Lines(out, spent=lambda: spent)
    with lines.task("score", 4000) as task:
        for _ in range(10):
            clock.time += 1
            spent += 0.5
            task.advance(100)
        task.note("3 unreadable")
        clock.time += 90
        task.advance(1000)
    assert out.getvalue().splitlines() == [
        "12:00:00 score: 4,000 to do",
        "12:00:00 score: 500 of 4,000 (12%), 100.0/s, 35.0 s left, $2.5000 spent",
        "12:00:00 score: 1,000 of 4,000 (25%), 100.0/s, 30.0 s left, $5.0000 spent",
        "12:00:00 score: 2,000 of 4,000 (50%), 20.0/s, 1 min 40 s left, $5.0000 spent 3 unreadable",
        "12:00:00 score: 2,000 in 1 min 40 s, $5.0000 spent 3 unreadable",
    ]


def test_lines_without_a_total_and_without_spend_are_short(clock: Clock) -> None:
    out = io.StringIO()
    lines = Lines(out)
    lines.say("hello")
    with lines.task("reading", None) as task:
        clock.time += 6
        task.advance(3)
    with lines.task("nothing", None):
        pass
    assert out.getvalue().splitlines() == [
        "12:00:00 hello",
        "12:00:00 reading",
        "12:00:00 reading: 3, 0.5/s",
        "12:00:00 reading: 3 in 6.0 s",
        "12:00:00 nothing",
    ]


def test_more_than_the_total_leaves_no_time_below_zero(clock: Clock) -> None:
    out = io.StringIO()
    with Lines(out).task("tune", 2) as task:
        clock.time += 6
        task.advance(3)
    assert "tune: 3 of 2 (150%), 0.5/s, 0.0 s left" in out.getvalue()


def test_lines_of_a_task_that_fails_do_not_say_it_is_done(clock: Clock) -> None:
    out = io.StringIO()
    with pytest.raises(ZeroDivisionError), Lines(out).task("score", 3):
        raise ZeroDivisionError
    assert out.getvalue() == "12:00:00 score: 3 to do\n"


def test_bars_raise_nothing_where_there_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    bars = Bars(spent=lambda: 1.25)
    bars.say("a [bold]line[/] with [/brackets]")
    with bars.task("score: [/odd] name", 3) as task:
        task.note("[/red] note")
        for _ in range(3):
            task.advance()
    with bars.task("no total", None) as task:
        task.advance(5)
    with bars.task("nothing to do", 0):
        pass
    said = capfd.readouterr().err
    assert "a [bold]line[/] with [/brackets]" in said
    assert "score: [/odd] name" in said
    assert "3/3" in said
    assert re.search(r"\d/s", said)
    assert "[/red] note, $1.2500 spent" in " ".join(said.split())
    assert "no total" in said
    assert "5/?" in said


def test_one_bar_may_stand_inside_another(capfd: pytest.CaptureFixture[str]) -> None:
    bars = Bars()
    with bars.task("outer", 1) as outer, bars.task("inner", 1) as inner:
        inner.advance()
        outer.advance()
    said = capfd.readouterr().err
    assert "outer" in said
    assert "inner" in said


def test_a_piped_run_gets_lines_and_standard_output_stays_clean(tmp_path: Path) -> None:
    code = """
from curate.progress import Lines, for_terminal
shown = for_terminal(spent=lambda: 2.0)
assert type(shown) is Lines
with shown.task("score", 2) as task:
    task.advance(2)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d score: 2 to do\n\d\d:\d\d:\d\d score: 2 in 0\.\d s, \$2\.0000 spent\n", done.stderr
    )


def test_a_terminal_gets_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert isinstance(for_terminal(), Lines)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert isinstance(for_terminal(), Bars)


def test_quiet_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    quiet = Quiet()
    quiet.say("hello")
    with quiet.task("x", 3) as task:
        task.advance()
        task.note("y")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.0 s"),
        (8.24, "8.2 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (60, "1 min 00 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (1e6, "277 h 46 min"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@given(seconds=st.floats(0, 1e7))
def test_a_duration_is_near_the_truth(seconds: float) -> None:
    unit = {"s": 1, "min": 60, "h": 3600}
    parts = duration(seconds).split()
    total = sum(float(amount) * unit[name] for amount, name in zip(parts[::2], parts[1::2], strict=True))
    assert total == pytest.approx(seconds, abs=60 if "h" in parts else 0.51)
    assert "60" not in parts
