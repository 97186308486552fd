"""Several heads to one."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from curate.blend import fit_blend

RNG = np.random.default_rng(1)
TRUTH = RNG.random(400) < 0.4
GOOD, FAIR = (2.0 * TRUTH[:, None] + RNG.normal(size=(400, 2)) * [0.8, 1.2]).T
NOISE = RNG.normal(size=400)
ONES = np.ones(400)


def test_what_tells_weighs_and_what_tells_nothing_does_not() -> None:
    blend = fit_blend(np.column_stack([GOOD, FAIR, NOISE]), TRUTH.astype(float), ONES)
    assert blend.weights[0] > blend.weights[1] > 3 * blend.weights[2] >= 0
    both = blend.log_odds(np.column_stack([GOOD, FAIR, NOISE]))
    assert roc_auc_score(TRUTH, both) > roc_auc_score(TRUTH, GOOD)


def test_a_head_that_is_wrong_gets_nothing_rather_than_a_negative_weight() -> None:
    blend = fit_blend(np.column_stack([GOOD, -GOOD]), TRUTH.astype(float), ONES)
    assert 0 <= blend.weights[1] < 1e-3


def test_the_scale_of_a_head_does_not_matter() -> None:
    one = fit_blend(np.column_stack([GOOD, FAIR]), TRUTH.astype(float), ONES)
    other = fit_blend(np.column_stack([GOOD * 100, FAIR + 7]), TRUTH.astype(float), ONES)
    assert one.weights == pytest.approx(other.weights, abs=1e-4)


def test_one_head_is_itself_and_targets_that_teach_nothing_give_the_mean() -> None:
    assert fit_blend(GOOD[:, None], TRUTH.astype(float), ONES).log_odds(GOOD[:, None]) == pytest.approx(GOOD)
    mean = fit_blend(np.column_stack([GOOD, FAIR]), ONES, ONES)
    assert mean.log_odds(np.column_stack([GOOD, FAIR])) == pytest.approx((GOOD + FAIR) / 2)


def test_pages_without_weight_are_not_there() -> None:
    scores = np.column_stack([GOOD, NOISE])
    weight = (np.arange(400) < 200).astype(float)
    some = fit_blend(scores, TRUTH.astype(float), weight)
    alone = fit_blend(scores[:200], TRUTH[:200].astype(float), ONES[:200])
    assert some.weights == pytest.approx(alone.weights, abs=1e-4)
