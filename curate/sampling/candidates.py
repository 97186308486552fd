"""One pass over a source that draws pages from it: which rows count, their keys and strata, and what is held of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.errors import BadInput, CurateError
from curate.progress import Progress
from curate.sampling.draw import Draw, Drawn, Indices, Plan, Stratum, blank, keys_of
from curate.sampling.visible import Visible, used_columns
from curate.schema import PAGES
from curate.sources import Batch, Shard, Skips, Source, read
from curate.sources.columns import unified
from curate.store import Expressions

NO_TEXT = "no text"
NOT_WHERE = "left out by where"
UNASKED = "in no stratum asked for"
NONE = "null"
"""The stratum of pages whose `by` has no value."""
MOST_VALUES = 1_000_000
"""Values that bin edges are found from."""
NO_COLUMN = ""


@dataclass(frozen=True)
class Frame:
    """Which pages can be drawn, and what their stratum is."""

    where: str = ""
    by: str = ""
    bins: int | None = None


@dataclass(frozen=True)
class Bins:
    """The quantiles of a number that its strata are cut at."""

    edges: list[float]
    approximate: bool
    """Whether they are of a random part of the values."""

    def names(self) -> list[str]:
        """A name for each bin, then one for no value."""
        edges = [f"{edge:.6g}" for edge in self.edges]
        if not edges:
            return ["all", NONE]
        middle = [f"{low} to {high}" for low, high in pairwise(edges)]
        return [f"below {edges[0]}", *middle, f"from {edges[-1]}", NONE]

    def of(self, values: NDArray[np.float64]) -> list[str]:
        """The bin of each value: from its lower edge on, below its upper one."""
        place = np.searchsorted(self.edges, values, side="right")
        place[np.isnan(values)] = len(self.edges) + 1
        names = self.names()
        return [names[i] for i in place.tolist()]


@dataclass(frozen=True)
class Candidates:
    """Pages that were drawn in one pass, in the order of their keys, and what was met on the way."""

    pages: list[dict[str, Any]]
    held: pa.Table
    """The other columns of their rows, as they came, and one without name that counts them."""
    strata: list[str]
    probability: NDArray[np.float64]
    rank: NDArray[np.float64]
    """A number in [0, 1) for each page, uniform given that it was drawn: its key as a share of its threshold."""
    copies: Indices
    by_stratum: list[Stratum]
    seen: int
    """Rows with text."""
    again: int
    """Rows whose page was in the sample already."""
    bins: Bins | None

    @property
    def extras(self) -> pa.Table:
        """The other columns of their rows, as they came."""
        return self.held.select([name for name in self.held.column_names if name != NO_COLUMN])

    def take(self, places: Sequence[int]) -> "Candidates":
        """Some of the pages."""
        index = np.asarray(places, np.int64)
        return Candidates(
            pages=[self.pages[i] for i in index],
            held=self.held.take(pa.array(index)),
            strata=[self.strata[i] for i in index],
            probability=self.probability[index],
            rank=self.rank[index],
            copies=self.copies[index],
            by_stratum=self.by_stratum,
            seen=self.seen,
            again=self.again,
            bins=self.bins,
        )


@dataclass(frozen=True)
class _Chunk:
    """Rows of one batch that may be drawn."""

    pages: list[dict[str, Any]]
    extras: pa.Table

    def take(self, indices: Any) -> "_Chunk":
        return _Chunk([self.pages[i] for i in indices.to_pylist()], self.extras.take(indices))


def draw_from(
    source: Source,
    shards: list[Shard],
    frame: Frame,
    *,
    plan: Plan,
    seed: str,
    skips: Skips,
    progress: Progress,
    exclude: Sequence[str] = (),
    key: str = "sample",
) -> Candidates:
    """Draw pages of a source, none whose text is one of `exclude`. `key` is what the settings are called in errors.

    Raises BadInput for an expression that cannot be evaluated, for no page with text, and for a condition that no page
    meets; CurateError for a shard that cannot be read.
    """
    expressions = _expressions(source, shards, frame, key)
    bins = (
        _find_bins(source, shards, frame, expressions, seed=seed, progress=progress, key=key)
        if frame.bins and expressions
        else None
    )
    known = keys_of(pa.array(exclude, pa.large_string()), seed) if exclude else None
    walk = _Walk(Draw(plan, exclude=known), seed, expressions, bins, skips, source)
    total = sum(s.rows or 0 for s in shards) if all(s.rows is not None for s in shards) else None
    with progress.task("sample: reading pages", total) as task:
        for shard in shards:
            for batch in read(source, shard, skips=skips):
                walk.offer(batch)
                task.advance(len(batch))
    drawn = walk.draw.finish()
    skips.add(UNASKED, walk.draw.unasked)
    if not drawn.rows:
        raise _nothing(source, frame, walk, skips, key)
    return _candidates(drawn, walk, bins)


class _Walk:
    """What happens to each batch."""

    def __init__(
        self,
        draw: Draw[_Chunk],
        seed: str,
        expressions: Expressions | None,
        bins: Bins | None,
        skips: Skips,
        source: Source,
    ) -> None:
        self.draw, self.seed, self.expressions, self.bins = draw, seed, expressions, bins
        self.skips, self.source = skips, source
        self.seen = 0
        self._visible = Visible(source)

    def offer(self, batch: Batch) -> None:
        empty = blank(batch.text)
        self.skips.add(NO_TEXT, int(empty.sum()))
        self.seen += len(empty) - int(empty.sum())
        rows, strata = np.flatnonzero(~empty), None
        if self.expressions is not None:
            found = self.expressions(self._visible(batch, self.expressions))
            met = found.column("row").to_numpy()
            inside = ~empty[met]
            self.skips.add(NOT_WHERE, len(rows) - int(inside.sum()))
            rows, strata = met[inside], self._strata(found, inside)
        keys = keys_of(batch.text, self.seed, rows if len(rows) < len(empty) else None)
        self.draw.offer(keys, strata, lambda index: _bring(batch, rows[index]))

    def _strata(self, found: pa.Table, inside: NDArray[np.bool_]) -> Sequence[str] | pa.Array | None:
        if "by" not in found.column_names:
            return None
        values = found.column("by").filter(pa.array(inside)).combine_chunks()
        if self.bins is None:
            return pc.fill_null(values, NONE)
        return self.bins.of(np.asarray(values.to_numpy(zero_copy_only=False), np.float64))


def _bring(batch: Batch, rows: Indices) -> tuple[_Chunk, list[str]]:
    places = rows.tolist()
    pages = [batch.page(i) for i in places]
    return _Chunk(pages, _unclashing(batch.extras(places), len(places))), [page["host"] for page in pages]


def _unclashing(extras: pa.Table, rows: int) -> pa.Table:
    """Under names that are not ours, and with a column that says how many rows there are, should there be no other."""
    names = [f"source_{name}" if name in PAGES.names else name for name in extras.column_names]
    return pa.table([*extras.columns, pa.nulls(rows)], names=[*names, NO_COLUMN])


def _expressions(source: Source, shards: list[Shard], frame: Frame, key: str) -> Expressions | None:
    """The condition and strata, tried on the first rows; None where there are neither."""
    if not frame.where and not frame.by:
        return None
    kind = "DOUBLE" if frame.bins else "VARCHAR"
    values = {"by": f"CAST(({frame.by}\n) AS {kind})"} if frame.by else {}
    expressions = Expressions(values, where=frame.where, key=key)
    for shard in shards:
        first = next(iter(read(source, shard, batch_rows=1000)), None)
        if first is not None:
            expressions.check(Visible(source)(first, expressions))
            break
    return expressions


def _find_bins(
    source: Source,
    shards: list[Shard],
    frame: Frame,
    expressions: Expressions,
    *,
    seed: str,
    progress: Progress,
    key: str,
) -> Bins:
    """The quantiles of `by` over the rows that meet the condition: a pass over the columns that these two use."""
    values: list[NDArray[np.float64]] = []
    share, held, random = 1.0, 0, np.random.default_rng([*seed.encode()])
    visible, total = Visible(source), sum(s.rows or 0 for s in shards) or None
    with progress.task("sample: finding the bins", total) as task:
        for shard in shards:
            for batch in read(source, shard, columns=used_columns(source, shard, expressions)):
                found = expressions(visible(batch, expressions)).column("by").drop_null().to_numpy()
                values.append(found[random.random(len(found)) < share] if share < 1 else found)
                held += len(values[-1])
                while held > MOST_VALUES:
                    share /= 2
                    values = [(all_ := np.concatenate(values))[random.random(len(all_)) < 0.5]]
                    held = len(values[0])
                task.advance(len(batch))
    numbers = np.concatenate(values) if values else np.zeros(0)
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers):
        raise BadInput(f"{key}.by: {frame.by!r} has no number on any page, so there is nothing to cut into bins")
    edges = np.unique(np.quantile(numbers, np.arange(1, frame.bins or 1) / (frame.bins or 1), method="lower"))
    return Bins([float(edge) for edge in edges if edge > numbers.min()], share < 1)


def _nothing(source: Source, frame: Frame, walk: _Walk, skips: Skips, key: str) -> CurateError:
    """Why no page was drawn."""
    if not walk.seen:
        return BadInput(
            f"source.text: none of {skips.counts.get(NO_TEXT, 0):,} pages has text in column {source.text!r}"
        )
    why = ", ".join(f"{n:,} {reason}" for reason, n in skips.counts.items())
    again = f"; {walk.draw.passed:,} are in the sample already" if walk.draw.passed else ""
    what = f"where {frame.where!r}" if frame.where else f"by {frame.by!r}" if frame.by else "pages"
    return BadInput(f"{key}: {what} leaves no page of {walk.seen:,} with text ({why or 'none skipped'}){again}")


def _candidates(drawn: Drawn[_Chunk], walk: _Walk, bins: Bins | None) -> Candidates:
    chunks: dict[int, tuple[_Chunk, list[int], list[int]]] = {}
    for place, (chunk, row) in enumerate(drawn.rows):
        _, rows, places = chunks.setdefault(id(chunk), (chunk, [], []))
        rows.append(row)
        places.append(place)
    joined = unified([chunk.extras.take(pa.array(rows, pa.int64())) for chunk, rows, _ in chunks.values()])
    back = np.argsort(np.concatenate([places for _, _, places in chunks.values()]))
    return Candidates(
        pages=[chunk.pages[row] for chunk, row in drawn.rows],
        held=joined.take(pa.array(back)),
        strata=drawn.strata,
        probability=drawn.probability,
        rank=drawn.keys / 2.0**64 / drawn.probability,
        copies=drawn.copies,
        by_stratum=drawn.by_stratum,
        seen=walk.seen,
        again=walk.draw.passed,
        bins=bins,
    )
