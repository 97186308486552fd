"""The promise of a threshold, from labelled pages that the classifier had not seen.

The labelled pages must be drawn by chance from the pages that will be filtered, as their weights say. The confidence is
over that draw: of all labelled sets that might have been drawn, at most 1 - confidence lead to a promise that the corpus
does not keep. With pages that weigh the same and stand alone the bounds are exact. With weights or groups they are those
of `shares`, an approximation that counts a page as heavy as the heaviest labelled group against the promise.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.checked import both_classes
from curate.errors import BadInput
from curate.intervals import Estimate
from curate.promises.ranked import Ranked, above, caught, kept_at, squares
from curate.promises.shares import Masses, estimate_of, lower_bound, surprise
from curate.weighted import Floats

Rate = Literal["precision", "recall"]
STARTS = (0.5, 0.5)
"""Where the tests of a precision begin, at the fewest pages that could pass and at more of them: what each may err of its
own, by the error allowed."""
POWER = 0.95
"""Of the test at the best cut, with the labels that are said to be needed; in the sequence of all tests about .8 is left
of it, by simulation."""
MOST_LABELS = 20_000
"""More would be no answer."""
FEWEST = 5
LEAST_LABELS = 15
"""Labelled pages below which nothing is said of a slice."""


@dataclass(frozen=True)
class Promise:
    """A threshold (pages with a score of at least it are kept) and what is sure about it."""

    aim: str
    confidence: float
    threshold: float
    promised: bool | None
    """None where no rate was asked. Where False, the threshold is the one whose estimate reaches the aim, or comes nearest."""
    precision: Estimate
    recall: Estimate
    """With 95 % intervals, from the pages that the threshold was chosen on: a little optimistic."""
    sure: float | None
    """Promised: the rate asked. Else the lower bound at this threshold alone, which is not sure after having chosen it."""
    best: float | None
    """Not promised: the highest rate that these labels could promise with any threshold, in steps of .01."""
    needed: int | None
    """Not promised: more labels, drawn alike, with which the promise could be given with a chance of about 80 % if the
    estimates are right. None where no number would do."""
    needed_above: int | None
    """Of these, about how many would fall above the threshold."""
    n: int
    kept: int
    corpus_share: float | None
    """Share of the corpus' scored pages that is kept, where the corpus was counted."""
    exact: bool
    """Whether all pages weigh the same and stand alone: then bounds are exact."""
    note: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "precision": self.precision.as_dict(), "recall": self.recall.as_dict()}


def promise(
    rate: Rate,
    number: float,
    *,
    score: ArrayLike,
    keep: ArrayLike,
    weight: ArrayLike | None = None,
    group: ArrayLike | None = None,
    confidence: float = 0.9,
) -> Promise:
    """Choose the threshold whose precision or recall is at least `number`, from labelled pages: `score` in 0..1 and
    `keep`, (n,), what each page counts for (`weight`, 1 / its chance to be drawn) and whose pages are not independent of
    each other (`group`).

    - precision: the lowest threshold at which it can be promised. Thresholds are tested from the strictest to the most
      lenient by exact binomial tests (Learn then Test, fixed sequence, Angelopoulos et al. 2021), which begin at two
      places and hand on what they may err (fallback procedure, Wiens and Dmitrienko 2005).
    - recall: the highest threshold at which it can be promised: an order statistic of the scores of the pages worth
      keeping (Wilks 1941), the tolerance bound behind conformal risk control of the miss rate (Angelopoulos et al. 2022).

    Raises BadInput for labels that are all the same, scores beyond 0..1, or a confidence that is none.
    """
    if not 0.5 <= confidence < 1:
        raise BadInput(f"confidence: must be at least 0.5 and below 1 (got {confidence:g})")
    pages = Ranked.of(score, keep, weight, group)
    both_classes(pages.keep, f"{rate}>={number:g}")
    error = 1 - confidence
    counted = above(pages) if rate == "precision" else caught(pages)
    thresholds = pages.cuts if rate == "precision" else _scores_of_kept(pages)
    tested = _tested(rate, pages, counted, error)
    at = tested(number)
    promised = at >= 0
    at = at if promised else _aimed(rate, counted.share, number)
    needed, above_it = (None, None) if promised else _needed(rate, number, pages, counted, at, error)
    here = at_threshold(float(thresholds[at]), pages=pages, aim=f"{rate}>={number:g}", confidence=confidence)
    found = replace(
        here,
        promised=promised,
        sure=number if promised else lower_bound(counted.at(at), error),
        best=None if promised else _best(tested, number),
        needed=needed,
        needed_above=above_it,
    )
    return replace(found, note=_words(rate, number, found))


