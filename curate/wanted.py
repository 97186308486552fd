"""What a rubric asks a classifier to say beside "keep", as targets to learn from: of judge and people together."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from curate.checked import Array
from curate.outputs import Wanted
from curate.rubric import Rubric

Row = Mapping[str, Any]
MOST_HEAVY = 10.0
"""The weight that a human label has at most; above it the judge's weighs less instead."""


def wanted_of(
    rubric: Rubric,
    page_ids: Sequence[str],
    *,
    judgments: Mapping[str, Row],
    levels: Mapping[str, float],
    criteria: Mapping[str, Mapping[str, float]],
    human_weight: float,
) -> list[Wanted]:
    """The expected level of an ordinal rubric of more than two levels, each class of a `choice` rubric, each criterion.

    `judgments` are by page id, those that are `ok`; `levels` and `criteria` what people say together. The judge counts 1, a
    person `human_weight`, or 1 where the judge is silent. A criterion that nobody answered is not among them.
    """
    found = []
    if rubric.scale == "ordinal" and rubric.top > 1:
        by_judge = {page: float(row["expected"]) for page, row in judgments.items()}
        found.append(_wanted("level", "level", rubric.top, page_ids, by_judge, levels, human_weight))
    if rubric.scale == "choice":
        for place, name in rubric.names.items():
            said = {page: _chance(row, place, len(rubric.levels)) for page, row in judgments.items()}
            people = {page: float(level == place) for page, level in levels.items()}
            found.append(_wanted(f"class {name}", "class", 1, page_ids, said, people, human_weight))
    answered = (
        {page: json.loads(row.get("criteria") or "{}") for page, row in judgments.items()} if rubric.criteria else {}
    )
    for name, one in rubric.criteria.items():
        said = {page: float(given[name]) for page, given in answered.items() if name in given}
        people = {page: given[name] for page, given in criteria.items() if name in given}
        found.append(_wanted(f"criterion {name}", "criterion", max(one.levels), page_ids, said, people, human_weight))
    return [one for one in found if not np.isnan(one.target).all()]


def _wanted(
    name: str,
    what: Any,
    top: float,
    page_ids: Sequence[str],
    judged: Mapping[str, float],
    people: Mapping[str, float],
    human_weight: float,
) -> Wanted:
    by_judge, by_people = _column(page_ids, judged), _column(page_ids, people)
    target, weight = mixed(by_judge / top, by_people / top, human_weight)
    return Wanted(name, what, float(top), target, weight, by_people)


def mixed(judged: Array, people: Array, human_weight: float) -> tuple[Array, Array]:
    """Targets (n,) and weights (n,) of what judge and people say, NaN where one of them is silent; NaN and 0 where both
    are. The judge counts 1, people `human_weight`, or 1 where the judge is silent and they weigh nothing."""
    silent, unlabelled = np.isnan(judged), np.isnan(people)
    from_judge = np.where(silent, 0.0, 1.0)
    from_people = np.where(unlabelled, 0.0, np.where(silent & (human_weight == 0), 1.0, human_weight))
    if human_weight > MOST_HEAVY:  # a fit's penalty is set against the sum of the weights, which is to stay what it was
        from_judge, from_people = from_judge * MOST_HEAVY / human_weight, from_people * MOST_HEAVY / human_weight
    weight = from_judge + from_people
    total = np.nan_to_num(judged) * from_judge + np.nan_to_num(people) * from_people
    return np.divide(total, weight, out=np.full(len(weight), np.nan), where=weight > 0), weight


def _column(page_ids: Sequence[str], values: Mapping[str, float]) -> Array:
    return np.array([values.get(page, np.nan) for page in page_ids], dtype=np.float64)


def _chance(row: Row, place: int, classes: int) -> float:
    """The judge's probability of a class, or whether it named it where it gave none."""
    said = row.get("probabilities") or []
    if len(said) == classes and sum(said) > 0:
        return float(np.clip(said[place] / sum(said), 0, 1))
    return float(round(row["expected"]) == place)
