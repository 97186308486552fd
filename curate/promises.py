"""Thresholds with a promise: what a filter keeps reaches its aim, at a stated confidence, or the answer says it may not.

Scores must be of pages the classifier had not seen (out of fold, or a test set), and the labelled pages drawn by chance
from the pages that will be filtered, as their weights say. The confidence is over that draw: of all labelled sets that
might have been drawn, at most 1 - confidence lead to a promise that the corpus does not keep.

With pages that weigh the same and stand alone the bounds are exact. With weights or groups they are those of `shares`,
where a page as heavy as the heaviest labelled group is counted against the promise: an approximation, and a careful one.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from curate.cuts import Ranked, above, all_right, around, caught, fallback
from curate.errors import BadInput
from curate.intervals import Estimate
from curate.shares import Masses, by_group, heaviest_of, lower_bound, masses, surprise
from curate.weighted import Floats, as_probabilities, columns_of

__all__ = ["AIM", "Corpus", "Promise", "promise"]

AIM = re.compile(
    r"f1|(?P<what>precision>=|recall>=|keep_rate<=|keep_rate=|tokens<=)(?P<number>\d+(?:\.\d+)?(?:e\+?\d+)?|\.\d+)(?P<unit>[kMBT]?)"
)
UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
STARTS = (0.8, 0.2)
"""Where the tests of a precision may begin, strictest first: the share of the error allowed that each has of its own."""
POWER = 0.8
MOST_LABELS = 20_000
"""More would be no answer."""


@dataclass(frozen=True)
class Corpus:
    """A sample of the pages to be filtered, or all of them, with no labels: arrays over its pages (m,)."""

    score: ArrayLike
    weight: ArrayLike | None = None
    group: ArrayLike | None = None
    length: ArrayLike | None = None
    """Tokens of each page, or characters: the unit of `tokens<=`."""
    pages: float | None = None
    """Pages of the whole corpus; None: the sum of the weights, where these are 1 / inclusion probability."""


@dataclass(frozen=True)
class Promise:
    """A threshold, pages with a score of at least it are kept, and what is sure about it."""

    aim: str
    confidence: float
    threshold: float | None
    """Where not `promised` the one whose estimate reaches the aim, if there is one."""
    promised: bool
    estimate: Estimate
    """Of the aim's rate at the threshold, from the pages it was chosen on: a little optimistic."""
    bound: float
    """Promised: the corpus' rate is at least this (at most, for `keep_rate<=` and `tokens<=`). Else the same bound at
    this threshold alone, not sure after having chosen it."""
    n: int
    n_kept: int
    labels_needed: int | None
    """More labels, drawn alike, with which the promise could be given with a chance of about 80 %, if the estimate is
    right. None where it is given, or where no number would do."""
    exact: bool
    words: str = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: null for NaN."""
        same = ("aim", "confidence", "threshold", "promised", "n", "n_kept", "labels_needed", "exact", "words")
        bound = None if math.isnan(self.bound) else self.bound
        return {**{name: getattr(self, name) for name in same}, "estimate": self.estimate.as_dict(), "bound": bound}


def promise(
    aim: str,
    *,
    score: ArrayLike = (),
    keep: ArrayLike = (),
    weight: ArrayLike | None = None,
    group: ArrayLike | None = None,
    corpus: Corpus | None = None,
    confidence: float = 0.95,
) -> Promise:
    """Choose the threshold for `aim` from labelled pages: `score` in 0..1 and `keep`, (n,), with what each page counts
    for (`weight`) and whose pages are not independent of each other (`group`).

    - `precision>=0.8`: the lowest threshold at which it can be promised. Thresholds are tested from the strictest to
      the most lenient by exact binomial tests (Learn then Test, Angelopoulos et al. 2021) under the fallback procedure
      (Wiens and Dmitrienko 2005): exact where precision crosses the aim once as the threshold falls.
    - `recall>=0.9`: the highest threshold at which it can be promised: an order statistic of the scores of the pages
      worth keeping (Wilks 1941), the tolerance bound behind conformal risk control of the miss rate.
    - `f1`: the threshold best in expectation if scores are calibrated probabilities (half of the best F1, Lipton et
      al. 2014), and the F1 that is sure there; no label takes part in the choice, so its bound is exact.
    - `keep_rate<=0.2`, `keep_rate=0.2`, `tokens<=20B`: from `corpus` alone; no label is needed. An equality cannot be
      promised: its interval says how near it is.

    Raises BadInput for an aim that is not one of these, missing pages, or scores beyond 0..1.
    """
    what, number = _parsed(aim)
    if not 0.5 <= confidence < 1:
        raise BadInput(f"confidence: must be at least 0.5 and below 1 (got {confidence:g})")
    asked = _Asked(aim, number, confidence)
    if what.startswith(("keep_rate", "tokens")):
        return _unlabelled(asked, what, corpus)
    pages = Ranked.of(score, weight, group, keep)
    if not len(pages.score):
        raise BadInput(f"{aim}: needs labelled pages (got none); label some first")
    if what == "f1":
        return _f1(asked, pages, Ranked.of(corpus.score, corpus.weight, corpus.group) if corpus else pages)
    return _precision(asked, pages) if what == "precision>=" else _recall(asked, pages)


class _Asked(NamedTuple):
    aim: str
    number: float
    confidence: float

    @property
    def error(self) -> float:
        return 1 - self.confidence


def _precision(asked: _Asked, pages: Ranked) -> Promise:
    counted = above(pages)
    best = all_right(counted, pages)
    found = fallback(surprise(counted, asked.number), _own(surprise(best, asked.number), best.right, asked))
    promised = found >= 0
    at = found if promised else _aimed(counted.share, asked)
    here, kept = counted.at(at), int(pages.last[at]) + 1
    reached = promised or bool(here.share >= asked.number)
    return _answer(
        asked,
        threshold=float(pages.cuts[at]) if reached else None,
        promised=promised,
        estimate=_estimate(here, kept, asked),
        bound=asked.number if promised else lower_bound(here, asked.error),
        pages=pages,
        kept=kept if reached else 0,
        needed=None if promised else _more_labels(asked, pages, counted.share, best),
        basis=f"of the {kept:,} of {len(pages.score):,} labelled pages it keeps",
    )


def _own(least: Floats, mass: Floats, asked: _Asked) -> Floats:
    """The error each cut (c,) may spend of its own: most at the first that could pass, which `least`, the p values if all
    are right, tells; the rest further down, for scores whose very top is not the best."""
    own = np.zeros(len(least))
    able = np.flatnonzero(least <= asked.error * STARTS[0])
    if not len(able):
        return own
    for share, want in zip(STARTS, np.geomspace(mass[able[0]], mass[-1], len(STARTS) + 1), strict=False):
        own[int(np.argmax(mass >= want * (1 - 1e-9)))] += asked.error * share
    return own


def _aimed(share: Floats, asked: _Asked) -> int:
    """The cut that keeps most of those whose estimate reaches the aim, else the one of the best estimate."""
    reached = np.flatnonzero(share >= asked.number)
    return int(reached[-1]) if len(reached) else int(np.flatnonzero(share == share.max())[-1])


def _more_labels(asked: _Asked, pages: Ranked, share: Floats, best: Masses) -> int | None:
    """The fewest more labels over all cuts, each with its estimate drawn in by two pages, one of them right: a few
    pages that happen to be all right are no ground to hope on."""
    from scipy.stats import binom

    if not 0 < asked.number < 1:
        return None
    # As many draws as would be as surprising if all were right.
    size = np.maximum(np.log(surprise(best, asked.number)) / math.log(asked.number), 1e-9)
    hoped = (share * size + 1) / (size + 2)
    worth = np.flatnonzero(hoped > asked.number)
    if not len(worth):
        return None
    some = worth[np.linspace(0, len(worth) - 1, min(len(worth), 20)).astype(int)]
    draws = np.unique(np.geomspace(1, MOST_LABELS, 200).astype(np.int64))
    critical = binom.isf(asked.error * STARTS[0], draws, asked.number) + 1
    passing = np.asarray(binom.sf(critical - 1, draws, np.minimum(hoped[some], 1 - 1e-9)[:, None])) >= POWER
    least = np.where(passing.any(axis=1), draws[passing.argmax(axis=1)], np.inf) * len(pages.score) / size[some]
    return max(math.ceil(least.min()) - len(pages.score), 1) if least.min() <= MOST_LABELS else None


def _recall(asked: _Asked, pages: Ranked) -> Promise:
    good, n = pages.only(pages.keep), len(pages.score)
    if not len(good.score):
        return _answer(
            asked,
            threshold=None,
            promised=False,
            estimate=Estimate(math.nan, math.nan, math.nan, 0),
            bound=math.nan,
            pages=pages,
            kept=0,
            needed=None,
            basis=f"none of the {n:,} labelled pages is worth keeping: label more",
        )
    counted = caught(good, heaviest_of(pages.weight, pages.member))
    passed = np.flatnonzero(surprise(counted, asked.number) <= asked.error)
    promised = bool(len(passed))
    at = int(passed[0]) if promised else int(np.argmax(counted.share >= asked.number - 1e-12))
    threshold, here = float(good.score[good.last[at]]), counted.at(at)
    kept = int((pages.score >= threshold).sum())
    return _answer(
        asked,
        threshold=threshold,
        promised=promised,
        estimate=_estimate(here, len(good.score), asked),
        bound=asked.number if promised else lower_bound(here, asked.error),
        pages=pages,
        kept=kept,
        needed=None if promised else _more_positives(asked, n, here),
        basis=f"of the {len(good.score):,} labelled pages worth keeping; it keeps {kept:,} of all {n:,}",
    )


def _more_positives(asked: _Asked, n: int, here: Masses) -> int | None:
    """Labels until there are pages worth keeping enough for the lowest of their scores to be a threshold."""
    if not 0 < asked.number < 1:
        return None
    least = math.log(asked.error) / math.log(asked.number)
    return max(math.ceil(n * least * float(here.heaviest / (here.right + here.wrong))) - n, 1)


def _f1(asked: _Asked, pages: Ranked, corpus: Ranked) -> Promise:
    """F1 = 2 J / (1 + J), J the share right of all pages that are kept or worth keeping: a binomial count."""
    if not len(corpus.score):
        raise BadInput(f"{asked.aim}: the corpus has no pages to choose a threshold on")
    hits = np.cumsum(corpus.weight * corpus.score)
    expected = 2 * hits / (np.cumsum(corpus.weight) + max(float(hits[-1]), 1e-9))
    threshold = float(expected.max()) / 2
    kept = pages.score >= threshold
    either = pages.only(kept | pages.keep)
    right = either.keep & (either.score >= threshold)
    counted = masses(right, either.weight, either.member, heaviest=heaviest_of(pages.weight, pages.member))
    ends, floor = _estimate(counted, len(either.score), asked), lower_bound(counted, asked.error)
    value, low, high = (2 * x / (1 + x) for x in (ends.value, ends.low, ends.high))
    return _answer(
        asked,
        threshold=threshold,
        promised=floor > 0,
        estimate=Estimate(value, low, high, len(either.score)),
        bound=2 * floor / (1 + floor),
        pages=pages,
        kept=int(kept.sum()),
        needed=None,
        basis=f"on the {len(either.score):,} labelled pages kept or worth keeping",
    )


def _unlabelled(asked: _Asked, what: str, corpus: Corpus | None) -> Promise:
    if corpus is None or not len(np.asarray(corpus.score)):
        raise BadInput(f"{asked.aim}: needs the scores of pages of the corpus (got none); score a sample first")
    pages = Ranked.of(corpus.score, corpus.weight, corpus.group)
    if not len(pages.score):
        raise BadInput(f"{asked.aim}: all pages of the corpus weigh 0")
    return _tokens(asked, pages, corpus) if what == "tokens<=" else _keep_rate(asked, pages, equal=what == "keep_rate=")


def _keep_rate(asked: _Asked, pages: Ranked, *, equal: bool) -> Promise:
    """Dropped counts as right: the bound of the dropped share from below is that of the kept from above."""
    dropped = caught(pages, heaviest_of(pages.weight, pages.member)).turned
    kept = 1 - dropped.share
    sure = surprise(dropped, 1 - asked.number) <= asked.error
    fits = np.flatnonzero(sure)
    promised = bool(len(fits)) and not equal
    near = np.flatnonzero(kept <= asked.number)
    at = int(np.argmin(np.abs(kept - asked.number))) if equal else int(fits[-1]) if promised else -1
    at = int(near[-1]) if at < 0 and len(near) else at
    here = dropped.at(max(at, 0))
    ends = _estimate(here, len(pages.score), asked)
    return _answer(
        asked,
        threshold=float(pages.cuts[at]) if at >= 0 else None,
        promised=promised,
        estimate=Estimate(1 - ends.value, 1 - ends.high, 1 - ends.low, ends.n),
        bound=asked.number if promised else 1 - lower_bound(here, asked.error),
        pages=pages,
        kept=int(pages.last[at]) + 1 if at >= 0 else 0,
        needed=None,
        basis=f"of {len(pages.score):,} pages of the corpus",
    )


def _tokens(asked: _Asked, pages: Ranked, corpus: Corpus) -> Promise:
    """The total kept only grows as the threshold falls: the last cut whose upper bound is within the budget."""
    each, whole = _lengths(asked, corpus)
    longest = around(each, pages)

    def told(at: int) -> tuple[float, float, float]:
        sums = by_group(np.where(np.arange(len(each)) <= pages.last[at], each, 0.0), pages.member)
        return (float(sums.sum()),) * 3 if whole else _sum_interval(sums, float(longest[at]), asked.error)

    low, high = -1, len(pages.last) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if told(middle)[2] <= asked.number else (low, middle - 1)
    value, least, most = told(max(low, 0))
    return _answer(
        asked,
        threshold=float(pages.cuts[low]) if low >= 0 else None,
        promised=low >= 0,
        estimate=Estimate(value, least, most, len(pages.score)),
        bound=asked.number if low >= 0 else most,
        pages=pages,
        kept=int(pages.last[low]) + 1 if low >= 0 else 0,
        needed=None,
        basis=f"from {len(pages.score):,} pages of the corpus",
        exact=whole,
    )


def _lengths(asked: _Asked, corpus: Corpus) -> tuple[Floats, bool]:
    """What each page of `Ranked` stands for in tokens of the corpus, and whether they are the whole of it."""
    if corpus.length is None:
        raise BadInput(f"{asked.aim}: needs the lengths of the corpus' pages")
    score = as_probabilities(corpus.score)
    length = np.asarray(corpus.length, dtype=np.float64)
    weight = np.ones(len(score)) if corpus.weight is None else np.asarray(corpus.weight, dtype=np.float64)
    columns_of([score, length, weight], None)
    if not np.isfinite(length).all() or (length < 0).any():
        raise BadInput("corpus: length: must be a number of 0 or above for every page")
    rows = np.argsort(-score, kind="stable")
    rows = rows[weight[rows] > 0]
    total = float(weight.sum()) if corpus.pages is None else float(corpus.pages)
    whole = len(rows) >= total and bool(np.ptp(weight[rows]) == 0)
    return weight[rows] * length[rows] * total / weight.sum(), whole


def _sum_interval(sums: Floats, heaviest: float, error: float) -> tuple[float, float, float]:
    """A total with its lower and its upper bound of `error` each, from the totals of independent groups (g,): quantiles
    of gamma variables (Fay and Feuer 1997), the upper with one more group as long as the longest. Lengths are skewed: a
    few pages hold much of the tokens, and Student's upper bound is too low."""
    from scipy.special import gammaincinv

    total, square = float(sums.sum()), float(sums @ sums)
    low = float(gammaincinv(total**2 / square, error)) * square / total if total > 0 else 0.0
    mean, spread = total + heaviest, square + heaviest**2
    return total, low, float(gammaincinv(mean**2 / spread, 1 - error)) * spread / mean if mean > 0 else 0.0


