"""A sample that covers what a corpus is about: pages of every cluster alike, however rare its subject is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.sampling.allocation import equally

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]
MOST_CHARS = 4000
"""Characters of a page that its n-gram features read."""
DIMENSIONS = 64


@dataclass(frozen=True)
class Spread:
    """Places in the pool of the chosen pages, in its order, with the cluster and the chance of each to be chosen."""

    places: list[int]
    cluster: list[int]
    probability: NDArray[np.float64]
    sizes: list[int]
    """Pages of the pool in each cluster."""


def spread(
    texts: Sequence[str], rank: NDArray[np.float64], *, pages: int, clusters: int | None, embed: Embed | None, seed: int
) -> Spread:
    """Choose `pages` of a pool of `texts`, as many of every cluster, those with the smallest `rank` in it.

    The pool is the first phase, the clusters are strata of the second (Saerndal, Swensson and Wretman 1992, chapter 9).
    `rank` is uniform in [0, 1) and independent of the texts, so within a cluster the choice is a simple random one: its
    chance is chosen / size, and a page's chance to be in the sample that times the pool's. The clusters (k-means in
    small batches, Sculley 2010) are found on `embed`'s vectors or, without it, on hashed word n-grams.
    """
    count = min(clusters or max(round(len(texts) ** 0.5), 2), len(texts))
    member = _members(np.asarray(embed(texts) if embed else ngram_vectors(texts, seed=seed)), count, seed)
    sizes = np.bincount(member, minlength=count)
    wanted = equally(sizes, pages)
    order = np.lexsort((rank, member))
    starts = np.cumsum(sizes) - sizes
    place = np.arange(len(texts)) - starts[member[order]]
    chosen = np.sort(order[place < wanted[member[order]]])
    chance = wanted / np.maximum(sizes, 1)
    return Spread(chosen.tolist(), member[chosen].tolist(), chance[member[chosen]], sizes.tolist())


def ngram_vectors(texts: Sequence[str], *, seed: int) -> Vectors:
    """Vectors of unit length in place of embeddings: hashed word 1- and 2-grams, TF-IDF, truncated SVD."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.preprocessing import normalize
    from threadpoolctl import threadpool_limits

    hashed = HashingVectorizer(n_features=1 << 16, ngram_range=(1, 2), alternate_sign=False, norm=None)
    counts = hashed.transform([text[:MOST_CHARS] for text in texts])
    weighed = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    width = min(DIMENSIONS, len(texts) - 1)
    if width < 1:
        return np.ones((len(texts), 1), np.float32)
    with threadpool_limits(1):
        reduced = TruncatedSVD(width, random_state=seed).fit_transform(weighed)
    return np.asarray(normalize(reduced), np.float32)


def _members(vectors: Vectors, count: int, seed: int) -> NDArray[np.int64]:
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums in one order whatever the machine; threads gain nothing on batches this small
        fitted = MiniBatchKMeans(count, random_state=seed, n_init=3, batch_size=1024).fit(vectors)
    return np.asarray(fitted.labels_, np.int64)
