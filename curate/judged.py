"""What a judge's judgment says of keeping."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from curate.rubric import Rubric


def worth_by_judge(rubric: Rubric, judgment: Mapping[str, Any]) -> float:
    """The judge's share of "keep": from 0 at one level below `keep` to 1 at `keep`, so that it is .5 at the border between
    them; of classes, the probability of those kept, or whether its class is one. NaN where it gave no level."""
    if judgment.get("status") != "ok" or judgment.get("expected") is None:
        return float("nan")
    if isinstance(rubric.keep, int):
        return float(np.clip(judgment["expected"] - (rubric.keep - 1), 0, 1))
    said = judgment.get("probabilities") or []
    if len(said) == len(rubric.levels):
        return float(np.clip(sum(said[level] for level in rubric.kept) / max(sum(said), 1e-9), 0, 1))
    return float(round(judgment["expected"]) in rubric.kept)
