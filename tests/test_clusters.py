import random
from collections import Counter

import numpy as np
import pytest

from curate.sampling.clusters import ngram_vectors, spread

SUBJECTS = {
    "cooking": "flour butter oven bake dough sugar salt recipe spoon cake",
    "stars": "galaxy orbit telescope planet comet light mass star moon sky",
    "code": "function variable loop compile array pointer string integer return class",
}


def texts(sizes: dict[str, int]) -> list[str]:
    rng = random.Random(0)
    return [" ".join(rng.choices(SUBJECTS[name].split(), k=60)) for name, size in sizes.items() for _ in range(size)]


def test_every_subject_gives_as_many_pages_however_rare_it_is() -> None:
    sizes = {"cooking": 300, "stars": 60, "code": 12}
    pool = texts(sizes)
    rank = np.random.default_rng(0).random(len(pool))
    found = spread(pool, rank, pages=60, clusters=3, embed=None, seed=1)
    subject = np.repeat(list(sizes), list(sizes.values()))
    assert Counter(subject[found.places]) == {"cooking": 24, "stars": 24, "code": 12}
    assert sorted(found.sizes) == [12, 60, 300]
    chance = {str(subject[i]): p for i, p in zip(found.places, found.probability, strict=True)}
    assert chance == pytest.approx({"cooking": 24 / 300, "stars": 24 / 60, "code": 1})
    for name in ("cooking", "stars"):
        mine = [i for i in range(len(pool)) if subject[i] == name]
        assert sorted(mine, key=lambda i: rank[i])[:24] == sorted(
            (i for i in found.places if subject[i] == name), key=lambda i: rank[i]
        )


def test_the_same_pool_gives_the_same_pages() -> None:
    pool = texts({"cooking": 50, "stars": 50, "code": 50})
    rank = np.random.default_rng(0).random(len(pool))
    found = [spread(pool, rank, pages=30, clusters=None, embed=None, seed=1) for _ in range(2)]
    assert found[0].places == found[1].places
    assert len(found[0].sizes) == 12, "about the square root of the pool"


def test_the_vectors_that_are_given_decide() -> None:
    pool = [f"page {n}" for n in range(100)]

    def embed(given: list[str]) -> np.ndarray:
        side = np.array([int(text.split()[1]) < 90 for text in given], np.float32)
        return np.stack([side, 1 - side], axis=1)

    found = spread(pool, np.random.default_rng(0).random(100), pages=20, clusters=2, embed=embed, seed=1)
    assert sum(i < 90 for i in found.places) == 10


@pytest.mark.parametrize("count", [1, 2, 5])
def test_small_pools_are_drawn_whole(count: int) -> None:
    pool = texts({"cooking": count})
    found = spread(pool, np.linspace(0, 0.9, count), pages=9, clusters=None, embed=None, seed=1)
    assert found.places == list(range(count))
    assert set(found.probability) == {1}


def test_vectors_in_place_of_embeddings_tell_subjects_apart() -> None:
    vectors = ngram_vectors(texts({"cooking": 20, "stars": 20}), seed=0)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    near = vectors @ vectors.T
    assert near[:20, :20].mean() > near[:20, 20:].mean() + 0.3
    assert np.isfinite(ngram_vectors(["", " ", "word", "word"], seed=0)).all()


@pytest.mark.slow
def test_two_phases_say_the_total_without_bias() -> None:
    """A uniform pool by rank, then clusters: the product of both chances weights without bias."""
    rng = np.random.default_rng(0)
    subject = np.repeat([0, 1, 2], [240, 50, 10])
    value = np.array([1.0, 20.0, 200.0])[subject] + rng.random(300)
    names = [f"{n}" for n in range(300)]

    def embed(given: list[str]) -> np.ndarray:
        return np.eye(3, dtype=np.float32)[subject[[int(text) for text in given]]]

    totals, plain = [], []
    for _ in range(300):
        rank = rng.random(300)
        pool = np.flatnonzero(rank < 0.5)
        found = spread([names[i] for i in pool], rank[pool], pages=30, clusters=3, embed=embed, seed=1)
        chosen = pool[found.places]
        totals.append((value[chosen] / (0.5 * found.probability)).sum())
        plain.append(value[chosen].mean() * 300)
    assert abs(np.mean(totals) - value.sum()) < 4 * np.std(totals) / np.sqrt(300)
    assert abs(np.mean(plain) - value.sum()) > 20 * np.std(plain) / np.sqrt(300)
