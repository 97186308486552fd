"""Generated pages: some 300 words with the frequencies of a language, in lines and sentences, no two alike."""

from functools import cache
from itertools import product

import numpy as np

from curate.classifier import PageClassifier
from curate.features import features_of

TOPIC = 400
"""Every second page speaks more of the words of this rank and after; that is what a classifier can learn."""


def text(number: int, *, words: int = 300) -> str:
    """The text of page `number`, always the same."""
    vocabulary, cumulative = _language()
    draw = np.random.default_rng(number)
    ranks = np.searchsorted(cumulative, draw.random(words))
    if number % 2:
        topic = draw.random(words) < 0.1
        ranks[topic] = TOPIC + draw.integers(0, 200, int(topic.sum()))
    chosen = [vocabulary[rank] for rank in ranks]
    sentences = [" ".join(chosen[i : i + 12]).capitalize() + "." for i in range(0, words, 12)]
    return "\n".join(" ".join(sentences[i : i + 4]) for i in range(0, len(sentences), 4))


def texts(count: int, *, first: int = 0, words: int = 300) -> list[str]:
    """Pages `first` and after."""
    return [text(number, words=words) for number in range(first, first + count)]


def classifier(features: tuple[str, ...] = ("ngrams",), *, count: int = 400) -> PageClassifier:
    """A classifier trained and calibrated on generated pages; the embedding, where it is asked for, is noise."""
    made = features_of(texts(count), noise(count), blocks=features)
    held = features_of(texts(count, first=count), noise(count), blocks=features)
    keep = np.arange(count) % 2
    fitted = PageClassifier(embedder_id="generated", features=features).fit(made, keep.astype(float))
    return fitted.calibrate(fitted.predict_score(held), keep)


def noise(count: int) -> np.ndarray:
    """Vectors (count, 384) of unit length, in place of embeddings."""
    vectors = np.random.default_rng(0).normal(size=(count, 384)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@cache
def _language() -> tuple[list[str], np.ndarray]:
    """20,000 words of two to four syllables, the frequent ones short, and Zipf's law summed up."""
    syllables = [a + b for a, b in product("bdfgklmnprstvz", "aeiou")]
    draw = np.random.default_rng(0)
    sizes = np.minimum(2 + np.log10(np.arange(1, 20001)).astype(int) // 2, 4)
    vocabulary = ["".join(draw.choice(syllables, size)) for size in sizes]
    weights = 1 / np.arange(1, 20001)
    return vocabulary, np.cumsum(weights) / weights.sum()
