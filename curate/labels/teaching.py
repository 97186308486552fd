"""Which pages would teach most, were they labelled next."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]


def teaching_order(
    pages: Sequence[Row], *, probability: Mapping[str, float], judged: Mapping[str, float], threshold: float
) -> list[str]:
    """Ids of the pages that the classifier knows a probability of, those first that would teach most: by the mean of two
    ranks, how near the threshold the classifier is, and how far it is from the judge's share of keep (of pages not judged,
    in the middle). Pages of the sealed test are left out: which of them are labelled must not depend on what is
    expected of them.
    """
    ids = [page["page_id"] for page in pages if page["split"] != "test" and page["page_id"] in probability]
    p = np.array([probability[page] for page in ids], dtype=np.float64)
    share = np.array([judged.get(page, np.nan) for page in ids], dtype=np.float64)
    near, apart = _rank(-np.abs(p - threshold)), _rank(np.abs(p - share))
    order: list[int] = np.lexsort((ids, -(near + apart))).tolist() if ids else []
    return [ids[place] for place in order]


def _rank(values: "np.ndarray") -> "np.ndarray":
    """Ranks in 0..1 of values (n,), ties shared; .5 where there is none."""
    from scipy.stats import rankdata

    known = ~np.isnan(values)
    found = np.full(len(values), 0.5)
    if known.sum() > 1:
        found[known] = (rankdata(values[known]) - 1) / (known.sum() - 1)
    return found