def at_threshold(threshold: float, *, pages: Ranked, aim: str, confidence: float) -> Promise:
    """What is sure at a threshold that was not chosen for a rate on these labels."""
    kept, found = kept_at(pages, threshold)
    count = int((pages.score >= threshold).sum())
    bounds = [lower_bound(side, 1 - confidence) if count else 0.0 for side in (kept, found)]
    return Promise(
        aim=aim,
        confidence=confidence,
        threshold=threshold,
        promised=None,
        precision=estimate_of(kept, count),
        recall=estimate_of(found, int(pages.keep.sum())),
        sure=None,
        best=None,
        needed=None,
        needed_above=None,
        n=len(pages.score),
        kept=count,
        corpus_share=None,
        exact=pages.exact,
        note=_words_at(len(pages.score), count, bounds, confidence),
    )


def _tested(rate: Rate, pages: Ranked, counted: Masses, error: float) -> Any:
    """A function from a rate to the cut at which it can be promised, -1 for none."""
    if rate == "recall":

        def last(number: float) -> int:
            passed = np.flatnonzero(surprise(counted, number) <= error)
            return int(passed[0]) if len(passed) else -1

        return last
    best = _all_right(counted, pages)

    def sequence(number: float) -> int:
        return fallback(surprise(counted, number), _own(surprise(best, number), best.right, error))

    return sequence


def _all_right(counted: Masses, pages: Ranked) -> Masses:
    """As if all pages above each cut were right: how far the pages could carry, which no label has a part in."""
    none = np.zeros(len(pages.last))
    squared = squares(pages.weight, pages.member)[pages.last]
    return Masses(counted.right + counted.wrong, squared, none, none, counted.heaviest)


def _own(least: Floats, mass: Floats, error: float) -> Floats:
    """The error each cut (c,) may spend of its own: most at the first that could pass, which `least`, the p values if all
    are right, tells; the rest further down, for scores whose very top is not the best."""
    own = np.zeros(len(least))
    able = np.flatnonzero(least <= error * STARTS[0])
    if not len(able):
        return own
    for share, want in zip(STARTS, np.geomspace(mass[able[0]], mass[-1], len(STARTS) + 1), strict=False):
        own[int(np.argmax(mass >= want * (1 - 1e-9)))] += error * share
    return own


def fallback(surprises: Floats, own: Floats) -> int:
    """The last cut rejected, -1 for none. What a rejected cut had to spend goes on to the next one; a cut that is not
    rejected loses it."""
    found, carried = -1, 0.0
    for at, (p, share) in enumerate(zip(surprises.tolist(), own.tolist(), strict=True)):
        level = share + carried
        passed = level > 0 and p <= level
        found, carried = (at, level) if passed else (found, 0.0)
    return found


def _scores_of_kept(pages: Ranked) -> NDArray[np.float64]:
    good = pages.only(pages.keep)
    return good.score[good.last]


def _aimed(rate: Rate, share: Floats, number: float) -> int:
    """The cut whose estimate reaches the rate: the lowest for a precision, the highest for a recall; else the best."""
    reached = np.flatnonzero(share >= number - 1e-12)
    if not len(reached):
        return int(np.flatnonzero(share == share.max())[-1])
    return int(reached[-1 if rate == "precision" else 0])


def _best(tested: Any, number: float) -> float | None:
    """The highest rate below `number`, in steps of .01, that can be promised."""
    lower = (step / 100 for step in range(math.ceil(number * 100) - 1, 0, -1))
    return next((rate for rate in lower if tested(rate) >= 0), None)


