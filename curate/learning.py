"""Would more labels or judgments help? A learning curve through a few measured points, and what doubling would gain.

Curves of error against the size of a training set follow power laws (Cortes et al. 1993; Hestness et al. 2017):
score(n) = a - b n^-c. Three numbers from a handful of noisy points are not determined, so none is read off one best fit:
all curves that fit are weighed by how well they do, and the gain is told with the interval they leave.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from curate.errors import BadInput
from curate.intervals import Estimate
from curate.weighted import Floats

__all__ = ["LearningCurve", "learning_curve"]

EXPONENTS = np.geomspace(0.1, 2.0, 13)
"""Values of c that are tried, each as likely as another before the data: published curves lie well within."""
STEPS = 121
"""Values tried of each of the other two: the score at the largest size, and the rise over the sizes measured."""
DRAWS = 4000
NO_RISE = 3.84
"""How much more chi-squared a curve without a rise may have and still be held to fit: the 95 % point for one number."""
LEAST_GAIN = 0.005
"""A gain surely below this is called none."""


class _Fits(NamedTuple):
    """Curves drawn by their weight, (d,) each: the score at the largest size, the rise up to it, the exponent."""

    last: Floats
    rise: Floats
    exponent: Floats


@dataclass(frozen=True)
class LearningCurve:
    """Curves that fit measured points; ask `at` and `gain`, or read `words`."""

    sizes: tuple[float, ...]
    fits: _Fits
    flat: bool
    """Whether no rise at all fits the points too: then nothing above 0 is sure to be gained."""
    ceiling: float
    level: float

    def at(self, size: float) -> Estimate:
        """The score to expect at `size`. `n`: the points behind it."""
        return self._told(self._scores(size))

    def gain(self, times: float = 2.0, *, size: float = 0.0) -> Estimate:
        """What `times` as much would gain on `size`, or on the largest size measured: never below 0, as no curve falls."""
        if not times >= 1:
            raise BadInput(f"gain: times: must be at least 1 (got {times:g})")
        size = size or self.sizes[-1]
        told = self._told(self._scores(size * times) - self._scores(size))
        return replace(told, low=0.0) if self.flat else told

    def words(self, what: str = "judgments", times: float = 2.0) -> str:
        """`2,000 more judgments would gain about .01 [.00, .02]`, or that no gain is to be seen."""
        gain, more = self.gain(times), round(self.sizes[-1] * (times - 1))
        if gain.high < LEAST_GAIN:
            return f"no more gain to be seen: {more:,} more {what} would gain less than {_short(LEAST_GAIN)}"
        said = f"{more:,} more {what} would gain about {gain.text()}"
        return said if gain.value >= LEAST_GAIN else f"no gain can be told from the noise: {said}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the gain of doubling, and the sentence."""
        return {"sizes": list(self.sizes), "gain_of_doubling": self.gain().as_dict(), "words": self.words()}

    def _scores(self, size: float) -> Floats:
        if not size > 0:
            raise BadInput(f"learning curve: size: must be above 0 (got {size:g})")
        fits = self.fits
        scores = fits.last + fits.rise * _beyond(size, self.sizes, fits.exponent)
        # Beyond the largest size a curve that would pass the highest score there is ends at it.
        result: Floats = np.minimum(scores, self.ceiling)
        return result

    def _told(self, values: Floats) -> Estimate:
        low, middle, high = np.quantile(values, [(1 - self.level) / 2, 0.5, (1 + self.level) / 2])
        return Estimate(float(middle), float(low), float(high), len(self.sizes))


def learning_curve(
    sizes: Sequence[float],
    scores: Sequence[float],
    errors: Sequence[float],
    *,
    ceiling: float = 1.0,
    level: float = 0.95,
    seed: int = 0,
) -> LearningCurve:
    """Fit score = a - b n^-c, with b >= 0 and a at most `ceiling`, to scores and their standard errors at sizes n.

    Where the points scatter more about the best curve than their errors allow, the errors are widened by as much (Birge
    1932). The points are taken as independent; measured on one and the same test pages their common error moves the
    level, not the gain. Raises BadInput with fewer than 3 sizes, or errors that are not above 0.
    """
    n, y, se = _points(sizes, scores, errors)
    if (y - 5 * se).max() > ceiling:
        raise BadInput(f"learning curve: scores above the ceiling of {ceiling:g} (got {y.max():g})")
    ends = (float(n[0]), float(n[-1]))
    last = np.linspace(y[-1] - 5 * se.max(), min(y[-1] + 5 * se.max(), ceiling), STEPS)
    rise = np.linspace(0.0, max(float(np.ptp(y)), 0.0) + 5 * float(np.hypot(se[0], se[-1])), STEPS)
    c, m, r = np.meshgrid(EXPONENTS, last, rise, indexing="ij")
    misfit = np.zeros(c.shape)
    for size, score, error in zip(n, y, se, strict=True):
        misfit += ((m + r * _beyond(float(size), ends, c) - score) / error) ** 2
    # A curve that ends above the highest score there is cannot be.
    misfit = np.where(m + r * _beyond(math.inf, ends, c) <= ceiling + 1e-9, misfit, np.inf)
    if not np.isfinite(misfit).any():
        raise BadInput(f"learning curve: scores above the ceiling of {ceiling:g} (got {y.max():g})")
    misfit /= max(1.0, float(misfit.min()) / max(len(n) - 3, 1))
    weight = np.exp(-(misfit - misfit.min()) / 2).ravel()
    flat = float(misfit[:, :, 0].min() - misfit.min()) < NO_RISE
    picks = np.random.default_rng(seed).choice(weight.size, DRAWS, p=weight / weight.sum())
    fits = _Fits(m.ravel()[picks], r.ravel()[picks], c.ravel()[picks])
    return LearningCurve(tuple(float(size) for size in n), fits, flat, ceiling, level)


def _beyond(size: float, sizes: Sequence[float], exponent: Floats) -> Floats:
    """How far above the score at the largest size a curve is at `size`, by its rise from the smallest to the largest:
    -1 at the smallest, 0 at the largest."""
    first, last = sizes[0] ** -exponent, sizes[-1] ** -exponent
    return np.asarray((last - size**-exponent) / (first - last))


def _points(sizes: Sequence[float], scores: Sequence[float], errors: Sequence[float]) -> tuple[Floats, Floats, Floats]:
    columns = [np.asarray(values, dtype=np.float64) for values in (sizes, scores, errors)]
    n, y, se = columns
    if not len(n) == len(y) == len(se) or not all(np.isfinite(column).all() for column in columns):
        raise BadInput("learning curve: needs a finite size, score and standard error for every point")
    if len(np.unique(n)) < 3:
        raise BadInput(f"learning curve: needs at least 3 sizes (got {len(np.unique(n))})")
    if (n <= 0).any() or (se <= 0).any():
        raise BadInput("learning curve: sizes and standard errors must be above 0")
    order = np.argsort(n, kind="stable")
    return n[order], y[order], se[order]


def _short(x: float) -> str:
    return f"{x:g}".replace("0.", ".", 1)
