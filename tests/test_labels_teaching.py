"""Which pages would teach most."""

from curate.labels.teaching import teaching_order

PAGES = [{"page_id": name, "split": "test" if name == "sealed" else "train"} for name in ("a", "b", "c", "d", "sealed")]
PROBABILITY = {"a": 0.95, "b": 0.5, "c": 0.9, "d": 0.05, "sealed": 0.5}


def test_near_the_threshold_comes_first_where_no_judge_spoke() -> None:
    assert teaching_order(PAGES, probability=PROBABILITY, judged={}, threshold=0.5) == ["b", "c", "a", "d"]
    assert teaching_order(PAGES, probability=PROBABILITY, judged={}, threshold=0.9)[0] == "c"


def test_where_judge_and_classifier_part_comes_forward() -> None:
    order = teaching_order(
        PAGES, probability=PROBABILITY, judged={"a": 0.9, "b": 0.5, "c": 0.0, "d": 0.0}, threshold=0.5
    )
    assert order[0] == "c"
    assert order.index("c") < order.index("b")


def test_sealed_pages_and_those_without_a_probability_are_left_out() -> None:
    assert teaching_order(PAGES, probability={"a": 0.5}, judged={}, threshold=0.5) == ["a"]
    assert teaching_order(PAGES, probability={}, judged={}, threshold=0.5) == []
