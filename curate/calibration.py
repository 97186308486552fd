"""From scores to the probability that people would keep the page."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from curate.checked import Array, both_classes, finite, same_length
from curate.logistic import log_odds, logistic, sigmoid

ISOTONIC_FROM = 500
"""Labels above which isotonic regression calibrates better than Platt's sigmoid (Niculescu-Mizil and Caruana 2005)."""


@dataclass(frozen=True)
class Calibration:
    """From score to the probability that people would keep the page.

    `platt`: `x` is (slope, intercept) on the score's log-odds. `isotonic`: `x` scores, `y` probabilities, linear
    between them.
    """

    method: Literal["platt", "isotonic"]
    x: tuple[float, ...]
    y: tuple[float, ...]
    n: int
    note: str = ""

    def probability(self, score: npt.ArrayLike) -> Array:
        """Probabilities (n,) of scores (n,); they rise with the score."""
        values = np.asarray(score, dtype=np.float64)
        if self.method == "isotonic":
            return np.interp(values, self.x, self.y)
        return sigmoid(self.x[0] * log_odds(values) + self.x[1])


def calibration_of(score: npt.ArrayLike, truth: npt.ArrayLike) -> Calibration:
    """Platt's sigmoid on log-odds, with his prior-smoothed targets (Platt 1999, eq. 4); isotonic above 500 labels.

    Where the scores run against the labels, every page gets the labels' base rate and `note` says so. Raises BadInput
    when the labels are all the same.
    """
    values, labels = finite(score, "calibrate"), both_classes(truth, "calibrate")
    same_length(values, labels, "calibrate")
    n, positives = len(labels), int(labels.sum())
    high, low = (positives + 1) / (positives + 2), 1 / (n - positives + 2)
    slope, intercept = logistic(log_odds(values)[:, None], np.where(labels, high, low), np.ones(n), c=1e6)
    if slope[0] <= 0:
        base = float(log_odds(np.array([(positives + 1) / (n + 2)]))[0])
        return Calibration("platt", (0.0, base), (), n, f"scores run against the {n} labels (slope {slope[0]:.2g})")
    if n > ISOTONIC_FROM:
        return _isotonic(values, labels)
    return Calibration("platt", (float(slope[0]), float(intercept)), (), n)


def _isotonic(values: Array, labels: npt.NDArray[np.bool_]) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0, y_max=1).fit(values, labels)
    x, y = fitted.X_thresholds_, fitted.y_thresholds_
    return Calibration("isotonic", tuple(x.tolist()), tuple(y.tolist()), len(labels))
