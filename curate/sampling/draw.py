"""Which pages are drawn: the smallest keys, whole or by stratum, in one pass, in bounded memory, with probabilities.

The key of a page is a hash of its text, so the same seed draws the same pages whatever the order of the shards, a text
that occurs a thousand times is one page, and a corpus that grows changes the sample little.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, Self, TypeVar

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from curate.errors import BadInput
from curate.sampling.allocation import equally, proportionally

Keys = NDArray[np.uint64]
Indices = NDArray[np.int64]
Strata = Literal["proportional", "equal"] | Mapping[str, float]
TOP = np.uint64(2**64 - 1)
SPAN = 2.0**64
MOST_STRATA = 1000
"""Strata that are drawn from at most: each holds pages in memory."""
FLOOR = 64
"""Pages held of each stratum, at least, while its share of the whole is not known yet."""
OTHERS = "*"
"""All strata that have no share of their own."""
MOST_TRIES = 64
"""Times that places are filled anew which texts of two strata leave open."""
BLANK_LEADS = bytes([*range(0x21), 0xC2, 0xE1, 0xE2, 0xE3])
"""First bytes with which a text of white space alone can begin in UTF-8."""


def keys_of(texts: pa.Array, seed: str, rows: Indices | None = None) -> Keys:
    """The key of each text, or of those at `rows` (xxh3, 64 bits, of its UTF-8), read where it lies in the Arrow buffer."""
    start, data = xxhash.xxh3_64_intdigest(seed.encode("utf-8", "surrogatepass")), _bytes(texts)
    places = _places(texts)
    begins, ends = (places[:-1], places[1:]) if rows is None else (places[rows], places[rows + 1])
    digest = xxhash.xxh3_64_digest
    found = b"".join([digest(data[a:b], start) for a, b in zip(begins.tolist(), ends.tolist(), strict=True)])
    return np.frombuffer(found, dtype=">u8").astype(np.uint64)


def blank(texts: pa.Array) -> NDArray[np.bool_]:
    """Which texts are empty or white space alone. Only those that begin like it are decoded."""
    places, data = _places(texts), _bytes(texts)
    result: NDArray[np.bool_] = places[1:] == places[:-1]
    filled = np.flatnonzero(~result)
    suspect = np.isin(np.frombuffer(data, np.uint8)[places[filled]], np.frombuffer(BLANK_LEADS, np.uint8))
    for i in filled[suspect]:
        a, b = places[i], places[i + 1]
        result[i] = not _says(data[a : min(a + 64, b)]) and not _says(data[a:b])
    return result


def _says(data: memoryview) -> bool:
    return bool(bytes(data).decode("utf-8", "ignore").strip())


def _places(texts: pa.Array) -> Indices:
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    if not len(texts):
        return np.zeros(1, np.int64)
    return np.frombuffer(texts.buffers()[1], width)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)


def _bytes(texts: pa.Array) -> memoryview:
    buffer = texts.buffers()[2] if len(texts) else None
    return memoryview(buffer if buffer is not None else b"")


class Rows(Protocol):
    """Rows that are held for the drawn pages."""

    def take(self, indices: Any, /) -> Self:
        """Some of them, in this order."""


Held = TypeVar("Held", bound=Rows)


@dataclass(frozen=True)
class Plan:
    """How many pages are drawn from where."""

    size: int | None
    """Pages to draw; None: all."""
    strata: Strata = "proportional"
    """Shares of the strata. As chosen shares a mapping, in which `*` is all the others together."""
    most_per_host: int | None = None
    """Of a host, in one stratum, only so many pages with the smallest keys count."""


@dataclass(frozen=True)
class Stratum:
    """What was found and drawn in one stratum."""

    name: str
    rows: int
    """Rows that fell into it, copies included."""
    pages: float
    """Distinct pages in it: exact where all copies were seen, which is where nothing repeats or everything was drawn."""
    wanted: int
    drawn: int
    there: int
    """Pages that were held and could have been drawn: all there are when it is below `wanted`."""
    probability: float
    """Inclusion probability of its pages; those of a host that was capped have a smaller one."""


@dataclass(frozen=True)
class Drawn(Generic[Held]):
    """The drawn pages in the order of their keys, which is a random order."""

    rows: list[tuple[Held, int]]
    keys: Keys
    strata: list[str]
    probability: NDArray[np.float64]
    """Inclusion probability of each page."""
    copies: Indices
    """How often the text of each page occurred; exact."""
    by_stratum: list[Stratum]


@dataclass
class _Pool(Generic[Held]):
    """Candidates, one entry each."""

    keys: Keys = field(default_factory=lambda: np.zeros(0, np.uint64))
    codes: Indices = field(default_factory=lambda: np.zeros(0, np.int64))
    copies: Indices = field(default_factory=lambda: np.zeros(0, np.int64))
    chunk: Indices = field(default_factory=lambda: np.zeros(0, np.int64))
    row: Indices = field(default_factory=lambda: np.zeros(0, np.int64))
    hosts: list[str] = field(default_factory=list)
    chunks: list[Held] = field(default_factory=list)

    def add(self, keys: Keys, codes: Indices, copies: Indices, held: Held, hosts: Sequence[str]) -> None:
        self.keys = np.concatenate([self.keys, keys])
        self.codes = np.concatenate([self.codes, codes])
        self.copies = np.concatenate([self.copies, copies])
        self.chunk = np.concatenate([self.chunk, np.full(len(keys), len(self.chunks))])
        self.row = np.concatenate([self.row, np.arange(len(keys))])
        self.hosts += hosts
        self.chunks.append(held)

    def keep(self, order: Indices, copies: Indices) -> None:
        """Only these entries, in this order, each with its number of copies; what they do not need is let go."""
        chunk, row, chunks = self.chunk[order], self.row[order], []
        for number in np.unique(chunk):
            mine = chunk == number
            chunks.append(self.chunks[number].take(pa.array(row[mine])))
            row[mine] = np.arange(int(mine.sum()))
            chunk[mine] = len(chunks) - 1
        self.keys, self.codes, self.copies = self.keys[order], self.codes[order], copies
        self.chunk, self.row, self.chunks = chunk, row, chunks
        self.hosts = [self.hosts[i] for i in order]


class Draw(Generic[Held]):
    """Bottom-k sampling of distinct pages by stratum, one pass over the corpus.

    Of each stratum the k pages with the smallest keys are drawn, and every page of it has the (k+1)-th smallest key, as
    a number in [0, 1), for its inclusion probability; 1 where the whole stratum is drawn. This is bottom-k with rank
    conditioning (Cohen and Kaplan 2007) or priority sampling with equal weights (Duffield, Lund and Thorup 2007): given
    the keys of all the others, a page is drawn when its key is below the threshold, so 1 / probability weights it
    without bias (Horvitz and Thompson 1952), and two different pages are drawn without correlation.

    With `most_per_host` N a page is drawn when it is among the k smallest of the stratum's capped pages (those that are
    among the N smallest of their host) and so itself among the N smallest of its host. Its probability is the smaller
    of the (k+1)-th key of the capped pages and the (N+1)-th key of its host. Lowering a drawn page's own key changes
    neither: it stays below both, so the pages above them are the same. The argument of above holds as it is.

    With proportional strata a stratum's share is known only at the end. Until then the smallest 2k keys of all and the
    `FLOOR` smallest of each stratum are held, of which its share is taken; should that not do (odds below 1e-7), the
    other strata fill up. With equal strata a stratum is held up to the level at which all together make 2k, which only
    falls as more is seen; of chosen shares twice as much. So some 2k + 64 pages a stratum are held at most, twice that
    between two clearings.

    A text that lies in two strata is drawn for one and its place in the other goes to the next page, so the number of
    pages is exact unless most texts are in several strata.
    """

    def __init__(self, plan: Plan, *, exclude: Keys | None = None) -> None:
        """`exclude`: keys of pages that are in the sample already; they are passed over as if they were not there."""
        self.plan = plan
        self.names: list[str] = []
        self.rows = np.zeros(0, np.int64)
        self.passed = 0
        """Rows of excluded pages."""
        self.unasked = 0
        """Rows of strata that have no share."""
        self._codes: dict[str, int] = {}
        self._exclude = np.sort(exclude) if exclude is not None and len(exclude) else None
        self._limit = np.zeros(0, np.uint64)
        self._pool: _Pool[Held] = _Pool()
        self._cleared = 0
        self._host_limit: dict[tuple[int, str], int] = {}
        if isinstance(plan.strata, Mapping):
            for name in plan.strata:
                self._code(name)

    def offer(
        self,
        keys: Keys,
        strata: Sequence[str] | pa.Array | None,
        bring: Callable[[Indices], tuple[Held, Sequence[str]]],
    ) -> None:
        """More pages of the corpus: their keys and strata (None: all are one). `bring` gives the rows at some indices
        and their hosts; it is asked only for those that may be drawn. Raises BadInput at more than 1,000 strata."""
        codes = self._codes_of(strata, len(keys))
        there = codes >= 0
        if self._exclude is not None:
            passed = np.isin(keys, self._exclude)
            self.passed += int(passed.sum())
            there &= ~passed
        self.rows += np.bincount(codes[there], minlength=len(self.names))
        index = np.flatnonzero(there & (keys <= self._limit[codes]))
        if not len(index):
            return
        order, copies = _distinct(keys[index], codes[index])
        if self.plan.most_per_host is None:
            limits = self._counts(codes[index][order], keys[index][order])
            below = keys[index][order] <= limits[codes[index][order]]
            order, copies = order[below], copies[below]
        index = index[order]
        self._pool.add(keys[index], codes[index], copies, *bring(index))
        if len(self._pool.keys) > 2 * max(self._cleared, self.plan.size or 0) + FLOOR * len(self.names):
            self._clear()

    def finish(self) -> Drawn[Held]:
        """The drawn pages. In each stratum as many as the plan wants, or all that are there."""
        self._clear()
        target, pool = self.plan.size, self._pool
        for _ in range(MOST_TRIES):
            wanted, chosen, limits = self._chosen(target)
            lost = int(np.minimum(wanted, self._there()).sum()) - len(chosen)
            if target is None or self.plan.size is None or target == self.plan.size + lost:
                break
            target = self.plan.size + lost  # texts that two strata share are drawn once; others take their place
        chosen = chosen[np.argsort(pool.keys[chosen], kind="stable")]
        return Drawn(
            rows=[(pool.chunks[pool.chunk[i]], int(pool.row[i])) for i in chosen],
            keys=pool.keys[chosen],
            strata=[self.names[code] for code in pool.codes[chosen]],
            probability=np.array([_unit(limit) for limit in self._page_limits(chosen, limits)], np.float64),
            copies=pool.copies[chosen],
            by_stratum=self._by_stratum(chosen, limits),
        )

    def _code(self, name: str) -> int:
        if len(self.names) >= MOST_STRATA:
            raise BadInput(
                f"by: more than {MOST_STRATA:,} different values (the last one: {name[:60]!r}); cut a number into bins "
                f"(bins: 5), write an expression with fewer values, or give the strata you want by name"
            )
        self._codes[name] = len(self.names)
        self.names.append(name)
        self.rows = np.append(self.rows, 0)
        self._limit = np.append(self._limit, TOP)
        return self._codes[name]

    def _codes_of(self, strata: Sequence[str] | pa.Array | None, count: int) -> Indices:
        if strata is None:
            return np.full(count, self._codes[""] if "" in self._codes else self._code(""), np.int64)
        given = strata if isinstance(strata, pa.Array) else pa.array(strata, pa.string())
        coded = given.dictionary_encode()
        here = np.array([self._code_for(name) for name in coded.dictionary.to_pylist()], np.int64)
        codes = here[coded.indices.to_numpy()] if len(here) else np.zeros(0, np.int64)
        self.unasked += int((codes < 0).sum())
        return codes

    def _code_for(self, name: str) -> int:
        if name in self._codes:
            return self._codes[name]
        if isinstance(self.plan.strata, Mapping):
            return self._codes.get(OTHERS, -1)
        return self._code(name)

    def _clear(self) -> None:
        """One entry a page; capped by host; of each stratum what may still be drawn."""
        pool = self._pool
        order, copies = _distinct(pool.keys, pool.codes, pool.copies)
        if self.plan.most_per_host is not None:
            capped = self._cap(order)
            order, copies = order[capped], copies[capped]
        limits = self._counts(pool.codes[order], pool.keys[order])
        self._limit = np.minimum(self._limit, limits)
        below = pool.keys[order] <= self._limit[pool.codes[order]]
        pool.keep(order[below], copies[below])
        self._cleared = len(pool.keys)

    def _cap(self, order: Indices) -> NDArray[np.bool_]:
        """Which of the entries (sorted by stratum and key) are among the smallest of their host; notes each capped host's limit."""
        most, pool = self.plan.most_per_host or 0, self._pool
        names = [pool.hosts[i] for i in order]
        _, hosts = np.unique(np.array(names, dtype=object), return_inverse=True)
        codes = pool.codes[order]
        by_host = np.lexsort((pool.keys[order], hosts, codes))
        rank = np.empty(len(order), np.int64)
        rank[by_host] = _rank(codes[by_host], hosts[by_host])
        rank[[i for i, name in enumerate(names) if not name]] = -1
        for i in np.flatnonzero(rank == most):
            host, key = (int(codes[i]), names[i]), int(pool.keys[order[i]])
            self._host_limit[host] = min(self._host_limit.get(host, key), key)
        kept: NDArray[np.bool_] = rank < most
        return kept

    def _counts(self, codes: Indices, keys: Keys) -> Keys:
        """The key up to which entries of each stratum may still be drawn, from entries sorted by stratum and key."""
        size, count = self.plan.size, np.bincount(codes, minlength=len(self.names))
        limits = np.full(len(self.names), TOP)
        if size is None:
            return limits
        if isinstance(self.plan.strata, Mapping):
            most = proportionally(list(self.plan.strata.values()), 2 * size)
        elif self.plan.strata == "equal":
            most = equally(count, 2 * size, round_up=True)
        else:
            most = np.full(len(self.names), min(size, FLOOR) if len(self.names) > 1 else size)
        starts = np.cumsum(count) - count
        over = np.flatnonzero(count > most)
        limits[over] = keys[starts[over] + most[over]]
        if self.plan.strata == "proportional" and len(self.names) > 1:
            least = np.partition(keys, 2 * size)[2 * size] if len(keys) > 2 * size else TOP
            limits = np.maximum(limits, least)
        return limits

    def _chosen(self, size: int | None) -> tuple[Indices, Indices, Keys]:
        """Pages wanted of each stratum, the entries drawn, and each stratum's limit. A text that is in two strata is
        drawn once: for the one with the higher limit, which is the probability to be drawn for either."""
        pool, count = self._pool, np.bincount(self._pool.codes, minlength=len(self.names))
        there = self._there()
        wanted = self._wanted(there, size)
        starts = np.cumsum(count) - count
        limits = np.array(
            [
                pool.keys[start + some] if some < all_ else limit
                for start, some, all_, limit in zip(starts, np.minimum(wanted, there), count, self._limit, strict=True)
            ],
            np.uint64,
        )
        inside = np.flatnonzero(_rank(pool.codes) < np.minimum(wanted, there)[pool.codes])
        by_key = inside[np.lexsort((TOP - limits[pool.codes[inside]], pool.keys[inside]))]
        return wanted, by_key[_rank(pool.keys[by_key]) == 0], limits

    def _there(self) -> Indices:
        """Pages of each stratum that can be drawn: where some were let go, the last that is held is the limit."""
        return np.bincount(self._pool.codes, minlength=len(self.names)) - (self._limit < TOP)

    def _wanted(self, there: Indices, size: int | None) -> Indices:
        if size is None:
            return there
        if isinstance(self.plan.strata, Mapping):
            return proportionally(list(self.plan.strata.values()), size)
        if self.plan.strata == "equal":
            return equally(there, size)
        return proportionally(self._pages(), size, most=there)

    def _pages(self) -> NDArray[np.float64]:
        """Distinct pages of each stratum: its rows over the mean number of copies of the pages that are held, a uniform
        sample of which all copies were counted."""
        held = np.bincount(self._pool.codes, minlength=len(self.names))
        copies = np.bincount(self._pool.codes, weights=self._pool.copies, minlength=len(self.names))
        return self.rows * held / np.maximum(copies, 1)

    def _page_limits(self, chosen: Indices, limits: Keys) -> list[int]:
        pool, found = self._pool, []
        for i in chosen:
            code = int(pool.codes[i])
            limit = int(limits[code])
            found.append(min(limit, self._host_limit.get((code, pool.hosts[i]), limit)) if self._host_limit else limit)
        return found

    def _by_stratum(self, chosen: Indices, limits: Keys) -> list[Stratum]:
        pages, there = self._pages(), self._there()
        wanted = self._wanted(there, self.plan.size)
        drawn = np.bincount(self._pool.codes[chosen], minlength=len(self.names))
        return [
            Stratum(
                name=name,
                rows=int(self.rows[code]),
                pages=float(pages[code]),
                wanted=int(wanted[code]),
                drawn=int(drawn[code]),
                there=int(there[code]),
                probability=_unit(int(limits[code])),
            )
            for code, name in enumerate(self.names)
        ]


def _distinct(keys: Keys, codes: Indices, copies: Indices | None = None) -> tuple[Indices, Indices]:
    """The first entry of each key in each stratum, sorted by stratum and key, and how many entries it stands for."""
    if not len(keys):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    order = np.lexsort((keys, codes))
    starts = np.flatnonzero(_rank(codes[order], keys[order]) == 0)
    each = np.ones(len(keys), np.int64) if copies is None else copies
    return order[starts], np.add.reduceat(each[order], starts)


def _rank(*sorted_columns: NDArray[Any]) -> Indices:
    """The place of each entry in its run of equal entries, from 0."""
    count = len(sorted_columns[0])
    fresh = np.zeros(count, np.bool_)
    fresh[:1] = True
    for column in sorted_columns:
        fresh[1:] |= column[1:] != column[:-1]
    place = np.arange(count)
    return place - np.maximum.accumulate(np.where(fresh, place, 0))


def _unit(limit: int) -> float:
    return 1.0 if limit >= int(TOP) else int(limit) / SPAN
