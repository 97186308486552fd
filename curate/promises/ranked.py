"""Labelled pages ranked by score, and what is above each place to cut them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.errors import BadInput
from curate.promises.shares import Masses, by_group, masses
from curate.weighted import Floats, as_flags, as_probabilities, columns_of


class Ranked(NamedTuple):
    """Pages that count, by falling score, arrays (n,). `last` are the places (c,) where a score ends: a cut after each."""

    score: Floats
    weight: Floats
    member: NDArray[np.int64]
    keep: NDArray[np.bool_]
    last: NDArray[np.int64]

    @classmethod
    def of(cls, score: ArrayLike, keep: ArrayLike, weight: ArrayLike | None, group: ArrayLike | None) -> "Ranked":
        """From arrays (n,); pages that weigh 0 are left out. Raises BadInput where they don't fit."""
        scores, flags = as_probabilities(score), as_flags(keep)
        weights = np.ones(len(scores)) if weight is None else np.asarray(weight, dtype=np.float64)
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
        return np.append(np.where(middle[:-1] > values[1:], middle[:-1], values[:-1]), 0.0)

    def only(self, rows: NDArray[np.bool_]) -> "Ranked":
        """These pages alone (n,)."""
        score = self.score[rows]
        return Ranked(score, self.weight[rows], self.member[rows], self.keep[rows], _ends(score))

    @property
    def heaviest(self) -> float:
        """What the heaviest group weighs."""
        return float(by_group(self.weight, self.member).max())


def above(pages: Ranked) -> Masses:
    """Of the pages above each cut (c,): the masses worth keeping and not. The heaviest group is sought in twice as many
    pages: samples are often thinner where scores are low, and what is thinned there says little of the top."""
    right, wrong = np.where(pages.keep, pages.weight, 0.0), np.where(pages.keep, 0.0, pages.weight)
    groups: Floats = np.maximum.accumulate(_before(pages.weight, pages.member) + pages.weight)
    return Masses(
        np.cumsum(right)[pages.last],
        squares(right, pages.member)[pages.last],
        np.cumsum(wrong)[pages.last],
        squares(wrong, pages.member)[pages.last],
        groups[np.minimum(2 * pages.last + 1, len(pages.weight) - 1)],
    )


def caught(pages: Ranked) -> Masses:
    """Of the pages worth keeping, at each of their scores (c,): what is at or above it, and below."""
    good = pages.only(pages.keep)
    mass, square = np.cumsum(good.weight)[good.last], squares(good.weight, good.member)[good.last]
    under = np.append(squares(good.weight[::-1], good.member[::-1])[::-1], 0.0)[good.last + 1]
    return Masses(mass, square, good.weight.sum() - mass, under, np.full(len(mass), pages.heaviest))


def kept_at(pages: Ranked, threshold: float) -> tuple[Masses, Masses]:
    """At a threshold that the labels had no part in: the kept, right or wrong; those worth keeping, caught or missed."""
    kept, heaviest = pages.score >= threshold, pages.heaviest
    return (
        masses(pages.keep[kept], pages.weight[kept], pages.member[kept], heaviest=heaviest),
        masses(kept[pages.keep], pages.weight[pages.keep], pages.member[pages.keep], heaviest=heaviest),
    )


def squares(weight: Floats, member: NDArray[np.int64]) -> Floats:
    """Running sum (n,) of the squares of groups' weights: a page adds w^2, and 2 w for all of its group before it."""
    running: Floats = np.cumsum(weight * (2 * _before(weight, member) + weight))
    return running


def _ends(ranked: Floats) -> NDArray[np.int64]:
    """The last place of each distinct score."""
    return np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])


def _before(weight: Floats, member: NDArray[np.int64]) -> Floats:
    """What the pages of each page's group weigh that come before it."""
    order = np.argsort(member, kind="stable")
    run, of = np.cumsum(weight[order]) - weight[order], member[order]
    first = np.flatnonzero(np.append(True, of[1:] != of[:-1])[: len(of)])
    result = np.empty(len(order))
    result[order] = run - np.repeat(run[first], np.diff(first, append=len(order)))
    return result
