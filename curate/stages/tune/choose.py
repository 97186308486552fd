"""Which candidate is taken: by the number on val that users report, with its noise in mind."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from curate import judge as judges
from curate import metrics
from curate.intervals import Estimate, bootstrap, paired_difference
from curate.judge import Judge
from curate.rubric import Rubric
from curate.schema import Judgment
from curate.stages.tune.bench import scores_of
from curate.stages.tune.labelled import Labelled
from curate.weighted import Statistic

RESAMPLES = 1000
UNDEFINED = Estimate(math.nan, math.nan, math.nan, 0)
"""Where a number cannot be had."""


@dataclass(frozen=True)
class Measure:
    """A number of a judge on some pages: the truth, what of the answers is compared with it, and how."""

    name: str
    statistic: Statistic
    truth: np.ndarray
    groups: np.ndarray
    column: Callable[[Judge, Sequence[Judgment]], np.ndarray]

    def value(self, judge: Judge, said: Sequence[Judgment]) -> float:
        """The number alone, NaN where it is not defined."""
        return float(self.statistic(self.truth, self.column(judge, said))) if len(self.truth) else math.nan

    def estimate(self, judge: Judge, said: Sequence[Judgment]) -> Estimate:
        """With its interval over groups."""
        return bootstrap(
            self.statistic, [self.truth, self.column(judge, said)], groups=self.groups, resamples=RESAMPLES
        )


@dataclass(frozen=True)
class Contender:
    """A judge that could be taken, with what it said of the val pages."""

    label: str
    judge: Judge
    said: Sequence[Judgment] = field(repr=False)

    @property
    def chars(self) -> int:
        """Length of its prompt without the page."""
        return prompt_chars(self.judge)


@dataclass(frozen=True)
class Choice:
    """What is taken and why."""

    chosen: Contender
    best: str
    gain: Estimate
    """On the untuned judge, paired."""
    gain_error: float
    """Standard error of the gain."""
    why: str

    @property
    def proven(self) -> bool:
        """Whether the interval of the gain lies above 0."""
        return not math.isnan(self.gain.low) and self.gain.low > 0


def prompt_chars(judge: Judge) -> int:
    """Characters of a judge's messages around an empty page, over all orders."""
    return sum(len(str(m["content"])) for request in judges.requests(judge, "") for m in request.messages)


def measure_for(asked: str, rubric: Rubric, pages: Sequence[Labelled]) -> Measure:
    """The measure by name; `auto` is auc, or for classes macro_f1 (accuracy where no class is worth keeping)."""
    name = asked if asked != "auto" else _usual(rubric)
    truth = np.array([page.truth for page in pages], dtype=np.float64)
    groups = np.array([page.group for page in pages])
    keep = np.array([page.keep for page in pages], dtype=bool)
    nearest = metrics.nearest_level(truth)
    if rubric.scale == "choice" and name != "auc":
        return Measure(name, _OF_CLASSES[name], nearest, groups, _levels)
    match name:
        case "auc":
            return Measure(name, metrics.auc, keep, groups, lambda judge, said: metrics.ranked_last(scores_of(said)))
        case "qwk":
            statistic = partial(metrics.weighted_kappa, levels=rubric.top + 1)
            return Measure(name, statistic, nearest, groups, lambda judge, said: np.maximum(_levels(judge, said), 0))
        case "macro_f1":
            return Measure(name, macro_f1, nearest, groups, _levels)
        case _:
            return Measure(name, _OF_CLASSES[name], keep, groups, partial(_kept, rubric))


def choose(contenders: Sequence[Contender], measure: Measure) -> Choice:
    """The shortest prompt that is not more than one standard error below the best (Breiman et al. 1984, section 3.4.3:
    standard error of the paired difference, by bootstrap over groups) and more than one above the untuned judge; of
    equally short ones the best. The untuned judge stands first and stays where no candidate beats it so."""
    untuned, *found = contenders
    values = {c.label: measure.value(c.judge, c.said) for c in contenders}
    ranked = sorted((c for c in found if any(s.status == "ok" for s in c.said)), key=lambda c: -_known(values[c.label]))
    if not ranked:
        return Choice(
            untuned, "untuned", _gain(untuned, untuned, measure), 0.0, "no other candidate was readable on val"
        )
    best = ranked[0]
    better = {c.label: _beats(untuned, c, measure) for c in ranked}
    near = [c for c in ranked if _known(values[best.label]) - _known(values[c.label]) <= paired_error(c, best, measure)]
    taken = min((c for c in near if better[c.label]), key=lambda c: (c.chars, -_known(values[c.label])), default=None)
    if taken is not None:
        gain, error = _gain(untuned, taken, measure), paired_error(untuned, taken, measure)
        return Choice(taken, best.label, gain, error, _why(taken, best, measure))
    gain, error = _gain(untuned, best, measure), paired_error(untuned, best, measure)
    stays = (
        f"tuning did not help on val: {measure.name} of the best candidate is {_known(values[best.label]):.3f}, of the "
        f"untuned judge {_known(values[untuned.label]):.3f}; the difference {gain.value:+.3f} is not above one standard "
        f"error ({error:.3f}), so the untuned rubric stays"
    )
    return Choice(untuned, best.label, _gain(untuned, untuned, measure), 0.0, stays)


