"""Quality against speed, drawn."""

from typing import Any

from curate.stages.report.front import BOTTOM, LEFT, RIGHT, TOP, front


def row(auc: float, speed: int, *, weight: float = 3.0, front: bool = False, chosen: bool = False) -> dict[str, Any]:
    given = {"features": ["ngrams"], "human_weight": weight, "auc": auc, "auc_error": 0.01, "pages_per_s": speed}
    return {**given, "front": front, "chosen": chosen}


def test_better_is_higher_faster_is_further_right_and_all_lie_in_the_frame() -> None:
    rows = [row(0.9, 30, front=True, chosen=True), row(0.88, 4000, front=True), row(0.8, 500), row(0.99, 9, weight=0.0)]
    found = front({"human_weight": 3.0, "choices": rows})
    slow, middle, fast = found["points"]
    assert (slow["chosen"], fast["front"], middle["front"]) == (True, True, False)
    assert slow["y"] < fast["y"] < middle["y"], "SVG counts downwards"
    assert all(LEFT < p["x"] < RIGHT and TOP < p["y"] < BOTTOM for p in found["points"])
    assert [tick["words"] for tick in found["x_ticks"]] == ["30", "100", "300", "1,000", "3,000"]
    assert "AUC 0.900 +-0.010, 30 pages a second" in slow["words"]


def test_one_set_or_none_is_no_drawing() -> None:
    assert len(front({"human_weight": 3.0, "choices": [row(0.9, 30)]})["points"]) == 1
    assert front({"human_weight": 3.0, "choices": []})["points"] == []
