import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.cuts import Ranked, above, around, caught, fallback, squares
from curate.errors import BadInput

SCORE, KEEP = [0.2, 0.9, 0.5, 0.9], [False, True, True, False]


def test_equal_scores_are_never_parted():
    pages = Ranked.of(SCORE, None, None, KEEP)
    assert pages.last.tolist() == [1, 2, 3]
    assert pages.cuts.tolist() == pytest.approx([0.7, 0.35, 0.0])
    assert above(pages).right.tolist() == [1, 2, 2]
    assert above(pages).wrong.tolist() == [1, 1, 2]
    assert pages.exact


def test_pages_of_no_weight_are_left_out():
    pages = Ranked.of(SCORE, [0, 2, 1, 2], None, KEEP)
    assert pages.score.tolist() == [0.9, 0.9, 0.5]
    assert not pages.exact
    assert len(Ranked.of([], None, None).last) == 0


@pytest.mark.parametrize("weight", [[1, 1, -1, 1], [1, 1, np.nan, 1]])
def test_weights_that_are_none_are_refused(weight):
    with pytest.raises(BadInput, match="weight"):
        Ranked.of(SCORE, weight, None)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(1, 4)), min_size=1, max_size=20))
def test_squares_are_those_of_whole_groups(rows):
    score, group, weight = (np.array(column) for column in zip(*rows, strict=True))
    pages = Ranked.of(score / 5, weight, group)
    for place, value in zip(pages.last, squares(pages.weight, pages), strict=True):
        sums = np.bincount(pages.member[: place + 1], pages.weight[: place + 1])
        assert value == pytest.approx((sums**2).sum())
    heaviest = np.bincount(pages.member, pages.weight).max()
    assert around(pages.weight, pages)[-1] == heaviest


def test_what_is_caught_and_missed():
    good = Ranked.of([0.9, 0.5, 0.5, 0.1], [1, 2, 3, 4], ["a", "a", "b", "b"])
    found = caught(good, 4.0)
    assert found.right.tolist() == [1, 6, 10]
    assert found.right_squares.tolist() == [1, 18, 58]
    assert found.wrong.tolist() == [9, 4, 0]
    assert found.wrong_squares.tolist() == [4 + 49, 16, 0]


@pytest.mark.parametrize(
    ("surprises", "own", "found"),
    [
        ([0.01, 0.04, 0.06], [0.05, 0, 0], 1),  # what the first had to spend goes on
        ([0.06, 0.01, 0.01], [0.05, 0, 0], -1),  # and is lost with it
        ([0.06, 0.01, 0.02], [0.03, 0.02, 0], 2),
        ([0.02, 0.045, 0.5], [0.03, 0.02, 0], 1),
        ([0.02, 0.5, 0.5], [0.03, 0.02, 0], 0),
        ([0.0, 0.0], [0.0, 0.0], -1),  # nothing to spend, nothing found
    ],
)
def test_fallback(surprises, own, found):
    assert fallback(np.array(surprises), np.array(own)) == found
