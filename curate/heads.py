"""One block of features to log-odds: what is fitted for each block, before the blocks are blended."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from curate.checked import Array
from curate.errors import BadInput
from curate.features import SPARSE
from curate.logistic import logistic
from curate.network import fit_network, hidden
from curate.trees import fit_trees, trees_log_odds

Kind = Literal["linear", "ridge", "kernel", "boosted", "network"]
KINDS: tuple[str, ...] = get_args(Kind)
SHAPE_CLIP = 5.0
"""Standard deviations beyond which a dense column counts no more, so one odd page moves no score far."""
LANDMARKS = 500
"""Pages of the training set that a kernel compares a page with: the most."""
LINEAR: tuple[Kind, ...] = ("linear", "ridge")
STRENGTH: dict[str, dict[str, float]] = {
    "linear": {"embedding": 1.0, "static": 10.0, "ngrams": 10.0, "chars": 10.0, "shape": 3.0},
    "ridge": {"embedding": 1.0, "static": 3.0, "ngrams": 1.0, "chars": 1.0, "shape": 1.0},
}
"""Inverse strength of the penalty that a head's `c` multiplies; 1 where none is given."""
KINDS_OF: dict[str, tuple[Kind, ...]] = {
    "embedding": ("linear",),
    "static": ("linear", "kernel", "network"),
    "ngrams": ("linear",),
    "chars": ("linear",),
    "shape": ("kernel", "linear", "boosted", "network"),
}
"""Kinds that suit a block and are tried, the standard one first. Others can be asked for: of counts only those in LINEAR."""
Numbers = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """A fitted head. `linear`: logistic regression on the block, counts as TF-IDF rows; `ridge`: least squares. `kernel`:
    logistic regression on the similarities to landmark pages (Nystroem: Williams and Seeger 2001), for blocks whose columns
    say little one by one. `boosted`: small trees, `network`: one hidden layer, for where pages are many."""

    kind: Kind
    arrays: dict[str, Any]

    @property
    def width(self) -> int:
        """Columns of the block that it reads."""
        if "columns" in self.arrays:
            return int(self.arrays["columns"][0])
        return int(self.arrays["idf" if "idf" in self.arrays else "offset"].shape[0])

    def log_odds(self, name: str, block: Any) -> Array:
        """Log-odds (n,) of the rows of `block`. Raises BadInput where it has other columns."""
        if block.shape[1] != self.width:
            raise BadInput(f"features: {name!r} has {block.shape[1]} columns, the classifier {self.width}")
        if self.kind == "boosted":
            return trees_log_odds(self.arrays, block)
        rows = self._rows(name, block)
        return np.asarray(rows @ self.arrays["weights"], dtype=np.float64) + float(self.arrays["bias"][0])

    def _rows(self, name: str, block: Any) -> Any:
        if name in SPARSE:
            return weighted(block, self.arrays["idf"])
        rows = _standard(block, self.arrays["offset"], self.arrays["scale"], clip=_even(name, self.kind))
        if self.kind == "network":
            return hidden(self.arrays, rows)
        return _similar(rows, self.arrays["landmarks"]) if self.kind == "kernel" else rows


def fit_head(
    name: str, kind: Kind, block: Any, p: Array, weight: Array, *, c: float = 1.0, random_state: int = 0
) -> Head:
    """A head of `kind` on the block `name`, fitted to targets `p` (n,) by `weight` (n,). `c` multiplies STRENGTH."""
    if kind not in kinds_of(name):
        raise BadInput(f"classifier: heads: {name} takes {' or '.join(kinds_of(name))} (got {kind!r})")
    if kind == "boosted":
        return Head(kind, fit_trees(block, p, weight, c=c, random_state=random_state))
    if name in SPARSE:
        arrays = {"idf": _idf(block[weight > 0])}
        rows: Any = weighted(block, arrays["idf"])
    else:
        arrays = dict(zip(("offset", "scale"), _scaling(name, kind, block, weight), strict=True))
        rows = _standard(block, arrays["offset"], arrays["scale"], clip=_even(name, kind))
    if kind == "kernel":
        arrays["landmarks"] = _landmarks(rows[weight > 0], random_state)
        return _kernel_head(arrays, rows, p, weight, c)
    if kind == "network":
        return Head(kind, {**arrays, **fit_network(rows, p, weight, c=c, random_state=random_state)})
    fitted = logistic if kind == "linear" else _ridge
    weights, bias = fitted(rows, p, weight, c=c * STRENGTH[kind].get(name, 1.0))
    return Head(kind, {**arrays, **_learned(weights, bias)})


