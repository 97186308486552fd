"""Which page a rater gets next: pages that nobody labelled, and in between those that want a second opinion."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from curate.sampling import unit_hash

SECOND_EVERY = 3
"""Until there are enough labels, each page of so many is a second opinion where one is wanted."""


@dataclass(frozen=True)
class Wish:
    """How many raters pages want: `test` those of the sealed test, two a share `overlap` of the others, one the rest."""

    overlap: float
    test: int

    def raters(self, page: Mapping[str, Any]) -> int:
        """Raters that a page wants; by hash, so that pages drawn later change nothing of it."""
        if page["split"] == "test":
            return self.test
        return 2 if unit_hash("overlap", page["page_id"]) < self.overlap else 1


@dataclass(frozen=True)
class Candidate:
    """A page that a rater could get."""

    page: Mapping[str, Any]
    opinions: int
    """Other raters who labelled or flagged it."""
    held: bool
    """Whether it is on another's screen, too."""
    repeats: bool
    """Whether it is a near-duplicate of another page."""


class Holds:
    """Which pages are on whose screen: each takes one of the places that a page has for raters, for so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[tuple[str, str], float] = {}

    def take(self, rater: str, page_id: str) -> None:
        """The page is on the rater's screen, from now on."""
        self._until[page_id, rater] = time.monotonic() + self._seconds

    def leave(self, rater: str, page_id: str) -> None:
        """The rater has said something of the page."""
        self._until.pop((page_id, rater), None)

    def of_others(self, rater: str) -> Counter[str]:
        """How many others have each page on their screen."""
        now = time.monotonic()
        self._until = {key: until for key, until in self._until.items() if until > now}
        return Counter(page_id for page_id, name in self._until if name != rater)


def chosen(candidates: Iterable[Candidate], *, count: int, turn: int, enough: bool) -> list[Mapping[str, Any]]:
    """The next `count` pages, of candidates in their fixed order that all have a place for one more rater.

    Until there are `enough` labels, two pages that nobody spoke of are followed by one second opinion (`turn` is how many
    pages the rater has had); then second opinions come first, since they say how well people agree. What lies on
    another's screen, too, comes late, and near-duplicates last.
    """
    free: dict[bool, list[Candidate]] = {True: [], False: []}
    late: list[Candidate] = []
    for one in candidates:
        (late if one.held or one.repeats else free[one.opinions > 0]).append(one)
        if min(map(len, free.values())) >= count:
            break
    found: list[Candidate] = []
    while len(found) < count and any(free.values()):
        wants_second = enough or (turn + len(found)) % SECOND_EVERY == SECOND_EVERY - 1
        found.append(free[wants_second if free[wants_second] else not wants_second].pop(0))
    late.sort(key=lambda one: (one.repeats, one.held, one.opinions))
    return [one.page for one in [*found, *late][:count]]
