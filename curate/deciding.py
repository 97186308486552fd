"""From scores to decisions: the threshold that an aim comes to, what is sure about it, and keep or drop for every page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.promises import LEAST_LABELS, Promise, promise
from curate.promises.giving import at_threshold
from curate.promises.ranked import Ranked
from curate.sampling import weights
from curate.schema import DECISIONS
from curate.store import Store
from curate.thresholds import Aim, aim_of, f1_threshold

KEPT, BELOW, NO_TEXT, DUPLICATE = "kept", "below the threshold", "no text", "exact duplicate of an earlier page"
OUTSIDE = "left out by where"
NO_VALUE = "(none)"


@dataclass(frozen=True)
class Held:
    """Human-labelled pages with what the classifier said of them before it had seen them: out of fold. Arrays (n,)."""

    probability: np.ndarray
    keep: np.ndarray
    weight: np.ndarray
    group: np.ndarray
    rows: Sequence[Mapping[str, Any]]
    """The pages, as in the sample; empty rows where the sample is not known."""

    def only(self, chosen: np.ndarray) -> "Held":
        """These pages alone."""
        rows = [row for row, mine in zip(self.rows, chosen, strict=True) if mine]
        return Held(self.probability[chosen], self.keep[chosen], self.weight[chosen], self.group[chosen], rows)

    def ranked(self) -> Ranked:
        """By falling probability, for what is sure at a threshold."""
        return Ranked.of(self.probability, self.keep, self.weight, self.group)

    def values(self, column: str) -> np.ndarray:
        """What each page has in a column of the sample, as text."""
        return np.array([named(row.get(column)) for row in self.rows], dtype=object)


def named(value: Any) -> str:
    """A value as a slice is named by it."""
    return NO_VALUE if value is None else str(value)


def held_out(path: Path, pages: Sequence[Mapping[str, Any]]) -> Held:
    """The pages of a classifier's held-out file, each with what it stands for and its group in the sample of `pages`;
    without a sample all weigh the same and stand alone. Labelled pages that left the sample weigh nothing."""
    held = pq.read_table(path).filter(pc.field("keep").is_valid()).to_pydict()
    names = held["page_id"]
    weight, rows = dict.fromkeys(names, 1.0), {name: {"group_id": name} for name in names}
    if pages:
        found = weights([p["round"] or 0 for p in pages], [p["inclusion_probability"] for p in pages])
        weight = {p["page_id"]: w for p, w in zip(pages, found.tolist(), strict=True)}
        rows = {p["page_id"]: dict(p) for p in pages}
    return Held(
        probability=np.array(held["probability"], float),
        keep=np.array(held["keep"], bool),
        weight=np.array([weight.get(name, 0.0) for name in names]),
        group=np.array([rows[name]["group_id"] if name in rows else name for name in names]),
        rows=[rows.get(name, {}) for name in names],
    )


def promised(held: Held, aim: str, confidence: float) -> Promise:
    """The threshold that labels choose, and what they promise. Raises BadInput where they are all the same."""
    asked = aim_of(aim)
    if asked.rate:
        return promise(
            "precision" if asked.what == "precision>=" else "recall",
            asked.number,
            score=held.probability,
            keep=held.keep,
            weight=held.weight,
            group=held.group,
            confidence=confidence,
        )
    value = asked.number if asked.what == "threshold=" else f1_threshold(held.probability, held.keep).value
    return at_threshold(value, pages=held.ranked(), aim=aim, confidence=confidence)


def promised_by_slice(held: Held, column: str, aim: str, confidence: float) -> dict[str, Promise | None]:
    """The same for each value of a column by itself, each at that confidence; None where the labels of a value are too
    few or cannot promise the aim: then the threshold of all pages holds."""
    values, found = held.values(column), dict[str, Promise | None]()
    for value in sorted(set(values.tolist())):
        mine = held.only((values == value) & (held.weight > 0))
        enough = len(mine.keep) >= LEAST_LABELS and 0 < mine.keep.sum() < len(mine.keep)
        given = promised(mine, aim, confidence) if enough else None
        found[value] = None if given is None or given.promised is False else given
    return found


def counted(
    store: Store,
    scope: str,
    held: Held,
    aim: str,
    *,
    confidence: float,
    drop_duplicates: bool,
    chars_per_token: float,
) -> Promise:
    """The threshold for a share or a budget of the corpus, counted on the scores of all its pages; what labels make sure
    there is said too."""
    asked = aim_of(aim)
    per = chars_per_token if asked.what == "tokens<=" else 1.0
    value, kept, pages, chars = _cut(store, scope, asked, per, drop_duplicates=drop_duplicates)
    here = at_threshold(value, pages=held.ranked(), aim=aim, confidence=confidence)
    share = f"{kept:,} of {pages:,} scored pages ({kept / max(pages, 1):.1%})".replace("%", " %")
    if asked.what == "tokens<=":
        share += f", about {chars / per:,.0f} tokens at {per:g} characters a token (filter.chars_per_token)"
    near = abs(kept - asked.number * pages) < 1
    note = f"counted on the corpus: {share}" + ("" if kept or not asked.number else "; not even the best page fits")
    if asked.what == "keep_rate=" and not near:
        note += "; equal scores cannot be parted"
    met = near if asked.what == "keep_rate=" else True
    return replace(here, promised=met, corpus_share=kept / max(pages, 1), note=f"{note}; {here.note}")


def _cut(store: Store, scope: str, asked: Aim, per: float, *, drop_duplicates: bool) -> tuple[float, int, int, int]:
    """A threshold, and the pages it keeps, all pages that could be kept, and the characters kept."""
    wanted = {
        "keep_rate=": "abs(kept - ? * pages)",
        "keep_rate<=": "CASE WHEN kept <= ? * pages THEN -kept END",
        "tokens<=": "CASE WHEN kept_chars <= ? THEN -kept END",
        "chars<=": "CASE WHEN kept_chars <= ? THEN -kept END",
    }[asked.what]
    (row,) = store.sql(
        f"""
        WITH {_marked(drop_duplicates)},
             levels AS (SELECT score, count(*) AS n, sum(chars) AS chars FROM marked
                        WHERE NOT coalesce(outside, false) AND score IS NOT NULL AND NOT again GROUP BY score),
             cuts AS (SELECT score, sum(n) OVER (ORDER BY score DESC) AS kept, sum(n) OVER () AS pages,
                             sum(chars) OVER (ORDER BY score DESC) AS kept_chars FROM levels)
        SELECT arg_min(score, far) AS score, arg_min(kept, far)::BIGINT AS kept, max(pages)::BIGINT AS pages,
               arg_min(kept_chars, far)::BIGINT AS chars, max(score) AS top FROM (SELECT *, {wanted} AS far FROM cuts)
        """,
        [asked.number * per],
        scopes={"scores": scope},
    ).to_pylist()
    # DuckDB's arg_min leaves out rows whose measure is NULL: no score at all where nothing fits.
    if row["score"] is None:
        return float(np.nextafter(row["top"] if row["top"] is not None else 1.0, np.inf)), 0, row["pages"] or 0, 0
    return row["score"], row["kept"], row["pages"], row["chars"]


def tier_edges(store: Store, scope: str, quantiles: Sequence[float], *, drop_duplicates: bool) -> list[float]:
    """Where quantiles of the corpus' scores lie; of a corpus without scores, at the quantiles themselves."""
    (row,) = store.sql(
        f"WITH {_marked(drop_duplicates)} SELECT quantile_cont(score, {list(quantiles)}) AS edges FROM marked "
        "WHERE NOT coalesce(outside, false) AND score IS NOT NULL AND NOT again",
        scopes={"scores": scope},
    ).to_pylist()
    return list(row["edges"] or quantiles)