def _needed(
    rate: Rate, number: float, pages: Ranked, counted: Masses, at: int, error: float
) -> tuple[int | None, int | None]:
    """More labels, and how many of them above the threshold."""
    if not 0 < number < 1:
        return None, None
    n = len(pages.score)
    if rate == "recall":
        least, have = math.log(error) / math.log(number), counted.right[-1] / counted.heaviest[-1]
        more = _rounded(max(n * least / have - n, FEWEST))
        return (more, None) if more <= MOST_LABELS else (None, None)
    size = _sizes(_all_right(counted, pages))
    draws = _draws(counted.share, size, number, error)
    totals = draws * n / size
    if not np.isfinite(totals).any() or totals.min() > MOST_LABELS:
        return None, None
    cut = int(np.argmin(totals))
    # None more at the best cut: then a few wrong pages at the very top stopped the tests, and some luck is needed.
    wanted = max(float(totals[cut]) - n, FEWEST, n / 10)
    return _rounded(wanted), _rounded(max(wanted * (int(pages.last[cut]) + 1) / n, 1.0))


def _rounded(count: float) -> int:
    """Up to two digits: more would claim too much."""
    step = int(10 ** max(math.floor(math.log10(count)) - 1, 0))
    return math.ceil(count / step) * step


def _sizes(everything: Masses) -> Floats:
    """Independent equal draws that carry as much as the pages above each cut: (sum W)^2 / sum W^2 over groups (Kish
    1965, section 11.7)."""
    return np.asarray(everything.right**2 / everything.right_squares)


def _draws(share: Floats, size: Floats, number: float, error: float) -> Floats:
    """Draws with which a one-sided test of `number` has its power, by the normal approximation, if the share is what was
    found, drawn in by two pages of which one is right: a few pages that happen to be all right are no ground to hope
    on. Infinite where that is not above `number`."""
    from statistics import NormalDist

    hoped = (share * size + 1) / (size + 2)
    z = [NormalDist().inv_cdf(x) for x in (1 - error * STARTS[0], POWER)]
    spread = z[0] * math.sqrt(number * (1 - number)) + z[1] * np.sqrt(hoped * (1 - hoped))
    gap = np.maximum(hoped - number, 1e-12)
    least = math.log(error * STARTS[0]) / math.log(number)
    return np.where(hoped > number, np.maximum((spread / gap) ** 2, least), np.inf)


def _words_at(n: int, kept: int, bounds: Sequence[float], confidence: float) -> str:
    if not kept:
        return f"none of the {n:,} held-out labelled pages is above this threshold: nothing is sure of what it keeps"
    sure = (
        f"a precision of {_surely(bounds[0])} or a recall of {_surely(bounds[1])}, each at {confidence:.0%} confidence"
    )
    return f"no rate was asked for; {n:,} held-out labels make sure at this threshold: {sure}".replace("%", " %")


def _words(rate: Rate, number: float, found: Promise) -> str:
    sure = f"{rate} >= {_short(number)} at {found.confidence:.0%} confidence".replace("%", " %")
    value = found.precision if rate == "precision" else found.recall
    if found.promised:
        return f"{found.n:,} held-out labels promise {sure} (estimate {value.text()})"
    start = f"NOT promised: {sure}. At this threshold the estimate is {value.text()}"
    if found.best is None:
        return f"{start}; {found.n:,} labels are too few to promise anything{_more(found)}"
    return f"{start}; {found.n:,} held-out labels could promise {_short(found.best)} at best{_more(found)}"


def _more(found: Promise) -> str:
    if found.needed is None:
        return "; no number of labels would do with this classifier, as far as can be seen"
    where = f" (about {found.needed_above:,} of them above the threshold)" if found.needed_above else ""
    return f"; about {found.needed:,} more labelled pages{where} would be needed"


def _short(x: float) -> str:
    """Two digits, or as many as were asked for."""
    text = f"{x:.2f}" if abs(x * 100 - round(x * 100)) < 1e-9 else f"{x:g}"
    return text.replace("0.", ".", 1) if text.startswith("0.") else text


def _surely(x: float) -> str:
    """A bound, rounded down so that it does not claim more than it does."""
    return _short(math.floor(x * 100 + 1e-9) / 100)
