"""Whether more labels would help, for the report: figures, and the points of a drawing."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from curate.labels.gain import gain_of_labels, judge_curve
from curate.rubric import Rubric
from curate.stages.report.front import BOTTOM, LEFT, RIGHT, TOP
from curate.stages.report.sealed import Labelled, Row

ROOM = 0.05
"""AUC above the best and below the worst that the drawing shows."""


def labels_gain(
    known: Labelled,
    labels: Iterable[Row],
    judged: Mapping[str, Row],
    rubric: Rubric,
    *,
    worthwhile: float,
) -> dict[str, Any]:
    """The learning curve over labels of train and val (`known`), the rule to stop by, and the judge's agreement as labels
    came in; {} where nothing is to be kept."""
    if not rubric.kept:
        return {}
    truth = {page["page_id"]: float(level) for page, level in zip(known.pages, known.truth, strict=True)}
    scores = {page: float(row["score"]) for page, row in judged.items() if row.get("score") is not None}
    found = gain_of_labels(truth, known.pages, rubric, worthwhile=worthwhile)
    steps = judge_curve(labels, known.pages, scores, rubric).steps
    return {**found.as_dict(), "judge": [{"labels": n, **auc.as_dict()} for n, auc in steps]}


def drawn_gain(given: Mapping[str, Any]) -> dict[str, Any]:
    """Places of both curves, with ticks for both axes; no lines where there are fewer than two points."""
    lines: dict[str, list[tuple[float, float, float, float]]] = {
        "classifier": [
            (p["labels"], p["auc"], p["auc"] - 2 * p["error"], p["auc"] + 2 * p["error"]) for p in given["points"]
        ],
        "judge": [(p["labels"], p["value"], p["low"], p["high"]) for p in given["judge"]],
    }
    lines = {name: points for name, points in lines.items() if len(points) > 1}
    every = [point for points in lines.values() for point in points]
    if not every:
        return {"lines": [], "x_ticks": [], "y_ticks": []}
    most, aucs = max(point[0] for point in every), [point[1] for point in every]
    low, high = max(min(aucs) - ROOM, 0.0), min(max(aucs) + ROOM, 1.0)

    def up(auc: float) -> float:
        return float(round(BOTTOM - (min(max(auc, low), high) - low) / (high - low) * (BOTTOM - TOP), 1))

    def across(labels: float) -> float:
        return float(round(LEFT + labels / most * (RIGHT - LEFT), 1))

    return {
        "lines": [{"who": who, "points": _points(points, across, up)} for who, points in lines.items()],
        "x_ticks": [{"at": across(x), "words": f"{x:,}"} for x in sorted({round(most * part) for part in (0, 0.5, 1)})],
        "y_ticks": [{"at": up(y), "words": f"{y:.2f}"} for y in np.linspace(low, high, 4).tolist()],
    }


def _points(points: Sequence[tuple[float, float, float, float]], across: Any, up: Any) -> list[dict[str, Any]]:
    return [
        {
            "x": across(labels),
            "y": up(auc),
            "low": up(low),
            "high": up(high),
            "words": f"{labels:,.0f} labels: AUC {auc:.3f} [{low:.3f}, {high:.3f}]",
        }
        for labels, auc, low, high in points
    ]