def _estimate(counted: Masses, n: int, asked: _Asked) -> Estimate:
    """A share with the two-sided interval of the same bounds."""
    share, half = float(counted.share), asked.error / 2
    if math.isnan(share):
        return Estimate(share, math.nan, math.nan, n)
    low, high = lower_bound(counted, half), 1 - lower_bound(counted.turned, half)
    return Estimate(share, min(low, share), max(high, share), n)


def _parsed(aim: str) -> tuple[str, float]:
    found = AIM.fullmatch(aim.replace(" ", ""))
    number = float(found["number"] or 0) * UNITS[found["unit"] or ""] if found else math.nan
    what = (found["what"] or "f1") if found else ""
    if not math.isfinite(number) or (what != "tokens<=" and number > 1):
        raise BadInput(
            f"aim: got {aim!r}; use precision>=0.8, recall>=0.9, keep_rate<=0.2, keep_rate=0.2, tokens<=20B or f1"
        )
    return what, number


def _answer(
    asked: _Asked,
    *,
    threshold: float | None,
    promised: bool,
    estimate: Estimate,
    bound: float,
    pages: Ranked,
    kept: int,
    needed: int | None,
    basis: str,
    exact: bool | None = None,
) -> Promise:
    return Promise(
        aim=asked.aim,
        confidence=asked.confidence,
        threshold=threshold,
        promised=promised,
        estimate=estimate,
        bound=bound,
        n=len(pages.score),
        n_kept=kept,
        labels_needed=needed,
        exact=pages.exact if exact is None else exact,
        words=_said(asked, threshold, promised=promised, estimate=estimate, bound=bound, needed=needed, basis=basis),
    )


