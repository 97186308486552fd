"""label: take over labels that exist, count what people have given, and say what is missing."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from curate.errors import BadInput
from curate.metrics import worth_keeping
from curate.progress import Progress
from curate.rubric import Rubric
from curate.schema import fingerprint
from curate.sources import Batch, Shard, Source, read
from curate.store import Store

COLUMNS = ("level", "rater", "note", "criteria", "at")


class LabelFile(BaseModel):
    """A file of labels to take over. Without `path`, labels are columns of the source itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = ""
    """Parquet or JSONL file, relative to the pipeline file; empty: the source."""
    match: str = "text"
    """How rows find their page: `text` or `url` (that column is compared) or `page_id`."""
    column: str = ""
    """Column of the text, URL or page id; empty: the name in `match`."""
    level: str = "level"
    """Column of the level."""
    map: dict[str, int] = Field(default_factory=dict)
    """Values of that column and the levels they stand for; empty: they are levels."""
    rater: str = ""
    """Column of the rater's name; empty: all are one rater."""
    rater_name: str = "imported"
    """The rater's name where there is no column."""
    note: str = ""
    """Column of the rater's note."""
    criteria: str = ""
    """Column of an object of criterion to level."""


class Settings(BaseModel):
    """Settings of `label`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    needed: int = Field(100, gt=0)
    """Labelled pages without which tuning does not begin."""
    needed_a_class: int = Field(3, gt=0)
    """Pages worth keeping, and pages not, that train, val and test must each have."""
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

    Raises BadInput for a level that the rubric does not have or a label file none of whose rows finds a page.
    """
    drawn = store.sql("SELECT page_id, url, split FROM pages", scopes={"pages": pages}).to_pylist()
    imported = unmatched = 0
    if settings.labels_from and labels_source:
        imported, unmatched = _take_over(store, settings.labels_from, rubric, labels_source, drawn, progress)
    return _count(settings, rubric, current(store.rows("labels")), drawn, imported, unmatched)


def current(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each rater's last word on each page; a page that the rater took back, skipped or flagged has none."""
    last: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda r: (str(r["at"]), str(r["label_id"]))):
        last[row["page_id"], row["rater"]] = row
    return [dict(row) for row in last.values() if row["level"] is not None]


def label_row(rubric: Rubric, page_id: str, rater: str, **given: Any) -> dict[str, Any]:
    """A row of the `labels` table, named by its content."""
    criteria = given.get("criteria") or {}
    row = {
        "page_id": page_id,
        "rater": rater,
        "level": given.get("level"),
        "criteria": json.dumps(criteria, sort_keys=True) if criteria else None,
        "note": given.get("note") or "",
        "flag": given.get("flag") or "",
        "at": given.get("at") or "",
        "seconds": given.get("seconds"),
        "shown": given.get("shown") or "",
        "assisted": bool(given.get("assisted")),
    }
    return {"label_id": fingerprint(row), **row, "rubric_hash": rubric.hash}


def labels_fingerprint(rows: Iterable[Mapping[str, Any]]) -> str:
    """The name of a set of labels: its label ids."""
    return fingerprint(sorted(str(row["label_id"]) for row in rows))


def _take_over(
    store: Store,
    wanted: LabelFile,
    rubric: Rubric,
    labels_source: tuple[Source, list[Shard]],
    drawn: list[dict[str, Any]],
    progress: Progress,
) -> tuple[int, int]:
    source, shards = labels_source
    known = {row["url"] if wanted.match == "url" else row["page_id"]: row["page_id"] for row in drawn}
    have = set(store.sql("SELECT label_id FROM labels").column("label_id").to_pylist())
    rows, unmatched, seen = [], 0, 0
    with progress.task("label: taking over labels", None) as task:
        for shard in shards:
            for batch in read(source, shard):
                for i, values in enumerate(_values(wanted, batch)):
                    if values["level"] is None:
                        continue
                    seen += 1
                    page = known.get(_match_key(wanted, batch, i))
                    unmatched += page is None
                    if page is not None:
                        rows.append(_row(wanted, rubric, page, values, shard))
                task.advance(len(batch.text))
    if seen and not rows:
        raise BadInput(
            f"label.labels_from: none of {seen} labels in {shards[0].path} matches a sampled page by {wanted.match}; "
            f"match by text, url or page_id, or sample more pages (sample.pages=null: all)"
        )
    new = list({row["label_id"]: row for row in rows if row["label_id"] not in have}.values())
    if new:
        store.append("labels", new, part=labels_fingerprint(new))
    return len(new), unmatched


