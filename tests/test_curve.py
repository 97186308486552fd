"""The learning curve over judgments, with a real fit of few features."""

import numpy as np
import pytest

from curate.curve import judgment_curve
from curate.logistic import logistic

RNG = np.random.default_rng(0)
N = 800
FEATURES = RNG.normal(size=(N, 40))
WORTH = 1 / (1 + np.exp(-FEATURES[:, :8].sum(axis=1)))
PEOPLE = np.where(np.arange(N) < 250, (RNG.random(N) < WORTH).astype(float), np.nan)
JUDGED = np.where(RNG.random(N) < WORTH, 0.9, 0.1)
GROUPS = [f"g{i // 2}" for i in range(N)]


def fit(learned: np.ndarray, asked: np.ndarray) -> np.ndarray:
    for group in {GROUPS[i] for i in learned}:
        assert group not in {GROUPS[i] for i in asked}, "a page's group teaches its score"
    slope, intercept = logistic(FEATURES[learned], JUDGED[learned], np.ones(len(learned)), c=1.0)
    return np.asarray(FEATURES[asked] @ slope + intercept)


def test_more_judgments_teach_more() -> None:
    points = judgment_curve(fit, JUDGED, PEOPLE, GROUPS)
    assert [p.judgments for p in points] == pytest.approx([67, 133, 267, 533], abs=3)
    assert points[-1].auc > points[0].auc + 0.03
    assert all(p.labelled == 250 for p in points)
    assert all(0 < p.error < 0.1 for p in points)
    assert points[0].as_dict().keys() == {"judgments", "auc", "error", "labelled"}


def test_few_judgments_make_no_curve() -> None:
    few = np.where(np.arange(N) < 40, JUDGED, np.nan)
    assert judgment_curve(fit, few, PEOPLE, GROUPS) == []
    assert judgment_curve(fit, np.full(N, np.nan), PEOPLE, GROUPS) == []
    assert judgment_curve(fit, JUDGED, np.where(np.isnan(PEOPLE), np.nan, 1.0), GROUPS) == []
    assert judgment_curve(fit, JUDGED, PEOPLE, ["one"] * N) == []


def test_silent_pages_teach_nothing() -> None:
    half = np.where(np.arange(N) % 4 < 2, JUDGED, np.nan)

    def checked(learned: np.ndarray, asked: np.ndarray) -> np.ndarray:
        assert not np.isnan(half[learned]).any()
        return fit(learned, asked)

    points = judgment_curve(checked, half, PEOPLE, GROUPS, repeats=1)
    assert points[-1].judgments == pytest.approx(N / 2 * 2 / 3, abs=3)
