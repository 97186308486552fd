"""From scores to probabilities: properties that hold of any labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.calibration import ISOTONIC_FROM, calibration_of
from curate.errors import BadInput


def world(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores that are too sure, labels, and the true probabilities."""
    rng = np.random.default_rng(seed)
    truth = rng.beta(1, 1, n)
    odds = np.log(truth / (1 - truth))
    return 1 / (1 + np.exp(-3 * odds)), rng.random(n) < truth, truth


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([60, ISOTONIC_FROM + 100]))
def test_probabilities_rise_with_the_score_and_mean_what_the_labels_say(seed: int, n: int) -> None:
    score, keep, _ = world(n, seed)
    found = calibration_of(score, keep)
    assert found.method == ("platt" if n <= ISOTONIC_FROM else "isotonic")
    probability = found.probability(np.sort(score))
    assert (np.diff(probability) >= -1e-12).all()
    assert probability.min() >= 0
    assert probability.max() <= 1
    assert probability.mean() == pytest.approx(keep.mean(), abs=0.02)


@pytest.mark.parametrize("n", [300, 3000])
def test_scores_that_are_too_sure_are_mended(n: int) -> None:
    score, keep, truth = world(n, 1)
    mended = calibration_of(score, keep).probability(score)
    assert np.abs(mended - truth).mean() < 0.5 * np.abs(score - truth).mean()


def test_labels_that_are_all_the_same_calibrate_nothing() -> None:
    with pytest.raises(BadInput, match="both kinds"):
        calibration_of([0.1, 0.9], [True, True])