def _values(wanted: LabelFile, batch: Batch) -> list[dict[str, Any]]:
    names = {key: getattr(wanted, key, "") for key in COLUMNS} | {"at": "at"}
    columns = {
        key: batch.table.column(name).to_pylist() if name in batch.table.column_names else [None] * len(batch.text)
        for key, name in names.items()
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _match_key(wanted: LabelFile, batch: Batch, i: int) -> str:
    return batch.url[i] if wanted.match == "url" else batch.page_id[i]


def _row(wanted: LabelFile, rubric: Rubric, page: str, values: Mapping[str, Any], shard: Shard) -> dict[str, Any]:
    criteria = values["criteria"]
    criteria = json.loads(criteria) if isinstance(criteria, str) and criteria else criteria
    return label_row(
        rubric,
        page,
        str(values["rater"] or wanted.rater_name),
        level=_level(wanted, rubric, values["level"], shard),
        criteria={k: v for k, v in (criteria or {}).items() if v is not None},
        note=str(values["note"] or ""),
        at=str(values["at"] or ""),
    )


def _level(wanted: LabelFile, rubric: Rubric, value: Any, shard: Shard) -> int:
    if wanted.map:
        level = wanted.map.get(str(value))
        allowed = ", ".join(wanted.map)
    else:
        level = int(value) if isinstance(value, (int, float, bool)) or str(value).isdigit() else None
        level = level if level in rubric.levels else None
        allowed = f"0..{rubric.top}"
    if level is None or level not in rubric.levels:
        raise BadInput(
            f"label.labels_from: {shard.path}: column {wanted.level}: {value!r} is no level (allowed: {allowed}); see label.labels_from.map"
        )
    return level


def _count(
    settings: Settings,
    rubric: Rubric,
    labels: list[dict[str, Any]],
    drawn: list[dict[str, Any]],
    imported: int,
    unmatched: int,
) -> Report:
    split = {row["page_id"]: row["split"] for row in drawn}
    labels = [row for row in labels if row["page_id"] in split]
    given: dict[str, list[int]] = {}
    for row in labels:
        given.setdefault(row["page_id"], []).append(row["level"])
    means = [sum(levels) / len(levels) for levels in given.values()]
    worth = dict(zip(given, worth_keeping(means, rubric.keep).tolist(), strict=True))
    splits = {
        name: {
            "keep": sum(1 for page, keep in worth.items() if keep and split[page] == name),
            "drop": sum(1 for page, keep in worth.items() if not keep and split[page] == name),
        }
        for name in ("train", "val", "test")
    }
    missing = max(0, min(settings.needed, len(drawn)) - len(given))
    return Report(
        labels=len(labels),
        labelled_pages=len(given),
        raters=dict(Counter(row["rater"] for row in labels)),
        splits=splits,
        levels={str(level): sum(1 for row in labels if row["level"] == level) for level in rubric.levels},
        imported=imported,
        unmatched=unmatched,
        missing=missing,
        problems=[] if missing else _problems(settings, splits),
    )


def _problems(settings: Settings, splits: Mapping[str, Mapping[str, int]]) -> list[str]:
    words = {"keep": "worth keeping", "drop": "not worth keeping"}
    return [
        f"{name} has {counts[side]} labelled pages {words[side]}, {settings.needed_a_class} are needed"
        for name, counts in splits.items()
        for side in ("keep", "drop")
        if counts[side] < settings.needed_a_class
    ]
