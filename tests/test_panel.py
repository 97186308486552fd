"""Several classifiers on one look at a page."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import curate.panel
from curate.classifier import PageClassifier
from curate.features import features_of
from curate.outputs import Wanted, fit_output
from curate.panel import Panel

TEXTS = [f"{'a proof of the theorem' if i % 2 else 'cheap watches for sale'} w{i} x{i % 7}" for i in range(60)]
KEEP = (np.arange(60) % 2).astype(float)
GROUPS = [str(i) for i in range(60)]


def vectors(texts: Sequence[str]) -> Any:
    return np.array([["proof" in text, len(text) / 50] for text in texts], dtype=np.float32)


def fitted(blocks: tuple[str, ...], target: Any = KEEP, *, bits: int = 12, level: bool = False) -> PageClassifier:
    made = PageClassifier(embedder_id="e", features=blocks, ngram_bits=bits)
    features = features_of(TEXTS, vectors(TEXTS), ngram_bits=bits, blocks=blocks)
    scores = made.fit(features, target).predict_score(features)
    made.calibrate(scores, target > 0.5)
    if level:
        learned = fit_output(
            Wanted("level", "level", 3.0, target, np.ones(60), target * 3), features, made.kinds, GROUPS, folds=3
        )
        assert learned
        made.outputs_["level"] = learned[0]
    return made


def embed(one: PageClassifier, texts: Sequence[str]) -> Any:
    return vectors(texts)


def test_each_says_what_it_says_alone() -> None:
    first, other = fitted(("ngrams", "shape"), level=True), fitted(("embedding", "ngrams"), 1 - KEEP, level=True)
    panel = Panel(first, {"junk": other})
    said = panel.said(TEXTS, embed)
    assert list(said) == panel.names == ["probability", "level", "junk", "junk level"]
    assert said["probability"] == pytest.approx(first.score(TEXTS))
    assert said["junk"] == pytest.approx(other.score(TEXTS, vectors(TEXTS)))
    assert said["junk level"] == pytest.approx(other.predict_all(TEXTS, vectors(TEXTS))["level"])
    assert {name: len(values) for name, values in panel.said([], embed).items()} == dict.fromkeys(panel.names, 0)


def test_a_block_is_made_once_for_all_that_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[tuple[str, int]] = Counter()

    def counted(texts: Sequence[str], *given: Any, **more: Any) -> Any:
        made[more["blocks"][0], more["ngram_bits"]] += 1
        return features_of(texts, *given, **more)

    monkeypatch.setattr(curate.panel, "features_of", counted)
    others = {"b": fitted(("ngrams", "shape")), "c": fitted(("embedding", "ngrams")), "d": fitted(("ngrams",), bits=11)}
    Panel(fitted(("embedding", "ngrams", "shape")), others).said(TEXTS, embed)
    assert made == {("embedding", 12): 1, ("ngrams", 12): 1, ("shape", 12): 1, ("ngrams", 11): 1}
