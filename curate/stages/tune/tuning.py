"""One judge's tuning from its labelled pages to what is frozen."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from curate import judge as judges
from curate.errors import BadInput, CurateError
from curate.intervals import Estimate
from curate.judge import Judge
from curate.progress import Progress
from curate.rubric import Rubric
from curate.schema import Judgment
from curate.stages.tune import explaining
from curate.stages.tune.bench import Bench, was_asked
from curate.stages.tune.choose import Choice, Contender, Measure, choose, measure_for, row_of
from curate.stages.tune.fit import WEIGHTED_FORMS, with_answer_weights, with_cuts
from curate.stages.tune.freeze import Lineage, freeze, write_lineage
from curate.stages.tune.gate import Complete, Gate
from curate.stages.tune.graders import ByRubric
from curate.stages.tune.guard import Guard
from curate.stages.tune.labelled import Labelled, check_labels
from curate.stages.tune.report import Outcome, Report, report_of
from curate.stages.tune.screen import Make, Screened, screen
from curate.stages.tune.search import Found, Search
from curate.stages.tune.settings import Settings
from curate.store import Store


@dataclass(frozen=True)
class Tuned:
    """The outcome for one model, with what comparing it to others needs."""

    report: Report
    best: Contender
    judge: Judge
    measure: Measure
    bench: Bench


@dataclass
class Tuning:
    """The tuning of one model's judge: its world, and its steps in their order."""

    settings: Settings
    rubric: Rubric
    pages: Sequence[Labelled]
    make: Make
    bench: Bench
    reflect: Complete | None
    by_rubric: ByRubric | None
    progress: Progress
    folder: Path | None = None

    def run(self, store: Store, name: str, part: str) -> Tuned:
        """All steps. Raises BadInput for labels that cannot teach, CurateError where models never say anything usable."""
        if not self._unlabelled:
            check_labels(self.pages, self.rubric)
        untuned = self.make(judges.plain_form(self.rubric), "rubric_first")
        before = self._on_val(untuned, "untuned")
        screened = screen(self.settings, self.bench, self.rubric, self.make, self.train, self._screen_measure)
        searches = [self._search(one.judge) for one in _starts(screened, self.settings.starts)]
        found = [search.run() for search in searches]
        contenders = self._contenders(before, found)
        choice = choose(contenders, self.measure)
        outcome = Outcome(
            untuned=untuned,
            tuned=self._frozen_judge(choice),
            choice=choice,
            screened=screened,
            found=found,
            contenders=contenders,
            table=[row_of(one, self.measure, self.rubric, self.val) for one in contenders],
            explained=self._explained(choice, searches),
            objective=searches[0].objective,
            metric=self.measure.name,
            budget=self._budget,
        )
        report = report_of(outcome, bench=self.bench, grader=self.by_rubric, val=self.val)
        self._write(store, name, part, outcome, report)
        return Tuned(report, choice.chosen, outcome.tuned, self.measure, self.bench)

    @cached_property
    def train(self) -> list[Labelled]:
        """Pages that teach."""
        return [page for page in self.pages if page.split == "train"]

    @cached_property
    def val(self) -> list[Labelled]:
        """Pages that choose: the labelled ones, unless the grader works without labels."""
        here = [page for page in self.pages if page.split == "val"]
        return here if self._unlabelled else [page for page in here if page.labelled]

    @cached_property
    def _unlabelled(self) -> bool:
        """Whether the grader works without people: they have no weight, and their labels cannot choose."""
        if self.by_rubric is None or self.settings.human > 0:
            return False
        try:
            check_labels(self.pages, self.rubric)
        except CurateError:
            return True
        return False

    @property
    def _budget(self) -> int:
        """Metric calls of one search."""
        return max(1, self.settings.metric_calls(len(self.val)) // self.settings.starts)

    @cached_property
    def measure(self) -> Measure:
        """What decides on val."""
        return self._measure(self.val)

    def _measure(self, pages: Sequence[Labelled]) -> Measure:
        if self._unlabelled and self.by_rubric is not None:
            return _by_grade(self.by_rubric, pages)
        return measure_for(self.settings.select, self.rubric, pages)

    def _screen_measure(self, pages: Sequence[Labelled]) -> Measure:
        """Forms are compared by the order they put pages in: their levels are not fitted yet."""
        if self._unlabelled or self.rubric.scale == "choice":
            return self._measure(pages)
        return measure_for("auc", self.rubric, pages)

    def _on_val(self, judge: Judge, label: str) -> Contender:
        with self.progress.task(f"tune: {label} judge on val", len(self.val)) as task:
            said = self.bench.on(judge, self.val, task)
        if not all(was_asked(s) for s in said):
            raise CurateError(
                f"tune: ended before the untuned judge was asked about val ({self.bench.gate.closed}); raise the limit"
            )
        return Contender(label, judge, said)

    def _search(self, seed: Judge) -> Search:
        shown = {example.page_id for example in seed.examples}
        folder = self.folder / "gepa" if self.folder else None
        return Search(
            self.settings,
            seed,
            train=[page for page in self.train if page.page_id not in shown and self._teaches(page)],
            val=self.val,
            bench=self.bench,
            guard=Guard(self.rubric, self.pages, max_chars=self.settings.max_chars),
            by_rubric=self.by_rubric,
            reflect=self.reflect,
            budget=self._budget,
            progress=self.progress,
            folder=folder,
        )

    def _teaches(self, page: Labelled) -> bool:
        """Whether any grader can say something of it."""
        return page.labelled or self.settings.graders.get("rubric", 0) > 0

    def _contenders(self, before: Contender, found: Sequence[Found]) -> list[Contender]:
        """What is compared on val, the simplest first: untuned, each start as it was, the best of its search, and these
        again with weights for their answers. One that the gate kept from all of val is left out."""
        judged = [pair for number, one in enumerate(found) for pair in self._of_search(number, one)]
        with self.progress.task("tune: comparing on val", len(judged) * len(self.val)) as task:
            made = [Contender(label, judge, self.bench.on(judge, self.val, task)) for judge, label in judged]
        return [before, *(one for one in made if all(was_asked(s) for s in one.said))]

    def _of_search(self, number: int, found: Found) -> list[tuple[Judge, str]]:
        which = f" {number + 1}" if number else ""
        best = found.best[: self.settings.finalists]
        plain = [(found.seed, f"form alone{which}")]
        plain += [(judge, f"gepa {place}{which and f' of start{which}'}") for place, judge in enumerate(best, 1)]
        pairs = [*plain, *self._weighed(plain, found.seed)]
        if self.measure.name in ("auc", "grade") or self.rubric.scale == "choice":
            return pairs
        return [(with_cuts(self.bench, judge, self._unseen(judge)), label) for judge, label in pairs]

    def _weighed(self, plain: Sequence[tuple[Judge, str]], seed: Judge) -> list[tuple[Judge, str]]:
        fits = self.settings.fit_answers and seed.logprobs and self.rubric.scale != "choice" and not self._unlabelled
        if not fits or seed.form not in WEIGHTED_FORMS:
            return []
        pages = self._unseen(seed)
        with self.progress.task("tune: weighing answers on train", len(plain) * len(pages)) as task:
            fitted = [(with_answer_weights(self.bench, judge, pages, task), label) for judge, label in plain]
        return [(judge, f"{label}, answers weighed") for judge, label in fitted if judge is not None]

    def _unseen(self, judge: Judge) -> list[Labelled]:
        """Train pages that are not in the prompt as examples."""
        shown = {example.page_id for example in judge.examples}
        return [page for page in self.train if page.page_id not in shown and page.labelled]

    def _frozen_judge(self, choice: Choice) -> Judge:
        """The chosen judge with cuts from all labelled pages. The untuned judge gets them too where it stays: it is the
        rubric as it was, put on the levels."""
        judge = choice.chosen.judge.model_copy(update={"cuts": ()})
        pages = [*self._unseen(judge), *self.val]
        with self.progress.task("tune: fitting levels", len(pages)) as task:
            return with_cuts(self.bench, judge, pages, task)

    def _explained(self, choice: Choice, searches: Sequence[Search]) -> dict[str, Any]:
        """Nothing where the untuned judge stays, or a form alone was taken."""
        tuned = choice.chosen.judge.instruction
        search = next(
            (s for s in searches if s.found and tuned in [c.instruction for c in s.found.candidates[1:]]), None
        )
        if search is None or search.found is None or choice.chosen.label == "untuned":
            return explaining.as_dict([], [])
        if search.resumed:
            self._recall(search.found)

        def grade(judge: Judge, page: Labelled, said: Judgment) -> float:
            return search.panel.human(judge, page, said).score

        steps = explaining.explain(search.found, tuned, pages=self.pages, bench=self.bench, grade=grade)
        return explaining.as_dict(steps, self._ablated(choice, search.seed))

    def _ablated(self, choice: Choice, seed: Judge) -> list[explaining.Ablated]:
        if not self.settings.ablate or self.bench.gate.closed:
            return []
        return explaining.ablate(choice.chosen, seed, bench=self.bench, val=self.val, measure=self.measure)

    def _recall(self, found: Found) -> None:
        """What a killed run's judges said of val: out of the journal, which has it."""
        for candidate in found.candidates:
            self.bench.on(found.seed.model_copy(update={"instruction": candidate.instruction}), self.val)

    def _write(self, store: Store, name: str, part: str, outcome: Outcome, report: Report) -> None:
        for judge, what, value in ((outcome.untuned, "untuned", "untuned"), (outcome.tuned, report.chosen, "tuned")):
            labels = sum(page.labelled for page in self.pages) if value == "tuned" else 0
            lineage = Lineage(
                judge=judge.id,
                parent=f"{self.rubric.name} {self.rubric.hash}",
                labels=labels,
                agreement=f"{report.metric} {_words(report.val[value])}",
                model=judge.model,
                cost=f"${report.usd:.4f}, {report.metric_calls} metric calls",
            )
            freeze(store, judge, self.rubric, what=what, lineage=lineage)
        write_lineage(store, name, part, outcome=outcome, bench=self.bench, val=self.val)


def bench_of(
    settings: Settings,
    complete: Complete,
    *,
    threads: int,
    progress: Progress,
    spent: Callable[[], float],
    ends: judges.Ends | None = None,
) -> Bench:
    """A bench behind a gate of its own, with the limits of the settings."""
    gate = Gate(max_usd=settings.max_usd, max_minutes=settings.max_minutes, spent=spent)
    return Bench(complete, gate, threads, progress, ends=ends)


def grader_for(
    settings: Settings, rubric: Rubric | None, grade: Complete | None, *, gate: Gate, page_chars: int
) -> ByRubric | None:
    """The grader that `graders.rubric` asks for, behind the gate. Raises BadInput where its rubric or model is missing."""
    if not settings.graders.get("rubric", 0) > 0:
        return None
    if rubric is None or grade is None:
        raise BadInput("tune.graders: rubric needs tune.grader_rubric and a model that grades")
    return ByRubric(rubric, gate.through(grade), page_chars=page_chars)


def _starts(screened: Sequence[Screened], count: int) -> list[Screened]:
    """The best combinations, the first of equals."""
    return sorted(screened, key=lambda one: one.rank, reverse=True)[:count]


def _by_grade(grader: ByRubric, pages: Sequence[Labelled]) -> Measure:
    """The mean grade of a grader that works without labels. A page without a grade has grade 0."""

    def column(judge: Judge, said: Sequence[Judgment]) -> np.ndarray:
        found = [grader(judge, page, s) for page, s in zip(pages, said, strict=True)]
        return np.array([0.0 if grade is None else grade[0] for grade in found])

    groups = np.array([page.group for page in pages])
    return Measure("grade", _mean_of, np.zeros(len(pages)), groups, column)


def _mean_of(truth: Any, grades: Any) -> float:
    return float(np.mean(grades)) if len(grades) else math.nan


def _words(estimate: dict[str, Any]) -> str:
    numbers = {name: math.nan if x is None else x for name, x in estimate.items()}
    return Estimate(numbers["value"], numbers["low"], numbers["high"], int(numbers["n"])).text()
