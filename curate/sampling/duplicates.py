"""Pages that say the same: exactly once their letters are folded, or nearly, and the groups that this makes."""

import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from curate.schema import fingerprint

GroupBy = Literal["host", "near_duplicate"]
PERMUTATIONS = 64
SHINGLE_WORDS = 4
MOST_WORDS = 2000
"""Words of a page that its near-duplicate signature reads."""
MOST_CHARS = 64 * MOST_WORDS
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Scripts written without spaces (Thai, Lao, Burmese, Khmer, Chinese, Japanese): each character counts as a word."""
WORD = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")
NOT_LETTERS = re.compile(r"[\W_]+")
KNOWN_WORDS = 1 << 18
BLOCK = 1 << 18
"""Pairs compared at once: 16 MB of signatures on each side."""
Mark = NDArray[np.uint32]
Ints = NDArray[np.int64]


class _WordHashes(dict[str, int]):
    """The hash of each word, kept for the frequent ones."""

    def __missing__(self, word: str) -> int:
        value = xxhash.xxh3_64_intdigest(word.encode("utf-8", "replace"))
        if len(self) < KNOWN_WORDS:
            self[word] = value
        return value


_WORDS = _WordHashes()
_NUMBERS = np.random.default_rng(1).integers(1, 2**63, (PERMUTATIONS + SHINGLE_WORDS, 2), dtype=np.uint64)
_ADD, _TIMES = _NUMBERS[:PERMUTATIONS, 0], _NUMBERS[:PERMUTATIONS, 1] | np.uint64(1)
_PLACE: NDArray[np.uint64] = _NUMBERS[PERMUTATIONS:, 0] | np.uint64(1)
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False)
class Signature:
    """MinHash of a page's word shingles (Broder 1997)."""

    mark: Mark

    def jaccard(self, other: "Signature") -> float:
        """Estimated Jaccard similarity of two pages: the share of equal places."""
        return float(np.mean(self.mark == other.mark))


def signature(text: str) -> Signature:
    """Equal places of two signatures estimate the Jaccard similarity of the pages' sets of 4-word runs."""
    hashes: NDArray[np.uint64] = np.fromiter(map(_WORDS.__getitem__, _words(text)), np.uint64)
    runs = max(len(hashes) - SHINGLE_WORDS + 1, 1)
    parts = [hashes[i : i + runs] * _PLACE[i : i + 1] for i in range(min(len(hashes), SHINGLE_WORDS))]
    shingles: NDArray[np.uint64] = np.sum(parts, axis=0, dtype=np.uint64) if parts else np.zeros(1, np.uint64)
    shingles = (shingles ^ (shingles >> np.uint64(29))) * _MIX
    shingles ^= shingles >> np.uint64(32)
    mixed = (shingles[None, :] ^ _ADD[:, None]) * _TIMES[:, None]
    return Signature((mixed.min(axis=1) >> np.uint64(32)).astype(np.uint32))


def _words(text: str) -> list[str]:
    text = text[:MOST_CHARS].lower()
    if text.isascii():
        return text.split(maxsplit=MOST_WORDS)[:MOST_WORDS]
    return [found[0] for found in islice(WORD.finditer(text), MOST_WORDS)]


@dataclass(frozen=True)
class Near:
    """Near-duplicates among some pages, by their places."""

    pairs: int
    """Pairs of pages, all of them."""
    left: Ints
    right: Ints
    """Pairs enough to know which pages hang together: all between different signatures, and of equal ones a chain."""


def marks_of(texts: Sequence[str], on_page: Callable[[], object] = lambda: None) -> Mark:
    """The signatures of some pages, (pages, permutations)."""
    marks = np.empty((len(texts), PERMUTATIONS), np.uint32)
    for i, text in enumerate(texts):
        marks[i] = signature(text).mark
        on_page()
    return marks


