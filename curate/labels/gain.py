"""Whether more labels would help: how a cheap classifier, and the judge, agree with people at growing numbers of labels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from curate import metrics
from curate.curve import judgment_curve
from curate.features import features_of
from curate.heads import fit_head
from curate.intervals import Estimate, bootstrap
from curate.labels.words import moment
from curate.learning import LearningCurve, learning_curve
from curate.rubric import Rubric

Row = Mapping[str, Any]
SHARES = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0)
LEAST_POINTS = 3
BATCH = 25
"""Labels after which the judge's agreement is taken anew."""


@dataclass(frozen=True)
class Point:
    """AUC against people by what learned from, or was measured on, so many labels. `error` is a standard error."""

    labels: int
    auc: float
    error: float


@dataclass(frozen=True)
class Gain:
    """What more labels would bring. `stop` is None where that cannot be told."""

    points: list[Point]
    gain: Estimate | None
    stop: bool | None
    words: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        points = [{"labels": p.labels, "auc": p.auc, "error": p.error} for p in self.points]
        return {
            "points": points,
            "gain_of_doubling": self.gain.as_dict() if self.gain else None,
            "stop": self.stop,
            "words": self.words,
        }


@dataclass(frozen=True)
class JudgeCurve:
    """How the judge agreed with people on the pages of train and val, as labels came in."""

    steps: list[tuple[int, Estimate]] = field(default_factory=list)
    """After so many labelled pages, the AUC on all of them."""


def gain_of_labels(truth: Mapping[str, float], pages: Sequence[Row], rubric: Rubric, *, worthwhile: float) -> Gain:
    """The learning curve over labelled pages of train and val (page id to level), and a rule to stop by.

    The classifier reads hashed words alone, so that it costs seconds: what it gains is what labels teach, a little more
    than what they would add to a judge's teaching. The sealed test is not looked at.
    """
    chosen = [page for page in pages if page["split"] != "test" and page["page_id"] in truth]
    keep = rubric.worth([truth[page["page_id"]] for page in chosen]).astype(float) if chosen else np.zeros(0)
    points = _points(chosen, keep) if rubric.kept else []
    if len(points) < LEAST_POINTS:
        return Gain(
            points,
            None,
            None,
            f"{len(chosen)} labelled pages of train and val are too few to tell what more would bring",
        )
    curve = learning_curve([p.labels for p in points], [p.auc for p in points], [p.error for p in points])
    return _told(points, curve, worthwhile, more=len(chosen))


def _points(chosen: Sequence[Row], keep: np.ndarray) -> list[Point]:
    if not 0 < keep.sum() < len(keep):
        return []
    block = features_of([page["text"] for page in chosen], blocks=["ngrams"]).block("ngrams")

    def fit(learned: np.ndarray, asked: np.ndarray) -> np.ndarray:
        if keep[learned].min() == keep[learned].max():
            return np.full(len(asked), keep[learned].mean())
        head = fit_head("ngrams", "linear", block[learned], keep[learned], np.ones(len(learned)))
        return head.log_odds("ngrams", block[asked])

    groups = [str(page["group_id"]) for page in chosen]
    found = judgment_curve(fit, keep, keep, groups, repeats=6, of=SHARES)
    return [Point(p.judgments, p.auc, p.error) for p in found]


def _told(points: list[Point], curve: LearningCurve, worthwhile: float, *, more: int) -> Gain:
    # The curve is measured on what cross-validation leaves to learn from; all labels are more than that.
    gain = curve.gain(size=more)
    shown = f"{gain.value:.3f} [{gain.low:.3f}, {gain.high:.3f}]"
    told = f"as many labels again ({more:,}) would raise AUC by {shown}"
    if gain.high < worthwhile:
        return Gain(points, gain, True, f"{told}: surely less than {worthwhile:g}, so more labels no longer help")
    if gain.low >= worthwhile:
        return Gain(points, gain, False, f"{told}: surely more than {worthwhile:g}, so label on")
    likely = "more" if gain.value >= worthwhile else "less"
    return Gain(points, gain, None, f"{told}: likely {likely} than {worthwhile:g}, but not surely")


def judge_curve(rows: Iterable[Row], pages: Sequence[Row], judged: Mapping[str, float], rubric: Rubric) -> JudgeCurve:
    """How the judge (its score by page id) agrees with people, after each BATCH of pages in the order of their first label;
    only pages of train and val."""
    known = {page["page_id"]: str(page["group_id"]) for page in pages if page["split"] != "test"}
    order: dict[str, float] = {}
    for row in sorted(rows, key=moment):
        if row["page_id"] in known and row["page_id"] in judged:
            order.setdefault(row["page_id"], row["level"])
    ids = list(order)
    keep = rubric.worth([order[page] for page in ids]) if ids and rubric.kept else np.zeros(0, bool)
    score = np.array([judged[page] for page in ids])
    steps = []
    for n in [*range(BATCH, len(keep), BATCH), len(keep)]:
        if 0 < keep[:n].sum() < n:
            groups = [known[page] for page in ids[:n]]
            steps.append((n, bootstrap(metrics.auc, [keep[:n], score[:n]], groups=groups, resamples=500)))
    return JudgeCurve(steps)