def _said(
    asked: _Asked,
    threshold: float | None,
    *,
    promised: bool,
    estimate: Estimate,
    bound: float,
    needed: int | None,
    basis: str,
) -> str:
    """The promise as a sentence or two."""
    sure = f"{asked.confidence * 100:g} % confidence"
    if math.isnan(estimate.value):
        return f"{asked.aim} cannot be promised: {basis}."
    found = f"the estimate is {_number(estimate, asked)} {basis}"
    if promised and asked.aim == "f1":
        return f"F1 is at least {bound:.2f} at threshold {threshold:.3f}, with {sure}; {found}."
    if promised:
        return f"{asked.aim} is promised at threshold {threshold:.3f}, with {sure}; {found}."
    where = (
        f"aimed at, not promised: at threshold {threshold:.3f}" if threshold is not None else "out of reach: at best"
    )
    if asked.aim.replace(" ", "").startswith("keep_rate="):
        return f"{asked.aim} is {where} {found}."
    more = f" About {_rounded(needed):,} more labels would do, if the estimate is right." if needed else ""
    return f"{asked.aim} is {where} {found}.{more}"


def _number(estimate: Estimate, asked: _Asked) -> str:
    if not asked.aim.replace(" ", "").startswith("tokens"):
        return estimate.text()
    return f"{estimate.value:.4g} [{estimate.low:.4g}, {estimate.high:.4g}]"


def _rounded(count: int) -> int:
    """Up to two digits: it is a guess."""
    step = int(10 ** max(len(str(count)) - 2, 0))
    return -(-count // step) * step
