"""filter: the classifier scores the whole corpus, and the pages worth keeping are written as shards of their own."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from curate import deciding
from curate.classifier import PageClassifier, Threshold, threshold_at
from curate.deciding import KEPT, NO_TEXT, Held
from curate.embed import Embedder
from curate.engines.local import map_shards
from curate.errors import BadInput, CurateError, did_you_mean
from curate.keeping import kept_name, write_kept
from curate.panel import Panel
from curate.progress import Progress, Task
from curate.promises import Promise
from curate.sampling.visible import Visible, used_columns
from curate.schema import DECISIONS, PAGES, SAID, SCORES, fingerprint
from curate.sources import Batch, Shard, Skips, Source, columns_of, read, source_fingerprint
from curate.store import Expressions, Store
from curate.thresholds import AIMS, aim_of

SCORED_COLUMNS = ("text", "url", "id")
MUCH = 0.2
"""Share of the corpus that was in the sample from which on it is said what that does to scores."""
Quantiles = dict[Literal["quantiles"], list[float]]
"""Shares of the corpus' scored pages, from the lowest score, at which the next tier begins."""


class Settings(BaseModel):
    """Settings of `filter`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: Source | None = None
    """The corpus to filter; null: the pipeline's source."""
    also: dict[str, str] = Field(default_factory=dict)
    """Other classifiers to score with, on the same look at a page, whose probability becomes a column: name to the folder of
    a classifier, or to a pipeline file, whose newest is taken. The first one alone decides."""
    where: str = ""
    """Only pages that meet this SQL condition are scored and may be kept; names as in sample.where."""
    aim: str = "f1"
    """How the threshold is chosen. On held-out human labels: `f1` (the highest to be expected from the calibrated
    probabilities), `precision>=0.9`, `recall>=0.9`. On the corpus: `keep_rate=0.2`, `keep_rate<=0.2`, `tokens<=10B`,
    `chars<=40B`. Or given: `threshold=0.5`."""
    confidence: float = Field(0.9, ge=0.5, lt=1)
    """How sure a precision or recall must be before it is promised: of all sets of labelled pages that might have been
    drawn, this share lead to no broken promise."""
    require_promise: bool = False
    """Fail where the labels cannot promise the aim, instead of keeping by the threshold whose estimate reaches it."""
    threshold_by: str = ""
    """A column of the corpus by whose values thresholds are chosen, each with a promise of its own; values with too few
    labels for one have the threshold of all pages."""
    chars_per_token: float = Field(4, gt=0)
    """Characters that count as a token in `tokens<=10B`."""
    tiers: list[float] | Quantiles = [0.2, 0.4, 0.6, 0.8]
    """Probabilities of being worth keeping at which the next tier begins, five bands by default; or
    `{quantiles: [.5, .8, .95]}` of the corpus' scores."""
    drop_duplicates: bool = True
    """Keep only the first of pages with the same text."""
    by: list[str] = []
    """Columns of the corpus by whose values the report counts what was kept."""
    workers: int = Field(1, gt=0)
    """Processes that score shards."""

    @field_validator("aim")
    @classmethod
    def _known_aim(cls, aim: str) -> str:
        try:
            aim_of(aim)
        except BadInput as error:
            raise ValueError(f"aim: must be {AIMS} (got {aim!r})") from error
        return aim

    @field_validator("tiers")
    @classmethod
    def _ascending(cls, tiers: list[float] | Quantiles) -> list[float] | Quantiles:
        given = tiers.get("quantiles", []) if isinstance(tiers, dict) else tiers
        if given != sorted(set(given)) or any(not 0 < t < 1 for t in given):
            raise ValueError(f"tiers must be ascending and between 0 and 1 (got {given})")
        return tiers

    @model_validator(mode="after")
    def _has_slices(self) -> "Settings":
        asked = aim_of(self.aim)
        if self.threshold_by and (asked.of_corpus or asked.what == "threshold="):
            raise ValueError(f"threshold_by: works with f1, precision>= and recall>= (got aim {self.aim})")
        if self.require_promise and not (asked.rate or asked.of_corpus):
            raise ValueError(f"require_promise: {self.aim} promises nothing; aim at precision>= or recall>=")
        return self


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
    """Its `aim` is what can be asked of labelled pages too: a budget of the corpus is there as the rate that it keeps."""
    promise: dict[str, Any]
    """What the threshold promises, and why not if it does not."""
    slices: dict[str, dict[str, Any] | None]
    """The promise of each value of `threshold_by`; None where it has the threshold of all pages."""
    slices_by: str
    """The column of the sample that holds those values; empty without slices."""
    tier_edges: list[float]
    histogram: list[int]
    shards: int
    folder: str
    said: list[str] = field(default_factory=list)
    """What else stands beside each page, by name."""
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
    pages: Sequence[Mapping[str, Any]] = (),
    running: Mapping[str, Any] = MappingProxyType({}),
    also: Mapping[str, Path] = MappingProxyType({}),
) -> Report:
    """Score every page once (resumed where it stopped), decide, and write `kept/<name>/`. A new threshold embeds nothing
    again. `pages` are those of the sample: what a labelled one stands for, its group and its columns.
    `running` is how the embedder is run: its backend, precision and devices. `also` are folders of other classifiers, by
    name.

    Raises BadInput when no shard has a column of `by`, CurateError when a promise is required that cannot be given, a
    shard is damaged or the disk is full.
    """
    _check_columns(settings, source, shards)
    panel = _panel(store.root / "classifiers" / classifier_id, also)
    held = deciding.held_out(store.root / "classifiers" / f"{classifier_id}.held_out.parquet", pages)
    promise, slices = _promises(settings, source, held)
    condition = [settings.where] if settings.where else []
    others = [[name, one.score_id] for name, one in panel.others.items()]
    scope = fingerprint(classifier_id, source_fingerprint(source, list(shards)), *condition, *others)
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
                panel,
                _lazily(embedder, {**running, "max_tokens": max_tokens}, panel.first),
                settings.where,
                task,
            )
        else:
            work = partial(
                _score_alone,
                str(store.root),
                source,
                scope,
                done,
                classifier_id,
                embedder,
                {**running, "max_tokens": max_tokens},
                settings.where,
                dict(also),
            )
        for _, count in map_shards(work, shards, workers=settings.workers):
            task.advance(count)
    if promise is None:
        promise = _counted(store, settings, scope, held)
    threshold, edges = _threshold(settings, held, promise), _edges(store, settings, scope)
    decisions = deciding.decide(
        store,
        scope,
        threshold=threshold.value,
        tiers=edges,
        drop_duplicates=settings.drop_duplicates,
        classifier_id=classifier_id,
    )
    by: dict[str, dict[str, list[int]]] = {column: {} for column in settings.by}
    skips = Skips()
    with progress.task("filter: writing shards", len(shards)) as task:
        for shard in shards:
            rows = decisions.get(shard.name, DECISIONS.empty_table())
            if slices:
                rows = deciding.by_own_threshold(rows, _own_thresholds(settings, source, shard, rows, promise, slices))
            store.append("decisions", rows, scope=name, part=shard.name)
            write_kept(
                store.root / "kept" / name / kept_name(shard), source, shard, rows, by, skips, said=panel.names[1:]
            )
            task.advance()
    found = _report(store, name, edges, by, len(shards), skips)
    return replace(
        found,
        threshold=_as_dict(threshold),
        promise=promise.as_dict(),
        slices_by=_sampled_column(settings, source),
        said=panel.names[1:],
        slices={value: one.as_dict() if one else None for value, one in slices.items()},
        notes=[*_notes(settings, promise, slices), *_taught(pages, found.pages), *found.notes],
    )


