"""Labelled pages: what people said of them, and which are taken for what."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curate.errors import BadInput
from curate.rubric import Rubric
from curate.sampling import unit_hash


@dataclass(frozen=True)
class Labelled:
    """A page of train or val with what people said of it."""

    page_id: str
    text: str
    split: str
    group: str
    truth: float
    """Mean level over raters, or the class that most of them named; NaN where nobody labelled the page."""
    keep: bool
    """Whether people hold it worth keeping."""
    said: tuple[tuple[str, float, str], ...]
    """Rater, level and note of each label. A judge as rater may give levels between two."""
    criteria: Mapping[str, float] = field(default_factory=dict)
    """Mean of the raters for each criterion they were asked about."""

    @property
    def labelled(self) -> bool:
        """Whether anybody labelled it."""
        return not math.isnan(self.truth)

    @property
    def level(self) -> int:
        """The level nearest to the mean, the lower one halfway. For labelled pages."""
        return math.ceil(self.truth - 0.5)


def check_labels(pages: Sequence[Labelled], rubric: Rubric) -> None:
    """Before any call: with one side alone, nothing can be ranked or told apart. Raises BadInput."""
    for split in ("train", "val"):
        here = [page for page in pages if page.split == split and page.labelled]
        if not here:
            raise BadInput(f"tune: {split} has no labelled pages; label more pages")
        keep = sum(page.keep for page in here)
        if rubric.scale != "choice" and keep in (0, len(here)):
            raise BadInput(
                f"tune: {split} has {keep} labelled pages to keep and {len(here) - keep} to drop, and both are needed; "
                "label more pages"
            )
        if rubric.scale == "choice" and len({page.level for page in here}) < 2:
            raise BadInput(f"tune: all labelled pages of {split} are of one class; label more pages")


def interleaved(pages: Sequence[Labelled], salt: str, *, by_class: bool) -> list[Labelled]:
    """Pages in an order of which every beginning holds as much of each side (or class) as there is; those that nobody
    labelled are left out, unless nobody labelled any."""
    sides: dict[Any, list[Labelled]] = {}
    labelled = [page for page in pages if page.labelled]
    for page in sorted(labelled or pages, key=lambda p: unit_hash(salt, p.page_id)):
        sides.setdefault(page.level if by_class and labelled else page.keep, []).append(page)
    ranked = [(i, side) for side, members in sides.items() for i in range(len(members))]
    return [sides[side][i] for i, side in sorted(ranked)]


def anchors_of(train: Sequence[Labelled], count: int) -> list[Labelled]:
    """The pages that others are ranked against, half of them worth keeping."""
    order = sorted((p for p in train if p.labelled), key=lambda p: unit_hash("anchor", p.page_id))
    high, low = [p for p in order if p.keep], [p for p in order if not p.keep]
    return [*high[: count // 2], *low[: count - count // 2]]


def examples_of(train: Sequence[Labelled], count: int) -> list[Labelled]:
    """Pages to show in the prompt: a level after the other, spread from the lowest to the highest, the pages on which
    the raters agree first, then the shortest, so that prompts stay small."""
    by_level: dict[int, list[Labelled]] = {}
    for page in sorted((p for p in train if p.labelled), key=lambda p: (_spread(p), len(p.text), p.page_id)):
        by_level.setdefault(page.level, []).append(page)
    levels = sorted(by_level)
    if count < len(levels):
        step = (len(levels) - 1) / max(count - 1, 1)
        levels = sorted({levels[round(i * step)] for i in range(count)})
    ranked = sorted((i, level) for level in levels for i in range(len(by_level[level])))
    return [by_level[level][i] for i, level in ranked][:count]


def _spread(page: Labelled) -> float:
    given = [level for _, level, _ in page.said]
    return max(given) - min(given) if given else 0.0
