"""Which answer form, layout, examples and prior suit the model: all combinations on a few train pages, the better half
on more (successive halving, Jamieson and Talwalkar 2016)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from curate import judge as judges
from curate.errors import BadInput, CurateError
from curate.judge import Form, Judge, Layout
from curate.rubric import Rubric
from curate.schema import Judgment
from curate.stages.tune.bench import Bench, readable
from curate.stages.tune.choose import UNDEFINED, Measure, measure_for
from curate.stages.tune.labelled import Labelled, examples_of, interleaved
from curate.stages.tune.settings import Settings

LEAST_PAGES = 16
"""On fewer pages no combination is given up."""
MOST_KEPT = 2
"""So many combinations are no longer halved."""

Make = Callable[[Form, Layout], Judge]


@dataclass(frozen=True)
class Screened:
    """A combination and how it did."""

    judge: Judge
    row: dict[str, Any]

    @property
    def rank(self) -> tuple[int, bool, float]:
        """Orders by how far it came, then by its number; without one readable answer last, since silence has an AUC
        of .5."""
        return self.row["pages"], self.row["readable"] > 0, self.row["value"] or 0.0


def screen(
    settings: Settings,
    bench: Bench,
    rubric: Rubric,
    make: Make,
    train: Sequence[Labelled],
    measure: Callable[[Sequence[Labelled]], Measure],
) -> list[Screened]:
    """Every combination that was asked for, in their order. Raises BadInput where the rubric has words for none of the
    forms, CurateError where no form gives a readable answer."""
    shown = {count: examples_of(train, count) for count in settings.examples}
    hidden = {page.page_id for pages in shown.values() for page in pages}
    pages = interleaved([p for p in train if p.page_id not in hidden], "screen", by_class=rubric.scale == "choice")
    judged = _combinations(settings, bench, rubric, make, shown)
    found = _halve(bench, judged, pages[: settings.screen_pages], partial(_screened, bench, rubric, measure))
    if not any(one.row["readable"] for one in found):
        why = next((s.why for s in bench.known.values() if s.status != "ok"), "")
        raise CurateError(
            f"tune: no readable answer in any form from {judged[0].model} (first: {why[:120]}); "
            "try another model or tune.forms=[json]"
        )
    return found


def rungs(combinations: int, pages: int) -> list[int]:
    """Pages of each round: doubled from one to the next, the last on all of them."""
    rounds = max(0, math.ceil(math.log2(max(combinations, 1) / MOST_KEPT)))
    sizes = [max(min(LEAST_PAGES, pages), pages // 2 ** (rounds - i)) for i in range(rounds)]
    return [*sorted({size for size in sizes if size < pages}), pages]


def _combinations(
    settings: Settings, bench: Bench, rubric: Rubric, make: Make, shown: dict[int, list[Labelled]]
) -> list[Judge]:
    forms = judges.usable_forms(rubric, settings.forms)
    if not forms:
        raise BadInput(f"tune.forms: none of {settings.forms} can be asked: {rubric.name} has no words for them")
    plain = [make(form, layout) for form in forms for layout in settings.layouts]
    taught = [
        with_examples(judge, shown[count], bench.ends) for judge in plain for count in sorted(set(settings.examples))
    ]
    unlike = list({judge.id: judge for judge in taught}.values())
    if not settings.prior:
        return unlike
    calibrated = [with_prior(bench, judge) for judge in unlike]
    return [*unlike, *(judge for judge in calibrated if judge is not None)]


def with_examples(judge: Judge, pages: Sequence[Labelled], ends: judges.Ends | None = None) -> Judge:
    """The judge with labelled pages in its prompt, cut like any page, each with its level and the first note on it."""
    examples = tuple(
        judges.example(
            judge,
            page.page_id,
            page.text,
            page.level,
            reason=next((note for _, _, note in page.said if note), ""),
            criteria={name: math.floor(mean + 0.5) for name, mean in page.criteria.items()},
            ends=ends,
        )
        for page in pages
    )
    return judge.model_copy(update={"examples": examples}) if examples else judge


def with_prior(bench: Bench, judge: Judge) -> Judge | None:
    """The judge with what its model answers on an empty page taken off (contextual calibration, Zhao et al. 2021); None
    where that cannot be read."""
    prior = bench.prior(judge) if judge.logprobs else ()
    return judge.model_copy(update={"prior": prior}) if prior else None


def _halve(
    bench: Bench,
    judged: Sequence[Judge],
    pages: Sequence[Labelled],
    row: Callable[[Judge, Sequence[Labelled]], Screened],
) -> list[Screened]:
    left: list[Judge] = list(judged)
    best: dict[str, Screened] = {}
    sizes = rungs(len(judged), len(pages))
    for i, size in enumerate(sizes):
        with bench.progress.task(f"tune: trying {len(left)} answer forms", size * len(left)) as task:
            bench.ask_all([(judge, page) for page in pages[:size] for judge in left], task)
        found = {judge.id: row(judge, pages[:size]) for judge in left}
        best |= found
        left.sort(key=lambda judge: found[judge.id].rank, reverse=True)
        left = left[: max(MOST_KEPT, math.ceil(len(left) / 2))] if i + 1 < len(sizes) else left
    return [best[judge.id] for judge in judged]


def _screened(
    bench: Bench,
    rubric: Rubric,
    measure_of: Callable[[Sequence[Labelled]], Measure],
    judge: Judge,
    pages: Sequence[Labelled],
) -> Screened:
    known = [(page, found) for page in pages if (found := bench.said(judge, page))]
    here, said = [page for page, _ in known], [found for _, found in known]
    used = bench.used(judge, here)
    measure = measure_of(here)
    row = {
        "judge": judge.id,
        "form": judge.form,
        "layout": judge.layout,
        "examples": len(judge.examples),
        "prior": bool(judge.prior),
        "metric": measure.name,
        **_numbers(rubric, judge, measure, here, said),
        "readable": readable(said),
        "pages": len(here),
        "calls": used.calls,
        "usd": used.usd,
        "seconds": used.seconds,
    }
    return Screened(judge, row)


def _numbers(
    rubric: Rubric, judge: Judge, measure: Measure, pages: Sequence[Labelled], said: Sequence[Judgment]
) -> dict[str, Any]:
    """The number that decides, and all that people ask for, each with its interval."""
    if not pages:
        return {"value": None, "auc": UNDEFINED.as_dict()}
    names = ["accuracy", "macro_f1"] if rubric.scale == "choice" else ["auc"]
    names = names if all(page.labelled for page in pages) else []
    shown = {name: measure_for(name, rubric, pages).estimate(judge, said).as_dict() for name in names}
    value = measure.value(judge, said)
    return {"value": None if math.isnan(value) else value, "auc": UNDEFINED.as_dict(), **shown}
