"""A long page is read in several places, and its vector is the mean of theirs."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Offsets = Sequence[tuple[int, int]]
"""First character of each token, and the one after its last."""
LONGEST_WORD = 8
"""Tokens by which a chunk may begin earlier, so as not to begin within a word."""


def spans(tokens: int, most: int, chunks: int) -> list[tuple[int, int]]:
    """First token of each chunk and the one after its last, at most `chunks` of at most `most` tokens, the head first.

    What fits is cut evenly and read once; of more, the chunks lie evenly between head and end.
    """
    count = min(chunks, max(ceil(tokens / most), 1))
    if tokens <= count * most:
        edges = [round(i * tokens / count) for i in range(count + 1)]
        return list(pairwise(edges))
    if count == 1:
        return [(0, most)]
    starts = [round(i * (tokens - most) / (count - 1)) for i in range(count)]
    return [(start, start + most) for start in starts]


def cut(text: str, offsets: Offsets, *, most: int, chunks: int) -> list[str]:
    """The chunks of a text whose tokens lie at `offsets`; a text that is read in one chunk stays as it is."""
    found = spans(len(offsets), most, chunks)
    if len(found) == 1:
        return [text]
    starts = [_word_start(text, offsets, first) for first, _ in found]
    ends = [offsets[last - 1][1] for _, last in found]
    if found[0][1] == found[1][0]:
        ends = [*starts[1:], len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


def _word_start(text: str, offsets: Offsets, token: int) -> int:
    """Where the word of this token begins; the token itself where there is no white space near."""
    for earlier in range(token, max(token - LONGEST_WORD, -1), -1):
        start = offsets[earlier][0]
        if start == 0 or text[start - 1].isspace() or text[start : start + 1].isspace():
            return start
    return offsets[token][0]


def pooled(vectors: Vectors, counts: Sequence[int]) -> Vectors:
    """The mean of each page's chunk vectors, of length 1: (pages, d) of (chunks, d), `counts` being chunks by page."""
    if all(count == 1 for count in counts):
        return unit(vectors)
    starts = np.cumsum([0, *counts[:-1]])
    return unit(np.add.reduceat(vectors, starts, axis=0))


def unit(vectors: Vectors) -> Vectors:
    """Vectors (n, d) of length 1; one of length 0 stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)
