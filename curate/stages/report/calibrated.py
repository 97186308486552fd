"""Do probabilities mean what they say, and is the judge too kind or too strict? Against people, on the sealed pages."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from curate import metrics
from curate.intervals import Estimate, bootstrap
from curate.judged import worth_by_judge
from curate.rubric import Rubric
from curate.stages.report.sealed import Labelled
from curate.stages.report.wording import number

Row = Mapping[str, Any]
BINS = 10
LEAST_PAGES = 5
"""Pages below which no bias of a level is told."""


def calibrated(test: Labelled, probability: np.ndarray) -> dict[str, Any]:
    """The classifier's reliability diagram, Brier score and expected calibration error, (n,) sealed pages."""
    if not len(test.keep):
        return {}
    base = float(test.keep.mean())
    brier, ece = (
        bootstrap(statistic, [test.keep, probability], groups=test.groups)
        for statistic in (metrics.brier, metrics.expected_calibration_error)
    )
    return {
        "bins": [b.as_dict() for b in metrics.reliability(test.keep, probability, bins=BINS) if b.n],
        "brier": brier.as_dict(),
        "brier_of_base_rate": base * (1 - base),
        "ece": ece.as_dict(),
    }


def bias(test: Labelled, rubric: Rubric, judged: Mapping[str, Row], probability: np.ndarray | None) -> dict[str, Any]:
    """The judge's mean share of "keep" less the share that people keep, over all sealed pages and by what people say; and
    what is left of it in the calibrated classifier."""
    worth = np.array([worth_by_judge(rubric, judged.get(p["page_id"], {})) for p in test.pages])
    there = ~np.isnan(worth)
    if not there.any():
        return {}
    gap = worth - test.keep
    levels = metrics.nearest_level(test.truth)
    by_level = [
        {"level": rubric.names[level], **_mean(gap, there & (levels == level), test).as_dict()}
        for level in sorted(rubric.levels)
        if (there & (levels == level)).sum() >= LEAST_PAGES
    ]
    overall = _mean(gap, there, test)
    left = None if probability is None else _mean(probability - test.keep, there, test)
    return {
        "overall": overall.as_dict(),
        "by_level": by_level,
        "classifier": left and left.as_dict(),
        "words": _words(overall, left),
    }


def _mean(values: np.ndarray, chosen: np.ndarray, test: Labelled) -> Estimate:
    return bootstrap(_average, [values[chosen]], groups=np.asarray(test.groups)[chosen])


def _average(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _told(gap: Estimate) -> bool:
    """Whether an interval leaves 0 out; not one that is NaN."""
    return gap.low > 0 or gap.high < 0


def _words(overall: Estimate, left: Estimate | None) -> str:
    if not _told(overall):
        said = f"no bias of the judge can be told: it is off by {overall.text()} of a page on average"
    else:
        how = "kinder" if overall.value > 0 else "stricter"
        said = f"the judge is {how} than people, by {overall.text()} of a page on average"
    if left is None:
        return said
    much = number(left.value) if _told(left) else "nothing that can be told"
    return f"{said}; after calibration on people the classifier is off by {left.text()}: {much} is left"
