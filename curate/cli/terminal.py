"""Labelling in the terminal: the same desk, the same keys, the same rows, where there is no browser."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import click

from curate.looking import plain
from curate.web.app import answer_keys
from curate.web.desk import Given, PipelineDesk

FIRST_LINES = 30
"""Lines of a page that are shown before `m` shows the rest."""
WIDEST = 100


def sit(desk: PipelineDesk, rater: str, *, read_key: Callable[[], str] | None = None) -> None:
    """Show page after page until there are none left, or `q`. `read_key` gives the next key."""
    seat = _Seat(desk, rater, read_key or partial(next, _pressed()))
    click.echo(f"{desk.rubric.asks}\n" + seat.keys())
    while seat.next_page():
        pass


def _pressed() -> Iterator[str]:
    """Keys one by one: keys pressed fast come together, and what an arrow or function key sends is one."""
    while True:
        found = click.getchar()
        yield from [found] if found.startswith("\x1b") else found


class _Seat:
    """A rater at the terminal."""

    def __init__(self, desk: PipelineDesk, rater: str, read_key: Callable[[], str]) -> None:
        self.desk, self.rater, self.read_key = desk, rater, read_key
        self.levels = {key: level for level, key in answer_keys(desk.rubric).items()}
        self.note, self.unfolded = "", False
        self.seen = 0
        self.again: dict[str, Any] | None = None

    def keys(self) -> str:
        """What the keys do."""
        rubric = self.desk.rubric
        answers = [f"  {key}  {rubric.names[level]}: {rubric.levels[level]}" for key, level in self.levels.items()]
        return "\n".join(
            [*map(plain, answers), "  n note, s skip, f unusable, u undo, m more of the page, ? keys, q leave"]
        )

    def next_page(self) -> bool:
        """Show a page and take what is said of it; False when the rater leaves or nothing is left."""
        page = self.again or next(iter(self.desk.ahead(self.rater)), None)
        self.again, self.note, self.unfolded = None, "", False
        if page is None:
            click.echo("No pages left for you.")
            return False
        self._show(page)
        started = time.monotonic()
        while True:
            key = self.read_key().lower()
            if key in ("q", "\x04"):
                return False
            if key == "\x03":
                raise KeyboardInterrupt
            if key in self.levels:
                self._save(page, started, level=self.levels[key])
                return True
            if key and key in "sf":
                self._save(page, started, flag="skipped" if key == "s" else "unusable")
                return True
            if key == "u" and self._undo():
                return True
            self._do(key, page)

    def _do(self, key: str, page: Mapping[str, Any]) -> None:
        if key == "n":
            self.note = click.prompt("note", default=self.note, show_default=False)
        elif key == "m":
            self._more(page)
        elif key == "?":
            click.echo(plain(self.desk.rubric.instruction) + "\n" + self.keys())

    def _show(self, page: Mapping[str, Any]) -> None:
        tally = self.desk.tally(self.rater)
        click.echo(
            f"\n--- {tally.labelled_pages} of {tally.needed} pages labelled, you {tally.mine}, {tally.left} left ---"
        )
        click.secho(plain(page["title"] or page["host"] or "Page without an address"), bold=True)
        click.echo(plain(" · ".join(filter(None, [page["url"], page["lang"], f"{page['chars']:,} characters"]))))
        whole = _lines(page["text"])
        first = whole[:FIRST_LINES]
        click.echo(_said(first))
        self.seen = len("".join(first)) if len(whole) > FIRST_LINES else len(page["text"])
        if self.seen < page["chars"]:
            click.echo(f"[m: more, {page['chars'] - self.seen:,} characters]")
        judge = page.get("judge")
        if judge:
            self._advise(judge)

    def _more(self, page: Mapping[str, Any]) -> None:
        self.unfolded = True
        click.echo_via_pager(_said(_lines(page["text"] + page["rest"])))

    def _save(self, page: Mapping[str, Any], started: float, *, level: int | None = None, flag: str = "") -> None:
        given = {
            "page_id": page["page_id"],
            "level": level,
            "flag": flag,
            "note": self.note,
            "seconds": round(time.monotonic() - started, 3),
            "unfolded": self.unfolded,
            "seen": self.seen,
            "criteria": {} if flag else self._criteria(),
        }
        self.desk.save(self.rater, Given.model_validate(given))
        click.echo(f"saved {self.desk.rubric.names[level] if level is not None else flag}")
        judge = self.desk.advice(page["page_id"]) if level is not None else None
        if judge is not None:
            self._reconsider(given, judge)

    def _reconsider(self, given: dict[str, Any], judge: Mapping[str, Any]) -> None:
        """Show the judge's word after a first choice; another level changes it, any other key keeps it."""
        self._advise(judge)
        click.echo("a level changes your answer, any other key keeps it")
        level = self.levels.get(self.read_key().lower())
        if level is not None and level != given["level"]:
            changed = {**given, "level": level, "after_judge": True}
            self.desk.save(self.rater, Given.model_validate(changed))
            click.echo(f"changed to {self.desk.rubric.names[level]}")

    def _advise(self, judge: Mapping[str, Any]) -> None:
        reason = f": {judge['reason']}" if judge["reason"] else ""
        click.echo(plain(f"the judge says {self.desk.rubric.names[judge['level']]}{reason}"))

    def _criteria(self) -> dict[str, int]:
        found = {}
        for name, one in self.desk.rubric.criteria.items():
            words = ", ".join(f"{level} {said}" for level, said in one.levels.items())
            click.echo(plain(f"{one.asks} ({words}; Enter leaves it open)"))
            key = self.read_key()
            while key not in ("\r", "\n") and not (key.isdigit() and int(key) in one.levels):
                key = self.read_key()
            if key.isdigit():
                found[name] = int(key)
        return found

    def _undo(self) -> bool:
        label_id = self.desk.tally(self.rater).undo
        if label_id is None:
            click.echo("nothing to take back")
            return False
        self.again = self.desk.undo(self.rater, label_id)
        click.echo("taken back")
        return True


def _lines(text: str) -> list[str]:
    """The page's lines as they fit the screen; joined they are the text."""
    width = min(shutil.get_terminal_size().columns, WIDEST)
    return [piece for line in text.splitlines(keepends=True) for piece in _wrapped(line, width)]


def _wrapped(line: str, width: int) -> list[str]:
    """A line in pieces of so many characters at most, each ending after white space where it can."""
    found = []
    while len(line.rstrip("\n")) > width:
        cut = line.rfind(" ", width // 2, width) + 1 or width
        found.append(line[:cut])
        line = line[cut:]
    return [*found, line]


def _said(lines: list[str]) -> str:
    """Lines for the screen, without what could move the cursor."""
    return "\n".join(plain(line).rstrip("\n") for line in lines)
