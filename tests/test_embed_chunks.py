"""Where a long page is cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.embed.chunks import cut, pooled, spans


@given(tokens=st.integers(0, 5000), most=st.integers(1, 300), chunks=st.integers(1, 8))
def test_chunks_begin_at_the_head_and_reach_as_far_as_they_can(tokens: int, most: int, chunks: int) -> None:
    found = spans(tokens, most, chunks)
    assert len(found) == min(chunks, max(-(-tokens // most), 1))
    assert found[0][0] == 0
    assert all(0 <= last - first <= most for first, last in found)
    assert all(one[0] < two[0] and one[1] <= two[0] for one, two in pairwise(found))
    if tokens <= chunks * most:
        read = [token for first, last in found for token in range(first, last)]
        assert read == list(range(tokens))
    elif chunks > 1:
        assert found[-1][1] == tokens


@given(words=st.lists(st.text("ab", min_size=1, max_size=6), min_size=1, max_size=200), chunks=st.integers(2, 5))
def test_no_word_is_cut_and_none_lost_where_all_fits(words: list[str], chunks: int) -> None:
    text = " ".join(words)
    ends = np.cumsum([len(word) + 1 for word in words]).tolist()
    offsets = [(end - 1 - len(word), end - 1) for word, end in zip(words, ends, strict=True)]
    found = cut(text, offsets, most=-(-len(words) // chunks), chunks=chunks)
    assert "".join(found) == text
    assert [word for part in found for word in part.split()] == words


def test_a_chunk_does_not_begin_within_a_word() -> None:
    text = "aaaa bbbb cccc dddd"
    offsets = [(i, i + 2) for i in (0, 2, 5, 7, 10, 12, 15, 17)]
    assert cut(text, offsets, most=3, chunks=2) == ["aaaa bb", "cccc dddd"]
    assert cut(text, offsets, most=4, chunks=2) == ["aaaa bbbb ", "cccc dddd"]


def test_a_page_has_the_mean_of_its_chunks() -> None:
    vectors = np.array([[1, 0], [0, 1], [0, 2]], np.float32)
    assert pooled(vectors, [2, 1]) == pytest.approx(np.array([[0.5**0.5, 0.5**0.5], [0, 1]]))
    assert pooled(vectors, [1, 1, 1]) == pytest.approx(np.array([[1, 0], [0, 1], [0, 1]]))
