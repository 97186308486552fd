"""Which page a rater gets next."""

from typing import Any

import pytest

from curate.web.assignment import Candidate, Holds, Wish, chosen


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


def test_once_there_are_enough_second_opinions_come_first_then_held_pages_then_repeats() -> None:
    given = [candidate("r", repeats=True), candidate("h", held=True), candidate("a"), candidate("x", opinions=1)]
    assert names(chosen(given, count=9, turn=0, enough=True)) == "xahr"
    assert names(chosen(given, count=9, turn=0, enough=False)) == "axhr"


def test_a_hold_ends_by_a_word_or_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("curate.web.assignment.time.monotonic", lambda: clock[0])
    holds = Holds(60)
    for rater, held in (("anna", "xy"), ("ben", "x")):
        for one in held:
            holds.take(rater, one)
    assert holds.of_others("cleo") == {"x": 2, "y": 1}
    assert holds.of_others("anna") == {"x": 1}
    holds.leave("anna", "y")
    clock[0] = 30
    holds.take("anna", "x")
    clock[0] = 61
    assert holds.of_others("cleo") == {"x": 1}, "taken again, it lasts from then on"
    clock[0] = 91
    assert holds.of_others("cleo") == {}


def test_no_more_are_given_than_asked_for() -> None:
    given = [candidate(name) for name in "abc"]
    assert names(chosen(given, count=2, turn=0, enough=False)) == "ab"
    assert chosen(given, count=0, turn=0, enough=True) == []
    assert chosen([], count=3, turn=0, enough=False) == []
