import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import BadInput
from curate.promises.ranked import Ranked, above, caught, kept_at, squares

SCORE, KEEP = [0.2, 0.9, 0.5, 0.9], [False, True, True, False]


def test_equal_scores_are_never_parted() -> None:
    pages = Ranked.of(SCORE, KEEP, None, None)
    assert pages.last.tolist() == [1, 2, 3]
    assert pages.cuts.tolist() == pytest.approx([0.7, 0.35, 0.0])
    assert above(pages).right.tolist() == [1, 2, 2]
    assert above(pages).wrong.tolist() == [1, 1, 2]
    assert pages.exact


def test_pages_of_no_weight_are_left_out() -> None:
    pages = Ranked.of(SCORE, KEEP, [0, 2, 1, 2], None)
    assert pages.score.tolist() == [0.9, 0.9, 0.5]
    assert not pages.exact


@pytest.mark.parametrize("weight", [[1, 1, -1, 1], [1, 1, np.nan, 1]])
def test_weights_that_are_none_are_refused(weight: list[float]) -> None:
    with pytest.raises(BadInput, match="weight"):
        Ranked.of(SCORE, KEEP, weight, None)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(1, 4)), min_size=1, max_size=20))
def test_squares_are_those_of_whole_groups(rows: list[tuple[int, int, int]]) -> None:
    score, group, weight = (np.array(column) for column in zip(*rows, strict=True))
    pages = Ranked.of(score / 5, np.zeros(len(score)), weight, group)
    found = squares(pages.weight, pages.member)
    for place in pages.last:
        sums = np.bincount(pages.member[: place + 1], pages.weight[: place + 1])
        assert found[place] == pytest.approx((sums**2).sum())
    assert above(pages).heaviest[-1] == pages.heaviest == np.bincount(pages.member, pages.weight).max()


def test_what_is_caught_and_missed() -> None:
    found = caught(Ranked.of([0.9, 0.5, 0.5, 0.1], [True] * 4, [1, 2, 3, 4], ["a", "a", "b", "b"]))
    assert found.right.tolist() == [1, 6, 10]
    assert found.right_squares.tolist() == [1, 18, 58]
    assert found.wrong.tolist() == [9, 4, 0]
    assert found.wrong_squares.tolist() == [4 + 49, 16, 0]
    assert found.heaviest.tolist() == [7, 7, 7]


def test_what_a_given_threshold_keeps() -> None:
    kept, found = kept_at(Ranked.of(SCORE, KEEP, [1, 2, 3, 4], None), 0.6)
    assert (float(kept.right), float(kept.wrong)) == (2, 4)
    assert (float(found.right), float(found.wrong)) == (2, 3)
