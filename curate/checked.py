"""What must hold of labels, scores and targets before anything is learned from them, said in one line where it does not."""

from typing import Any

import numpy as np
import numpy.typing as npt

from curate.errors import BadInput

Array = npt.NDArray[np.float64]


def finite(values: Any, where: str) -> Array:
    """One finite number per page. Raises BadInput otherwise."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise BadInput(f"{where}: needs one finite number per page (got shape {numbers.shape})")
    return numbers


def both_classes(truth: Any, where: str) -> npt.NDArray[np.bool_]:
    """Labels (n,) of which some are keep and some are not. Raises BadInput otherwise."""
    labels = np.asarray(truth, dtype=np.bool_)
    if not 0 < labels.sum() < len(labels):
        raise BadInput(
            f"{where}: needs labels of both kinds (got {int(labels.sum())} keep of {len(labels)}); label more"
        )
    return labels


def same_length(first: Any, second: Any, where: str) -> None:
    """Raises BadInput where there is not one of `first` for each of `second`."""
    if len(first) != len(second):
        raise BadInput(f"{where}: got {len(first)} values for {len(second)} pages")


def targets_of(pages: int, targets: Any, sample_weight: Any) -> tuple[Array, Array]:
    """Targets in [0, 1] and weights, (pages,) each; weights are 1 where none are given.

    Raises BadInput where they are no such numbers, or all targets that weigh something are 0, or all are 1.
    """
    p = finite(targets, "fit")
    weight = np.ones(len(p)) if sample_weight is None else finite(sample_weight, "fit")
    same_length(p, weight, "fit")
    if len(p) != pages:
        raise BadInput(f"classifier: got {len(p)} targets for {pages} pages")
    if len(p) == 0 or p.min() < 0 or p.max() > 1 or weight.min() < 0:
        raise BadInput("classifier: targets must be in [0, 1], weights at least 0, and there must be pages")
    if not teaches(p, weight):
        raise BadInput("classifier: the targets are all the same class; there is nothing to learn, score other pages")
    return p, weight


def teaches(p: Array, weight: Array) -> bool:
    """Whether targets that weigh something are neither all 0 nor all 1."""
    seen = p[weight > 0]
    return bool(len(seen) and seen.max() > 0 and seen.min() < 1)
