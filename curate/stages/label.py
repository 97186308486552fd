"""label: take over labels that exist, count what people have given, and say what is missing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from curate.labels.exchange import take_over
from curate.labels.labelfile import LabelFile
from curate.labels.reading import for_pipeline
from curate.labels.truth import How, by_page, counts, truth_of
from curate.labels.values import allowed_levels, level_of
from curate.labels.words import current, label_row, labels_fingerprint
from curate.progress import Progress
from curate.rubric import Rubric
from curate.sources import Shard, Source
from curate.store import Store

__all__ = [
    "LabelFile",
    "Report",
    "Settings",
    "allowed_levels",
    "count",
    "current",
    "label_row",
    "labels_fingerprint",
    "level_of",
    "run",
]


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
    always), `weighted`: each counts by how steady they are against the others, their bias taken off, where three raters
    share 30 pages, or `dawid_skene`: by a table of what each says of which pages. A word of adjudication settles the page."""
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
        imported, unmatched = _take_over(store, settings.labels_from, rubric, labels_source, pages, progress)
    return _count(settings, rubric, current(store.rows("labels")), drawn, imported, unmatched)


def _take_over(
    store: Store,
    wanted: LabelFile,
    rubric: Rubric,
    labels_source: tuple[Source, list[Shard]],
    pages: str,
    progress: Progress,
) -> tuple[int, int]:
    source, shards = labels_source
    taken = take_over(
        store,
        rubric,
        [for_pipeline(source, shard, wanted) for shard in shards],
        pages=pages,
        key="label.labels_from: ",
        hint="; see label.labels_from.map",
        progress=progress,
    )
    if taken.loosely:
        progress.say(f"label.labels_from: {taken.loosely} labels found their page only when white space was ignored")
    return taken.new, taken.unmatched


def count(settings: Settings, rubric: Rubric, labels: list[dict[str, Any]], drawn: list[dict[str, Any]]) -> Report:
    """What people have said of the `drawn` pages, by each person's last words."""
    return _count(settings, rubric, labels, drawn, 0, 0)


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
