"""filter: the classifier scores the whole corpus, and the pages worth keeping are written as shards of their own."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, field_validator

from curate.classifier import PageClassifier, Threshold, f1_threshold, threshold_at, threshold_for
from curate.embed import Embedder
from curate.engines.local import map_shards
from curate.errors import BadInput, did_you_mean
from curate.progress import Progress, Task
from curate.sampling.visible import Visible, used_columns
from curate.schema import DECISIONS, SCORES, fingerprint
from curate.sources import Batch, Shard, Skips, Source, columns_of, read, schema, source_fingerprint
from curate.sources.columns import as_type, fields_of
from curate.store import Expressions, Store, whole

KEPT, BELOW, NO_TEXT, DUPLICATE = "kept", "below the threshold", "no text", "exact duplicate of an earlier page"
OUTSIDE = "left out by where"
OWN_COLUMNS = ("curate_page_id", "curate_score", "curate_tier")
SCORED_COLUMNS = ("text", "url", "id")


class Settings(BaseModel):
    """Settings of `filter`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: Source | None = None
    """The corpus to filter; null: the pipeline's source."""
    where: str = ""
    """Only pages that meet this SQL condition are scored and may be kept; names as in sample.where."""
    aim: str = "f1"
    """How the threshold is chosen on held-out human labels: `f1` (the highest that the calibrated probabilities promise),
    `precision>=0.9`, `recall>=0.9`; or `threshold=0.5`, given."""
    tiers: list[float] = [0.2, 0.4, 0.6, 0.8]
    """Probabilities of being worth keeping at which the next tier begins: these five bands by default."""
    drop_duplicates: bool = True
    """Keep only the first of pages with the same text."""
    by: list[str] = []
    """Columns of the corpus by whose values the report counts what was kept."""
    workers: int = Field(1, gt=0)
    """Processes that score shards."""

    @field_validator("aim")
    @classmethod
    def _known_aim(cls, aim: str) -> str:
        if not re.fullmatch(r"f1|(precision>=|recall>=|threshold=)(0?\.\d+|[01]|1\.0+)", aim):
            raise ValueError(f"aim: must be f1, precision>=0.9, recall>=0.9 or threshold=0.5 (got {aim!r})")
        return aim

    @field_validator("tiers")
    @classmethod
    def _ascending(cls, tiers: list[float]) -> list[float]:
        if tiers != sorted(set(tiers)) or any(not 0 < t < 1 for t in tiers):
            raise ValueError(f"tiers must be ascending probabilities between 0 and 1 (got {tiers})")
        return tiers


@dataclass(frozen=True)
class Report:
    """What was kept, and why the rest went."""

    pages: int
    kept: int
    chars: int
    kept_chars: int
    reasons: dict[str, int]
    tiers: dict[str, int]
    by: dict[str, dict[str, list[int]]]
    threshold: dict[str, Any]
    histogram: list[int]
    shards: int
    folder: str
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For the stage's record."""
        return asdict(self)


def run(
    store: Store,
    settings: Settings,
    *,
    source: Source,
    shards: Sequence[Shard],
    classifier_id: str,
    embedder: str,
    max_tokens: int,
    name: str,
    progress: Progress,
) -> Report:
    """Score every page once (resumed where it stopped), decide, and write `kept/<name>/`. A new threshold embeds nothing
    again.

    Raises BadInput when no shard has a column of `by`, CurateError when a shard is damaged or the disk is full.
    """
    _check_columns(settings, source, shards)
    classifier = PageClassifier.load(store.root / "classifiers" / classifier_id)
    threshold = _threshold(store, settings, classifier_id)
    condition = [settings.where] if settings.where else []
    scope = fingerprint(classifier_id, source_fingerprint(source, list(shards)), *condition)
    _condition(source, shards, settings.where)
    _sweep(store.folder("scores", scope), store.folder("decisions", name), store.root / "kept" / name)
    done = _scored_rows(store, scope)
    total = sum(s.rows or 0 for s in shards) if all(s.rows is not None for s in shards) else None
    with progress.task("filter: scoring pages", total) as task:
        if settings.workers == 1:
            work: Callable[[Shard], int] = partial(
                _score_shard,
                store,
                source,
                scope,
                done,
                classifier,
                _lazily(embedder, max_tokens, classifier),
                settings.where,
                task,
            )
        else:
            work = partial(
                _score_alone, str(store.root), source, scope, done, classifier_id, embedder, max_tokens, settings.where
            )
        for _, count in map_shards(work, shards, workers=settings.workers):
            task.advance(count)
    decisions = _decide(store, settings, scope, threshold, classifier_id)
    by: dict[str, dict[str, list[int]]] = {column: {} for column in settings.by}
    skips = Skips()
    with progress.task("filter: writing shards", len(shards)) as task:
        for shard in shards:
            rows = decisions.get(shard.name, DECISIONS.empty_table())
            store.append("decisions", rows, scope=name, part=shard.name)
            _write_kept(store.root / "kept" / name / _kept_name(shard), source, shard, rows, by, skips)
            task.advance()
    return _report(store, settings, name, threshold, by, len(shards), skips)


