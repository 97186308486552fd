"""Answers to named questions become words on pages."""

from typing import Any

import pytest
from small_labels import STEM

from curate.errors import BadInput
from curate.labels.answers import Answered, Asked, match_in, words_in


def answered(texts: frozenset[str] = frozenset(), **answers: Any) -> Answered:
    return Answered(0, {"text": "t", "url": "u"}, answers, texts=texts)


@pytest.mark.parametrize(
    ("asked", "columns", "found"),
    [
        (Asked(), ["url", "text", "page_id"], ("page_id", "page_id")),
        (Asked(), ["url", "text"], ("text", "text")),
        (Asked(match="url"), ["url", "text"], ("url", "url")),
        (Asked(column="body"), ["url", "body"], ("text", "body")),
        (Asked(match="url", column="link"), ["link"], ("url", "link")),
    ],
)
def test_how_pages_are_found(asked: Asked, columns: list[str], found: tuple[str, str]) -> None:
    assert match_in(asked, columns, "x") == found


def test_no_column_of_the_page() -> None:
    with pytest.raises(BadInput, match="x: no column text, url or page_id says which page a row is about"):
        match_in(Asked(), ["body"], "x")


def test_the_level_the_note_and_the_criteria() -> None:
    one = answered(frozenset({"why", "also"}), quality="3", why="so", also="x", reasoning=2)
    wanted, (row,), said = words_in([one], STEM, Asked(note="why"), "x")
    assert (wanted.level, row.level, row.note, row.criteria) == ("quality", "3", "so", {"reasoning": 2})
    assert said == ["level from 'quality', note from 'why', pages by text"]
    assert words_in([one], STEM, Asked(), "x")[0].note == "", "of two text fields neither is taken for the note"
    assert words_in([answered(frozenset({"why"}), q=1, why="so")], STEM, Asked(), "x")[1][0].note == "so"


def test_a_question_whose_answers_are_mostly_no_levels_is_not_the_level() -> None:
    rows = [answered(quality=str(n), topic="maths" if n else "1") for n in range(4)]
    assert words_in(rows, STEM, Asked(), "x")[0].level == "quality"
    assert words_in([answered(level=9, other="b")], STEM, Asked(), "x")[0].level == "level", "to be refused by row"
