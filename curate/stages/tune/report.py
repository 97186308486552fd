"""What tuning reports: what was tried, what was chosen and why, and what a reader of it must know."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from curate.judge import Judge
from curate.stages.tune.bench import Bench
from curate.stages.tune.choose import Choice, Contender
from curate.stages.tune.family import family
from curate.stages.tune.graders import ByRubric
from curate.stages.tune.labelled import Labelled
from curate.stages.tune.screen import Screened
from curate.stages.tune.search import FEW_PROPOSALS, Found


@dataclass(frozen=True)
class Report:
    """What was tried, what was chosen and why."""

    untuned_id: str
    tuned_id: str
    form: str
    chosen: str
    why: str
    """Why it was chosen, in words."""
    metric: str
    """The number on val that decided."""
    objective: str
    """What the search raised."""
    forms: list[dict[str, Any]]
    candidates: list[dict[str, Any]]
    """Every candidate of the searches with its parents, its score on val and what changed: the family tree."""
    choice: list[dict[str, Any]]
    val: dict[str, Any]
    explained: dict[str, Any]
    """Rules added and removed, and the pages whose judgement they moved; `explain.text` renders it."""
    used: dict[str, Any]
    """What the tuned judge took on val: pages, calls, tokens, US dollars, seconds."""
    budget_calls: int
    metric_calls: int
    proposals: int
    accepted: int
    guarded: int
    """Proposals that the guard rejected before they cost calls."""
    reflection_calls: int
    reflection_failures: int
    grader_calls: int
    grader_failures: int
    unreadable: int
    usd: float
    stopped: str
    """What ended tuning before its budget of calls; empty where nothing did."""
    models: dict[str, Any] = field(default_factory=dict)
    """Where several models were tuned: `table`, `cross`, `front`, `chosen`."""
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For the stage's record."""
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """All that a tuning found, before it is told."""

    untuned: Judge
    tuned: Judge
    choice: Choice
    screened: Sequence[Screened]
    found: Sequence[Found]
    contenders: Sequence[Contender]
    table: list[dict[str, Any]]
    """A row for each contender."""
    explained: dict[str, Any]
    objective: str
    metric: str
    budget: int
    """Metric calls of each search."""


def report_of(outcome: Outcome, *, bench: Bench, grader: ByRubric | None, val: Sequence[Labelled]) -> Report:
    """The outcome as it is recorded."""
    counts = [one.counts for one in outcome.found]
    return Report(
        untuned_id=outcome.untuned.id,
        tuned_id=outcome.tuned.id,
        form=outcome.tuned.form,
        chosen=outcome.choice.chosen.label,
        why=outcome.choice.why,
        metric=outcome.metric,
        objective=outcome.objective,
        forms=[one.row for one in outcome.screened],
        candidates=family(outcome.found),
        choice=outcome.table,
        val=_val_numbers(outcome),
        explained=outcome.explained,
        used=asdict(bench.used(outcome.choice.chosen.judge, val)),
        budget_calls=outcome.budget * len(outcome.found),
        metric_calls=sum(c.metric_calls for c in counts),
        proposals=sum(c.proposals for c in counts),
        accepted=sum(len(one.candidates) - 1 for one in outcome.found),
        guarded=sum(c.guarded for c in counts),
        reflection_calls=sum(c.reflection_calls for c in counts),
        reflection_failures=sum(c.reflection_failures for c in counts),
        grader_calls=grader.calls if grader else 0,
        grader_failures=grader.failures if grader else 0,
        unreadable=bench.unreadable,
        usd=bench.gate.usd,
        stopped=bench.gate.closed,
        notes=remarks(outcome, grader),
    )


def _val_numbers(outcome: Outcome) -> dict[str, Any]:
    choice, before = outcome.choice, outcome.table[0]
    after = next(row for row in outcome.table if row["label"] == choice.chosen.label)
    return {
        "metric": outcome.metric,
        "untuned": before["value"],
        "tuned": after["value"],
        "untuned_auc": before["auc"],
        "tuned_auc": after["auc"],
        "gain": choice.gain.as_dict(),
        "gain_error": None if math.isinf(choice.gain_error) else choice.gain_error,
        "proven": choice.proven,
    }


def remarks(outcome: Outcome, grader: ByRubric | None) -> list[str]:
    """What a reader of the result must know."""
    choice = outcome.choice
    notes = [note for one in outcome.found for note in _of_search(one, outcome.budget)]
    if choice.chosen.label == "untuned":
        notes.append(choice.why)
    elif not choice.proven:
        notes.append(
            f"the gain on val ({choice.gain.text()}) is not proven: its interval holds 0; more labels would tell"
        )
    if grader is not None and grader.failures:
        notes.append(
            f"{grader.failures} of {grader.calls} grades could not be read and were left out (first: {grader.first_failure[:120]})"
        )
    return notes


def _of_search(found: Found, budget: int) -> list[str]:
    counts, notes = found.counts, []
    if found.stopped:
        notes.append(f"the search ended early: {found.stopped}; the best so far was taken")
    if not counts.proposals:
        notes.append(f"GEPA's budget of {budget} metric calls ended before any proposal; raise tune.max_metric_calls")
    elif counts.proposals < FEW_PROPOSALS:
        notes.append(
            f"only {counts.proposals} proposals were tried within {budget} metric calls; raise tune.max_metric_calls"
        )
    if counts.proposals and len(found.candidates) <= 1:
        notes.append(f"none of {counts.proposals} proposals was better than the seed instruction on its minibatch")
    if counts.guarded:
        notes.append(
            f"{counts.guarded} proposals were rejected before any page was judged by them (first: {counts.first_guarded[:160]})"
        )
    if counts.useless:
        notes.append(
            f"{counts.useless} replies of the reflection model held no instruction (first: {counts.first_useless[:120]})"
        )
    if counts.reflection_failures:
        notes.append(
            f"{counts.reflection_failures} of {counts.reflection_calls} reflection calls failed (first: {counts.first_failure[:120]})"
        )
    return notes