def _beats(untuned: Contender, one: Contender, measure: Measure) -> bool:
    """Whether it is better than the untuned judge by more than one standard error, or that one never answers."""
    gain = _gain(untuned, one, measure)
    silent = not any(s.status == "ok" for s in untuned.said)
    return silent or (gain.value > 0 and gain.value > paired_error(untuned, one, measure))


def paired_error(one: Contender, other: Contender, measure: Measure) -> float:
    """Standard error of the difference of two judges on the same pages, by bootstrap over groups; 0 where all resamples
    agree."""
    columns = [measure.truth, *(measure.column(c.judge, c.said) for c in (one, other))]
    _, members = np.unique(measure.groups, return_inverse=True)
    draws = _draws(measure.statistic, columns, members)
    differences = draws[1] - draws[0]
    differences = differences[~np.isnan(differences)]
    return float(np.std(differences, ddof=1)) if len(differences) > 1 else math.inf


def row_of(contender: Contender, measure: Measure, rubric: Rubric, pages: Sequence[Labelled]) -> dict[str, Any]:
    """A contender as a row of the report. `auc` has no value where nothing is worth keeping, or all is."""
    said = contender.said
    both = len({page.keep for page in pages if page.labelled}) == 2
    return {
        "label": contender.label,
        "judge": contender.judge.id,
        "form": contender.judge.form,
        "metric": measure.name,
        "value": measure.estimate(contender.judge, said).as_dict(),
        "auc": (measure_for("auc", rubric, pages).estimate(contender.judge, said) if both else UNDEFINED).as_dict(),
        "readable": float(np.mean([s.status == "ok" for s in said])) if said else 0.0,
        "chars": contender.chars,
    }


def macro_f1(truth: Any, predicted: Any) -> float:
    """Mean of the F1 of every class that people named: rare classes count as much as common ones."""
    rows, columns = np.asarray(truth), np.asarray(predicted)
    scores = []
    for name in np.unique(rows):
        hit = np.sum((rows == name) & (columns == name))
        scores.append(2 * hit / (np.sum(rows == name) + np.sum(columns == name)))
    return float(np.mean(scores)) if scores else math.nan


def _usual(rubric: Rubric) -> str:
    if rubric.scale != "choice":
        return "auc"
    return "macro_f1" if rubric.kept else "accuracy"


_OF_CLASSES: dict[str, Statistic] = {
    "accuracy": metrics.accuracy,
    "kappa": metrics.kappa,
    "macro_f1": macro_f1,
    "qwk": metrics.kappa,
}


def _levels(judge: Judge, said: Sequence[Judgment]) -> np.ndarray:
    """Levels (n,), -1 where there is no readable answer: no class, so always wrong."""
    return np.array([-1 if (level := level_of(judge, s)) is None else level for s in said])


def level_of(judge: Judge, said: Judgment) -> int | None:
    """The level of an answer by the judge's cuts, which may have been fitted after it was read."""
    if said.score is None or not judge.cuts or judge.scale == "choice":
        return said.level
    return min(max(math.floor(judges.expected_level(judge, said.score) + 0.5), 0), judge.top)


def _kept(rubric: Rubric, judge: Judge, said: Sequence[Judgment]) -> np.ndarray:
    return np.isin(_levels(judge, said), sorted(rubric.kept))


def _gain(untuned: Contender, taken: Contender, measure: Measure) -> Estimate:
    before, after = (measure.column(c.judge, c.said) for c in (untuned, taken))
    return paired_difference(
        measure.statistic, measure.truth, before, after, groups=measure.groups, resamples=RESAMPLES
    )


def _draws(statistic: Statistic, columns: Sequence[np.ndarray], members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The statistic of both judges in every resample of whole groups."""
    from curate.weighted import over_resamples

    rng, size = np.random.default_rng(0), int(members.max()) + 1
    counts = rng.multinomial(size, np.full(size, 1 / size), size=RESAMPLES)
    rows = counts[:, members].astype(np.float64)
    over = over_resamples(statistic)
    return over(rows, columns[0], columns[1]), over(rows, columns[0], columns[2])


def _known(value: float) -> float:
    return -1.0 if math.isnan(value) else value


def _why(taken: Contender, best: Contender, measure: Measure) -> str:
    if taken.label == best.label:
        return f"the best {measure.name} on val"
    return f"the shortest prompt within one standard error of the best ({best.label})"
