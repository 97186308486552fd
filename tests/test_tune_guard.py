from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import STEM, pages

from curate.stages.tune import Labelled
from curate.stages.tune.guard import RUN_WORDS, Guard, words_of

WORDS = [f"word{number}" for number in range(30)]


def page(text: str, split: str = "train") -> Labelled:
    return Labelled(text[:8], text, split, "g", 1.0, False, ())


def guard_over(texts: Sequence[str], *, max_chars: int = 6000) -> Guard:
    return Guard(STEM, [page(text) for text in texts], max_chars=max_chars)


@given(st.integers(0, 30 - RUN_WORDS), st.integers(0, 12))
def test_eight_words_of_a_page_are_a_copy_and_seven_are_not(start: int, more: int) -> None:
    guard = guard_over([" ".join(WORDS)])
    run = WORDS[start : start + RUN_WORDS]
    assert "copies" in guard.objection(f"Give 5 to {' '.join(run)} and so on" + " more" * more)
    assert guard.objection(f"Give 5 to {' '.join(run[:-1])} and so on") == ""
    assert guard.rejected == 1


@pytest.mark.parametrize("copy", ["WORD0, word1; word2\nword3 - word4 (word5) word6 word7!", " ".join(WORDS[5:20])])
def test_case_marks_and_line_breaks_hide_no_copy(copy: str) -> None:
    assert guard_over([" ".join(WORDS)]).objection(copy)


def test_val_pages_are_guarded_too() -> None:
    guard = Guard(STEM, [page("nothing here"), page(" ".join(WORDS), "val")], max_chars=600)
    assert guard.objection(" ".join(WORDS))


def test_a_script_without_spaces_is_guarded_by_its_signs() -> None:
    guard = guard_over(["太陽系の惑星は八つあり地球はその三番目である"])
    assert guard.objection("Give 5: 惑星は八つあり地球")
    assert not guard.objection("惑星は八つ")


def test_the_rubrics_own_words_are_free_even_where_a_page_has_them() -> None:
    guard = guard_over([STEM.instruction])
    assert guard.objection(STEM.instruction) == ""


def test_a_note_that_quotes_a_page_is_a_copy_like_any_other() -> None:
    noted = replace(page(" ".join(WORDS)), said=(("ann", 5, " ".join(WORDS[:9])),))
    guard = Guard(STEM, [noted], max_chars=6000)
    assert guard.objection(f"{STEM.instruction}\nA page like this is a 5: {' '.join(WORDS[:9])}.")


def test_long_instructions_are_rejected_with_their_length() -> None:
    assert "600 characters, more than tune.max_chars (500)" in guard_over([""], max_chars=500).objection("x" * 600)


def test_hundreds_of_pages_are_searched_fast() -> None:
    rows = pages(300)
    guard = guard_over([" ".join([row["text"]] * 5) for row in rows])
    assert all(guard.objection(row["text"]) for row in rows)
    assert guard.rejected == 300


@given(st.text())
def test_any_text_has_words_or_none(text: str) -> None:
    assert all(word and not word.isspace() for word in words_of(text))
