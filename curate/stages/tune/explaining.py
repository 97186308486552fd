"""What tuning changed and what each change did: rules added and removed along the line from the rubric to the tuned
instruction, each step with the pages whose judgement it moved."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from curate import judge as judges
from curate.judge import Judge
from curate.schema import Judgment
from curate.stages.tune.bench import Bench, was_asked
from curate.stages.tune.choose import Contender, Measure, paired_error
from curate.stages.tune.family import changed
from curate.stages.tune.labelled import Labelled
from curate.stages.tune.search import Candidate, Found

EXCERPT_CHARS = 100
LEAST_MOVE = 0.05
"""A page whose grade changed by less has not moved."""
SHOWN_PAGES = 5
MOST_PAGES = 20
"""Pages of each side of a step that are recorded."""

Grader = Callable[[Judge, Labelled, Judgment], float | None]


@dataclass(frozen=True)
class Moved:
    """A page whose judgement a step moved."""

    page_id: str
    split: str
    excerpt: str
    people: float
    before: float | None
    after: float | None
    toward: float
    """Change of its grade: above 0 nearer to people."""


@dataclass(frozen=True)
class Step:
    """From one candidate to the next."""

    candidate: str
    parent: str
    added: list[str]
    removed: list[str]
    toward: list[Moved] = field(default_factory=list)
    away: list[Moved] = field(default_factory=list)


@dataclass(frozen=True)
class Ablated:
    """A rule that tuning added, left out of the tuned instruction."""

    rule: str
    metric: str
    worth: float
    """What the number on val loses without it."""
    error: float
    """Standard error of that."""


def explain(found: Found, tuned: str, *, pages: Sequence[Labelled], bench: Bench, grade: Grader) -> list[Step]:
    """The steps from the seed to the tuned instruction. Pages of train and val that both sides of a step were asked
    about are compared; nothing is asked."""
    by_text = {c.instruction: c for c in found.candidates}
    steps: list[Step] = []
    here = by_text.get(tuned)
    while here is not None and here.parents:
        parent = by_text.get(here.parents[0])
        if parent is None:
            break
        steps.insert(0, _step(found.seed, parent, here, pages, bench, grade))
        here = parent
    return steps


def ablate(
    tuned: Contender, seed: Judge, *, bench: Bench, val: Sequence[Labelled], measure: Measure, most: int = 12
) -> list[Ablated]:
    """The tuned judge on val without each rule that its instruction has and the seed's has not, in turn. A rule without
    which the form cannot be asked is passed over, as is what the gate keeps from being asked."""
    added, _ = changed(seed.instruction, tuned.judge.instruction)
    rows = []
    for rule in added[:most]:
        without = _without(tuned.judge.instruction, rule)
        if without == tuned.judge.instruction or not judges.well_formed(tuned.judge.form, without):
            continue
        judge = tuned.judge.model_copy(update={"instruction": without})
        said = bench.on(judge, val)
        if not all(was_asked(s) for s in said):
            break
        left = Contender(f"without {rule[:40]}", judge, said)
        worth = measure.value(tuned.judge, tuned.said) - measure.value(judge, said)
        rows.append(Ablated(rule, measure.name, worth, paired_error(left, tuned, measure)))
    return rows


def as_dict(steps: Sequence[Step], ablated: Sequence[Ablated]) -> dict[str, Any]:
    """For the stage's record: of each step the pages that moved most, and how many moved."""
    told = []
    for step in steps:
        kept = replace(step, toward=step.toward[:MOST_PAGES], away=step.away[:MOST_PAGES])
        told.append({**asdict(kept), "pages_toward": len(step.toward), "pages_away": len(step.away)})
    return {"steps": told, "ablated": [asdict(row) for row in ablated]}


def text(explained: Mapping[str, Any]) -> str:
    """The record's `explained` as people read it."""
    if not explained.get("steps"):
        return "tuning added no rule: the judge asks in the rubric's own words"
    lines: list[str] = []
    for number, step in enumerate(explained["steps"], 1):
        lines += [f"step {number}: {step['parent'][:8]} -> {step['candidate'][:8]}"]
        lines += [f"  + {rule}" for rule in step["added"]] + [f"  - {rule}" for rule in step["removed"]]
        for side, title in (("toward", "nearer to people"), ("away", "further from people")):
            lines += _page_lines(title, step[side], step[f"pages_{side}"])
    for row in explained.get("ablated", []):
        lines.append(
            f"without {row['rule']!r}: {row['metric']} on val {-row['worth']:+.3f} (standard error {row['error']:.3f})"
        )
    return "\n".join(lines)


def _page_lines(title: str, moved: Sequence[Mapping[str, Any]], count: int) -> list[str]:
    if not moved:
        return []
    lines = [f"  {title}: {count} pages"]
    for page in moved[:SHOWN_PAGES]:
        before, after = (_number(page[key]) for key in ("before", "after"))
        lines.append(
            f"    {page['page_id'][:8]} ({page['split']}): people {page['people']:g}, {before} -> {after}: {page['excerpt']}"
        )
    return lines


def _number(value: float | None) -> str:
    return "no answer" if value is None else f"{value:.2f}"


def _step(
    seed: Judge, parent: Candidate, child: Candidate, pages: Sequence[Labelled], bench: Bench, grade: Grader
) -> Step:
    before, after = (seed.model_copy(update={"instruction": c.instruction}) for c in (parent, child))
    moved = [m for page in pages if page.labelled and (m := _moved(before, after, page, bench, grade))]
    moved.sort(key=lambda m: (-abs(m.toward), m.page_id))
    added, removed = changed(parent.instruction, child.instruction)
    return Step(
        candidate=child.id,
        parent=parent.id,
        added=added,
        removed=removed,
        toward=[m for m in moved if m.toward > 0],
        away=[m for m in moved if m.toward < 0],
    )


def _moved(before: Judge, after: Judge, page: Labelled, bench: Bench, grade: Grader) -> Moved | None:
    old, new = bench.said(before, page), bench.said(after, page)
    if old is None or new is None:
        return None
    grades = grade(before, page, old), grade(after, page, new)
    if grades[0] is None or grades[1] is None or abs(grades[1] - grades[0]) < LEAST_MOVE:
        return None
    return Moved(
        page_id=page.page_id,
        split=page.split,
        excerpt=" ".join(page.text.split())[:EXCERPT_CHARS],
        people=page.truth,
        before=old.expected,
        after=new.expected,
        toward=grades[1] - grades[0],
    )


def _without(instruction: str, rule: str) -> str:
    """The instruction without one rule, whatever line breaks stand in it."""
    pattern = r"\s+".join(re.escape(word) for word in rule.split())
    return re.sub(
        rf"[ \t]*{pattern}[ \t]*\n?", lambda found: "\n" if found.group().endswith("\n") else " ", instruction, count=1
    ).strip()
