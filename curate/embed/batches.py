"""Texts to padded batches of about as many tokens each, the longest first, so that little is padding."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
BLOCK = 256
"""Texts that are tokenized at once: what lies in memory as tokens."""


def runs(lengths: Sequence[int], budget: int) -> Iterator[slice]:
    """Slices of a falling sequence of lengths: each holds at most `budget` tokens when padded to its first, or one text."""
    start = 0
    while start < len(lengths):
        end = start + max(budget // max(lengths[start], 1), 1)
        yield slice(start, min(end, len(lengths)))
        start = end


def longest_first(texts: Sequence[str]) -> list[int]:
    """Places of the texts by falling number of characters."""
    return sorted(range(len(texts)), key=lambda i: -len(texts[i]))


def batches(features: Mapping[str, Any], budget: int, *, left: bool) -> list[tuple[slice | Rows, dict[str, Any]]]:
    """Rows of a tokenized block and their features without needless padding, which is at the `left` or right.

    `features` is what sentence-transformers makes of texts; without an attention mask of (texts, tokens), as static
    models have none, the block is one batch.
    """
    mask = features.get("attention_mask")
    if mask is None or mask.dim() != 2:
        return [(slice(None), dict(features))]
    lengths = mask.sum(dim=1).numpy()
    order = np.argsort(-lengths, kind="stable")
    found: list[tuple[slice | Rows, dict[str, Any]]] = []
    for run in runs(lengths[order].tolist(), budget):
        rows = order[run]
        longest = max(int(lengths[rows[0]]), 1)
        found.append((rows, {name: _cut(value, mask.shape, rows, longest, left) for name, value in features.items()}))
    return found


def _cut(value: Any, shape: Any, rows: Rows, longest: int, left: bool) -> Any:
    if getattr(value, "shape", None) != shape:
        return value
    kept = value[rows]
    return (kept[:, -longest:] if left else kept[:, :longest]).contiguous()
