"""One dspy.GEPA search over the instruction of one judge, that can be killed and goes on where it was."""

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curate import judge as judges
from curate.errors import CurateError
from curate.judge import Judge
from curate.llm import Failure, Reply, Request
from curate.progress import Progress, Task
from curate.schema import fingerprint
from curate.stages.tune.batches import Batches
from curate.stages.tune.bench import Bench, was_asked
from curate.stages.tune.gate import Complete, finish
from curate.stages.tune.graders import ByRubric, Panel
from curate.stages.tune.guard import Guard
from curate.stages.tune.labelled import Labelled, anchors_of
from curate.stages.tune.objective import marker, objective_for
from curate.stages.tune.proposals import REFLECTION, Counts, Proposer
from curate.stages.tune.quiet import quiet_dspy
from curate.stages.tune.settings import Settings
from curate.store import read_json, write_json

FEW_PROPOSALS = 5
"""With fewer proposals tried a search says little about whether tuning helps."""


@dataclass(frozen=True)
class Candidate:
    """An instruction that GEPA took into its pool, and how each val page was graded under it."""

    instruction: str
    parents: tuple[str, ...]
    """Instructions it was made from."""
    score: float
    """Mean grade on val."""
    by_page: Mapping[str, float] = field(repr=False)

    @property
    def id(self) -> str:
        """The name of its words."""
        return fingerprint(self.instruction)


@dataclass(frozen=True)
class Found:
    """What a search brought."""

    seed: Judge
    candidates: list[Candidate]
    """In GEPA's order; the seed first."""
    counts: Counts
    resumed: bool
    stopped: str
    """Why it ended before its budget; empty where it did not."""

    @property
    def best(self) -> list[Judge]:
        """The judges of all candidates but the seed, best on val first."""
        order = sorted(self.candidates[1:], key=lambda c: -c.score)
        return [self.seed.model_copy(update={"instruction": c.instruction}) for c in order]


