"""What the cells of label files say."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from small_labels import QUIZ, STEM

from curate.labels.values import (
    Refused,
    absent,
    allowed_levels,
    criteria_of,
    level_of,
    mapped_level,
    name_of,
    note_of,
    number,
    said,
    time_of,
    truth,
)


@pytest.mark.parametrize(
    ("value", "nothing"),
    [
        (None, True),
        (float("nan"), True),
        ("", True),
        (" \n", True),
        (0, False),
        (False, False),
        ("0", False),
        ([], False),
    ],
)
def test_what_is_no_value(value: Any, nothing: bool) -> None:
    assert absent(value) is nothing


@pytest.mark.parametrize(
    ("value", "level"),
    [
        (3, 3),
        ("3", 3),
        (3.0, 3),
        ("3.0", 3),
        (True, 1),
        (3.5, None),
        (6, None),
        ("good", None),
        (None, None),
        ([3], None),
    ],
)
def test_levels(value: Any, level: int | None) -> None:
    assert level_of(STEM, value) == level


def test_classes_are_levels_by_name() -> None:
    names = list(QUIZ.classes)
    assert [level_of(QUIZ, name) for name in names] == list(range(len(names)))
    assert level_of(QUIZ, "no such class") is None
    assert allowed_levels(QUIZ) == ", ".join(names)
    assert allowed_levels(STEM) == "0..5"


def test_mapped_levels_and_refusals() -> None:
    assert mapped_level(STEM, True, {"true": 5}, "v") == 5
    with pytest.raises(Refused) as caught:
        mapped_level(STEM, "x", {"true": 5, "false": 0}, "v")
    assert (caught.value.column, caught.value.got, caught.value.why) == (
        "v",
        "'x'",
        "is no level (allowed: true, false)",
    )


def test_criteria_as_an_object_or_its_json() -> None:
    assert criteria_of(STEM, {"reasoning": "2", "formatting": None}, "c") == {"reasoning": 2}
    assert criteria_of(STEM, '{"reasoning": 1}', "c") == {"reasoning": 1}
    assert criteria_of(STEM, None, "c") == criteria_of(STEM, " ", "c") == {}
    with pytest.raises(Refused, match="did you mean reasoning"):
        criteria_of(STEM, {"reasonin": 1}, "c")


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000+00:00"),
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05.000000+00:00"),
        (datetime(2026, 1, 2, 5, 4, 5, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T03:04:05.000000+00:00"),
        ("noon", ""),
        (None, ""),
        ("0001-01-01T00:00:00+10:00", ""),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00.000000+00:00"),
    ],
)
def test_times(value: Any, time: str) -> None:
    assert time_of(value) == time


def test_numbers_truths_and_words() -> None:
    assert [number(value) for value in ("2.5", 1, "", None, "inf", "nan")] == [2.5, 1.0, None, None, None, None]
    assert [truth(value) for value in (True, "true", "True", 1, "1", False, "false", None, "")] == [True] * 5 + [
        False
    ] * 4
    assert [said(value) for value in (True, 1.0, 1.5, "a")] == ["true", "1", "1.5", "a"]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("  Anna \n Ćirić ", "Anna Ćirić"),
        ("Cafe\u0301", "Café"),
        ("evil\x1b[2J\x07", "evil[2J"),
        (7.0, "7"),
        ("\x1b", ""),
        (" ", ""),
        (None, ""),
        (float("nan"), ""),
    ],
)
def test_a_name_has_one_spelling(value: Any, name: str) -> None:
    assert name_of(value) == name


@pytest.mark.parametrize(
    ("value", "note"), [(" as it\nis ", " as it\nis "), (["a", None, "b"], "a\n\nb"), (1.5, "1.5"), (float("nan"), "")]
)
def test_a_note_stays_as_it_was_written(value: Any, note: str) -> None:
    assert note_of(value) == note
