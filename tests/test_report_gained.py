"""Whether more labels would help, as the report draws it."""

from typing import Any

import pytest

from curate.stages.report.front import BOTTOM, LEFT, RIGHT, TOP
from curate.stages.report.gained import drawn_gain


def given(*, judge: int = 3) -> dict[str, Any]:
    points = [{"labels": n, "auc": auc, "error": 0.02} for n, auc in ((25, 0.7), (50, 0.8), (100, 0.85))]
    steps = [{"labels": 25 * (i + 1), "value": 0.9, "low": 0.4, "high": 1.0, "n": 25} for i in range(judge)]
    return {"points": points, "judge": steps}


def test_both_curves_stay_in_the_frame_and_rise_upward() -> None:
    found = drawn_gain(given())
    assert [line["who"] for line in found["lines"]] == ["classifier", "judge"]
    first = found["lines"][0]["points"]
    assert [p["y"] for p in first] == sorted((p["y"] for p in first), reverse=True)
    assert first[-1]["x"] == RIGHT
    for line in found["lines"]:
        for p in line["points"]:
            assert LEFT <= p["x"] <= RIGHT
            assert TOP <= p["high"] <= p["y"] <= p["low"] <= BOTTOM
    assert [tick["words"] for tick in found["x_ticks"]] == ["0", "50", "100"]
    assert found["y_ticks"][0]["words"] == "0.65"


@pytest.mark.parametrize(("judge", "who"), [(0, ["classifier"]), (1, ["classifier"]), (2, ["classifier", "judge"])])
def test_one_point_is_no_line(judge: int, who: list[str]) -> None:
    assert [line["who"] for line in drawn_gain(given(judge=judge))["lines"]] == who


def test_without_points_nothing_is_drawn() -> None:
    assert drawn_gain({"points": [], "judge": []}) == {"lines": [], "x_ticks": [], "y_ticks": []}