class Search:
    """One search. `folder` holds GEPA's own state (a pickle, read back from this folder of the workspace only) and our
    counts. The journal already makes repeated calls free; the folder adds that a resumed search keeps its pool, its
    place in the train pages and what its reflection model wrote, though threads finish in another order."""

    def __init__(
        self,
        settings: Settings,
        seed: Judge,
        *,
        train: Sequence[Labelled],
        val: Sequence[Labelled],
        bench: Bench,
        guard: Guard,
        by_rubric: ByRubric | None,
        reflect: Complete | None,
        budget: int,
        progress: Progress,
        folder: Path | None,
    ) -> None:
        self.settings, self.seed, self.bench = settings, seed, bench
        self.objective = objective_for(settings.objective, seed)
        mark = marker(self.objective, train, anchors_of(train, settings.anchors), self.anchor)
        self.panel = Panel(settings.graders, mark, by_rubric)
        self.train, self.val, self.budget, self.progress = train, val, budget, progress
        self.by_id = {page.page_id: page for page in [*train, *val]}
        self.folder = _state_folder(folder, seed)
        self.counts = _counts(self.folder)
        self.resumed = self.counts.metric_calls > 0
        bench.gate.remember(self.counts.usd)
        self.fatal: CurateError | None = None
        self.marks: dict[tuple[str, str], float] = {}
        self.cut_short: set[str] = set()
        self.pool: dict[str, Candidate] = {}
        self.task: Task | None = None
        self.found: Found | None = None
        """What `run` brought."""
        self._lock = threading.Lock()
        self.counts.tried = self.counts.tried or [seed.instruction]
        self.proposer = Proposer(
            seed,
            bench,
            guard,
            self.counts,
            pages=[*train, *val],
            marks=self.marks,
            reflect=reflect,
            fail=self._fail,
        )

    def run(self) -> Found:
        """Search until the budget or the gate ends it. Raises what no other page would cure, and CurateError where a
        reflection model or a grader never said anything usable."""
        with self.progress.task("tune: GEPA", self.budget) as self.task, quiet_dspy():
            self.task.advance(min(self.counts.metric_calls, self.budget))
            finish(self._compile, self.bench.gate)
        self.save()
        if self.fatal:
            raise self.fatal
        self.proposer.check()
        self.panel.check()
        self.found = Found(self.seed, self._whole(), self.counts, self.resumed, self.bench.gate.closed)
        return self.found

    def _compile(self) -> None:
        import dspy

        student = judges.program(self.seed, ends=self.bench.ends)
        lm = judges.language_model(self.seed.model, self._complete, judges.settings(self.seed))
        batch = min(self.settings.minibatch, len(self.train))
        gepa = dspy.GEPA(
            metric=self.metric,
            max_metric_calls=self.budget,
            reflection_minibatch_size=None,
            num_threads=self.bench.threads,
            track_stats=True,
            use_merge=False,
            add_format_failure_as_feedback=True,
            skip_perfect_score=True,
            warn_on_score_mismatch=False,
            log_dir=str(self.folder) if self.folder else None,
            seed=self.settings.seed,
            gepa_kwargs={
                "stop_callbacks": [self._stop],
                "callbacks": [_Events(self)],
                "batch_sampler": Batches(self.train, batch, seed=self.settings.seed),
            },
            **self._reflection(),
        )
        with dspy.context(lm=lm, adapter=judges.adapter(self.seed, ends=self.bench.ends), disable_history=True):
            gepa.compile(student, trainset=_as_examples(self.train), valset=_as_examples(self.val))

    def _reflection(self) -> dict[str, Any]:
        if self.settings.reflection == "notes":
            return {"instruction_proposer": self.proposer.by_notes}
        lm = judges.language_model("reflection", self.proposer.ask, REFLECTION, carry=False)
        return {"reflection_lm": lm, "instruction_proposer": self.proposer.by_model}

    def metric(self, gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
        """GEPA's metric: the graders' score of one judgment, and their words on it."""
        import dspy

        page, said, asked = self.by_id[gold.page_id], pred.judgment, pred.judge
        known = self.bench.learn(asked, page, said)
        if not was_asked(known):
            self.cut_short.add(asked.instruction)
            return dspy.Prediction(score=0.0, feedback=known.why)
        try:
            grade = self.panel(asked, page, known)
        except CurateError as error:
            self._fail(error)
            return dspy.Prediction(score=0.0, feedback=str(error))
        score = grade.score if grade.score is not None else 0.0
        self.marks[asked.instruction, page.page_id] = score
        if pred_name is None:
            self._counted()
        return dspy.Prediction(score=score, feedback=grade.words)

    def anchor(self, asked: Judge, page: Labelled) -> float:
        """Score of a page that others are ranked against; -inf where it has none."""
        said = self.bench.said(asked, page)
        if said is None:
            asking = judges.requests(asked, page.text, ends=self.bench.ends)
            replies = [self._complete(request) for request in asking]
            said = self.bench.learn(asked, page, judges.read(asked, page.page_id, replies))
        if not was_asked(said):
            self.cut_short.add(asked.instruction)
        return float("-inf") if said.score is None else said.score

    def took(self, instruction: str, parents: Sequence[str], by_page: Mapping[str, float]) -> None:
        """GEPA has a new candidate in its pool."""
        score = sum(by_page.values()) / max(len(by_page), 1)
        self.pool.setdefault(instruction, Candidate(instruction, tuple(parents), score, dict(by_page)))
        if self.task:
            best = max(c.score for c in self.pool.values())
            self.task.note(f"{len(self.pool)} candidates, best {best:.3f} on val, {self.counts.proposals} proposals")

    def save(self) -> None:
        """The counts, beside the state that GEPA has just written."""
        self.counts.usd = self.bench.gate.usd
        if self.folder:
            write_json(self.folder / "counts.json", self.counts.as_dict())

    def _whole(self) -> list[Candidate]:
        """Candidates whose val pages were all asked about; the seed stays first, without a score where it was cut short."""
        unknown = Candidate(self.seed.instruction, (), math.nan, {})
        whole = [c for c in self.pool.values() if c.instruction not in self.cut_short]
        return whole if whole and whole[0].instruction == self.seed.instruction else [unknown, *whole]

    def _stop(self, state: Any) -> bool:
        return self.fatal is not None or bool(self.bench.gate.closed) or state.total_num_evals >= self.budget

    def _counted(self) -> None:
        with self._lock:
            self.counts.metric_calls += 1
        if self.task:
            self.task.advance()

    def _complete(self, request: Request) -> Reply | Failure:
        try:
            return self.bench.complete(request)
        except CurateError as error:  # GEPA takes exceptions for bad scores: what must stop the run is raised after it
            self._fail(error)
            return Failure("failed", str(error))

    def _fail(self, error: CurateError) -> None:
        self.fatal = self.fatal or error


class _Events:
    """GEPA's callbacks: the pool is followed as it grows, so that a search that is stopped in the middle has it."""

    def __init__(self, search: Search) -> None:
        self.search = search

    def on_iteration_start(self, event: Mapping[str, Any]) -> None:
        self._read(event["state"])

    def on_optimization_end(self, event: Mapping[str, Any]) -> None:
        self._read(event["final_state"])
        self.search.save()

    def on_state_saved(self, event: Mapping[str, Any]) -> None:
        self.search.save()

    def _read(self, state: Any) -> None:
        texts = [_only(candidate) for candidate in state.program_candidates]
        for text, parents, scores in zip(
            texts, state.parent_program_for_candidate, state.prog_candidate_val_subscores, strict=True
        ):
            by_page = {self.search.val[int(place)].page_id: float(score) for place, score in scores.items()}
            self.search.took(text, [texts[p] for p in parents if p is not None], by_page)


def _only(candidate: Mapping[str, str]) -> str:
    """The judge's program has one predictor."""
    return next(iter(candidate.values()))


def _state_folder(folder: Path | None, seed: Judge) -> Path | None:
    """GEPA's state of another release or another start is not read."""
    from importlib.metadata import version

    if folder is None:
        return None
    path = folder / f"{seed.id}-gepa-{version('gepa')}"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _counts(folder: Path | None) -> Counts:
    path = folder / "counts.json" if folder else None
    if path is None or not path.exists() or not (path.parent / "gepa_state.bin").exists():
        return Counts()
    return Counts(**read_json(path))


def _as_examples(pages: Sequence[Labelled]) -> list[Any]:
    import dspy

    return [dspy.Example(page=p.text, page_id=p.page_id).with_inputs("page", "page_id") for p in pages]
