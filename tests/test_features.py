"""Features: the same for the same page, defined for every text, in every script."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import BadInput
from curate.features import SHAPE_NAMES, Features, features_of, shape_features, shapes
from curate.ngrams import READ_CHARS, word_counts


def shape(text: str) -> dict[str, float]:
    return dict(zip(SHAPE_NAMES, shape_features(text).tolist(), strict=True))


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(codec=None), max_size=300))
def test_every_text_has_a_finite_shape(text: str) -> None:
    row = shape_features(text)
    assert row.shape == (len(SHAPE_NAMES),)
    assert row.dtype == np.float32
    assert np.isfinite(row).all()
    shares = [value for name, value in shape(text).items() if name.endswith("_share")]
    assert min(shares) >= 0
    assert max(shares) <= 1


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
    assert (word_counts([page]) != word_counts([longer])).nnz == 0


def test_features_are_chosen_by_row() -> None:
    texts = [f"page number {i} says something" for i in range(6)]
    made = features_of(texts, np.eye(6, 3, dtype=np.float32))
    assert len(made) == 6
    for rows in ([4, 1], np.arange(6) % 2 == 0, slice(2, 4)):
        some = made[rows]
        assert (some.block("embedding") == made.block("embedding")[rows]).all()
        assert (some.block("shape") == shapes(np.array(texts)[rows].tolist())).all()
        assert (some.block("ngrams") != word_counts(np.array(texts)[rows].tolist())).nnz == 0


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
