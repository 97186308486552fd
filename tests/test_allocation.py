import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curate.sampling.allocation import equally, proportionally

COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=12).map(lambda counts: np.array(counts, np.int64))


@given(there=COUNTS, size=st.integers(0, 300))
def test_equal_shares_meet_the_size_and_differ_by_one_at_most(there: np.ndarray, size: int) -> None:
    given_ = equally(there, size)
    assert given_.sum() == min(size, there.sum())
    assert (given_ <= there).all()
    short_of_all = given_ < there
    if short_of_all.any():
        level = given_[short_of_all].min()
        assert given_.max() <= level + 1, "none has more than those that could give more, but for the rest"


@given(there=COUNTS, size=st.integers(1, 300))
def test_rounded_up_equal_shares_are_an_upper_bound_that_only_falls(there: np.ndarray, size: int) -> None:
    bound = equally(there, size, round_up=True)
    assert (bound >= equally(there, size)).all()
    more = np.append(there + 3, 9)
    reached = bound >= there
    assert (equally(more, size, round_up=True)[:-1][~reached] <= bound[~reached]).all()


@given(
    weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=10),
    size=st.integers(0, 200),
    data=st.data(),
)
def test_proportional_shares_meet_the_size_within_what_is_there(
    weights: list[float], size: int, data: st.DataObject
) -> None:
    free = proportionally(weights, size)
    assert free.sum() == size
    exact = np.array(weights) / sum(weights) * size
    assert (np.abs(free - exact) < 1 + 1e-9).all()
    most = np.array(data.draw(st.lists(st.integers(0, 60), min_size=len(weights), max_size=len(weights))))
    capped = proportionally(weights, size, most=most)
    assert (capped <= most).all()
    assert capped.sum() == min(size, most.sum())


def test_what_one_cannot_give_goes_to_the_others_by_their_weights() -> None:
    assert proportionally([2, 1, 1], 40, most=np.array([4, 50, 50])).tolist() == [4, 18, 18]
    assert proportionally([0, 1], 5, most=np.array([9, 3])).tolist() == [0, 3], "a weight of 0 gives nothing"
    assert equally(np.array([2, 50, 50, 1]), 33).tolist() == [2, 15, 15, 1]
