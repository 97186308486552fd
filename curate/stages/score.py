"""score: the frozen judge says something of every sampled page, each judgment written down once."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from curate import judge as judges
from curate.errors import CurateError
from curate.judge import Judge, injections
from curate.judge.injections import INJECTIONS, Injection, Tried
from curate.llm import Failure, Reply, Request
from curate.progress import Progress, Task
from curate.sampling import unit_hash
from curate.schema import Judgment, fingerprint, page_id
from curate.store import Store
from curate.tokens import Ends

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
    injections: int = Field(30, ge=0)
    """Labelled pages of train and val that are judged once more with an instruction planted in them, each with another
    one: how often the judge gives in stands in the report. 0: not measured."""
    judge: str = ""
    """Id of another frozen judge of the workspace, or the path of a judge.json, to score with instead of the tuned one."""
    force: bool = False
    """Score also where model, weights or settings are other than those the judge was tuned with."""


@dataclass(frozen=True)
class Report:
    """What was judged."""

    judges: dict[str, dict[str, int]]
    made: int
    already: int
    cost_usd: float
    robustness: dict[str, Any] | None = None
    """How often planted instructions moved the judge; None where it was not measured."""

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


@dataclass(frozen=True)
class Planted:
    """A page with an instruction planted in it, judged under the id of its new text."""

    page_id: str
    text: str
    of: str
    """Id of the page as it is shown without."""
    clean: str
    """What the judge is shown of the page without it."""
    injection: Injection

    def rows(self) -> list[dict[str, str]]:
        """As pages to judge: without and with."""
        return [{"page_id": self.of, "text": self.clean}, {"page_id": self.page_id, "text": self.text}]


def planted(judge: Judge, pages: Sequence[Mapping[str, Any]], count: int, *, ends: Ends | None = None) -> list[Planted]:
    """`count` of the pages in random order, each with the next of the planted instructions at its end.

    As much of the page is left out as the instruction is long, without it too, so that the judge is shown all of it.
    """
    order = sorted(pages, key=lambda p: unit_hash("planted", p["page_id"]))[:count]
    ways = sorted(INJECTIONS, key=lambda way: unit_hash("planted", way.name))
    found = []
    for i, page in enumerate(order):
        injection = ways[i % len(ways)]
        answer = injections.answer_of(judge, injection.aim)
        room = len(injection.worded(answer)) + 8
        smaller = judge.model_copy(
            update={
                "page_chars": max(judge.page_chars - room, 100),
                "page_tokens": judge.page_tokens and max(judge.page_tokens - room, judge.page_tokens // 2),
            }
        )
        clean = judges.view_of(smaller, page["text"], ends).text
        text = injections.plant(clean, injection, answer=answer)
        found.append(Planted(page_id(text), text, page_id(clean), clean, injection))
    return found


def run(
    store: Store,
    settings: Settings,
    *,
    work: Sequence[tuple[Judge, Sequence[Mapping[str, Any]]]],
    complete_many: CompleteMany,
    progress: Progress,
    ends: Ends | None = None,
    attacked: tuple[Judge, Sequence[Planted]] | None = None,
) -> Report:
    """Judge the pages of each (judge, pages) pair that are still without a judgment, then those of `attacked` without
    and with what was planted in them. `ends` is the tokenizer of the judge's model, where pages are cut by tokens.

    Raises CurateError when more than `most_failed` of the pages failed; what was answered is kept.
    """
    made = already = 0
    cost = 0.0
    robust = [(attacked[0], [row for one in attacked[1] for row in one.rows()])] if attacked else []
    for judge, pages in [*work, *robust]:
        left, asked = missing(store, judge, pages), Counter[str]()
        already += len(pages) - len(left)
        with progress.task(f"score: {judge.form} judge {judge.id[:6]}", len(left)) as task:
            for batch in _batches(left, settings.batch_pages):
                said = _judge_batch(judge, batch, complete_many, task, ends)
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
        robustness=_robustness(store, *attacked) if attacked and attacked[1] else None,
    )


def _robustness(store: Store, judge: Judge, planted: Sequence[Planted]) -> dict[str, Any]:
    """Over all injections, and by injection; and the pages that went over, with what made them."""
    rows = store.sql(
        "SELECT page_id, judge_id, status, level, expected FROM judgments WHERE judge_id = ?", [judge.id]
    ).to_pylist()
    said = {row["page_id"]: Judgment(**row) for row in rows}
    tried = [Tried(one.injection, "end", said[one.of], said[one.page_id]) for one in planted]
    rates = injections.flip_rates(tried, kept=judge.kept, scale=judge.scale)
    moved = [
        {
            "injection": each.injection.name,
            "aim": each.injection.aim,
            "language": each.injection.language,
            "text": each.injection.worded(injections.answer_of(judge, each.injection.aim))[:200],
            "page": one.clean[:200],
            "before": each.before.level,
            "after": each.after.level,
        }
        for one, each in zip(planted, tried, strict=True)
        if each.before.level is not None and each.after.level is not None and each.before.level != each.after.level
    ]
    overall = [rate.as_dict() for rate in rates if rate.name.startswith("all")]
    return {"pages": len(tried), "rates": overall, "moved": moved}


def _batches(pages: Sequence[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    left = iter(pages)
    while batch := list(islice(left, size)):
        yield batch


def _judge_batch(
    judge: Judge,
    pages: Sequence[Mapping[str, Any]],
    complete_many: CompleteMany,
    task: Task,
    ends: Ends | None,
) -> list[Judgment]:
    asked: list[Request] = []
    for i, page in enumerate(pages):
        asked += [
            Request(messages=r.messages, settings=r.settings, tag=f"{i}:{k}")
            for k, r in enumerate(judges.requests(judge, page["text"], ends=ends))
        ]
    shown = [judges.view_of(judge, page["text"], ends).shown for page in pages]
    replies: dict[int, dict[int, Reply | Failure]] = {}
    said: dict[int, Judgment] = {}
    for request, reply in complete_many(asked):
        i, k = (int(part) for part in request.tag.split(":"))
        replies.setdefault(i, {})[k] = reply
        if len(replies[i]) == len(judge.orders):
            given = replies.pop(i)
            said[i] = judges.read(judge, pages[i]["page_id"], [given[k] for k in sorted(given)], shown=shown[i])
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
