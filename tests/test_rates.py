"""Intervals of the corpus' rates hold the truth as often as they say, and predictions make them narrower, never wrong."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest

from curate.errors import BadInput
from curate.rates import Sampled, effective_size, kept_precision, kept_recall, powered_share, sampled

PAGES, HOSTS, RUNS = 60_000, 20_000, 200
RNG = np.random.default_rng(3)
SCORE, HOST = RNG.beta(0.5, 0.8, PAGES), RNG.integers(0, HOSTS, PAGES)
KEPT = SCORE > 0.55


class World(NamedTuple):
    keep: np.ndarray
    truth: dict[str, float]


def world(how: str) -> World:
    lean = RNG.normal(0, 1, HOSTS)[HOST] if how == "clustered" else 0.0
    keep = RNG.random(PAGES) < 1 / (1 + np.exp(-(8 * (SCORE - 0.5) + lean)))
    return World(keep, {"share": keep.mean(), "precision": keep[KEPT].mean(), "recall": KEPT[keep].mean()})


def drawn(how: str, corpus: World, labels: int, rng: np.random.Generator) -> tuple[Sampled, np.ndarray]:
    """A sample six times as large as its labels."""
    weight = group = None
    if how == "weighted":
        chance = np.where(SCORE > 0.5, 0.8, 0.2)
        chance *= 6 * labels / chance.sum()
        chosen = np.flatnonzero(rng.random(PAGES) < chance)
        weight, asked = 1 / chance[chosen], rng.random(len(chosen)) < 1 / 6
    elif how == "clustered":
        chosen = np.flatnonzero(np.isin(HOST, rng.choice(HOSTS, 2 * labels, replace=False)))
        group, asked = HOST[chosen], np.isin(HOST[chosen], rng.choice(HOSTS, HOSTS // 6, replace=False))
    else:
        chosen = rng.choice(PAGES, 6 * labels, replace=False)
        asked = rng.random(len(chosen)) < 1 / 6
    labelled = np.where(asked, corpus.keep[chosen].astype(float), np.nan)
    return sampled(labelled, SCORE[chosen], weight=weight, group=group), chosen


@pytest.mark.parametrize("how", ["plain", "weighted", "clustered"])
@pytest.mark.parametrize("labels", [40, 150])
def test_intervals_hold_the_truth(how: str, labels: int) -> None:
    corpus, rng = world(how), np.random.default_rng(5)
    held, alone = dict.fromkeys(corpus.truth, 0), dict.fromkeys(corpus.truth, 0)
    saved = []
    for _ in range(RUNS):
        sample, chosen = drawn(how, corpus, labels, rng)
        rates = {
            "share": powered_share(sample),
            "precision": kept_precision(sample, KEPT[chosen]),
            "recall": kept_recall(sample, KEPT[chosen]),
        }
        for name, rate in rates.items():
            held[name] += rate.estimate.low <= corpus.truth[name] <= rate.estimate.high
            alone[name] += rate.labels_alone.low <= corpus.truth[name] <= rate.labels_alone.high
        saved.append(rates["share"].narrower)
    assert min(*held.values(), *alone.values()) >= 0.9 * RUNS
    if labels == 150:
        assert np.mean(saved) > 0.1, "predictions that tell something save width"


def test_predictions_that_tell_nothing_are_not_used() -> None:
    rng = np.random.default_rng(0)
    labels = np.where(np.arange(600) < 200, (rng.random(600) < 0.3).astype(float), np.nan)
    rate = powered_share(sampled(labels, np.full(600, 0.7)))
    assert rate.power == 0
    assert rate.estimate == rate.labels_alone
    assert rate.narrower == 0


def test_predictions_that_are_biased_cost_no_truth() -> None:
    rng = np.random.default_rng(2)
    score = rng.random(20_000)
    keep = (rng.random(20_000) < score).astype(float)
    labels = np.where(np.arange(20_000) < 400, keep, np.nan)
    rate = powered_share(sampled(labels, 0.5 + score / 2))
    assert rate.estimate.low < keep.mean() < rate.estimate.high
    assert rate.narrower > 0.1
    assert (rate.labelled, rate.predicted) == (400, 20_000)


def test_too_few_labels_have_no_interval() -> None:
    rate = powered_share(sampled([1.0, 0.0, np.nan, np.nan], [0.9, 0.1, 0.5, 0.5]))
    assert rate.estimate.value == 0.5
    assert math.isnan(rate.estimate.low)
    assert rate.as_dict()["narrower"] is None
    one_host = powered_share(sampled([1.0, 0.0] * 10, [0.5] * 20, group=["a"] * 20))
    assert math.isnan(one_host.estimate.high)
    empty = powered_share(sampled([np.nan] * 3, [0.5] * 3))
    assert (math.isnan(empty.estimate.value), empty.labelled) == (True, 0)


def test_a_share_where_all_agree_is_not_certain() -> None:
    rate = powered_share(sampled([1.0] * 30, [0.9] * 30))
    assert rate.estimate.value == pytest.approx(1)
    assert 0.8 < rate.estimate.low < 0.95


def test_weights_say_how_much_a_page_stands_for() -> None:
    rate = powered_share(sampled([1.0, 1.0, 0.0, 0.0], [0.0] * 4, weight=[3, 3, 1, 1]))
    assert rate.estimate.value == pytest.approx(0.75)
    assert effective_size(np.array([3.0, 1, 1, 1]), np.arange(4)) == pytest.approx(3)
    assert effective_size(np.ones(6), np.array([0, 0, 0, 1, 1, 1])) == pytest.approx(2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"labels": [2.0, 0.0]}, "keep or drop"),
        ({"predictions": [0.5, np.nan]}, "finite prediction"),
        ({"weight": [1, -1]}, "weight of 0 or above"),
        ({"predictions": [0.5]}, "every array"),
    ],
)
def test_samples_that_do_not_fit_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        sampled(**{"labels": [1.0, 0.0], "predictions": [0.5, 0.5], **given})


def test_decisions_are_one_for_each_page() -> None:
    with pytest.raises(BadInput, match="1 decisions for 2 pages"):
        kept_precision(sampled([1.0, 0.0], [0.5, 0.5]), [True])
