from collections import Counter
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from curate.stages.tune import Labelled
from curate.stages.tune.batches import Batches


def pages(levels: list[int]) -> list[Labelled]:
    return [Labelled(f"p{i}", "", "train", "g", float(level), level > 2, ()) for i, level in enumerate(levels)]


def drawn(batches: Batches, rounds: int) -> list[list[int]]:
    return [batches.next_minibatch_ids(None, SimpleNamespace(i=i)) for i in range(rounds)]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 8), st.integers(0, 3))
def test_batches_have_their_size_and_depend_on_the_iteration_alone(levels: list[int], size: int, seed: int) -> None:
    batches = Batches(pages(levels), size, seed=seed)
    found = drawn(batches, 9)
    assert all(len(batch) == size and set(batch) <= set(range(len(levels))) for batch in found)
    assert drawn(Batches(pages(levels), size, seed=seed), 9)[5] == found[5]


def test_a_rare_level_is_in_every_batch() -> None:
    batches = Batches(pages([0] * 27 + [4] * 3), 4, seed=0)
    assert batches.balanced
    for batch in drawn(batches, 6):
        assert sum(place >= 27 for place in batch) == 2
    assert {place for batch in drawn(batches, 2) for place in batch if place >= 27} == {27, 28, 29}


@given(st.integers(1, 7))
def test_without_a_rare_level_all_pages_come_in_turn(size: int) -> None:
    batches = Batches(pages([0, 1, 2, 3] * 6), size, seed=1)
    assert not batches.balanced
    flat = [place for batch in drawn(batches, 24) for place in batch]
    assert Counter(flat) == dict.fromkeys(range(24), size)
