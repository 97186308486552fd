"""A head on each block of features, and a blend of their log-odds: what gives a page one number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.blend import Blend, fit_blend
from curate.checked import Array, teaches
from curate.features import Features
from curate.folds import folds_of
from curate.heads import Head, Kind, fit_head
from curate.logistic import sigmoid

Heads = Mapping[str, tuple[Kind, float]]
"""By block: the kind of head, and the factor of its inverse strength of penalty."""
INNER_FOLDS = 5
"""Folds within the training pages on which the blend's weights are learned."""


@dataclass(frozen=True)
class Scorer:
    """Fitted heads by block, and their blend."""

    heads: Mapping[str, Head]
    blend: Blend

    def score(self, features: Features) -> Array:
        """Scores (n,) in [0, 1], not calibrated."""
        found = [head.log_odds(name, features.block(name)) for name, head in self.heads.items()]
        return sigmoid(self.blend.log_odds(np.column_stack(found)))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """All that was learned, by name: what `of_arrays` reads."""
        found = {f"{name}/{key}": array for name, head in self.heads.items() for key, array in head.arrays.items()}
        blend = self.blend
        mixed = {"offset": blend.offset, "scale": blend.scale, "weights": blend.weights, "bias": np.array([blend.bias])}
        return {**found, **{f"blend/{key}": array for key, array in mixed.items()}}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], heads: Heads) -> "Scorer":
        """What `arrays` gave, with the kinds of its heads. Raises KeyError where one is missing."""
        found = {
            name: Head(kind, {key.split("/")[1]: array for key, array in arrays.items() if key.startswith(f"{name}/")})
            for name, (kind, _) in heads.items()
        }
        blend = Blend(arrays["blend/offset"], arrays["blend/scale"], arrays["blend/weights"], arrays["blend/bias"][0])
        return cls(found, blend)


def fit_scorer(
    features: Features,
    heads: Heads,
    p: Array,
    weight: Array,
    *,
    groups: Sequence[str] | None = None,
    random_state: int = 0,
) -> Scorer:
    """Heads on all pages; the blend's weights are learned on held-out scores over folds that part none of `groups` (None:
    each page is its own)."""
    fitted = {
        name: fit_head(name, kind, features.block(name), p, weight, c=c, random_state=random_state)
        for name, (kind, c) in heads.items()
    }
    if len(heads) == 1:
        return Scorer(fitted, fit_blend(np.zeros((1, 1)), p[:1], weight[:1]))
    names = groups if groups is not None else [str(row) for row in range(len(p))]
    fold_of = folds_of(names, p, folds=INNER_FOLDS, random_state=random_state)
    held = held_out_log_odds(features, heads, p, weight, fold_of, random_state=random_state)
    return Scorer(fitted, fit_blend(held, p, weight))


def held_out_scores(
    features: Features, heads: Heads, p: Array, weight: Array, fold_of: npt.NDArray[np.int64], *, random_state: int = 0
) -> Array:
    """Scores (n,) of each page by heads that saw no page of its fold, blended by weights learned on the other folds."""
    return blended(
        held_out_log_odds(features, heads, p, weight, fold_of, random_state=random_state), p, weight, fold_of
    )


def held_out_log_odds(
    features: Features, heads: Heads, p: Array, weight: Array, fold_of: npt.NDArray[np.int64], *, random_state: int = 0
) -> Array:
    """Log-odds (n, blocks) of each page by heads that saw no page of its fold; 0 where a fold leaves nothing to learn."""
    found = np.zeros((len(features), len(heads)))
    for fold in np.unique(fold_of):
        held = fold_of == fold
        if not teaches(p[~held], weight[~held]):
            continue
        for column, (name, (kind, c)) in enumerate(heads.items()):
            block = features.block(name)
            head = fit_head(name, kind, block[~held], p[~held], weight[~held], c=c, random_state=random_state)
            found[held, column] = head.log_odds(name, block[held])
    return found


def blended(scores: Array, p: Array, weight: Array, fold_of: npt.NDArray[np.int64]) -> Array:
    """Scores (n,) of each page from held-out log-odds (n, k), the weights of the blend learned on the other folds."""
    if scores.shape[1] == 1:
        return sigmoid(scores[:, 0])
    found = np.zeros(len(scores))
    for fold in np.unique(fold_of):
        held = fold_of == fold
        found[held] = fit_blend(scores[~held], p[~held], weight[~held]).log_odds(scores[held])
    return sigmoid(found)
