"""Thresholds on scores or probabilities, and what they keep of the labelled pages."""

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.checked import Array, both_classes, finite, same_length
from curate.errors import BadInput
from curate.intervals import Estimate, wilson

SHARE, AMOUNT = r"0?\.\d+|[01]|1\.0+", r"(?:\d+(?:\.\d*)?|\.\d+)(?:e\+?\d+)?[kMBT]?"
AIM = re.compile(
    rf"f1|(?P<what>precision>=|recall>=|keep_rate=|keep_rate<=|keep_share=|threshold=)(?P<share>{SHARE})"
    rf"|(?P<budget>tokens<=|chars<=)(?P<amount>{AMOUNT})"
)
AIMS = (
    "f1, precision>=0.9, recall>=0.9 or threshold=0.5, or of the corpus keep_rate=0.2, keep_rate<=0.2, tokens<=10B or "
    "chars<=40B"
)
UNITS = {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


class Aim(NamedTuple):
    """What a threshold is to reach."""

    what: str
    """`f1`, `precision>=`, `recall>=`, `threshold=`, `keep_rate=`, `keep_rate<=`, `tokens<=` or `chars<=`."""
    number: float

    @property
    def of_corpus(self) -> bool:
        """Whether the corpus' scores alone decide, and no label."""
        return self.what in ("keep_rate=", "keep_rate<=", "tokens<=", "chars<=")

    @property
    def rate(self) -> bool:
        """Whether it is a rate that labels can promise."""
        return self.what in ("precision>=", "recall>=")


def aim_of(aim: str) -> Aim:
    """An aim from its words, such as `precision>=0.9` or `tokens<=1.5B`. Raises BadInput for others."""
    found = AIM.fullmatch(aim.replace(" ", ""))
    if not found:
        raise BadInput(f"aim: must be {AIMS} (got {aim!r})")
    if found["budget"]:
        unit = UNITS.get(found["amount"][-1], 1.0)
        return Aim(found["budget"], float(found["amount"].rstrip("kMBT")) * unit)
    return Aim((found["what"] or "f1").replace("keep_share", "keep_rate"), float(found["share"] or 0))


@dataclass(frozen=True)
class Threshold:
    """Pages with a value of at least `value` are kept. Counts are of the pages it was fitted on, so that intervals can
    be drawn; `met` is False, and `note` says why, where no threshold reaches the aim."""

    value: float
    aim: str
    met: bool
    n: int
    kept: int
    positives: int | None
    """Pages people would keep; None where the aim needed no labels."""
    right: int | None
    """Kept pages people would keep."""
    note: str = ""

    @property
    def precision(self) -> Estimate | None:
        """Share of the kept that people would keep; optimistic, since the threshold was chosen on these pages."""
        return None if self.right is None else wilson(self.right, self.kept)

    @property
    def recall(self) -> Estimate | None:
        """Share kept of what people would keep; optimistic too."""
        return None if self.right is None or self.positives is None else wilson(self.right, self.positives)

    @property
    def kept_share(self) -> float:
        """Share of pages kept."""
        return self.kept / self.n


def threshold_for(values: npt.ArrayLike, truth: npt.ArrayLike | None = None, *, aim: str = "f1") -> Threshold:
    """The threshold on scores or probabilities (n,) that reaches `aim` on labels (n,).

    Aims: `f1` (the highest), `precision>=P` (keeps the most pages that way), `recall>=R` (keeps the fewest),
    `keep_rate=S` (or `keep_share=S`: nearest to S) and `keep_rate<=S`, which need no labels. It lies midway between the
    last page kept and the first dropped; equal values are never parted. Raises BadInput for another aim, or labels that
    are all the same.
    """
    what, number = _aim(aim)
    numbers = finite(values, "threshold")
    if what.startswith("keep_rate"):
        labels = None
    else:
        labels = both_classes([] if truth is None else truth, "threshold")
        same_length(numbers, labels, "threshold")
    if not len(numbers):
        raise BadInput("threshold: no pages given")
    cuts, kept, right = _cuts(numbers, labels)
    index, note = _best_cut(what, number, kept, right, len(numbers))
    return Threshold(
        value=float(cuts[index]),
        aim=aim,
        met=not note,
        n=len(numbers),
        kept=int(kept[index]),
        positives=None if labels is None else int(labels.sum()),
        right=None if labels is None else int(right[index]),
        note=note,
    )


def threshold_at(value: float, probability: npt.ArrayLike, truth: npt.ArrayLike, *, aim: str) -> Threshold:
    """The threshold `value`, with what it keeps of the labelled pages (n,)."""
    values, labels = np.asarray(probability, dtype=np.float64), np.asarray(truth, dtype=bool)
    above = values >= value
    return Threshold(value, aim, True, len(values), int(above.sum()), int(labels.sum()), int((above & labels).sum()))


def f1_threshold(probability: npt.ArrayLike, truth: npt.ArrayLike) -> Threshold:
    """The threshold for the highest F1 to be expected from calibrated probabilities (n,): half of that F1 (Lipton et al.
    2014, theorem 1). The cut that is best on a hundred labels follows their noise; this one follows the calibration.

    `truth` (n,) only counts what it keeps. Raises BadInput when there are no pages.
    """
    ranked = np.sort(finite(probability, "threshold"))[::-1]
    if not len(ranked):
        raise BadInput("threshold: no pages given")
    expected = 2 * np.cumsum(ranked) / (np.arange(1, len(ranked) + 1) + max(ranked.sum(), 1e-9))
    return threshold_at(float(expected.max()) / 2, probability, truth, aim="f1")


def _aim(aim: str) -> Aim:
    try:
        found = aim_of(aim)
    except BadInput:
        found = None
    if found is None or found.what in ("threshold=", "tokens<=", "chars<="):
        raise BadInput(f"threshold: aim: got {aim!r}; use f1, precision>=0.9, recall>=0.9 or keep_rate=0.2")
    return found


def _cuts(values: Array, labels: npt.NDArray[np.bool_] | None) -> tuple[Array, npt.NDArray[Any], npt.NDArray[Any]]:
    """Every place to cut, from high to low: the threshold, the pages kept, and of those the ones people would keep."""
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    below = np.append(ranked, ranked[-1])[last + 1]
    right = np.cumsum(labels[order])[last] if labels is not None else np.zeros(len(last), dtype=np.int64)
    middle = (ranked[last] + below) / 2
    return np.where(middle > below, middle, ranked[last]), last + 1, right


def _best_cut(what: str, number: float, kept: Any, right: Any, n: int) -> tuple[int, str]:
    positives, precision = right[-1], right / kept
    if what == "f1":
        return int(np.argmax(2 * right / (kept + positives))), ""
    if what == "recall>=":
        return int(np.argmax(right / positives >= number)), ""
    if what == "keep_rate<=":
        fits = np.flatnonzero(kept / n <= number)
        return (int(fits[-1]), "") if len(fits) else (0, f"equal values cannot be parted: at least {kept[0] / n:.3f}")
    if what == "keep_rate=":
        index = int(np.argmin(np.abs(kept / n - number)))
        tied = abs(kept[index] - number * n) >= 1
        return index, f"equal values cannot be parted: the nearest share is {kept[index] / n:.3f}" if tied else ""
    reached = np.flatnonzero(precision >= number)
    if len(reached):
        return int(reached[-1]), ""
    best = np.flatnonzero(precision == precision.max())[-1]
    return int(best), f"no threshold reaches a precision of {number:g}; the best is {precision[best]:.3f}"
