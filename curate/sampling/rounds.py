"""One round of a sample: its pages, the groups they join, and what is known of it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.errors import BadInput, CurateError
from curate.progress import Progress
from curate.sampling import Settled, settle, split_of
from curate.sampling.candidates import Candidates, Frame, draw_from
from curate.sampling.clusters import Embed, spread
from curate.sampling.designs import Design, Round, Settings
from curate.sampling.draw import Plan, Stratum
from curate.sampling.duplicates import (
    Ints,
    Mark,
    folded_duplicates,
    marks_of,
    near_duplicates,
    representatives,
    sets_of,
)
from curate.schema import PAGES, Split
from curate.sources import Shard, Skips, Source

Row = dict[str, Any]
Informative = Callable[[Sequence[Mapping[str, Any]]], NDArray[np.float64]]
"""How much each page would teach: higher is more."""
SAME_ID = "id of another page"
OF_EARLIER = ["page_id", "host", "text", "group_id", "split", "round", "duplicate_of"]
POOL_OF_DIVERSE, POOL_OF_INFORMATIVE = 5, 10


@dataclass(frozen=True)
class Drawing:
    """One round at work."""

    settings: Settings
    design: Settings | Round
    number: int
    source: Source
    shards: list[Shard]
    progress: Progress

    def draw(
        self, earlier: pa.Table, embed: Embed | None, informative: Informative | None
    ) -> tuple[pa.Table, dict[str, Any]]:
        """The round's pages and what is known of it."""
        skips, old = Skips(), earlier.select(OF_EARLIER).to_pylist()
        pool = self._pool([row["text"] for row in old], skips)
        chosen, chance, stratum = self._chosen(pool, embed)
        marks = self._marks([*old, *chosen.pages])
        settled, kept = self._settled(chosen, old, marks, informative)
        kept = self._of_own_id(chosen, kept, old, skips)
        near = near_duplicates(
            marks[[*range(len(old)), *(len(old) + i for i in kept)]], similarity=self.settings.similarity
        )
        rows: list[Row] = [
            {
                **chosen.pages[i],
                "group_id": settled.groups[i],
                "split": settled.splits[i],
                "round": self.number,
                "how": self.design.how,
                "stratum": stratum[i] or None,
                "inclusion_probability": None if chance is None else float(chance[i]),
            }
            for i in kept
        ]
        everything = [*old, *rows]
        twins = representatives(everything, sets_of(len(everything), near))[len(old) :]
        self._one_group([row["group_id"] for row in everything])
        left_out = 0 if self.design.how == "informative" else settled.left_out
        facts = self._facts(pool, chosen.take(kept), skips, left_out) | {
            "near_duplicate_pairs": near.pairs,
            "folded_duplicates": folded_duplicates([row["text"] for row in everything]),
        }
        rows = [{**row, "duplicate_of": twin} for row, twin in zip(rows, twins, strict=True)]
        return _with_extras(rows, chosen.take(kept).extras), facts

    def _settled(
        self, chosen: Candidates, old: list[Row], marks: Mark, informative: Informative | None
    ) -> tuple[Settled, list[int]]:
        """Where the chosen pages belong, and the places of those that are kept."""
        sets = sets_of(len(marks), near_duplicates(marks, similarity=self.settings.similarity))
        settled = settle(chosen.pages, old, sets, by=self.settings.group_by, split=self._split)
        kept = [i for i, group in enumerate(settled.groups) if group is not None]
        if self.design.how == "informative" and informative is not None:
            usable = [i for i in kept if settled.splits[i] != "test"]
            kept = self._teaching(chosen, usable, sets, len(old), informative)
        return settled, kept

    @staticmethod
    def _of_own_id(chosen: Candidates, kept: list[int], old: list[Row], skips: Skips) -> list[int]:
        """The pages whose id no other page of the sample has: ids of a source's own need not be unique."""
        known = {row["page_id"] for row in old}
        alone: list[int] = []
        for i in kept:
            name = chosen.pages[i]["page_id"]
            if name not in known:
                known.add(name)
                alone.append(i)
        skips.add(SAME_ID, len(kept) - len(alone))
        return alone

    def _split(self, group: str) -> Split:
        return split_of(group, self.settings.shares.model_dump(), salt=self.settings.seed)

    def _pool(self, known: list[str], skips: Skips) -> Candidates:
        """Pages drawn by key: the round itself when it is uniform, else what it chooses from."""
        design = self.design
        size = design.pages
        if design.how != "uniform" and size is not None:
            times = POOL_OF_DIVERSE if design.how == "diverse" else POOL_OF_INFORMATIVE
            size = max(design.pool_pages or times * size, size)
        pool = draw_from(
            self.source,
            self.shards,
            Frame(design.where, design.by, design.bins),
            plan=Plan(size, design.strata, design.most_per_host),
            seed=self.settings.seed if self.number == 1 else f"{self.settings.seed}/round {self.number}",
            skips=skips,
            progress=self.progress,
            exclude=known,
            key=self._key,
        )
        if design.on_short == "refuse" and isinstance(design.strata, dict):
            _refuse_short(pool.by_stratum, design.by, self._key)
        return pool

    @property
    def _key(self) -> str:
        return "sample" if self.number == 1 else f"sample.rounds[{self.number - 2}]"

    def _chosen(self, pool: Candidates, embed: Embed | None) -> tuple[Candidates, Any, list[str]]:
        """The round's pages, the probability of each (None: nothing can be estimated from them) and its stratum."""
        design, covers = self.design, self._frame(self.design) == self._frame(self.settings)
        if design.how != "diverse" or design.pages is None:
            known = covers and design.how == "uniform"
            return pool, pool.probability if known else None, pool.strata
        texts = [page["text"] for page in pool.pages]
        with self.progress.task("sample: clustering", None):
            found = spread(
                texts, pool.rank, pages=design.pages, clusters=design.clusters, embed=embed, seed=self.number
            )
        chosen = pool.take(found.places)
        strata = [
            f"{stratum}, cluster {cluster}" if stratum else f"cluster {cluster}"
            for stratum, cluster in zip(chosen.strata, found.cluster, strict=True)
        ]
        return chosen, chosen.probability * found.probability if covers else None, strata

    @staticmethod
    def _frame(design: Design) -> Any:
        """What part of the corpus a design can draw from."""
        named = isinstance(design.strata, dict) and "*" not in design.strata
        return design.where, (design.by, sorted(design.strata)) if named else ""

    def _marks(self, pages: Sequence[Row]) -> Mark:
        with self.progress.task("sample: near-duplicates", len(pages)) as task:
            return marks_of([page["text"] for page in pages], task.advance)

    def _teaching(
        self, chosen: Candidates, usable: list[int], sets: Ints, old: int, informative: Informative
    ) -> list[int]:
        """The pages that would teach most, one of a set of near-duplicates, none of a set that is in the sample."""
        scores = np.asarray(informative([chosen.pages[i] for i in usable]), np.float64)
        if len(scores) != len(usable):
            raise CurateError(f"informative: {len(usable)} pages were given, {len(scores)} scores came back")
        taken: set[int] = set(sets[:old].tolist())
        found: list[int] = []
        for i in (usable[place] for place in np.argsort(-scores, kind="stable")):
            if int(sets[old + i]) not in taken and len(found) < (self.design.pages or 0):
                taken.add(int(sets[old + i]))
                found.append(i)
        return found

    def _one_group(self, groups: Sequence[str]) -> None:
        largest = Counter(groups).most_common(1)[0][1] if groups else 0
        if self.number == 1 and len(groups) > 20 and largest > 0.7 * len(groups):
            raise BadInput(
                f"sample.group_by: {largest} of {len(groups)} pages are one group (one host, or near-duplicates), "
                f"which cannot be split; set sample.group_by=near_duplicate, or draw from more hosts"
            )

    def _facts(self, pool: Candidates, chosen: Candidates, skips: Skips, left_out: int) -> dict[str, Any]:
        rows = sum(stratum.rows for stratum in pool.by_stratum)
        distinct = sum(stratum.pages for stratum in pool.by_stratum)
        return {
            "round": self.number,
            "how": self.design.how,
            "seen": pool.seen,
            "in_sample_already": pool.again,
            "drawn": len(chosen.pages),
            "left_out": left_out,
            "skipped": dict(skips.counts),
            "unreadable_shards": dict(skips.shards),
            "strata": [asdict(stratum) for stratum in pool.by_stratum],
            "strata_without_pages": [s.name for s in pool.by_stratum if s.rows and not s.drawn],
            "bins": asdict(pool.bins) if pool.bins else None,
            "copies_of_drawn_pages": int((chosen.copies - 1).sum()),
            "repeated_share": 1 - distinct / rows if rows else 0.0,
        }


def _refuse_short(found: Sequence[Stratum], by: str, key: str) -> None:
    short = [s for s in found if s.there < s.wanted]
    if short:
        words = "; ".join(f"{by}={s.name}: {s.wanted:,} wanted, {s.there:,} there" for s in short)
        raise CurateError(f"{key}.strata: {words}; lower its share, add pages, or set {key}.on_short=take")


def _with_extras(rows: list[Row], extras: pa.Table) -> pa.Table:
    table = pa.Table.from_pylist(rows, schema=PAGES)
    for column in extras.column_names:
        table = table.append_column(column, extras.column(column))
    return table
