"""Several models tuned side by side: what each costs for how much agreement, and which one is taken."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from curate import judge as judges
from curate.errors import BadInput, CurateError
from curate.judge import Judge
from curate.progress import Progress
from curate.rubric import Rubric
from curate.stages.tune.bench import Used, was_asked
from curate.stages.tune.choose import Contender, paired_error
from curate.stages.tune.gate import Complete
from curate.stages.tune.labelled import Labelled
from curate.stages.tune.report import Report
from curate.stages.tune.screen import Make
from curate.stages.tune.settings import Settings
from curate.stages.tune.tuning import Tuned, Tuning, bench_of, grader_for
from curate.store import Store

MILLION = 1_000_000


@dataclass(frozen=True)
class Model:
    """A model to tune: how its judges are made and asked, and what an hour of it costs where it has no price list."""

    name: str
    make: Make
    complete: Complete
    usd_per_hour: float | None = None
    threads: int = 1
    ends: judges.Ends | None = None


def run_models(
    store: Store,
    settings: Settings,
    *,
    models: Sequence[Model],
    rubric: Rubric,
    pages: Sequence[Labelled],
    reflect: Complete | None,
    name: str,
    progress: Progress,
    spent: Callable[[], float] = lambda: 0.0,
    folder: Path | None = None,
    grader_rubric: Rubric | None = None,
    grade: Complete | None = None,
) -> Report:
    """Tune each model within its share of the budget; the report is that of the chosen one, with all in `models`.

    A model whose tuning fails is told in the table and left out. Raises CurateError when all fail; otherwise as `run`.
    """
    if not models:
        raise BadInput("tune.models: is empty; leave it out to tune judge.model")
    if len({model.name for model in models}) < len(models):
        raise BadInput(f"tune.models: names must differ (got {', '.join(m.name for m in models)}); set models.name")
    share = _share(settings, len(models), sum(page.split == "val" for page in pages))
    tuned: dict[str, Tuned] = {}
    failures: dict[str, str] = {}
    for number, model in enumerate(models):
        progress.say(f"tune: {model.name}, {number + 1} of {len(models)} models")
        bench = bench_of(share, model.complete, threads=model.threads, progress=progress, spent=spent, ends=model.ends)
        page_chars = model.make(judges.plain_form(rubric), "rubric_first").page_chars
        by_rubric = grader_for(settings, grader_rubric, grade, gate=bench.gate, page_chars=page_chars)
        where = folder / f"model-{number}" if folder else None
        tuning = Tuning(share, rubric, pages, model.make, bench, reflect, by_rubric, progress, where)
        _tune_or_tell(model, partial(tuning.run, store, name, f"{number:05d}"), tuned, failures)
    if not tuned:
        raise CurateError(f"tune.models: none could be tuned (first: {next(iter(failures.values()))})")
    return _together(settings, [m for m in models if m.name in tuned], tuned, failures, pages)


def _tune_or_tell(model: Model, work: Callable[[], Tuned], tuned: dict[str, Tuned], failures: dict[str, str]) -> None:
    """One model that cannot be tuned does not stop the others; what stops all (a spent budget, bad input) is raised."""
    try:
        tuned[model.name] = work()
    except CurateError as error:
        if type(error) is not CurateError:
            raise
        failures[model.name] = str(error)


def pareto(rows: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Whether each row is on the front: no other has at least its `value` for at most its dollars and seconds, and is
    better in one of them. Seconds count beside dollars, since a local model without a price costs its seconds."""

    def beats(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        a, b = _axes(one), _axes(other)
        return all(x >= y for x, y in zip(a, b, strict=True)) and a != b

    return [not any(beats(other, row) for other in rows) for row in rows]


def _axes(row: Mapping[str, Any]) -> tuple[float, float, float]:
    value = row["value"]["value"] if isinstance(row["value"], Mapping) else row["value"]
    return (-1.0 if value is None else float(value)), -_cost(row), -float(row["seconds_per_million"])


def _cost(row: Mapping[str, Any]) -> float:
    return float(row["usd_per_million"] or 0.0)


def _share(settings: Settings, models: int, val: int) -> Settings:
    """The settings of one model: the limits are shared evenly."""
    limits = {
        "budget": None,
        "max_metric_calls": max(1, settings.metric_calls(val) // models),
        "max_usd": settings.max_usd and settings.max_usd / models,
        "max_minutes": settings.max_minutes and settings.max_minutes / models,
    }
    return settings.model_copy(update=limits)


def _together(
    settings: Settings,
    models: Sequence[Model],
    tuned: Mapping[str, Tuned],
    failures: Mapping[str, str],
    pages: Sequence[Labelled],
) -> Report:
    rows = [_row(model, tuned[model.name]) for model in models]
    for row, front in zip(rows, pareto(rows), strict=True):
        row["front"] = front
    chosen = rows[_chosen(settings, rows, [tuned[model.name] for model in models])]["model"]
    val = [page for page in pages if page.split == "val" and page.labelled]
    found = {
        "table": rows,
        "front": [row["model"] for row in rows if row["front"]],
        "cross": [_cross(one, other, tuned, val) for one in models for other in models if one.name != other.name],
        "chosen": chosen,
        "failed": dict(failures),
    }
    report = tuned[str(chosen)].report
    notes = [*report.notes, *(f"{name} could not be tuned: {why}" for name, why in failures.items())]
    total = sum(one.report.usd for one in tuned.values())
    return replace(report, models=found, notes=notes, usd=total)


def _row(model: Model, one: Tuned) -> dict[str, Any]:
    """Quality and cost of one tuned model, the cost measured on its val calls."""
    used = Used(**one.report.used)
    pages = max(used.pages, 1)
    hourly = (model.usd_per_hour or 0.0) * used.seconds / 3600
    return {
        "model": model.name,
        "judge": one.judge.id,
        "form": one.judge.form,
        "chosen": one.report.chosen,
        "metric": one.measure.name,
        "value": one.measure.estimate(one.best.judge, one.best.said).as_dict(),
        "untuned": one.report.val["untuned"],
        "pages": used.pages,
        "usd_per_million": (used.usd + hourly) / pages * MILLION,
        "priced": used.usd > 0 or model.usd_per_hour is not None,
        "seconds_per_million": used.seconds / pages * MILLION,
        "tokens_per_million": (used.prompt_tokens + used.completion_tokens) / pages * MILLION,
        "tuning_usd": one.report.usd,
    }


def _chosen(settings: Settings, rows: Sequence[Mapping[str, Any]], tuned: Sequence[Tuned]) -> int:
    """The best on val; with `prefer: cost` the cheapest that is not more than one standard error below it."""
    order = sorted(range(len(rows)), key=lambda i: -_axes(rows[i])[0])
    best = order[0]
    if settings.prefer == "quality":
        return best

    def near(i: int) -> bool:
        behind = _axes(rows[best])[0] - _axes(rows[i])[0]
        return i == best or behind <= paired_error(tuned[i].best, tuned[best].best, tuned[best].measure)

    return min((i for i in order if near(i)), key=lambda i: (_cost(rows[i]), rows[i]["seconds_per_million"]))


def _cross(owner: Model, other: Model, tuned: Mapping[str, Tuned], val: Sequence[Labelled]) -> dict[str, Any]:
    """One model's tuned instruction asked of another model, in the same form, on val."""
    mine, theirs = tuned[owner.name], tuned[other.name]
    judge = _moved(mine.best.judge, other)
    said = theirs.bench.on(judge, val)
    asked = all(was_asked(s) for s in said)
    contender = Contender(f"{owner.name} on {other.name}", judge, said)
    return {
        "instruction_of": owner.name,
        "asked_of": other.name,
        "form": judge.form,
        "value": mine.measure.estimate(judge, contender.said).as_dict() if asked else None,
        "own": theirs.report.val["tuned"]["value"],
    }


def _moved(judge: Judge, model: Model) -> Judge:
    """The judge of another model with this one's instruction and examples; what was fitted stays behind."""
    theirs = model.make(judge.form, judge.layout)
    return theirs.model_copy(update={"instruction": judge.instruction, "examples": judge.examples})
