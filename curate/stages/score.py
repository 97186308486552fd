"""score: the frozen judge says something of every sampled page, each judgment written down once."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from curate import judge as judges
from curate.errors import CurateError
from curate.judge import Judge
from curate.llm import Failure, Reply, Request
from curate.progress import Progress, Task
from curate.sampling import unit_hash
from curate.schema import Judgment, fingerprint
from curate.store import Store

CompleteMany = Callable[[Iterable[Request]], Iterator[tuple[Request, Reply | Failure]]]


class Settings(BaseModel):
    """Settings of `score`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    pages: int | None = Field(None, gt=0)
    """Pages to judge, labelled ones first, then others of train and val in random order; null: the whole sample."""
    batch_pages: int = Field(64, gt=0)
    """Pages per written part. A crash costs no reply (they are journalled), at most this much writing."""
    most_failed: float = Field(0.05, ge=0, le=1)
    """Share of pages that may fail, of a part (where one always may, unless this is 0) and of the run so far; above it the
    stage stops, and the failed pages of the last part are asked again next time."""


@dataclass(frozen=True)
class Report:
    """What was judged."""

    judges: dict[str, dict[str, int]]
    made: int
    already: int
    cost_usd: float

    def as_dict(self) -> dict[str, Any]:
        """For the stage's record."""
        return asdict(self)


def chosen(pages: Sequence[Mapping[str, Any]], labelled: set[str], settings: Settings) -> list[Mapping[str, Any]]:
    """The pages to judge: labelled ones first, then those that may teach, then the sealed ones; each in random order."""
    order = sorted(
        pages,
        key=lambda p: (p["page_id"] not in labelled, p["split"] == "test", unit_hash("score", p["page_id"])),
    )
    return order[: max(settings.pages, len(labelled))] if settings.pages else order


def missing(store: Store, judge: Judge, pages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The pages of which the judge has said nothing yet, each once."""
    done = set(store.sql("SELECT page_id FROM judgments WHERE judge_id = ?", [judge.id]).column("page_id").to_pylist())
    return list({page["page_id"]: page for page in pages if page["page_id"] not in done}.values())


def run(
    store: Store,
    settings: Settings,
    *,
    work: Sequence[tuple[Judge, Sequence[Mapping[str, Any]]]],
    complete_many: CompleteMany,
    progress: Progress,
) -> Report:
    """Judge the pages of each (judge, pages) pair that are still without a judgment.

    Raises CurateError when more than `most_failed` of the pages failed; what was answered is kept.
    """
    made = already = 0
    cost = 0.0
    for judge, pages in work:
        left, asked = missing(store, judge, pages), Counter[str]()
        already += len(pages) - len(left)
        with progress.task(f"score: {judge.form} judge {judge.id[:6]}", len(left)) as task:
            for batch in _batches(left, settings.batch_pages):
                said = _judge_batch(judge, batch, complete_many, task)
                here = Counter[str](s.status for s in said)
                asked += here
                if _too_many(settings, here) or _too_many(settings, asked):
                    _write(store, judge, [s for s in said if s.status != "failed"])
                    raise CurateError(_stopped(judge, said, asked))
                _write(store, judge, said)
                made += len(said)
                cost += sum(s.cost_usd for s in said)
    return Report(
        judges={judge.id: _statuses(store, judge, pages) for judge, pages in work},
        made=made,
        already=already,
        cost_usd=cost,
    )


def _batches(pages: Sequence[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    left = iter(pages)
    while batch := list(islice(left, size)):
        yield batch


def _judge_batch(
    judge: Judge, pages: Sequence[Mapping[str, Any]], complete_many: CompleteMany, task: Task
) -> list[Judgment]:
    asked: list[Request] = []
    for i, page in enumerate(pages):
        asked += [
            Request(messages=r.messages, settings=r.settings, tag=f"{i}:{k}")
            for k, r in enumerate(judges.requests(judge, page["text"]))
        ]
    replies: dict[int, dict[int, Reply | Failure]] = {}
    said: dict[int, Judgment] = {}
    for request, reply in complete_many(asked):
        i, k = (int(part) for part in request.tag.split(":"))
        replies.setdefault(i, {})[k] = reply
        if len(replies[i]) == len(judge.orders):
            given = replies.pop(i)
            said[i] = judges.read(judge, pages[i]["page_id"], [given[k] for k in sorted(given)])
            task.advance()
    return [said[i] for i in sorted(said)]


def _too_many(settings: Settings, statuses: Counter[str]) -> bool:
    """Whether more failed than may; one page always may, or a small part would stop the run."""
    return statuses["failed"] > (max(settings.most_failed * statuses.total(), 1) if settings.most_failed else 0)


def _stopped(judge: Judge, said: Sequence[Judgment], asked: Counter[str]) -> str:
    why = next((s.why for s in said if s.status == "failed"), "")
    return (
        f"score: {asked['failed']} of {asked.total()} pages failed with {judge.model} (the last part's first: {why[:160]}); "
        f"nothing that was answered is lost: mend the cause and run the same command again"
    )


def _write(store: Store, judge: Judge, said: Sequence[Judgment]) -> None:
    if said:
        name = fingerprint([s.page_id for s in said])
        store.append("judgments", [s.row() for s in said], scope=judge.id, part=name)


def _statuses(store: Store, judge: Judge, pages: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    wanted = {page["page_id"] for page in pages}
    rows = store.sql("SELECT page_id, status FROM judgments WHERE judge_id = ?", [judge.id]).to_pylist()
    return dict(Counter(row["status"] for row in rows if row["page_id"] in wanted))
