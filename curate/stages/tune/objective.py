"""What the search raises: a number from 0 to 1 for each judgment, by what people said of the page."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from curate import judge as judges
from curate.judge import Judge
from curate.schema import Judgment
from curate.stages.tune.labelled import Labelled

Objective = Literal["rank", "level", "exact"]
ON_LEVELS = ("level", "json", "reasoned")
"""Forms whose score is on the rubric's levels."""


@dataclass(frozen=True)
class Mark:
    """How well a judgment agrees with people, 0..1, and the pages it is ranked wrongly against."""

    score: float
    wrong: Sequence[Labelled] = field(default=())


Marker = Callable[[Judge, Labelled, Judgment], Mark]


def objective_for(asked: str, judge: Judge) -> Objective:
    """The objective of a judge where `auto` is asked for: by what its score means."""
    if asked != "auto":
        return asked  # type: ignore[return-value]
    if judge.scale == "choice":
        return "exact"
    return "level" if judge.form in ON_LEVELS and not judge.cuts else "rank"


def marker(
    objective: Objective,
    train: Sequence[Labelled],
    anchors: Sequence[Labelled],
    ask: Callable[[Judge, Labelled], float],
) -> Marker:
    """The function that marks judgments. `ask` gives the score of an anchor, -inf where it has none."""
    weights = rarity(train)
    match objective:
        case "rank":
            return lambda judge, page, said: _ranked(judge, page, said, anchors, ask)
        case "level":
            return lambda judge, page, said: Mark(1 - weights(page.level) * _distance(judge, page, said))
        case "exact":
            return lambda judge, page, said: Mark(1 - weights(page.level) * _miss(judge, page, said))


def rarity(train: Sequence[Labelled]) -> Callable[[int], float]:
    """How much an error on a page of a level counts, 0..1: the rarest level 1, the others in inverse proportion to
    their pages. The sum of errors over pages is then the sum over levels of their mean error, times a constant."""
    counts = Counter(page.level for page in train if page.labelled)
    least = min(counts.values(), default=1)
    return lambda level: min(1.0, least / counts.get(level, least))


def _distance(judge: Judge, page: Labelled, said: Judgment) -> float:
    """Distance of the expected level to the mean level, 0..1; an unreadable answer is as far as can be."""
    return 1.0 if said.expected is None else min(1.0, abs(said.expected - page.truth) / judge.top)


def _miss(judge: Judge, page: Labelled, said: Judgment) -> float:
    """1 - the probability of the right class; without probabilities of the classes 0 or 1."""
    if said.status != "ok" or said.level is None:
        return 1.0
    if len(said.probabilities) == len(judge.levels) and judge.form not in judges.WORD_QUESTIONS:
        return 1.0 - said.probabilities[page.level]
    return float(said.level != page.level)


def _ranked(
    judge: Judge,
    page: Labelled,
    said: Judgment,
    anchors: Sequence[Labelled],
    ask: Callable[[Judge, Labelled], float],
) -> Mark:
    """Share of the anchors of another level that the page is ranked rightly against: free of any calibration."""
    others = [a for a in anchors if a.page_id != page.page_id and abs(a.truth - page.truth) >= 1]
    if said.score is None or not others:
        return Mark(0.0 if said.score is None else 1.0, others)
    marks: list[float] = []
    wrong: list[Labelled] = []
    for other in others:
        theirs = ask(judge, other)
        right = 0.5 if theirs == said.score else float((said.score > theirs) == (page.truth > other.truth))
        marks.append(right)
        wrong += [other] if right < 0.5 else []
    return Mark(float(np.mean(marks)), wrong)
