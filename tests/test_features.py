"""Features: the same for the same page, defined for every text, in every script."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import BadInput
from curate.features import READ_CHARS, SHAPE_NAMES, Features, features_of, hashed_ngrams, shape_features, shapes


def shape(text: str) -> dict[str, float]:
    return dict(zip(SHAPE_NAMES, shape_features(text).tolist(), strict=True))


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(codec=None), max_size=300))
def test_every_text_has_finite_shape_and_ngrams(text: str) -> None:
    row = shape_features(text)
    assert row.shape == (len(SHAPE_NAMES),)
    assert row.dtype == np.float32
    assert np.isfinite(row).all()
    shares = [value for name, value in shape(text).items() if name.endswith("_share")]
    assert min(shares) >= 0
    assert max(shares) <= 1
    assert hashed_ngrams([text]).shape == (1, 2**18)


def test_an_empty_page_has_zeros() -> None:
    assert not shape_features("").any()
    assert not shape_features(" \n\t").any()


def test_shape_names_count_what_they_say() -> None:
    page = (
        "THE cat sat.\n- one item here now\n1. see www.example.org/x now please\nTHE cat sat.\nif (a[0] == {}) { b; }"
    )
    got = shape(page)
    assert got["log_lines"] == pytest.approx(np.log1p(5))
    assert got["list_line_share"] == pytest.approx(2 / 5)
    assert got["line_end_share"] == pytest.approx(2 / 5)
    assert got["duplicate_line_share"] == pytest.approx(1 / 5)
    assert got["short_line_share"] == pytest.approx(2 / 5)
    assert got["links_per_word"] > 0
    assert got["code_symbol_share"] > shape("the cat sat on the mat")["code_symbol_share"] == 0
    assert shape("2024 12")["digit_share"] == 1
    assert shape("ABCD")["upper_share"] == shape("日本")["non_ascii_share"] == 1
    assert shape("the cat and the dog")["function_word_share"] == pytest.approx(3 / 5)
    assert shape("a b a b")["type_token_ratio"] == pytest.approx(1 / 2)


def test_only_the_length_of_a_page_is_read_to_its_end() -> None:
    page = "plain words here " * READ_CHARS
    longer = page + "!!!! 1234 <html>"
    differing = shape_features(page) != shape_features(longer)
    assert [name for name, other in zip(SHAPE_NAMES, differing, strict=True) if other] in ([], ["log_chars"])
    assert (hashed_ngrams([page]) != hashed_ngrams([longer])).nnz == 0


def similarity(first: str, second: str) -> float:
    rows = hashed_ngrams([first, second])
    return float((rows[0] @ rows[1].T).toarray()[0, 0])


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
def test_ngrams_liken_pages_of_one_topic_in_any_script(page: str, like: str, unlike: str) -> None:
    assert similarity(page, like) > 0.3
    assert similarity(page, like) > similarity(page, unlike) + 0.2


def test_a_word_keeps_its_vowel_signs() -> None:
    assert hashed_ngrams(["हिन्दी"]).nnz == 1


def test_latin_words_beside_han_stay_words() -> None:
    assert similarity("使用python编程", "python") > 0


def test_rows_are_sparse_unit_length_and_sized_by_bits() -> None:
    rows = hashed_ngrams(["some words here", ""], bits=10)
    assert rows.shape == (2, 1024)
    assert rows.dtype == np.float32
    assert np.asarray(rows.multiply(rows).sum(axis=1)).ravel() == pytest.approx([1, 0], abs=1e-6)


def test_features_are_chosen_by_row() -> None:
    texts = [f"page number {i} says something" for i in range(6)]
    made = features_of(texts, np.eye(6, 3, dtype=np.float32))
    assert len(made) == 6
    for rows in ([4, 1], np.arange(6) % 2 == 0, slice(2, 4)):
        some = made[rows]
        assert (some.block("embedding") == made.block("embedding")[rows]).all()
        assert (some.block("shape") == shapes(np.array(texts)[rows].tolist())).all()
        assert (some.block("ngrams") != hashed_ngrams(np.array(texts)[rows].tolist())).nnz == 0


def test_features_without_vectors_have_no_embedding() -> None:
    made = features_of(["a page"])
    with pytest.raises(BadInput, match="no 'embedding' block"):
        made.block("embedding")


def test_blocks_of_unequal_length_are_refused() -> None:
    with pytest.raises(BadInput, match="one row per page"):
        features_of(["a", "b"], np.ones((3, 4), dtype=np.float32))
    with pytest.raises(BadInput, match="no blocks"):
        Features({})


def test_no_pages_are_no_rows() -> None:
    made = features_of([], np.zeros((0, 3), dtype=np.float32), blocks=("embedding", "shape"))
    assert len(made) == 0


def test_features_are_made_by_the_thousand_per_second() -> None:
    texts = ["Some ordinary words of a page, with a number 12 and more.\n" * 20] * 200
    start = time.process_time()
    features_of(texts)
    assert 200 / (time.process_time() - start) > 300
