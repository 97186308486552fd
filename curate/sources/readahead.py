"""Streams that are read ahead in threads and given one after another, with bounded memory."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from threading import Condition, Thread
from typing import Generic, TypeVar

T = TypeVar("T")
Open = Callable[[], Iterator[T]]


def ahead(streams: Sequence[Open[T]], *, size: Callable[[T], int], limit: int, threads: int) -> Iterator[T]:
    """The items of all streams in order, `threads` streams read at once. No stream goes on while items of `limit` in
    all (as `size` says) wait to be taken; the one whose turn it is always has room for one.

    What a stream raises is raised in its turn. Leaving the iterator stops the threads.
    """
    line = _Line(streams, size, limit)
    for _ in range(min(threads, len(streams))):
        Thread(target=line.work, name="read-ahead", daemon=True).start()
    try:
        for place in range(len(streams)):
            yield from line.taken(place)
    finally:
        line.stop()


class _Line(Generic[T]):
    """The streams, what of them waits, and whose turn it is."""

    def __init__(self, streams: Sequence[Open[T]], size: Callable[[T], int], limit: int) -> None:
        self._streams, self._size, self._limit = streams, size, limit
        self._waiting: list[deque[T]] = [deque() for _ in streams]
        self._ended: list[BaseException | bool] = [False] * len(streams)
        self._next, self._turn, self._held, self._stopped = 0, 0, 0, False
        self._changed = Condition()

    def work(self) -> None:
        """Read stream after stream until none is left."""
        while (place := self._begin()) is not None:
            end: BaseException | bool = True
            try:
                stream = self._streams[place]()
                for item in stream:
                    if not self._put(place, item):
                        return
            except BaseException as error:  # raised again where the items are taken
                end = error
            with self._changed:
                self._ended[place] = end
                self._changed.notify_all()

    def taken(self, place: int) -> Iterator[T]:
        """The items of one stream, as they come."""
        waiting = self._waiting[place]
        while True:
            with self._changed:
                self._turn = place
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(waiting or self._ended[place]))
                if not waiting:
                    break
                item = waiting.popleft()
                self._held -= self._size(item)
                self._changed.notify_all()
            yield item
        end = self._ended[place]
        if isinstance(end, BaseException):
            raise end

    def stop(self) -> None:
        """Let the threads end."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _begin(self) -> int | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._held < self._limit or self._next == self._turn)
            place = self._next
            self._next += 1
            return place if place < len(self._streams) and not self._stopped else None

    def _put(self, place: int, item: T) -> bool:
        size = self._size(item)
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._has_room(place, size))
            self._waiting[place].append(item)
            self._held += size
            self._changed.notify_all()
            return not self._stopped

    def _has_room(self, place: int, size: int) -> bool:
        return self._held + size <= self._limit or (place == self._turn and not self._waiting[place])
