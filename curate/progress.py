"""What a long run shows: a bar with rate, ETA and spend on a terminal; plain log lines when piped."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import IO, Protocol

LINE_EVERY_SECONDS = 5.0


class Task(Protocol):
    """One countable piece of work."""

    def advance(self, amount: int = 1) -> None:
        """`amount` more are done."""

    def note(self, text: str) -> None:
        """A few words shown beside the count."""


class Progress(Protocol):
    """Where a run tells what it does."""

    def say(self, text: str) -> None:
        """One line that stays."""

    def show_spend(self, spent: Callable[[], float]) -> None:
        """From now on `spent()`, in US dollars, is shown beside the count."""

    def task(self, name: str, total: int | None) -> AbstractContextManager[Task]:
        """A countable piece of work, as a context."""


class Quiet:
    """Shows nothing: for tests and for callers that report in their own way."""

    def say(self, text: str) -> None:
        """Nothing."""

    def show_spend(self, spent: Callable[[], float]) -> None:
        """Nothing."""

    @contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Task]:
        """A task that shows nothing."""
        yield _Silent()


class _Silent:
    def advance(self, amount: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Lines:
    """Log lines, one at the start and end of each task and one every few seconds between."""

    def __init__(self, out: IO[str] | None = None, *, spent: Callable[[], float] = lambda: 0.0) -> None:
        self.out = out or sys.stderr
        self.spent = spent

    def show_spend(self, spent: Callable[[], float]) -> None:
        """Shows `spent()` at the end of each line."""
        self.spent = spent

    def say(self, text: str) -> None:
        """One line with the time of day."""
        self.out.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        self.out.flush()

    @contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Task]:
        """A task whose count is logged every few seconds."""
        self.say(f"{name}: {total:,} to do" if total else name)
        line = _LineTask(self, name, total)
        yield line
        line.finish()


class _LineTask:
    def __init__(self, lines: Lines, name: str, total: int | None) -> None:
        self.lines, self.name, self.total = lines, name, total
        self.done, self.words = 0, ""
        self.start = self.last = time.monotonic()

    def advance(self, amount: int = 1) -> None:
        self.done += amount
        if time.monotonic() - self.last >= LINE_EVERY_SECONDS:
            self.last = time.monotonic()
            self.lines.say(self.text())

    def note(self, text: str) -> None:
        self.words = text

    def finish(self) -> None:
        seconds = time.monotonic() - self.start
        if self.done:
            self.lines.say(
                f"{self.name}: {self.done:,} in {duration(seconds)}{_spend(self.lines.spent())} {self.words}".rstrip()
            )

    def text(self) -> str:
        seconds = max(time.monotonic() - self.start, 1e-9)
        rate = self.done / seconds
        if not self.total:
            return f"{self.name}: {self.done:,}, {rate:,.1f}/s{_spend(self.lines.spent())} {self.words}".rstrip()
        left = duration(max(self.total - self.done, 0) / rate) if rate else "?"
        share = f"{self.done:,} of {self.total:,} ({self.done / self.total:.0%})"
        return f"{self.name}: {share}, {rate:,.1f}/s, {left} left{_spend(self.lines.spent())} {self.words}".rstrip()


class Bars:
    """A live bar on a terminal."""

    def __init__(self, *, spent: Callable[[], float] = lambda: 0.0) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)
        self.spent = spent

    def show_spend(self, spent: Callable[[], float]) -> None:
        """Shows `spent()` at the end of each bar."""
        self.spent = spent

    def say(self, text: str) -> None:
        """One line above the bars."""
        self.console.print(text, highlight=False, markup=False)

    @contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Task]:
        """A bar with count, rate, ETA and spend."""
        from rich import progress as rp

        columns = (
            rp.TextColumn("{task.description}", markup=False),
            rp.BarColumn(bar_width=24),
            rp.MofNCompleteColumn(),
            rp.TextColumn("{task.fields[rate]}"),
            rp.TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            rp.TextColumn("{task.fields[words]}", markup=False),
        )
        with rp.Progress(*columns, console=self.console, transient=False) as bars:
            yield _BarTask(self, bars, bars.add_task(name, total=total, rate="", words=""))


class _BarTask:
    def __init__(self, owner: Bars, bars: "object", task_id: int) -> None:
        self.owner, self.bars, self.task_id = owner, bars, task_id
        self.start, self.done, self.words = time.monotonic(), 0, ""

    def advance(self, amount: int = 1) -> None:
        self.done += amount
        rate = self.done / max(time.monotonic() - self.start, 1e-9)
        words = f"{self.words}{_spend(self.owner.spent())}".removeprefix(", ")
        self.bars.update(self.task_id, advance=amount, rate=f"{rate:,.1f}/s", words=words)  # type: ignore[attr-defined]

    def note(self, text: str) -> None:
        self.words = text


def for_terminal(*, spent: Callable[[], float] = lambda: 0.0) -> Bars | Lines:
    """Bars where standard error is a terminal, else log lines."""
    return Bars(spent=spent) if sys.stderr.isatty() else Lines(spent=spent)


def duration(seconds: float) -> str:
    """Seconds as people say them: `8.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _spend(usd: float) -> str:
    return f", ${usd:,.4f} spent" if usd else ""