def _marked(drop_duplicates: bool) -> str:
    """The scores, each with whether a page before it has the same text: over the whole corpus, the first by shard and row
    stays."""
    copies = "row_number() OVER (PARTITION BY page_id ORDER BY coalesce(outside, false), shard, row)"
    return f"marked AS (SELECT *, {f'{copies} > 1' if drop_duplicates else 'false'} AS again FROM scores)"


def decide(
    store: Store,
    scope: str,
    *,
    threshold: float,
    tiers: Sequence[float],
    drop_duplicates: bool,
    classifier_id: str,
) -> dict[str, pa.Table]:
    """Decisions by shard, in row order."""
    tier = " + ".join(["0", *(f"(score >= {t!r})::INT" for t in tiers)])
    table = store.sql(
        f"""
        WITH {_marked(drop_duplicates)},
             reasoned AS (
               SELECT *, CASE WHEN outside THEN '{OUTSIDE}' WHEN score IS NULL THEN '{NO_TEXT}' WHEN again THEN '{DUPLICATE}'
                              WHEN score < ? THEN '{BELOW}' ELSE '{KEPT}' END AS reason FROM marked)
        SELECT page_id, shard, row, url, score, ({tier})::INT AS tier, reason = '{KEPT}' AS keep, reason, chars, said,
               '{classifier_id}' AS classifier_id
        FROM reasoned ORDER BY shard, row
        """,
        [threshold],
        scopes={"scores": scope},
    ).cast(DECISIONS)
    names = table.column("shard").to_numpy(zero_copy_only=False)
    edges = np.flatnonzero(np.r_[True, names[1:] != names[:-1], True]) if len(names) else np.array([], int)
    return {str(names[a]): table.slice(a, b - a) for a, b in pairwise(edges)}


def by_own_threshold(decisions: pa.Table, threshold: np.ndarray) -> pa.Table:
    """The decisions (n,) made again, each by the threshold of its slice (n,)."""
    reason = np.array(decisions.column("reason").to_pylist(), dtype=object)
    open_ = (reason == KEPT) | (reason == BELOW)
    score = np.array(decisions.column("score").to_numpy(zero_copy_only=False), float)
    reason[open_] = np.where(score[open_] >= threshold[open_], KEPT, BELOW)
    table = decisions.set_column(DECISIONS.get_field_index("keep"), "keep", pa.array(reason == KEPT))
    return table.set_column(DECISIONS.get_field_index("reason"), "reason", pa.array(reason.tolist(), pa.string()))
