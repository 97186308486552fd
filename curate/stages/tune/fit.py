"""What is fitted on labels beside the instruction: weights of the answers, and cuts between the levels."""

from collections.abc import Sequence

import numpy as np

from curate import judge as judges
from curate.judge import Judge
from curate.progress import Task
from curate.stages.tune.bench import Bench, was_asked
from curate.stages.tune.labelled import Labelled

WEIGHTED_FORMS = ("level", "kind", "does")
"""Forms with several answers, whose weights can change the order of pages."""
ANSWER_CS = (0.01, 0.03, 0.1, 0.3, 1.0)
LEAST_A_SIDE = 8
"""Answered train pages worth keeping, and not, without which answers are not weighed."""


def with_answer_weights(bench: Bench, judge: Judge, train: Sequence[Labelled], task: Task) -> Judge | None:
    """The judge with a logistic regression from its answers' log-probabilities to keep or drop, on the train pages; its
    strength is chosen by grouped cross-validation. None when too few pages of either side were answered."""
    labelled = [page for page in train if page.labelled]
    said = bench.on(judge, labelled, task)
    answered = [(s, page) for s, page in zip(said, labelled, strict=True) if s.status == "ok"]
    keep = np.array([page.keep for _, page in answered], dtype=bool)
    if min(keep.sum(), (~keep).sum()) < LEAST_A_SIDE:
        return None
    x = np.array([judges.answer_features(s.probabilities) for s, _ in answered])
    weights = _logistic_weights(x, keep, [page.group for _, page in answered])
    return judge.model_copy(update={"answer_weights": tuple(round(float(w), 6) for w in weights)})


def with_cuts(bench: Bench, judge: Judge, pages: Sequence[Labelled], task: Task | None = None) -> Judge:
    """The judge with its scores put on the rubric's levels, by the labelled pages that it could be asked about. Classes
    have no order to cut."""
    if judge.scale == "choice":
        return judge
    labelled = [page for page in pages if page.labelled]
    said = [(s, page) for s, page in zip(bench.on(judge, labelled, task), labelled, strict=True) if was_asked(s)]
    scored = [(s.score, page.truth) for s, page in said if s.score is not None]
    if not scored:
        return judge
    cuts = judges.cuts_for([score for score, _ in scored], [truth for _, truth in scored], judge.top)
    return judge.model_copy(update={"cuts": tuple(round(cut, 6) for cut in cuts)})


def _logistic_weights(x: np.ndarray, keep: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Coefficients (k,) for log-probabilities x (n, k)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
    from threadpoolctl import threadpool_limits

    folds = list(StratifiedGroupKFold(4, shuffle=True, random_state=0).split(x, keep, groups))
    folds = [(a, b) for a, b in folds if len(set(keep[a])) == 2 and len(set(keep[b])) == 2]
    models = [LogisticRegression(C=c, max_iter=5000) for c in ANSWER_CS]
    with threadpool_limits(1):  # a few dozen rows: threads only wait for each other, for seconds on a busy machine
        if len(folds) < 2:
            return np.asarray(models[0].fit(x, keep).coef_[0])
        losses = [-np.mean(cross_val_score(model, x, keep, cv=folds, scoring="neg_log_loss")) for model in models]
        return np.asarray(models[int(np.argmin(losses))].fit(x, keep).coef_[0])