def _panel(folder: Path, also: Mapping[str, Path]) -> Panel:
    return Panel(PageClassifier.load(folder), {name: PageClassifier.load(path) for name, path in also.items()})


def _lazily(embedder: str, given: Mapping[str, Any], classifier: PageClassifier) -> Callable[[], Embedder]:
    """The embedder, loaded when the first page needs it: a new threshold needs none.

    Raises BadInput when it is not the one that the classifier was trained on.
    """
    made: list[Embedder] = []

    def give() -> Embedder:
        if not made:
            found = Embedder(embedder, **{**classifier.provenance.get("embedder_settings", {}), **given})
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
    given: Mapping[str, Any],
    where: str,
    also: Mapping[str, Path],
    shard: Shard,
) -> int:
    """One shard in a process of its own; gives its rows."""
    panel = _panel(Path(root) / "classifiers" / classifier_id, also)
    make = _lazily(embedder, given, panel.first)
    _score_shard(Store(Path(root)), source, scope, done, panel, make, where, None, shard)
    return shard.rows or 0


def _score_shard(
    store: Store,
    source: Source,
    scope: str,
    done: dict[str, int],
    panel: Panel,
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
            store.append("scores", _scored(left, panel, embedder, meets(left), embedded), scope=scope, part=part)
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
    panel: Panel,
    embedder: Callable[[], Embedder],
    meets: np.ndarray,
    embedded: Callable[[int], None],
) -> pa.Table:
    def vectors(one: PageClassifier, texts: Sequence[str]) -> Any:
        return (embedder() if one.embedder_id == panel.first.embedder_id else one.embedder()).embed(texts, embedded)

    all_texts = batch.texts()
    held = [i for i, text in enumerate(all_texts) if meets[i] and text.strip()]
    n = len(batch)
    scores = np.full(n, np.nan)
    said: list[list[tuple[str, float]] | None] = [None] * n
    if held:
        values = panel.said([all_texts[i] for i in held], vectors)
        scores[held] = values.pop("probability")
        rows = zip(*(column.tolist() for column in values.values()), strict=True) if values else iter(())
        for i, row in zip(held, rows, strict=False):
            said[i] = list(zip(values, row, strict=True))
    columns = {
        "page_id": batch.page_ids(),
        "shard": [batch.shard.name] * n,
        "row": range(batch.first_row, batch.first_row + n),
        "url": batch.url.cast(pa.string()),
        "score": pa.array(scores, pa.float64(), from_pandas=True),
        "chars": [len(text) for text in all_texts],
        "said": pa.array(said, SAID),
        "outside": pa.array(~meets),
        "classifier_id": [panel.first.id] * n,
    }
    return pa.table(columns, schema=SCORES)


