"""Counts of a page's words, word pairs and character runs, hashed into columns, whole batches at a time in numpy.

Nothing is fitted here, and a hash depends on the characters alone, so it is the same in every process.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

READ_CHARS = 8000
"""Characters of a page that are read: some 1,300 words, more than any judge is shown."""
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Scripts written without spaces (Thai, Lao, Burmese, Khmer, kana, Han): each character counts as a word."""
MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
"""Vowel signs and accents that `\\w` leaves out, which would cut Hindi or Tamil words in pieces."""
TOKEN = rf"[{UNSPACED}]|[\w{MARKS}]{{2,}}"
"""What the lexical baseline calls a word."""
LONGEST_RUN = 4
"""Character runs have 1 to this many characters."""
CHAR_BITS = 16
"""Character runs are hashed into two to this power columns: frequent ones are few, and more columns were no better."""

Hashes = npt.NDArray[np.uint64]
_OTHER, _WORD, _ALONE = range(3)
_FACTOR, _PAIR, _STIR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0xD6E8FEB86659FD93)


def word_counts(texts: Sequence[str], *, bits: int = 18) -> Any:
    """How often each word and pair of neighbours stands in a page: float32 CSR (n, 2**bits).

    Lower-case. A punctuation mark, symbol or line break is a word too: how a page is written tells as much as what about.
    A lone letter or digit is none. Reads the first READ_CHARS (hashing trick: Weinberger et al. 2009).
    """
    parts = [text[:READ_CHARS].lower() for text in texts]
    sizes = np.array([len(part) for part in parts], dtype=np.int64)
    hashes, pages = _words(_codes("".join(parts)), sizes)
    pairs = hashes[:-1] * _PAIR + hashes[1:]
    near = pages[1:] == pages[:-1]
    columns = _columns(np.concatenate([_stirred(hashes), _stirred(pairs[near])]), bits)
    return _counted(np.concatenate([pages, pages[:-1][near]]), columns, len(texts), bits)


def char_counts(texts: Sequence[str], *, bits: int = CHAR_BITS) -> Any:
    """How often each run of 1 to LONGEST_RUN characters stands in a page, case and white space included: float32 CSR.

    Reads the first READ_CHARS.
    """
    from scipy.sparse import csr_matrix

    rows = [_char_row(text[:READ_CHARS], bits) for text in texts]
    ends = np.cumsum([0, *(len(columns) for columns, _ in rows)])
    if not rows:
        return csr_matrix(np.zeros((0, 2**bits), dtype=np.float32))
    columns, counts = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    return csr_matrix((counts.astype(np.float32), columns.astype(np.int32), ends), shape=(len(texts), 2**bits))


def plain(text: str) -> str:
    """The part of a page that the lexical baseline reads: lower-case, scripts without spaces set apart from the rest."""
    start = text[:READ_CHARS].lower()
    return start if start.isascii() else _UNSPACED_RUN.sub(r" \g<0> ", start)


_UNSPACED_RUN = re.compile(rf"[{UNSPACED}]+")


def _codes(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _words(codes: npt.NDArray[np.uint32], sizes: npt.NDArray[np.int64]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """The hash of each word of the pages, laid end to end, and the page it stands in."""
    kinds = _kinds()[np.minimum(codes, 0xFFFF)]
    kinds[codes >= 0x20000] = _ALONE  # rare Han characters
    letters = kinds == _WORD
    begins = letters.copy()
    begins[1:] &= ~letters[:-1]
    first = np.cumsum(sizes)[:-1]
    first = first[first < len(codes)]
    begins[first] = letters[first]  # a page's first word does not go on from the page before
    begins |= kinds == _ALONE
    inside = np.flatnonzero(letters | begins)
    if not len(inside):
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    edges = np.flatnonzero(begins[inside])
    lengths = np.diff(np.append(edges, len(inside)))
    place = np.arange(len(inside)) - np.repeat(edges, lengths)
    mixed = _stirred((codes[inside] + np.uint64(1)) * _FACTOR) * _powers()[place]
    starts = inside[edges]
    kept = (lengths > 1) | (kinds[starts] == _ALONE)
    pages = np.repeat(np.arange(len(sizes)), sizes)
    return np.add.reduceat(mixed, edges)[kept], pages[starts[kept]]


def _char_row(text: str, bits: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """The columns of one page in order, and how often each was met."""
    letters = _stirred((_codes(text) + np.uint64(1)) * _FACTOR)
    runs, found = letters, [_stirred(letters)]
    for length in range(1, min(LONGEST_RUN, len(letters))):
        runs = runs[:-1] * _PAIR + letters[length:]
        found.append(_stirred(runs))
    columns = _columns(np.concatenate(found), bits)
    columns.sort()
    new = np.flatnonzero(np.append(True, columns[1:] != columns[:-1])[: len(columns)])
    return columns[new], np.diff(np.append(new, len(columns)))


def _counted(rows: npt.NDArray[np.int64], columns: npt.NDArray[np.uint32], n: int, bits: int) -> Any:
    from scipy.sparse import csr_matrix

    keys = (rows.astype(np.uint64) << np.uint64(bits)) | columns
    keys.sort()
    new = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
    counts = np.diff(np.append(new, len(keys))).astype(np.float32)
    found = keys[new]
    ends = np.searchsorted(found, np.arange(n + 1, dtype=np.uint64) << np.uint64(bits))
    return csr_matrix((counts, (found & np.uint64(2**bits - 1)).astype(np.int32), ends), shape=(n, 2**bits))


def _columns(hashes: Hashes, bits: int) -> npt.NDArray[np.uint32]:
    return (hashes >> np.uint64(64 - bits)).astype(np.uint32)


def _stirred(values: Hashes) -> Hashes:
    """Each bit of the input moves many of the output; what is read of a hash are its top bits."""
    values = (values ^ (values >> np.uint64(32))) * _STIR
    return values ^ (values >> np.uint64(29))


@lru_cache(maxsize=1)
def _powers() -> Hashes:
    """Factors by place in a word, so that its letters count in their order."""
    factors = np.full(READ_CHARS * 3, _STIR, dtype=np.uint64)
    return np.multiply.accumulate(factors)


@lru_cache(maxsize=1)
def _kinds() -> npt.NDArray[np.uint8]:
    """Whether a character of the basic plane belongs to a word, is a word alone, or parts words; the last one stands
    for all beyond it."""
    import unicodedata

    alone, word = re.compile(f"[{UNSPACED}\n]"), re.compile(rf"[\w{MARKS}]")
    table = np.full(0x10000, _OTHER, dtype=np.uint8)
    for code in range(0xFFFF):
        letter = chr(code)
        if alone.match(letter) or unicodedata.category(letter)[0] in "PS":
            table[code] = _ALONE
        elif word.match(letter):
            table[code] = _WORD
    return table
