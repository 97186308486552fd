"""Heads and their blend."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from curate.features import Features
from curate.folds import folds_of
from curate.scorer import Heads, Scorer, fit_scorer, held_out_scores

RNG = np.random.default_rng(7)
N = 240
TRUTH = (np.arange(N) % 2).astype(float)
FEATURES = Features(
    {
        "shape": (TRUTH[:, None] + RNG.normal(size=(N, 3)) * 1.2).astype(np.float32),
        "static": (TRUTH[:, None] + RNG.normal(size=(N, 4)) * 1.5).astype(np.float32),
    }
)
HEADS: Heads = {"shape": ("kernel", 1.0), "static": ("linear", 1.0)}
ONES, GROUPS = np.ones(N), [str(i // 2) for i in range(N)]


@pytest.mark.parametrize("kind", ["linear", "ridge", "kernel", "boosted", "network"])
def test_what_is_stored_as_arrays_says_the_same(kind: Any) -> None:
    heads: Heads = {"shape": (kind, 1.0), "static": ("linear", 1.0)}
    made = fit_scorer(FEATURES, heads, TRUTH, ONES, groups=GROUPS)
    again = Scorer.of_arrays(made.arrays(), heads)
    assert (again.score(FEATURES) == made.score(FEATURES)).all()
    assert roc_auc_score(TRUTH, made.score(FEATURES)) > 0.8


def test_a_missing_array_is_named() -> None:
    arrays = fit_scorer(FEATURES, HEADS, TRUTH, ONES).arrays()
    del arrays["blend/weights"]
    with pytest.raises(KeyError, match="blend/weights"):
        Scorer.of_arrays(arrays, HEADS)


def test_held_out_scores_do_not_know_their_page() -> None:
    noise = Features({"static": RNG.normal(size=(N, 200)).astype(np.float32)})
    fold_of = folds_of(GROUPS, TRUTH, folds=5, random_state=0)
    held = held_out_scores(noise, {"static": ("linear", 10.0)}, TRUTH, ONES, fold_of)
    seen = fit_scorer(noise, {"static": ("linear", 10.0)}, TRUTH, ONES).score(noise)
    assert roc_auc_score(TRUTH, seen) > 0.95
    assert 0.3 < roc_auc_score(TRUTH, held) < 0.7
