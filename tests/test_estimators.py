"""Heads with scikit-learn's manners."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from curate.classifier import PageClassifier
from curate.errors import BadInput
from curate.estimators import HeadClassifier
from curate.heads import KINDS, Kind

FAST: tuple[Kind, ...] = ("linear", "ridge", "kernel", "boosted", "network")
DRAWN = {
    "boosted": "rows are binned, and leaves hold a number of rows, whatever their weight",
    "network": "minibatches are drawn among the rows",
}
"""Kinds to which a row of weight 2 is not quite the same as the row twice."""


def known_failures(estimator: HeadClassifier) -> dict[str, str]:
    return {"check_sample_weight_equivalence_on_dense_data": DRAWN[estimator.kind]} if estimator.kind in DRAWN else {}


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [HeadClassifier(kind=kind) for kind in FAST], expected_failed_checks=known_failures
)
def test_scikit_learn_s_own_checks(estimator: HeadClassifier, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def test_all_kinds_are_checked() -> None:
    assert set(FAST) == set(KINDS)


def test_it_goes_into_searches_and_cross_validation() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4))
    y = np.where(x[:, 0] * x[:, 1] > 0, "keep", "drop")
    search = GridSearchCV(HeadClassifier(c=10.0), {"kind": ["linear", "kernel"]}, cv=3).fit(x, y)
    assert search.best_params_ == {"kind": "kernel"}
    assert cross_val_score(HeadClassifier(kind="kernel", c=10.0), x, y, cv=3).mean() > 0.8
    assert set(search.predict(x)) == {"keep", "drop"}


def test_a_page_classifier_can_be_cloned_and_changed() -> None:
    made = PageClassifier(embedder_id="e", features=("ngrams", "shape"), c=3.0)
    twin = clone(made)
    assert twin is not made
    assert twin.get_params() == made.get_params()
    assert twin.set_params(c=1.0).c == 1.0
    assert made.c == 3.0
    with pytest.raises(BadInput, match="no parameter 'feature'; did you mean features"):
        made.set_params(feature=())
