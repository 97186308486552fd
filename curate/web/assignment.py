"""Which page a rater gets next: pages that nobody labelled, and in between those that want a second opinion."""

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
    """Whether it is on another's screen."""
    repeats: bool
    """Whether it is a near-duplicate of another page."""


def chosen(candidates: Iterable[Candidate], *, count: int, turn: int, enough: bool) -> list[Mapping[str, Any]]:
    """The next `count` pages, of candidates in their fixed order that all want one more rater.

    What lies on another's screen comes last (once there are enough, not at all), and near-duplicates after that. Of the others, until there are `enough`
    labels, two that nobody spoke of are followed by one second opinion (`turn` is how many pages the rater has had); then
    second opinions come first, since they say how well people agree.
    """
    free: dict[bool, list[Candidate]] = {True: [], False: []}
    late: list[Candidate] = []
    for one in candidates:
        if one.held and enough:
            continue
        (late if one.held or one.repeats else free[one.opinions > 0]).append(one)
        if min(map(len, free.values())) >= count:
            break
    found: list[Candidate] = []
    while len(found) < count and any(free.values()):
        wants_second = enough or (turn + len(found)) % SECOND_EVERY == SECOND_EVERY - 1
        found.append(free[wants_second if free[wants_second] else not wants_second].pop(0))
    late.sort(key=lambda one: (one.repeats, one.held, one.opinions))
    return [one.page for one in [*found, *late][:count]]
