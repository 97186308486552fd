"""Which pages are drawn, which belong together, and on which side of the sealed test they fall."""

import hashlib
import heapq
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from curate.schema import Split, fingerprint

GroupBy = Literal["host", "near_duplicate"]
PERMUTATIONS = 64
SHINGLE_WORDS = 4
MOST_WORDS = 2000
"""Words of a page that its near-duplicate signature reads."""
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Scripts written without spaces (Thai, Lao, Burmese, Khmer, Chinese, Japanese): each character counts as a word."""
WORD = re.compile(f"[{UNSPACED}]|[^\\s{UNSPACED}]+")


def unit_hash(*parts: str) -> float:
    """A number in [0, 1) that depends on the parts alone: the same page falls on the same side for ever."""
    digest = hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


@dataclass
class Draw:
    """The `size` pages with the smallest hashes: uniform over distinct pages, in one pass, in bounded memory.

    `probability` is the chance of each page to be drawn, estimated by the k-th smallest hash (Bar-Yossef et al. 2002,
    bottom-k sketch); 1 while there are no more pages than asked for.
    """

    size: int | None
    seed: str
    seen: int = 0
    duplicates: int = 0
    """Pages that came again while they were among the drawn."""
    _heap: list[tuple[float, str]] = field(default_factory=list)
    _rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    _full: bool = False

    def offer(self, page: dict[str, Any]) -> None:
        """One page more of the corpus."""
        self.seen += 1
        name = page["page_id"]
        if name in self._rows:
            self.duplicates += 1
            return
        value = unit_hash(self.seed, name)
        if self.size is not None and len(self._heap) >= self.size:
            self._full = True
            if value >= -self._heap[0][0]:
                return
            _, gone = heapq.heapreplace(self._heap, (-value, name))
            del self._rows[gone]
        else:
            heapq.heappush(self._heap, (-value, name))
        self._rows[name] = page

    @property
    def probability(self) -> float:
        """Inclusion probability of each drawn page."""
        return -self._heap[0][0] if self._full and self._heap else 1.0

    def pages(self) -> list[dict[str, Any]]:
        """The drawn pages in the order of their hashes, which is a random order."""
        order = sorted(self._heap, key=lambda item: -item[0])
        return [self._rows[name] for _, name in order]


def signature(text: str) -> Any:
    """MinHash of a page's word shingles (Broder 1997): equal signatures estimate the Jaccard similarity."""
    from datasketch import MinHash

    words = [found[0] for found in islice(WORD.finditer(text.lower()), MOST_WORDS)]
    last = max(len(words) - SHINGLE_WORDS + 1, 1)
    shingles = {" ".join(words[i : i + SHINGLE_WORDS]).encode("utf-8", "replace") for i in range(last)}
    mark = MinHash(num_perm=PERMUTATIONS, seed=1)
    mark.update_batch(sorted(shingles))
    return mark


def near_duplicates(
    pages: Sequence[Mapping[str, Any]], *, similarity: float, on_page: Callable[[], object] = lambda: None
) -> list[tuple[str, str]]:
    """Pairs of page ids whose estimated Jaccard similarity is at least `similarity`, all of them (MinHash LSH).

    Two such signatures differ in at most `apart` places, so of `apart` + 1 bands one is equal: no pair is missed.
    """
    from datasketch import MinHashLSH

    apart = PERMUTATIONS - math.ceil(similarity * PERMUTATIONS)
    bands = max(apart + 1, 2)
    index = MinHashLSH(num_perm=PERMUTATIONS, params=(bands, PERMUTATIONS // bands))
    marks: dict[str, Any] = {}
    pairs = []
    for page in pages:
        name, mark = page["page_id"], signature(page["text"])
        pairs += [(other, name) for other in index.query(mark) if marks[other].jaccard(mark) >= similarity]
        marks[name] = mark
        index.insert(name, mark)
        on_page()
    return pairs


def group_ids(pages: Sequence[Mapping[str, Any]], pairs: Iterable[tuple[str, str]], *, by: GroupBy) -> list[str]:
    """The group of each page: pages that are near-duplicates, and with `by` host also those of one host, share one."""
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

    for page in pages:
        if by == "host" and page["host"]:
            join(f"host:{page['host']}", f"page:{page['page_id']}")
    for a, b in pairs:
        join(f"page:{a}", f"page:{b}")
    return [fingerprint(root(f"page:{page['page_id']}")) for page in pages]


def split_of(group: str, shares: Mapping[str, float], *, salt: str) -> Split:
    """Train, val or test, by the hash of the group: labels that come later move no page."""
    value, total = unit_hash(salt, group), sum(shares.values())
    if value < shares["train"] / total:
        return "train"
    return "val" if value < (shares["train"] + shares["val"]) / total else "test"
