"""Pages ranked by score, what is above each place to cut them, and the order in which cuts are tested."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.errors import BadInput
from curate.shares import Masses
from curate.weighted import Floats, as_flags, as_probabilities, columns_of

__all__ = ["Ranked", "above", "all_right", "around", "caught", "fallback", "squares"]


class Ranked(NamedTuple):
    """Pages that count, by falling score. `last` are the places (c,) where a score ends: a cut after each."""

    score: Floats
    weight: Floats
    member: NDArray[np.int64]
    keep: NDArray[np.bool_]
    last: NDArray[np.int64]

    @classmethod
    def of(
        cls, score: ArrayLike, weight: ArrayLike | None, group: ArrayLike | None, keep: ArrayLike | None = None
    ) -> "Ranked":
        """From arrays (n,); BadInput where they don't fit. Pages that weigh 0 are left out."""
        scores = as_probabilities(score)
        weights = np.ones(len(scores)) if weight is None else np.asarray(weight, dtype=np.float64)
        flags = np.zeros(len(scores), dtype=np.bool_) if keep is None else as_flags(keep)
        _, members = columns_of([scores, weights, flags], group)
        if not np.isfinite(weights).all() or (weights < 0).any():
            raise BadInput("weight: must be a number of 0 or above for every page; 0 leaves a page out")
        rows = np.argsort(-scores, kind="stable")
        rows = rows[weights[rows] > 0]
        return cls(scores[rows], weights[rows], members[rows], flags[rows], _ends(scores[rows]))

    @property
    def exact(self) -> bool:
        """Whether all weigh the same and stand alone."""
        return len(np.unique(self.weight)) == 1 and len(np.unique(self.member)) == len(self.member)

    @property
    def cuts(self) -> Floats:
        """Thresholds (c,): half way down to the next score, so that a page of that very score falls on no edge."""
        values = self.score[self.last]
        middle = (values + np.append(values[1:], 0.0)) / 2
        return np.append(np.where(middle[:-1] > values[1:], middle[:-1], values[:-1]), 0.0) if len(values) else values

    def only(self, rows: NDArray[np.bool_]) -> "Ranked":
        """These pages alone (n,)."""
        score = self.score[rows]
        return Ranked(score, self.weight[rows], self.member[rows], self.keep[rows], _ends(score))


def _ends(ranked: Floats) -> NDArray[np.int64]:
    """The last place of each distinct score."""
    return np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])


def above(pages: Ranked) -> Masses:
    """Of the pages above each cut (c,): the masses worth keeping and not."""
    sides = [np.where(flags, pages.weight, 0.0) for flags in (pages.keep, ~pages.keep)]
    (right, right_squares), (wrong, wrong_squares) = [
        (np.cumsum(side)[pages.last], squares(side, pages)) for side in sides
    ]
    return Masses(right, right_squares, wrong, wrong_squares, around(pages.weight, pages))


def around(weight: Floats, pages: Ranked) -> Floats:
    """The heaviest group that may be above each cut (c,), sought in twice as many pages: samples are often thinner where
    scores are low, and what is thinned there says little of the top."""
    heaviest: Floats = np.maximum.accumulate(_before(weight, pages.member) + weight)
    return heaviest[np.minimum(2 * pages.last + 1, len(weight) - 1)]


def squares(weight: Floats, pages: Ranked) -> Floats:
    """Sum of the squares of groups' weights above each cut: a page adds w^2, and 2 w for all of its group before it."""
    running: Floats = np.cumsum(weight * (2 * _before(weight, pages.member) + weight))
    return running[pages.last]


def _before(weight: Floats, member: NDArray[np.int64]) -> Floats:
    """What the pages of each page's group weigh that come before it."""
    order = np.argsort(member, kind="stable")
    run, of = np.cumsum(weight[order]) - weight[order], member[order]
    first = np.flatnonzero(np.append(True, of[1:] != of[:-1]))
    result = np.empty(len(order))
    result[order] = run - np.repeat(run[first], np.diff(first, append=len(order)))
    return result


def all_right(counted: Masses, pages: Ranked) -> Masses:
    """As if all pages above each cut were right: how far the pages could carry, which no label has a part in."""
    none = np.zeros(len(pages.last))
    return Masses(counted.right + counted.wrong, squares(pages.weight, pages), none, none, counted.heaviest)


def caught(good: Ranked, heaviest: float) -> Masses:
    """Of pages worth keeping, at each of their scores (c,): what is at or above it, and below."""
    mass, square = np.cumsum(good.weight)[good.last], squares(good.weight, good)
    back = Ranked(good.score[::-1], good.weight[::-1], good.member[::-1], good.keep[::-1], np.arange(len(good.score)))
    under = np.append(squares(back.weight, back)[::-1], 0.0)[good.last + 1]
    return Masses(mass, square, good.weight.sum() - mass, under, np.full(len(mass), heaviest))


def fallback(surprise: Floats, own: Floats) -> int:
    """The last cut rejected, -1 for none. What a rejected cut had to spend goes on to the next one; a cut that is not
    rejected loses it."""
    found, carried = -1, 0.0
    for at, (p, share) in enumerate(zip(surprise.tolist(), own.tolist(), strict=True)):
        level = share + carried
        passed = level > 0 and p <= level
        found, carried = (at, level) if passed else (found, 0.0)
    return found
