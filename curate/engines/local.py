"""The local engine: a function over shards, in this process or in several."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from curate.errors import CurateError

T = TypeVar("T")
R = TypeVar("R")


def map_shards(function: Callable[[T], R], shards: Sequence[T], *, workers: int = 1) -> Iterator[tuple[T, R]]:
    """Yield (shard, result) as shards are done. With `workers` > 1 the function must be picklable.

    The first exception stops what has not begun and is raised. Raises CurateError when a worker dies.
    """
    if workers <= 1 or len(shards) <= 1:
        for shard in shards:
            yield shard, function(shard)
        return
    with ProcessPoolExecutor(min(workers, len(shards)), mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(function, shard): shard for shard in shards}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        except BrokenProcessPool as error:
            raise CurateError(
                "a worker process died, most likely for want of memory; use fewer workers and run the same command again"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
