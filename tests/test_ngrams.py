"""Counts of words and character runs: the same everywhere, in every script."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.ngrams import LONGEST_RUN, READ_CHARS, char_counts, plain, word_counts


def similarity(first: str, second: str) -> float:
    rows = word_counts([first, second])
    product = float((rows[0] @ rows[1].T).toarray()[0, 0])
    return product / float(np.sqrt(rows[0].multiply(rows[0]).sum() * rows[1].multiply(rows[1]).sum()))


@pytest.mark.parametrize(
    ("page", "like", "unlike"),
    [
        ("the red fox ran", "The RED fox sat", "stock prices fell again"),
        ("今日は東京で雨が降る", "明日は東京で雨が降る", "株価が大幅に下落した"),
        ("मौसम आज बहुत अच्छा है", "मौसम कल बहुत अच्छा था", "सरकार ने नया कानून बनाया"),
        ("วันนี้อากาศดีมาก", "พรุ่งนี้อากาศดีมาก", "หุ้นตกอย่างแรง"),
        ("сегодня хорошая погода", "завтра хорошая погода", "акции резко упали"),
    ],
)
def test_counts_liken_pages_of_one_topic_in_any_script(page: str, like: str, unlike: str) -> None:
    assert similarity(page, like) > 0.3
    assert similarity(page, like) > similarity(page, unlike) + 0.2


def test_a_word_keeps_its_vowel_signs() -> None:
    assert word_counts(["हिन्दी"]).nnz == 1


def test_latin_words_beside_han_stay_words() -> None:
    assert similarity("使用python编程", "python") > 0


def test_words_pairs_and_marks_are_counted() -> None:
    rows = word_counts(["red fox red fox", "red. fox", "a b", ""], bits=16)
    assert rows.shape == (4, 2**16)
    assert rows.dtype == np.float32
    assert sorted(rows[0].data) == [1, 2, 2, 2], "two words, the pair twice, and the pair between"
    assert rows[1].nnz == 5, "three words with the full stop, two pairs"
    assert rows[2].nnz == rows[3].nnz == 0, "a lone letter is no word"


@given(st.lists(st.text(max_size=60), max_size=6))
def test_a_page_has_the_same_counts_in_any_company(texts: list[str]) -> None:
    together, chars = word_counts(texts, bits=12), char_counts(texts, bits=12)
    for i, text in enumerate(texts):
        assert (together[i] != word_counts([text], bits=12)).nnz == 0
        assert (chars[i] != char_counts([text], bits=12)).nnz == 0


@given(st.text(max_size=40))
def test_every_run_of_characters_is_counted_once(text: str) -> None:
    n = len(text.lower()) if len(text.lower()) == len(text) else None
    runs = sum(max(len(text) - length + 1, 0) for length in range(1, LONGEST_RUN + 1))
    assert char_counts([text]).sum() == runs or n is None


def test_the_end_of_a_long_page_is_not_read() -> None:
    page = "ab " * READ_CHARS
    assert (word_counts([page]) != word_counts([page + "other"])).nnz == 0
    assert (char_counts([page]) != char_counts([page + "other"])).nnz == 0
    assert len(plain(page)) == READ_CHARS


def test_another_process_makes_the_same_counts() -> None:
    code = "from curate.ngrams import word_counts; print(word_counts(['a red fox. 今日']).indices.tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(word_counts(["a red fox. 今日"]).indices.tolist())


def test_no_pages_are_no_rows() -> None:
    assert word_counts([]).shape[0] == char_counts([]).shape[0] == 0