def _lazily(embedder: str, max_tokens: int, classifier: PageClassifier) -> Callable[[], Embedder]:
    """The embedder, loaded when the first page needs it: a new threshold needs none.

    Raises BadInput when it is not the one that the classifier was trained on.
    """
    made: list[Embedder] = []

    def give() -> Embedder:
        if not made:
            found = Embedder(embedder, max_tokens=max_tokens)
            if found.id != classifier.embedder_id:
                raise BadInput(
                    f"distill.embedder: {embedder} is not what classifier {classifier.id} was trained on; put its old "
                    f"files back, or run from distill again"
                )
            made.append(found)
        return made[0]

    return give


def _sweep(*folders: Path) -> None:
    """Remove what a killed run had begun to write."""
    for folder in folders:
        for path in folder.glob(".*.tmp"):
            path.unlink(missing_ok=True)


def _scored_rows(store: Store, scope: str) -> dict[str, int]:
    """How many rows of each shard are scored. A shard is scored from its first row on, so its last part tells."""
    last: dict[str, tuple[int, Path]] = {}
    for path in store.parts("scores", scope):
        shard, _, first = path.name.removeprefix("part-").removesuffix(".parquet").rpartition("-")
        last[shard] = max(last.get(shard, (-1, path)), (int(first), path))
    return {shard: first + pq.read_metadata(path).num_rows for shard, (first, path) in last.items()}


def _score_alone(
    root: str,
    source: Source,
    scope: str,
    done: dict[str, int],
    classifier_id: str,
    embedder: str,
    max_tokens: int,
    where: str,
    shard: Shard,
) -> int:
    """One shard in a process of its own; gives its rows."""
    classifier = PageClassifier.load(Path(root) / "classifiers" / classifier_id)
    make = _lazily(embedder, max_tokens, classifier)
    _score_shard(Store(Path(root)), source, scope, done, classifier, make, where, None, shard)
    return shard.rows or 0


def _score_shard(
    store: Store,
    source: Source,
    scope: str,
    done: dict[str, int],
    classifier: PageClassifier,
    embedder: Callable[[], Embedder],
    where: str,
    task: Task | None,
    shard: Shard,
) -> int:
    """Score a shard batch by batch, from the first row that has no score. Progress is told to `task`."""
    scored = done.get(shard.name, 0)
    if scored == shard.rows:
        if task:
            task.advance(scored)
        return 0
    meets = _condition(source, [shard], where)
    columns = {*SCORED_COLUMNS, *meets.columns}
    for batch in read(source, shard, columns=sorted(columns), batch_rows=source.batch_pages):
        left, told = _after(batch, scored), 0

        def embedded(count: int) -> None:
            nonlocal told
            told += count
            if task:
                task.advance(count)

        if len(left):
            part = f"{shard.name}-{left.first_row:012d}"
            store.append("scores", _scored(left, classifier, embedder, meets(left), embedded), scope=scope, part=part)
        if task:
            task.advance(len(batch) - told)
    return 0


def _after(batch: Batch, row: int) -> Batch:
    """The batch without the rows before `row` of its shard; a run with other `batch_pages` may have ended within it."""
    skip = max(row - batch.first_row, 0)
    return batch.slice(skip) if skip else batch


class _Condition:
    """Which rows of a batch meet `filter.where`, (n,) of bool."""

    def __init__(self, source: Source, where: str, shards: Sequence[Shard]) -> None:
        self._expressions = Expressions({}, where=where, key="filter") if where else None
        self._visible = Visible(source)
        self.columns: set[str] = set()
        """What it reads."""
        if self._expressions:
            self.columns = {c for shard in shards for c in used_columns(source, shard, self._expressions)}

    def __call__(self, batch: Batch) -> np.ndarray:
        if self._expressions is None:
            return np.ones(len(batch), bool)
        met = np.zeros(len(batch), bool)
        met[self._expressions(self._visible(batch, self._expressions)).column("row").to_numpy()] = True
        return met

    def check(self, batch: Batch) -> None:
        """Raises BadInput, in DuckDB's words, where the condition cannot be asked."""
        if self._expressions:
            self._expressions.check(self._visible(batch, self._expressions))


