import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.sources.readahead import ahead


def one(_: int) -> int:
    return 1


@given(
    streams=st.lists(st.lists(st.integers(), max_size=5), max_size=6),
    limit=st.integers(0, 8),
    threads=st.integers(1, 4),
)
def test_items_come_in_order_whatever_the_limit(streams: list[list[int]], limit: int, threads: int) -> None:
    made = [lambda items=items: iter(items) for items in streams]
    assert list(ahead(made, size=one, limit=limit, threads=threads)) == [i for items in streams for i in items]


def test_no_more_than_the_limit_waits_and_an_item_larger_than_it_passes() -> None:
    made: list[int] = []

    def stream() -> Iterator[int]:
        for size in (3, 3, 3, 100, 3):
            made.append(size)
            yield size

    items = ahead([stream, stream], size=int, limit=6, threads=2)
    assert next(items) == 3
    time.sleep(0.2)
    assert len(made) <= 5  # one taken, two that wait, and one in each thread's hand
    assert list(items) == [3, 3, 100, 3, 3, 3, 3, 100, 3]


def test_an_error_is_raised_in_its_turn() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise EOFError("cut")

    items = ahead([lambda: iter([0]), broken, lambda: iter([2])], size=one, limit=9, threads=3)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(EOFError, match="cut"):
        next(items)


def test_leaving_the_iterator_ends_the_threads() -> None:
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    items = ahead([endless, endless], size=one, limit=3, threads=2)
    assert next(items) == 1
    items.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 5
    while any(thread.name == "read-ahead" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert closed.is_set()
