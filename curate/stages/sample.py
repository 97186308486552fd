"""sample: draw pages from the corpus, find which belong together, and seal a test set."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from curate.errors import BadInput
from curate.progress import Progress
from curate.sampling import Draw, GroupBy, group_ids, near_duplicates, split_of
from curate.sources import Shard, Skips, Source, read
from curate.store import Store

NO_TEXT = "no text"


class Shares(BaseModel):
    """How groups are shared out."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    train: float = Field(0.4, gt=0)
    """Share that tuning learns from."""
    val: float = Field(0.2, gt=0)
    """Share that chooses between candidates."""
    test: float = Field(0.4, gt=0)
    """Share that is sealed for the report."""


class Settings(BaseModel):
    """Settings of `sample`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    pages: int | None = Field(2000, gt=0)
    """Pages to draw, uniformly over distinct pages; null: all."""
    seed: str = Field("curate", min_length=1)
    """Another word draws other pages."""
    shares: Shares = Shares()
    """Train, val and test shares of the groups; need not sum to 1."""
    group_by: GroupBy = "host"
    """What must not be split: `host` (hosts and near-duplicates) or `near_duplicate` alone."""
    similarity: float = Field(0.7, gt=0, lt=1)
    """Jaccard similarity of 4-word shingles from which two pages are near-duplicates."""


@dataclass(frozen=True)
class Report:
    """What was drawn."""

    seen: int
    drawn: int
    probability: float
    exact_duplicates: int
    near_duplicate_pairs: int
    groups: int
    largest_group: int
    splits: dict[str, int]
    skipped: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """For the stage's record."""
        return asdict(self)


def run(
    store: Store, settings: Settings, *, source: Source, shards: list[Shard], name: str, progress: Progress
) -> Report:
    """Draw the sample and write it as `pages/<name>`. Raises BadInput when no page has text, or one group holds nearly all."""
    skips = Skips()
    draw = _draw(settings, source, shards, skips, progress)
    pages = draw.pages()
    if not pages:
        raise BadInput(f"source.text: none of {skips.counts.get(NO_TEXT, 0)} pages has text in column {source.text!r}")
    with progress.task("sample: near-duplicates", len(pages)) as task:
        pairs = near_duplicates(pages, similarity=settings.similarity, on_page=task.advance)
    groups = group_ids(pages, pairs, by=settings.group_by)
    largest = Counter(groups).most_common(1)[0][1]
    if len(pages) > 20 and largest > 0.7 * len(pages):
        raise BadInput(
            f"sample.group_by: {largest} of {len(pages)} pages are one group (one host, or near-duplicates), "
            f"which cannot be split; set sample.group_by=near_duplicate, or draw from more hosts"
        )
    shares = settings.shares.model_dump()
    splits = [split_of(group, shares, salt=settings.seed) for group in groups]
    rows = [
        {**page, "group_id": group, "split": split, "inclusion_probability": draw.probability}
        for page, group, split in zip(pages, groups, splits, strict=True)
    ]
    store.append("pages", rows, scope=name, part="00000")
    return Report(
        seen=draw.seen,
        drawn=len(pages),
        probability=draw.probability,
        exact_duplicates=draw.duplicates,
        near_duplicate_pairs=len(pairs),
        groups=len(set(groups)),
        largest_group=largest,
        splits={split: splits.count(split) for split in ("train", "val", "test")},
        skipped=skips.counts,
    )


def _draw(settings: Settings, source: Source, shards: list[Shard], skips: Skips, progress: Progress) -> Draw:
    draw = Draw(settings.pages, settings.seed)
    total = sum(s.rows or 0 for s in shards) if all(s.rows is not None for s in shards) else None
    with progress.task("sample: reading pages", total) as task:
        for shard in shards:
            for batch in read(source, shard, skips=skips):
                for i, text in enumerate(batch.text):
                    if text.strip():
                        draw.offer(batch.page(i))
                    else:
                        skips.add(NO_TEXT)
                task.advance(len(batch.text))
    return draw
