"""Rows that cannot be taken, in a line."""

import pytest

from curate.errors import BadInput
from curate.labels.given import Incoming, Problems, refuse
from curate.labels.labelfile import LabelFile
from curate.labels.values import Refused


def problems(*found: tuple[int, Refused], name: str = "x.csv") -> Problems:
    file = Incoming(name, LabelFile(), [], lambda places: [f"line {place}" for place in places])
    made = Problems(file)
    for place, problem in found:
        made.add(place, problem)
    return made


def no_level(got: str) -> Refused:
    return Refused("level", got, "is no level (allowed: 0..5)")


def test_one_row_is_a_sentence_and_rows_with_the_same_fault_stand_together() -> None:
    assert problems((2, no_level("'x'"))).words() == "x.csv: column level: line 2: 'x' is no level (allowed: 0..5)"
    both = problems((2, no_level("'x'")), (3, Refused("aspects", "", "must be objects")), (4, no_level("7")))
    assert both.words() == (
        "x.csv: column level: line 2: 'x', line 4: 7: each is no level (allowed: 0..5); "
        "column aspects: line 3: must be objects"
    )


@pytest.mark.parametrize(
    ("count", "end"), [(10, "(allowed: 0..5)"), (11, "; and 1 more row"), (12, "; and 2 more rows")]
)
def test_ten_rows_are_named_and_the_others_counted(count: int, end: str) -> None:
    words = problems(*((n, no_level("x")) for n in range(count))).words()
    assert words.endswith(end)
    assert words.count("line ") == 10


def test_the_hint_is_for_levels_only() -> None:
    refuse([problems()], hint="; map it")
    with pytest.raises(BadInput, match=r"^k: x\.csv: .*; map it$"):
        refuse([problems((1, no_level("x")))], key="k: ", hint="; map it")
    with pytest.raises(BadInput, match=r"must be objects$"):
        refuse([problems((1, Refused("aspects", "", "must be objects")))], hint="; map it")
    with pytest.raises(BadInput, match=r"^a\.csv: .*; b\.csv: "):
        refuse([problems((1, no_level("x")), name="a.csv"), problems((1, no_level("x")), name="b.csv")])
