"""label: take over labels that exist, count what people have given, and say what is missing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from curate.errors import BadInput
from curate.labels.parsing import absent, allowed_levels, criteria_of, level_of, mapped_level, said, time_of
from curate.labels.truth import How, by_page, counts, truth_of
from curate.labels.words import current, label_row, labels_fingerprint
from curate.progress import Progress
from curate.rubric import Rubric
from curate.schema import page_id
from curate.sources import Batch, Shard, Source, read
from curate.store import Store

__all__ = [
    "LabelFile", "Report", "Settings", "allowed_levels", "current", "label_row", "labels_fingerprint", "level_of", "run",
]  # fmt: skip

COLUMNS = ("level", "rater", "note", "criteria", "at")
MATCHED = ("text", "url", "id")


class LabelFile(BaseModel):
    """A file of labels to take over. Without `path`, labels are columns of the source itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    path: str = ""
    """Parquet or JSONL file, relative to the pipeline file; empty: the source."""
    match: Literal["text", "url", "page_id"] = "text"
    """How rows find their page: `text` or `url` (that column is compared) or `page_id`."""
    column: str = ""
    """Column of the text, URL or page id; empty: the name in `match`."""
    level: str = "level"
    """Column of the level."""
    map: dict[str, int | str] = Field(default_factory=dict)
    """Values of that column and the levels (or classes) they stand for; empty: they are levels, or names of classes.
    Booleans are `"true"` and `"false"`."""
    rater: str = ""
    """Column of the rater's name; empty: all are one rater."""
    rater_name: str = "imported"
    """The rater's name where there is no column."""
    note: str = ""
    """Column of the rater's note."""
    criteria: str = ""
    """Column of an object of criterion to level."""

    @field_validator("map", mode="before")
    @classmethod
    def _as_text(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        if any(isinstance(value, bool) for value in given):
            raise ValueError(
                "map: quote yes, no, true and false, which YAML reads as booleans, as in {'yes': 1, 'no': 0}"
            )
        return {said(value): level for value, level in given.items()}


class Settings(BaseModel):
    """Settings of `label`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    needed: int = Field(100, gt=0)
    """Labelled pages without which tuning does not begin."""
    needed_a_class: int = Field(3, gt=0)
    """Pages worth keeping, and pages not, that train, val and test must each have; of a quiz, pages of two classes."""
    overlap: float = Field(0.3, ge=0, le=1)
    """Share of train and val pages that want two raters: how well people agree is measured on them. It holds nobody up."""
    raters_test: int = Field(2, ge=1)
    """Raters that each page of the sealed test wants."""
    duplicates: bool = False
    """Whether people label near-duplicates of a page too, not only one page of each set of near-duplicates."""
    worthwhile_gain: float = Field(0.01, gt=0, lt=1)
    """AUC that as many labels again must bring for `curate labels curve` to say: label on."""
    consensus: How = "mean"
    """What several raters of a page say together: the `mean` of their levels, the `median`, the `majority` (classes
    always), or `dawid_skene`: each rater counts by how far the others bear them out, where 30 pages have two raters. A word of adjudication settles the page."""
    labels_from: LabelFile | None = None
    """A file of labels to take over before counting."""


@dataclass(frozen=True)
class Report:
    """What people have said so far."""

    labels: int
    labelled_pages: int
    raters: dict[str, int]
    splits: dict[str, dict[str, int]]
    levels: dict[str, int]
    imported: int
    unmatched: int
    missing: int
    problems: list[str] = field(default_factory=list)

    @property
    def enough(self) -> bool:
        """Whether tuning may begin."""
        return not self.missing and not self.problems

    def as_dict(self) -> dict[str, Any]:
        """For the stage's record."""
        return asdict(self)


def run(
    store: Store,
    settings: Settings,
    *,
    rubric: Rubric,
    labels_source: tuple[Source, list[Shard]] | None,
    pages: str,
    progress: Progress,
) -> Report:
    """Take over `labels_from` (once: the same label twice is one label), then count against pages/<pages>.

    Raises BadInput for a level or criterion that the rubric does not have, or when none of the labels finds a page.
    """
    drawn = store.sql("SELECT page_id, url, split, duplicate_of FROM pages", scopes={"pages": pages}).to_pylist()
    imported = unmatched = 0
    if settings.labels_from and labels_source:
        known = _known(store, settings.labels_from, pages)
        imported, unmatched = _take_over(store, settings.labels_from, rubric, labels_source, known, progress)
    return _count(settings, rubric, current(store.rows("labels")), drawn, imported, unmatched)


def _take_over(
    store: Store,
    wanted: LabelFile,
    rubric: Rubric,
    labels_source: tuple[Source, list[Shard]],
    known: Mapping[str, str],
    progress: Progress,
) -> tuple[int, int]:
    source, shards = labels_source
    have = set(store.sql("SELECT label_id FROM labels").column("label_id").to_pylist())
    rows, unmatched, seen = [], 0, 0
    with progress.task("label: taking over labels", None) as task:
        for shard in shards:
            for batch in read(source, shard, columns=[*_names(wanted).values(), *MATCHED]):
                for i, values in enumerate(_values(wanted, batch)):
                    if absent(values["level"]):
                        continue
                    seen += 1
                    page = known.get(_match_key(wanted, batch, i))
                    unmatched += page is None
                    if page is not None:
                        rows.append(_row(wanted, rubric, page, values, shard))
                task.advance(len(batch))
    if seen and not rows:
        raise BadInput(
            f"label.labels_from: none of {seen} labels in {shards[0].path} matches a sampled page by {wanted.match}; "
            f"match by text, url or page_id, or sample more pages (sample.pages=null: all)"
        )
    last = {(row["page_id"], row["rater"], row["at"]): row for row in rows}
    time = datetime.now(UTC).isoformat(timespec="microseconds")
    new = [{**row, "at": row["at"] or time} for row in last.values() if row["label_id"] not in have]
    if new:
        store.append("labels", new, part=labels_fingerprint(new))
    return len(new), unmatched


def _known(store: Store, wanted: LabelFile, pages: str) -> dict[str, str]:
    """Page ids by what the rows of the label file say of their page. A page without a URL is found by none."""
    scopes = {"pages": pages}
    if wanted.match == "url":
        rows = store.sql("SELECT url AS key, page_id FROM pages WHERE url <> ''", scopes=scopes).to_pylist()
    elif wanted.match == "text" and wanted.path:
        rows = store.sql("SELECT text, page_id FROM pages", scopes=scopes).to_pylist()
        rows = [{"key": page_id(row["text"]), "page_id": row["page_id"]} for row in rows]
    else:
        rows = store.sql("SELECT page_id AS key, page_id FROM pages", scopes=scopes).to_pylist()
    return {row["key"]: row["page_id"] for row in rows}


def _values(wanted: LabelFile, batch: Batch) -> list[dict[str, Any]]:
    columns = {
        key: batch.table.column(name).to_pylist() if name in batch.table.column_names else [None] * len(batch)
        for key, name in _names(wanted).items()
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _names(wanted: LabelFile) -> dict[str, str]:
    """The columns of what is said of a label."""
    return {key: getattr(wanted, key, "") for key in COLUMNS} | {"at": "at"}


def _match_key(wanted: LabelFile, batch: Batch, i: int) -> str:
    if wanted.match == "url":
        return str(batch.url[i].as_py())
    return page_id(batch.text[i].as_py()) if wanted.match == "text" and wanted.path else batch.page_id(i)


def _row(wanted: LabelFile, rubric: Rubric, page: str, values: Mapping[str, Any], shard: Shard) -> dict[str, Any]:
    return label_row(
        rubric,
        page,
        wanted.rater_name if absent(values["rater"]) else said(values["rater"]),
        level=_level(wanted, rubric, values["level"], shard),
        criteria=_criteria(wanted, rubric, values["criteria"], shard),
        note="" if absent(values["note"]) else str(values["note"]),
        at=time_of(values["at"]),
    )


def _level(wanted: LabelFile, rubric: Rubric, value: Any, shard: Shard) -> int:
    try:
        return mapped_level(rubric, value, wanted.map)
    except ValueError as error:
        where = f"label.labels_from: {shard.path}: column {wanted.level}"
        raise BadInput(f"{where}: {error}; see label.labels_from.map") from error


def _criteria(wanted: LabelFile, rubric: Rubric, value: Any, shard: Shard) -> dict[str, int]:
    try:
        return criteria_of(rubric, value)
    except ValueError as error:
        raise BadInput(f"label.labels_from: {shard.path}: column {wanted.criteria}: {error}") from error


def _count(
    settings: Settings,
    rubric: Rubric,
    labels: list[dict[str, Any]],
    drawn: list[dict[str, Any]],
    imported: int,
    unmatched: int,
) -> Report:
    split = {row["page_id"]: row["split"] for row in drawn}
    labels = [row for row in labels if row["page_id"] in split and counts(row, split[row["page_id"]])]
    given = by_page(labels)
    sides = _sides(rubric, truth_of(labels, rubric, how=settings.consensus, splits=split))
    splits = {
        name: {side: sum(1 for page in pages if split[page] == name) for side, pages in sides.items()}
        for name in ("train", "val", "test")
    }
    to_label = sum(settings.duplicates or not row["duplicate_of"] for row in drawn)
    missing = max(0, min(settings.needed, to_label) - len(given))
    return Report(
        labels=len(labels),
        labelled_pages=len(given),
        raters=dict(Counter(row["rater"] for row in labels)),
        splits=splits,
        levels={name: sum(1 for row in labels if row["level"] == level) for level, name in rubric.names.items()},
        imported=imported,
        unmatched=unmatched,
        missing=missing,
        problems=[] if missing else _problems(settings, splits, quiz=not rubric.kept),
    )


def _sides(rubric: Rubric, truth: Mapping[str, float]) -> dict[str, list[str]]:
    """Pages to keep and to drop; of a quiz, where nothing is to be kept, pages by class."""
    if not rubric.kept:
        return {name: [p for p, level in truth.items() if level == place] for place, name in rubric.names.items()}
    worth = dict(zip(truth, rubric.worth(list(truth.values())).tolist(), strict=True))
    return {"keep": [p for p in worth if worth[p]], "drop": [p for p in worth if not worth[p]]}


def _problems(settings: Settings, splits: Mapping[str, Mapping[str, int]], *, quiz: bool) -> list[str]:
    least = settings.needed_a_class
    if quiz:
        return [
            f"{name} has {least} labelled pages of fewer than two classes"
            for name, counts in splits.items()
            if sum(n >= least for n in counts.values()) < 2
        ]
    words = {"keep": "worth keeping", "drop": "not worth keeping"}
    return [
        f"{name} has {counts[side]} labelled pages {words[side]}, {least} are needed"
        for name, counts in splits.items()
        for side in ("keep", "drop")
        if counts[side] < least
    ]