def _condition(source: Source, shards: Sequence[Shard], where: str) -> _Condition:
    """The condition, tried on the first rows where there is one."""
    condition = _Condition(source, where, shards)
    first = next((b for shard in shards[:1] for b in read(source, shard, batch_rows=100)), None) if where else None
    if first is not None:
        condition.check(first)
    return condition


def _scored(
    batch: Batch,
    classifier: PageClassifier,
    embedder: Callable[[], Embedder],
    meets: np.ndarray,
    embedded: Callable[[int], None],
) -> pa.Table:
    all_texts = batch.texts()
    held = [i for i, text in enumerate(all_texts) if meets[i] and text.strip()]
    n = len(batch)
    scores = np.full(n, np.nan)
    if held:
        texts = [all_texts[i] for i in held]
        vectors = embedder().embed(texts, embedded) if classifier.needs_embedding else None
        scores[held] = classifier.probability_of(classifier.predict_texts(texts, vectors))
    columns = {
        "page_id": batch.page_ids(),
        "shard": [batch.shard.name] * n,
        "row": range(batch.first_row, batch.first_row + n),
        "url": batch.url.cast(pa.string()),
        "score": pa.array(scores, pa.float64(), from_pandas=True),
        "chars": [len(text) for text in all_texts],
        "outside": pa.array(~meets),
        "classifier_id": [classifier.id] * n,
    }
    return pa.table(columns, schema=SCORES)


def _threshold(store: Store, settings: Settings, classifier_id: str) -> Threshold:
    """The threshold for the aim, on the held-out predictions of human-labelled train and val pages."""
    held = pq.read_table(store.root / "classifiers" / f"{classifier_id}.held_out.parquet").to_pydict()
    values, keep = np.array(held["probability"]), np.array(held["keep"], bool)
    if settings.aim == "f1":
        return f1_threshold(values, keep)
    if settings.aim.startswith("threshold="):
        return threshold_at(float(settings.aim.removeprefix("threshold=")), values, keep, aim=settings.aim)
    return threshold_for(values, keep, aim=settings.aim)


def _decide(
    store: Store, settings: Settings, scope: str, threshold: Threshold, classifier_id: str
) -> dict[str, pa.Table]:
    """Decisions by shard, in row order. Duplicates are found over the whole corpus: the first by shard and row stays."""
    copies = "row_number() OVER (PARTITION BY page_id ORDER BY coalesce(outside, false), shard, row)"
    first = f"{copies} > 1" if settings.drop_duplicates else "false"
    tier = " + ".join(["0", *(f"(score >= {t})::INT" for t in settings.tiers)])
    table = store.sql(
        f"""
        WITH marked AS (SELECT *, {first} AS again FROM scores),
             reasoned AS (
               SELECT *, CASE WHEN outside THEN '{OUTSIDE}' WHEN score IS NULL THEN '{NO_TEXT}' WHEN again THEN '{DUPLICATE}'
                              WHEN score < ? THEN '{BELOW}' ELSE '{KEPT}' END AS reason FROM marked)
        SELECT page_id, shard, row, url, score, ({tier})::INT AS tier, reason = '{KEPT}' AS keep, reason, chars,
               '{classifier_id}' AS classifier_id
        FROM reasoned ORDER BY shard, row
        """,
        [threshold.value],
        scopes={"scores": scope},
    ).cast(DECISIONS)
    names = table.column("shard").to_numpy(zero_copy_only=False)
    edges = np.flatnonzero(np.r_[True, names[1:] != names[:-1], True]) if len(names) else np.array([], int)
    return {str(names[a]): table.slice(a, b - a) for a, b in pairwise(edges)}


def _kept_name(shard: Shard) -> str:
    """The input shard's name, as Parquet."""
    return shard.name if shard.format == "parquet" else f"{shard.name}.parquet"


