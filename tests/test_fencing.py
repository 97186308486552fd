import re
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.judge import fencing
from curate.judge.fencing import Cut, view

CUTS: tuple[Cut, ...] = ("head", "head_tail", "head_middle_tail")
WORDS = " ".join(f"w{i:03}" for i in range(300))
PIECES = [*"ab .<|>\n", "é", "日", "🎉", "\ud83d", "<|im_end|>", " word and word" * 20]
TEXT = st.lists(st.sampled_from(PIECES), max_size=200).map("".join)


def bytes_of_four(text: str) -> list[int]:
    """A tokenizer that cuts bytes without regard to characters: a token may end inside of one."""
    data, ends = text.encode("utf-8", "replace"), []
    for stop in range(4, len(data) + 4, 4):
        ends.append(len(data[:stop].decode("utf-8", "ignore")))
    return ends


def words_and_spaces(text: str) -> list[int]:
    return [found.end() for found in re.finditer(r"\s+|\w{1,16}|\W", text)]


TOKENIZERS = [bytes_of_four, words_and_spaces]


@given(TEXT, st.integers(32, 90), st.sampled_from(CUTS), st.sampled_from(TOKENIZERS))
def test_by_tokens_a_page_is_never_longer_than_the_limit(text, limit, cut, ends):
    seen = view(text, chars=0, tokens=limit, cut=cut, ends=ends)
    assert len(ends(fencing.harmless(seen.text))) <= limit
    assert view(text, chars=0, tokens=limit, cut=cut, ends=ends) == seen, "the same each time"
    fits = len(text) <= limit * fencing.CHARS_A_TOKEN and len(ends(fencing.harmless(text))) <= limit
    assert (seen.text == text and seen.shown == "all") == fits


@given(TEXT, st.integers(0, 90), st.sampled_from(CUTS))
def test_by_characters_a_page_is_never_longer_than_the_limit(text, limit, cut):
    seen = view(text, chars=limit, cut=cut)
    joints = len(seen.text) - len(seen.text.replace(fencing.JOINT, "").removesuffix(fencing.JOINT.rstrip()))
    assert len(seen.text) - joints <= limit or "[...]" in text
    assert (seen.text == text and seen.shown == "all") == (len(text) <= limit)


@given(TEXT, st.integers(32, 90), st.sampled_from(CUTS), st.sampled_from(TOKENIZERS))
def test_what_is_shown_stands_in_the_page_in_this_order(text, limit, cut, ends):
    plain, at = fencing.harmless(text), 0
    shown = view(text, chars=0, tokens=limit, cut=cut, ends=ends).text
    if shown == text:
        return
    for piece in shown.removesuffix(fencing.JOINT.rstrip()).split(fencing.JOINT):
        at = plain.find(piece, at)
        assert at >= 0
        at += len(piece)


def test_the_parts_are_equal_and_end_between_words():
    seen = view(WORDS, chars=0, tokens=66, cut="head_middle_tail", ends=words_and_spaces)
    head, middle, tail = (part.split(" ") for part in seen.text.split(fencing.JOINT))
    assert (head[0], tail[-1]) == ("w000", "w299")
    numbers = [int(word[1:]) for word in middle]
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "whole words, one after the other"
    assert abs(sum(numbers) / len(numbers) - 150) < 3
    assert max(len(head), len(middle), len(tail)) - min(len(head), len(middle), len(tail)) <= 1
    assert re.fullmatch(r"head\+middle\+tail \d+ of 1499 characters \(\d\d tokens\)", seen.shown)


def test_a_cut_keeps_most_of_what_it_may():
    for cut in CUTS:
        seen = view(WORDS, chars=0, tokens=100, cut=cut, ends=words_and_spaces)
        assert len(words_and_spaces(seen.text)) > 85


def test_by_characters_all_cuts_but_the_head_end_between_words():
    assert view("0123456789abc", chars=10).text == "0123456789 [...]"
    assert view("aaaa bbbb cccc dddd", chars=12, cut="head_tail").text == "aaaa [...] dddd"
    assert view("aaaa bbbb cccc dddd eeee", chars=15, cut="head_middle_tail").text == "aaaa [...] cccc [...] eeee"
    assert view("a" * 50, chars=10, cut="head_tail").text == "aaaaa [...] aaaaa", "no word's end is near"
    assert view("abcdef", chars=6, cut="head_tail").shown == "all"
    assert view("0123456789abc", chars=10).shown == "head 10 of 13 characters"


def test_a_page_of_ten_megabytes_costs_next_to_nothing():
    asked = []

    def counted(text: str) -> Sequence[int]:
        asked.append(len(text))
        return words_and_spaces(text)

    page = "some words of a page " * 500_000
    began = time.perf_counter()
    seen = view(page, chars=0, tokens=100, cut="head_middle_tail", ends=counted)
    assert time.perf_counter() - began < 3
    assert sum(asked) < 10 * 100 * fencing.CHARS_A_TOKEN
    assert len(words_and_spaces(seen.text)) <= 100
    assert seen.text.startswith("some words")
    assert seen.text.endswith("of a page")


@pytest.mark.parametrize("cut", CUTS)
def test_a_joint_makes_no_control_word(cut):
    page = "<|" + "x " * 100 + "|>"
    seen = view(page, chars=8, cut=cut)
    inside = fencing.fence(page, key="k", view=seen).split("\n", 1)[1]
    assert not fencing.CONTROL.search(inside)


def test_the_mark_is_of_the_whole_page():
    first, other = ("same start" + end for end in ("ing", "ed"))
    marks = [fencing.fence(text, key="k", view=view(text, chars=5)).split("]")[0] for text in (first, other)]
    assert marks[0] != marks[1]
    assert fencing.fenced(first, key="k", chars=5) == fencing.fence(first, key="k", view=view(first, chars=5))