def _promises(settings: Settings, source: Source, held: Held) -> tuple[Promise | None, dict[str, Promise | None]]:
    """The promise of labels, None where the corpus decides; and of each slice. Raises CurateError when one is required
    that cannot be given."""
    if aim_of(settings.aim).of_corpus:
        return None, {}
    found = deciding.promised(held, settings.aim, settings.confidence)
    if settings.require_promise and found.promised is False:
        what = "label more, aim lower" if found.needed else "aim lower"
        raise CurateError(f"filter.aim: {found.note}; {what}, or set filter.require_promise=false")
    column = _sampled_column(settings, source)
    return found, deciding.promised_by_slice(held, column, settings.aim, settings.confidence) if column else {}


def _sampled_column(settings: Settings, source: Source) -> str:
    """The column of `threshold_by` as the sample has it."""
    column = settings.threshold_by
    if column and column in ("lang", source.lang):
        return "lang"
    return f"source_{column}" if column in PAGES.names else column


def _counted(store: Store, settings: Settings, scope: str, held: Held) -> Promise:
    return deciding.counted(
        store,
        scope,
        held,
        settings.aim,
        confidence=settings.confidence,
        drop_duplicates=settings.drop_duplicates,
        chars_per_token=settings.chars_per_token,
    )


def _threshold(settings: Settings, held: Held, promise: Promise) -> Threshold:
    """The threshold as what it keeps of the held-out pages."""
    found = threshold_at(promise.threshold, held.probability, held.keep, aim=settings.aim)
    asked = aim_of(settings.aim)
    if asked.of_corpus:
        return replace(found, aim=f"keep_rate={promise.corpus_share or 0:.6f}", met=bool(promise.promised))
    value = promise.precision.value if asked.what == "precision>=" else promise.recall.value
    return replace(found, met=not asked.rate or value >= asked.number - 1e-9, note=promise.note)