def near_duplicates(marks: Mark, *, similarity: float) -> Near:
    """Pages whose estimated Jaccard similarity is at least `similarity`: no such pair is missed, none below is found.

    Two such signatures differ in at most `apart` places, so of `apart` + 1 bands one is equal (MinHash LSH with as many
    bands as it takes). The pairs of a band are compared in blocks, so memory is bounded however many pages are alike.
    """
    if not len(marks):
        return Near(0, np.zeros(0, np.int64), np.zeros(0, np.int64))
    _, first, member, size = np.unique(marks, axis=0, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(member, kind="stable")
    same = member[order][1:] == member[order][:-1]
    left, right = _alike(marks[first], math.ceil(similarity * PERMUTATIONS))
    pairs = int((size * (size - 1) // 2).sum() + (size[left] * size[right]).sum())
    return Near(
        pairs,
        np.concatenate([first[left], order[:-1][same]]),
        np.concatenate([first[right], order[1:][same]]),
    )


def _alike(marks: Mark, least: int) -> tuple[Ints, Ints]:
    """Pairs of different rows that are equal in at least `least` places."""
    bands = max(PERMUTATIONS - least + 1, 2)
    width = PERMUTATIONS // bands
    found: list[tuple[Ints, Ints]] = []
    bits = [_band(marks[:, i * width : (i + 1) * width]) for i in range(bands)]
    for number, band in enumerate(bits):
        for left, right in _equal_pairs(band):
            new = np.ones(len(left), np.bool_)
            for earlier in bits[:number]:
                new &= earlier[left] != earlier[right]  # a pair counts in the first band that shows it
            left, right = left[new], right[new]
            close = (marks[left] == marks[right]).sum(axis=1) >= least
            found.append((left[close], right[close]))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate([a for a, _ in found]), np.concatenate([b for _, b in found])


def _band(part: Mark) -> Ints:
    """A number for each row, equal where the rows are."""
    return np.unique(part, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _equal_pairs(values: Ints) -> Iterator[tuple[Ints, Ints]]:
    """All pairs of places with the same value, in blocks."""
    order = np.argsort(values, kind="stable")
    edges = np.flatnonzero(np.diff(values[order])) + 1
    starts, ends = np.concatenate([[0], edges]), np.concatenate([edges, [len(values)]])
    last = np.repeat(ends, ends - starts)
    after = last - np.arange(len(values)) - 1  # partners behind each place of the order
    done = np.cumsum(after)
    begin = 0
    while begin < len(values) and len(done) and done[-1] > (done[begin - 1] if begin else 0):
        end = max(int(np.searchsorted(done, (done[begin - 1] if begin else 0) + BLOCK)), begin + 1)
        counts = after[begin:end]
        left = np.repeat(np.arange(begin, begin + len(counts)), counts)
        step = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
        if len(left):
            yield order[left], order[left + 1 + step]
        begin = end


def folded(text: str) -> str:
    """A hash of a text's letters and digits alone: of NFKC form, lower case, all else one space."""
    letters = NOT_LETTERS.sub(" ", unicodedata.normalize("NFKC", text).lower()).strip()
    return hashlib.sha256(letters.encode("utf-8", "replace")).hexdigest()


def folded_duplicates(texts: Sequence[str]) -> int:
    """Pages that only differ from an earlier one in case, white space or punctuation."""
    return len(texts) - len(Counter(folded(text) for text in texts))


def sets_of(count: int, near: Near) -> Ints:
    """The set of near-duplicates of each of `count` pages, numbered; what hangs together through others is one set."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(len(near.left), np.int8), (near.left, near.right)), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def group_ids(pages: Sequence[Mapping[str, Any]], sets: Sequence[int] | Ints, *, by: GroupBy) -> list[str]:
    """The group of each page: pages of one set of near-duplicates, and with `by` host also those of one host, share one.

    A group is named by the first of its hosts and pages, so that its name outlives pages that are added.
    """
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    def join(a: str, b: str) -> None:
        low, high = sorted((root(a), root(b)))
        parent[high] = low

    first: dict[int, str] = {}
    for page, number in zip(pages, sets, strict=True):
        name = f"page:{page['page_id']}"
        if by == "host" and page["host"]:
            join(f"host:{page['host']}", name)
        join(first.setdefault(int(number), name), name)
    return [fingerprint(root(f"page:{page['page_id']}")) for page in pages]


def representatives(pages: Sequence[Mapping[str, Any]], sets: Sequence[int] | Ints) -> list[str | None]:
    """`duplicate_of` of each page: the page that stands for its set of near-duplicates, None for that page itself.

    That is the one of the earliest round with the smallest id. A page that has a `duplicate_of` keeps it, and what
    joins it follows it.
    """
    chosen: dict[int, str] = {}
    for page, number in sorted(
        zip(pages, sets, strict=True),
        key=lambda pair: (pair[0]["round"], pair[0].get("duplicate_of") or pair[0]["page_id"]),
    ):
        chosen.setdefault(int(number), page.get("duplicate_of") or page["page_id"])
    found = [chosen[int(number)] for number in sets]
    return [None if name == page["page_id"] else name for page, name in zip(pages, found, strict=True)]