def _write_kept(
    path: Path, source: Source, shard: Shard, decisions: pa.Table, by: dict[str, dict[str, list[int]]], skips: Skips
) -> None:
    """The kept rows with all columns they came with, and page id, score and tier beside them."""
    keep = np.array(decisions.column("keep").to_pylist(), bool)
    extra = [("curate_page_id", pa.string()), ("curate_score", pa.float64()), ("curate_tier", pa.int32())]
    found = _schema_of(source, shard)
    out = pa.schema([f for f in found if f.name not in OWN_COLUMNS] + [pa.field(n, t) for n, t in extra])
    with whole(path) as temporary, pq.ParquetWriter(temporary, out, compression="zstd") as writer:
        for batch in read(source, shard, batch_rows=source.batch_pages, skips=skips):
            table = batch.table.slice(0, max(len(keep) - batch.first_row, 0))
            mask = keep[batch.first_row : batch.first_row + table.num_rows]
            _count_by(by, table, mask)
            chosen = decisions.slice(batch.first_row, table.num_rows).filter(pa.array(mask))
            writer.write_table(_joined(table.filter(pa.array(mask)), chosen, out))


def _joined(table: pa.Table, chosen: pa.Table, out: pa.Schema) -> pa.Table:
    own = dict(zip(OWN_COLUMNS, ("page_id", "score", "tier"), strict=True))
    columns = []
    for wanted in out:
        if wanted.name in own:
            columns.append(chosen.column(own[wanted.name]).cast(wanted.type))
        elif wanted.name in table.column_names:
            columns.append(as_type(table.column(wanted.name), wanted.type))
        else:
            columns.append(pa.nulls(table.num_rows, wanted.type))
    return pa.table(columns, schema=out)


def _schema_of(source: Source, shard: Shard) -> pa.Schema:
    """The shard's columns; a file without a footer may bring new ones, or others of the same name, in any batch."""
    if shard.format in ("parquet", "warc", "wet"):
        return schema(source, shard)
    schemas = (batch.table.schema for batch in read(source, shard, batch_rows=source.batch_pages))
    return fields_of(list(dict.fromkeys(schemas)))


def _count_by(by: dict[str, dict[str, list[int]]], table: pa.Table, mask: np.ndarray) -> None:
    for column, counts in by.items():
        values = table.column(column).to_pylist() if column in table.column_names else [None] * table.num_rows
        for value, keep in zip(values, mask, strict=True):
            pair = counts.setdefault("(none)" if value is None else str(value), [0, 0])
            pair[0] += 1
            pair[1] += int(keep)


def _check_columns(settings: Settings, source: Source, shards: Sequence[Shard]) -> None:
    """Every column of `by` is in some shard: a shard without it, or with no rows, counts as (none)."""
    wanted, known = set(settings.by), set[str]()
    for shard in shards:
        if wanted <= known:
            return
        known.update(columns_of(source, shard))
    for column in settings.by:
        if column not in known:
            raise BadInput(f"filter.by: {shards[0].path} has no column {column!r}{did_you_mean(column, known)}")


def _report(
    store: Store,
    settings: Settings,
    name: str,
    threshold: Threshold,
    by: dict[str, dict[str, list[int]]],
    shards: int,
    skips: Skips,
) -> Report:
    scopes = {"decisions": name}
    rows = store.sql(
        "SELECT reason, tier, count(*) AS n, sum(chars)::BIGINT AS chars FROM decisions GROUP BY ALL", scopes=scopes
    ).to_pylist()
    bins = store.sql(
        "SELECT least(floor(score * 20), 19)::INT AS bin, count(*) AS n FROM decisions WHERE score IS NOT NULL GROUP BY ALL",
        scopes=scopes,
    ).to_pylist()
    reasons: Counter[str] = Counter()
    tiers: Counter[str] = Counter()
    for row in rows:
        reasons[row["reason"]] += row["n"]
        if row["reason"] != NO_TEXT:
            tiers[str(row["tier"])] += row["n"]
    found = {row["bin"]: row["n"] for row in bins}
    return Report(
        pages=sum(reasons.values()),
        kept=reasons[KEPT],
        chars=sum(row["chars"] or 0 for row in rows),
        kept_chars=sum(row["chars"] or 0 for row in rows if row["reason"] == KEPT),
        reasons=dict(reasons.most_common()),
        tiers={str(t): tiers[str(t)] for t in range(len(settings.tiers) + 1)},
        by=by,
        threshold={
            **asdict(threshold),
            "precision": threshold.precision.as_dict() if threshold.precision else None,
            "recall": threshold.recall.as_dict() if threshold.recall else None,
        },
        histogram=[found.get(i, 0) for i in range(20)],
        shards=shards,
        folder=str(Path("kept") / name),
        notes=[note for note in (threshold.note, *_left_out(skips)) if note],
    )


def _left_out(skips: Skips) -> list[str]:
    """What is to be said of shards that could not be read."""
    return [f"shard {name} was left out: {why}" for name, why in skips.shards.items()]