def _edges(store: Store, settings: Settings, scope: str) -> list[float]:
    if not isinstance(settings.tiers, dict):
        return settings.tiers
    given = settings.tiers.get("quantiles", [])
    return deciding.tier_edges(store, scope, given, drop_duplicates=settings.drop_duplicates)


def _own_thresholds(
    settings: Settings,
    source: Source,
    shard: Shard,
    rows: pa.Table,
    promise: Promise,
    slices: Mapping[str, Promise | None],
) -> np.ndarray:
    """The threshold of each row's slice, (n,)."""
    own = {value: one.threshold for value, one in slices.items() if one}
    found = np.full(len(rows), promise.threshold)
    column = _column(settings, source)
    for batch in read(source, shard, columns=[column], batch_rows=source.batch_pages, skips=Skips()):
        given = batch.table.column(column).to_pylist() if column in batch.table.column_names else [None] * len(batch)
        values = [own.get(deciding.named(value), promise.threshold) for value in given]
        room = found[batch.first_row : batch.first_row + len(values)]
        room[:] = values[: len(room)]
    return found


def _column(settings: Settings, source: Source) -> str:
    """The column of `threshold_by`; `lang` stands for what is mapped to it."""
    return source.lang if settings.threshold_by == "lang" and source.lang else settings.threshold_by


def _notes(settings: Settings, promise: Promise, slices: Mapping[str, Promise | None]) -> list[str]:
    """What a reader must know of the threshold."""
    notes = [promise.note] if promise.promised is False else []
    if settings.source is not None and promise.promised is not None and aim_of(settings.aim).rate:
        notes.append(
            "the promise is of pages like those the labelled ones were drawn from; the corpus is another source"
        )
    shared = [value for value, one in slices.items() if one is None]
    if shared:
        notes.append(
            f"threshold of all pages for {settings.threshold_by} {', '.join(shared)}: their labels are too few to promise one"
        )
    return notes


def _taught(pages: Sequence[Mapping[str, Any]], corpus: int) -> list[str]:
    """That a classifier is surer of pages that taught it than of those that a threshold is chosen on."""
    part = sum(p["split"] != "test" for p in pages) / max(corpus, 1)
    if part < MUCH:
        return []
    said = f"up to {min(part, 1):.0%} of the corpus are sampled pages that may have taught the classifier".replace(
        "%", " %"
    )
    return [f"{said}: their scores are surer than the held-out ones that the threshold was chosen on"]


def _as_dict(threshold: Threshold) -> dict[str, Any]:
    return {
        **asdict(threshold),
        "precision": threshold.precision.as_dict() if threshold.precision else None,
        "recall": threshold.recall.as_dict() if threshold.recall else None,
    }


def _check_columns(settings: Settings, source: Source, shards: Sequence[Shard]) -> None:
    """Every column of `by` is in some shard: a shard without it, or with no rows, counts as (none)."""
    own = _column(settings, source)
    wanted, known = {*settings.by, *([own] if own else [])}, set[str]()
    for shard in shards:
        if wanted <= known:
            return
        known.update(columns_of(source, shard))
    for key, column in [*(("by", column) for column in settings.by), ("threshold_by", own)]:
        if column and column not in known:
            raise BadInput(f"filter.{key}: {shards[0].path} has no column {column!r}{did_you_mean(column, known)}")


def _report(
    store: Store,
    name: str,
    edges: Sequence[float],
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
        tiers={str(t): tiers[str(t)] for t in range(len(edges) + 1)},
        by=by,
        threshold={},
        promise={},
        slices={},
        slices_by="",
        tier_edges=list(edges),
        histogram=[found.get(i, 0) for i in range(20)],
        shards=shards,
        folder=str(Path("kept") / name),
        notes=_left_out(skips),
    )


def _left_out(skips: Skips) -> list[str]:
    """What is to be said of shards that could not be read."""
    return [f"shard {name} was left out: {why}" for name, why in skips.shards.items()]
