"""Which page a rater gets next."""

from typing import Any

import pytest

from curate.web.assignment import Candidate, Wish, chosen


def page(name: str, split: str = "train") -> dict[str, Any]:
    return {"page_id": name, "split": split}


def candidate(name: str, **given: Any) -> Candidate:
    return Candidate(**{"page": page(name), "opinions": 0, "held": False, "repeats": False, **given})


def names(found: list[Any]) -> str:
    return "".join(one["page_id"] for one in found)


def test_wishes_do_not_change_when_pages_are_added_and_meet_their_share() -> None:
    wish = Wish(overlap=0.3, test=3)
    pages = [page(str(i), "test" if i % 4 == 0 else "val") for i in range(2000)]
    wanted = [wish.raters(one) for one in pages]
    assert {n for n, one in zip(wanted, pages, strict=True) if one["split"] == "test"} == {3}
    others = [n for n, one in zip(wanted, pages, strict=True) if one["split"] != "test"]
    assert set(others) == {1, 2}
    assert others.count(2) / len(others) == pytest.approx(0.3, abs=0.04)
    wider = [Wish(overlap=0.6, test=3).raters(one) for one in pages]
    assert all(b >= a for a, b in zip(wanted, wider, strict=True)), "a larger share only adds"


@pytest.mark.parametrize(("turn", "order"), [(0, "aBxcDy"), (2, "xaByCd")])
def test_two_new_pages_are_followed_by_a_second_opinion(turn: int, order: str) -> None:
    new = [candidate(name) for name in "abcd"]
    seconds = [candidate(name, opinions=1) for name in "xy"]
    found = names(chosen([*seconds, *new], count=6, turn=turn, enough=False))
    assert found == order.lower()


def test_once_there_are_enough_second_opinions_come_first_and_held_pages_not_at_all() -> None:
    given = [candidate("a"), candidate("h", held=True), candidate("x", opinions=1), candidate("r", repeats=True)]
    assert names(chosen(given, count=9, turn=0, enough=True)) == "xar"
    assert names(chosen(given, count=9, turn=0, enough=False)) == "axhr"


def test_no_more_are_given_than_asked_for() -> None:
    given = [candidate(name) for name in "abc"]
    assert names(chosen(given, count=2, turn=0, enough=False)) == "ab"
    assert chosen(given, count=0, turn=0, enough=True) == []
    assert chosen([], count=3, turn=0, enough=False) == []
