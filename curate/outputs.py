"""What else a classifier says of a page beside "keep": its expected level, the classes of a `choice` rubric, its criteria.

All are read off the same features, so each costs a product with its weights, not another look at the page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from curate.checked import Array, teaches
from curate.features import Features
from curate.folds import folds_of
from curate.scorer import Heads, Scorer, fit_scorer, held_out_scores

What = Literal["level", "class", "criterion"]
LEAST_TAUGHT = 20
"""Pages with a value without which an output is not learned."""
LEAST_MEASURED = 10
"""Pages that people gave a value without which an output is not brought to their scale."""


@dataclass(frozen=True)
class Wanted:
    """One output to learn. Arrays (n,): `target` in [0, 1] with NaN where nobody said anything, `weight`, and `people`:
    what people alone said on the output's own scale, NaN where they did not."""

    name: str
    what: What
    top: float
    """The value of a target of 1."""
    target: Array
    weight: Array
    people: Array


@dataclass(frozen=True)
class Output:
    """One learned output: `top` times a score, then `slope` and `offset` bring it to the scale that people use."""

    name: str
    what: What
    top: float
    scorer: Scorer
    slope: float
    offset: float

    def value(self, features: Features) -> Array:
        """Values (n,) in [0, top]."""
        return self.moved(self.scorer.score(features))

    def moved(self, score: Array) -> Array:
        """The same from scores (n,) that were already made."""
        return np.clip(self.slope * self.top * score + self.offset, 0, self.top)


def fit_output(
    wanted: Wanted, features: Features, heads: Heads, groups: Sequence[str], *, folds: int, random_state: int = 0
) -> tuple[Output, Array] | None:
    """The output and its held-out values (n,), NaN where nobody said anything; None where there is too little to learn
    from.

    An ordinal value is learned as a share of its top with the loss of logistic regression (Papke and Wooldridge 1996):
    a head for each border between levels, as in Frank and Hall (2001), ranked pages no better at several times the cost.
    """
    seen = np.flatnonzero(~np.isnan(wanted.target) & (wanted.weight > 0))
    p, weight = wanted.target[seen], wanted.weight[seen]
    names = [groups[int(i)] for i in seen]
    if len(seen) < LEAST_TAUGHT or not teaches(p, weight) or len(set(names)) < 2:
        return None
    own = features[seen]
    fold_of = folds_of(names, (p > np.median(p)).astype(float), folds=folds, random_state=random_state)
    held = held_out_scores(own, heads, p, weight, fold_of, random_state=random_state)
    slope, offset = _line(wanted.top * held, wanted.people[seen], wanted.top)
    scorer = fit_scorer(own, heads, p, weight, groups=names, random_state=random_state)
    made = Output(wanted.name, wanted.what, wanted.top, scorer, slope, offset)
    values = np.full(len(features), np.nan)
    values[seen] = made.moved(held)
    return made, values


def values_of(outputs: Mapping[str, Output], features: Features) -> dict[str, Array]:
    """Values (n,) by output; those of classes add up to 1."""
    found = {name: output.value(features) for name, output in outputs.items()}
    classes = [name for name, output in outputs.items() if output.what == "class"]
    whole = np.maximum(sum((found[name] for name in classes), np.zeros(len(features))), 1e-9)
    return {name: value / whole if name in classes else value for name, value in found.items()}


def _line(predicted: Array, people: Array, top: float) -> tuple[float, float]:
    """Slope and offset from held-out predictions to what people said: least squares; as it is where people said too
    little, or where the two do not rise together."""
    known = ~np.isnan(people)
    if known.sum() < LEAST_MEASURED or predicted[known].std() < 1e-9 * max(top, 1.0):
        return 1.0, 0.0
    slope, offset = np.polyfit(predicted[known], people[known], 1)
    return (float(slope), float(offset)) if slope > 0 else (1.0, 0.0)
