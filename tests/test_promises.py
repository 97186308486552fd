"""Promises are kept: over many labelled sets that might have been drawn, no more are broken than was said."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from curate.errors import BadInput
from curate.promises import promise
from curate.promises.giving import at_threshold, fallback
from curate.promises.ranked import Ranked

PAGES, HOSTS, RUNS = 60_000, 30_000, 200


class World(NamedTuple):
    score: np.ndarray
    keep: np.ndarray
    host: np.ndarray


def world(*, hosts: bool = False) -> World:
    """A corpus whose scores tell something of what people keep; with `hosts`, pages of one are alike."""
    rng = np.random.default_rng(7)
    score, host = rng.beta(0.5, 0.8, PAGES), rng.integers(0, HOSTS, PAGES)
    lean = rng.normal(0, 1, HOSTS)[host] if hosts else 0.0
    return World(score, rng.random(PAGES) < 1 / (1 + np.exp(-(8 * (score - 0.4) + lean))), host)


def draws(how: str, labels: int, corpus: World) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(1)
    chance = np.where(corpus.score > 0.5, 0.8, 0.15)
    chance *= labels / chance.sum()
    for _ in range(RUNS):
        weight = group = None
        if how == "weighted":
            chosen = np.flatnonzero(rng.random(PAGES) < chance)
            weight = 1 / chance[chosen]
        elif how == "clustered":
            chosen = np.flatnonzero(np.isin(corpus.host, rng.choice(HOSTS, labels // 2, replace=False)))
            group = corpus.host[chosen]
        else:
            chosen = rng.choice(PAGES, labels, replace=False)
        yield {"score": corpus.score[chosen], "keep": corpus.keep[chosen], "weight": weight, "group": group}


@pytest.mark.parametrize("how", ["plain", "weighted", "clustered"])
@pytest.mark.parametrize(("rate", "number"), [("precision", 0.75), ("recall", 0.9)])
def test_promises_are_broken_no_more_often_than_said(how: str, rate: Any, number: float) -> None:
    corpus = world(hosts=how == "clustered")
    given = broken = 0
    for drawn in draws(how, 300, corpus):
        found = promise(rate, number, **drawn, confidence=0.9)
        if not found.promised:
            assert found.needed is None or found.needed > 0
            continue
        given += 1
        kept = corpus.score >= found.threshold
        reached = corpus.keep[kept].mean() if rate == "precision" else kept[corpus.keep].mean()
        broken += bool(reached < number)
    assert broken <= RUNS * 0.1 + 3 * math.sqrt(RUNS * 0.1 * 0.9)
    assert given >= 0.5 * RUNS, "with this many labels most promises can be given"


def test_plain_promises_use_what_they_may() -> None:
    """Tests that are far too careful would give the threshold of a stricter aim."""
    corpus = world()
    rates = [
        corpus.keep[corpus.score >= promise("precision", 0.8, **drawn, confidence=0.9).threshold].mean()
        for drawn in draws("plain", 1000, corpus)
    ]
    assert 0.8 < np.mean(rates) < 0.87


def labelled(right: int, wrong: int, low: int) -> dict[str, Any]:
    """Pages above, some of them wrong, and bad ones below."""
    n = right + wrong
    score = np.concatenate([np.linspace(0.99, 0.8, n), np.linspace(0.3, 0.01, low)])
    spread = np.linspace(0, n - 1, wrong + 2)[1:-1].astype(int) if wrong else np.zeros(0, int)
    keep = np.concatenate([~np.isin(np.arange(n), spread), np.zeros(low, bool)])
    return {"score": score, "keep": keep}


def test_what_can_be_promised_is_said_in_words() -> None:
    found = promise("precision", 0.85, **labelled(96, 4, 200), confidence=0.9)
    assert found.promised is True
    assert (found.sure, found.best, found.needed, found.exact) == (0.85, None, None, True)
    assert found.note.startswith("300 held-out labels promise precision >= .85 at 90 % confidence (estimate ")
    assert found.threshold < 0.8


def test_what_cannot_be_promised_says_what_it_would_take() -> None:
    found = promise("precision", 0.93, **labelled(96, 4, 200), confidence=0.9)
    assert found.promised is False
    assert found.precision.value >= 0.93
    assert found.best is not None
    assert 0.85 <= found.best < 0.93
    assert found.needed is not None
    assert found.needed_above is not None
    assert found.needed_above < found.needed < 5000
    assert f"could promise {found.best:.2f}".replace("0.", ".") in found.note
    assert f"about {found.needed:,} more labelled pages" in found.note


def test_with_the_labels_that_are_said_to_be_needed_it_can_mostly_be_given() -> None:
    found = promise("precision", 0.93, **labelled(96, 4, 200), confidence=0.9)
    rng, given, runs = np.random.default_rng(0), 0, 30
    assert found.needed is not None
    for _ in range(runs):
        above = rng.random(300 + found.needed) < 1 / 3
        score = np.where(above, 0.8 + 0.2 * rng.random(len(above)), 0.3 * rng.random(len(above)))
        keep = above & (rng.random(len(above)) < 0.96)
        given += promise("precision", 0.93, score=score, keep=keep, confidence=0.9).promised is True
    assert given >= 0.65 * runs


def test_too_few_labels_promise_nothing() -> None:
    found = promise("precision", 0.9, **labelled(3, 0, 3), confidence=0.9)
    assert found.promised is False
    assert found.best is not None
    assert found.best < 0.6
    hopeless = promise("precision", 0.9, score=[0.9, 0.8, 0.7, 0.6] * 20, keep=[False, True, False, True] * 20)
    assert hopeless.needed is None
    assert "no number of labels would do" in hopeless.note


def test_a_recall_needs_pages_worth_keeping() -> None:
    few = promise("recall", 0.9, **labelled(12, 0, 100), confidence=0.9)
    assert few.promised is False
    assert few.best == pytest.approx(0.82), "12 pages: .9 ** (1 / 12) is not met, .1 ** (1 / 12) is"
    assert few.needed is not None
    # 22 pages worth keeping are the fewest (.9 ** 22 < .1), of which 12 of 112 labels are.
    assert 10 / 12 * 112 - 10 <= few.needed <= 10 / 12 * 112 + 10
    many = promise("recall", 0.9, **labelled(22, 0, 100), confidence=0.9)
    assert many.promised
    assert many.threshold == pytest.approx(0.8)


def test_a_threshold_that_is_given_has_bounds_but_no_promise() -> None:
    pages = Ranked.of(**labelled(96, 4, 200), weight=None, group=None)
    found = at_threshold(0.5, pages=pages, aim="threshold=0.5", confidence=0.9)
    assert found.promised is None
    assert (found.kept, found.n, found.precision.value, found.recall.value) == (100, 300, 0.96, 1.0)
    assert "make sure at this threshold: a precision of .92 or a recall of .97" in found.note
    assert "precision >= .975 at 90 % confidence" in promise("precision", 0.975, **labelled(96, 4, 200)).note
    assert "nothing is sure" in at_threshold(1.0, pages=pages, aim="threshold=1", confidence=0.9).note


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"keep": [True] * 4}, "labels of both kinds"),
        ({"score": [0.1, 0.2, 0.3, 1.2]}, "probability: must be in 0..1"),
        ({"confidence": 1.0}, "confidence: must be at least 0.5"),
        ({"group": ["a", None, "b", "c"]}, "groups: some pages have none"),
    ],
)
def test_labels_that_promise_nothing_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        promise("precision", 0.9, **{"score": [0.1, 0.2, 0.3, 0.4], "keep": [True, False] * 2, **given})


@pytest.mark.parametrize(
    ("surprises", "own", "found"),
    [
        ([0.01, 0.04, 0.06], [0.05, 0, 0], 1),
        ([0.06, 0.01, 0.01], [0.05, 0, 0], -1),
        ([0.06, 0.01, 0.02], [0.03, 0.02, 0], 2),
        ([0.02, 0.045, 0.5], [0.03, 0.02, 0], 1),
        ([0.02, 0.5, 0.5], [0.03, 0.02, 0], 0),
        ([0.0, 0.0], [0.0, 0.0], -1),
    ],
)
def test_what_a_passed_test_had_to_spend_goes_on_and_what_a_failed_one_had_is_lost(
    surprises: list[float], own: list[float], found: int
) -> None:
    assert fallback(np.array(surprises), np.array(own)) == found
