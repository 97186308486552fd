"""One word of a person as a file gives it, and the rows that a file may not have."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curate.errors import BadInput
from curate.labels.labelfile import LabelFile
from curate.labels.values import Refused

SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class Given:
    """What one row of a file says of one page, as it came."""

    place: int
    """Of the row in the file, from 0."""
    key: str
    """What it says of its page: text, URL or page id."""
    level: Any
    rater: Any = None
    note: Any = None
    criteria: Any = None
    at: Any = None
    more: Mapping[str, Any] = field(default_factory=dict)
    """What only some files say: flag, seconds, shown, assisted, role, rubric_hash."""


@dataclass(frozen=True)
class Incoming:
    """One file of labels, ready to be taken over."""

    name: str
    wanted: LabelFile
    """Which columns, or questions, its rows were made of."""
    rows: Iterable[Given]
    places: Callable[[Sequence[int]], list[str]]
    """How a person finds rows in the file: `line 14`, `record 3`."""
    corpus: bool = False
    """Whether its rows are the corpus itself: then those that are not sampled may say what they like."""
    said: Sequence[str] = ()
    """How the file was understood, for the person who gave it."""


@dataclass
class Problems:
    """Rows that cannot be taken, of one file: the first ten, and how many there are."""

    file: Incoming
    first: list[tuple[int, Refused]] = field(default_factory=list)
    count: int = 0

    def add(self, place: int, problem: Refused) -> None:
        """A row, and what is wrong with it."""
        self.count += 1
        if len(self.first) < SHOWN_PROBLEMS:
            self.first.append((place, problem))

    def words(self) -> str:
        """One line that names the first rows, those with the same fault together, and counts the others."""
        places = self.file.places([place for place, _ in self.first])
        groups: dict[tuple[str, str], list[str]] = {}
        for where, (_, problem) in zip(places, self.first, strict=True):
            row = f"{where}: {problem.got}" if problem.got else where
            groups.setdefault((problem.column, problem.why), []).append(row)
        named = {problem.why: bool(problem.got) for _, problem in self.first}
        lines = [
            f"column {column}: {', '.join(rows)}{_joint(len(rows), named[why])}{why}"
            for (column, why), rows in groups.items()
        ]
        others = self.count - len(self.first)
        more = f"; and {others:,} more row{'s' * (others > 1)}" if others else ""
        return f"{self.file.name}: {'; '.join(lines)}{more}"

    @property
    def levels(self) -> bool:
        """Whether a level was not understood."""
        return any(problem.column == self.file.wanted.level for _, problem in self.first)


def _joint(rows: int, named: bool) -> str:
    """Between the rows and what is wrong with them."""
    return (" " if rows == 1 else ": each ") if named else ": "


def refuse(found: Sequence[Problems], *, key: str = "", hint: str = "") -> None:
    """Raise BadInput where rows cannot be taken; `hint` says what to do about a level that is none."""
    if words := [problems.words() for problems in found if problems.count]:
        raise BadInput(f"{key}{'; '.join(words)}{hint if any(problems.levels for problems in found) else ''}")