def kinds_of(name: str) -> tuple[str, ...]:
    """The kinds of head that the block `name` takes."""
    return LINEAR if name in SPARSE else KINDS


def weighted(counts: Any, idf: Numbers) -> Any:
    """Counts as TF-IDF rows of length 1: 1 + the logarithm of the count, times `idf` (Salton and Buckley 1988)."""
    from scipy.sparse import csr_matrix

    values: Any = np.asarray((1 + np.log(counts.data)) * idf[counts.indices], dtype=np.float32)
    edges = np.append(0.0, np.cumsum(values.astype(np.float64) ** 2))
    lengths = np.sqrt(np.maximum(edges[counts.indptr[1:]] - edges[counts.indptr[:-1]], 1e-12))
    values = values / np.repeat(lengths, np.diff(counts.indptr)).astype(np.float32)
    return csr_matrix((values, counts.indices, counts.indptr), shape=counts.shape)


def _idf(counts: Any) -> Numbers:
    found = np.bincount(counts.indices, minlength=counts.shape[1])
    return np.asarray(np.log((1 + counts.shape[0]) / (1 + found)) + 1, dtype=np.float32)


def _even(name: str, kind: Kind) -> bool:
    """Whether each column gets the same spread: those of a shape, or of what a kernel reads. A vector is brought to a
    mean squared length of 1 as a whole, since its directions differ in how much they say."""
    return name == "shape" or kind in ("kernel", "network")


def _scaling(name: str, kind: Kind, block: Any, weight: Array) -> tuple[Numbers, Numbers]:
    """Mean and inverse spread of the columns; a page of weight 2 counts as two pages."""
    share = weight / weight.sum()
    offset = share @ block
    spread = np.sqrt(np.maximum(share @ (block - offset) ** 2, 0))
    if _even(name, kind):
        scale = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0) / np.sqrt(block.shape[1])
    else:
        scale = np.full(block.shape[1], 1 / max(float(np.sqrt((spread**2).sum())), 1e-6))
    return offset.astype(np.float32), scale.astype(np.float32)


def _standard(block: Any, offset: Numbers, scale: Numbers, *, clip: bool) -> Numbers:
    far = SHAPE_CLIP / np.sqrt(len(scale))
    moved: Numbers = (block - offset) * scale
    return np.clip(moved, -far, far) if clip else moved


def _landmarks(rows: Numbers, random_state: int) -> Numbers:
    count = min(LANDMARKS, len(rows))
    chosen = np.random.default_rng(random_state).choice(len(rows), count, replace=False)
    return np.ascontiguousarray(rows[np.sort(chosen)])


def _similar(rows: Numbers, landmarks: Numbers) -> Array:
    """exp(-d2) between rows (n, d) and landmarks (m, d), whose columns are scaled by 1/sqrt(d). In double precision: in
    single, what a page gets would depend on the pages beside it in the batch."""
    rows, landmarks = rows.astype(np.float64), landmarks.astype(np.float64)
    squares = (rows**2).sum(axis=1)[:, None] - 2 * rows @ landmarks.T + (landmarks**2).sum(axis=1)
    return np.asarray(np.exp(-np.maximum(squares, 0)), dtype=np.float64)


def _kernel_head(arrays: dict[str, Numbers], rows: Numbers, p: Array, weight: Array, c: float) -> Head:
    similar = _similar(rows, arrays["landmarks"])
    values, vectors = np.linalg.eigh(_similar(arrays["landmarks"], arrays["landmarks"]))
    whiten = vectors / np.sqrt(np.maximum(values, 1e-6 * values[-1]))
    weights, bias = logistic(similar @ whiten, p, weight, c=c)
    return Head("kernel", {**arrays, **_learned(whiten @ weights, bias)})


def _ridge(rows: Any, p: Array, weight: Array, *, c: float) -> tuple[Array, float]:
    """Least squares on the target, as log-odds: 4 is the slope of log-odds at a probability of a half."""
    from sklearn.linear_model import Ridge
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        made = Ridge(alpha=1 / c, solver="sparse_cg" if hasattr(rows, "indices") else "auto", tol=1e-6)
        made.fit(rows.astype(np.float64), p, sample_weight=weight)
    return 4 * np.asarray(made.coef_, dtype=np.float64), 4 * (float(made.intercept_) - 0.5)


def _learned(weights: Array, bias: float) -> dict[str, Numbers]:
    return {"weights": weights.astype(np.float32), "bias": np.array([bias], dtype=np.float32)}
