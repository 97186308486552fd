import os
import signal
import time
from pathlib import Path

import pytest

from curate.engines.local import map_shards
from curate.errors import BadInput, CurateError


def length(name: str) -> int:
    return len(name)


def process_id(_: str) -> int:
    return os.getpid()


def refuse(name: str) -> str:
    if name == "bad":
        raise BadInput("bad: cannot be read")
    return name


def die(name: str) -> None:
    if name == "bad":
        os.kill(os.getpid(), signal.SIGKILL)


def touch(path: str) -> None:
    if path.endswith("-0"):
        raise BadInput("the first one fails")
    time.sleep(0.05)
    Path(path).touch()


@pytest.mark.parametrize("workers", [1, 2])
def test_every_shard_comes_back_with_its_own_result(workers: int) -> None:
    names = ["a", "bb", "ccc", "dddd"]
    assert sorted(map_shards(length, names, workers=workers)) == [("a", 1), ("bb", 2), ("ccc", 3), ("dddd", 4)]


def test_one_worker_works_in_this_process_in_order_and_when_asked() -> None:
    seen: list[str] = []
    found = map_shards(seen.append, ["x", "y", "z"])
    assert seen == []
    next(found)
    assert seen == ["x"]
    assert [shard for shard, _ in found] == ["y", "z"]
    assert {pid for _, pid in map_shards(process_id, ["a"], workers=8)} == {os.getpid()}


def test_several_workers_are_other_processes() -> None:
    found = {pid for _, pid in map_shards(process_id, list("abcdef"), workers=2)}
    assert os.getpid() not in found
    assert 1 <= len(found) <= 2


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_exception_is_raised_as_it_was(workers: int) -> None:
    with pytest.raises(BadInput, match="bad: cannot be read"):
        list(map_shards(refuse, ["good", "bad", "good"], workers=workers))


def test_what_has_not_begun_is_not_begun_after_an_exception(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"shard-{number}") for number in range(60)]
    with pytest.raises(BadInput, match="the first one fails"):
        list(map_shards(touch, paths, workers=2))
    assert len(list(tmp_path.iterdir())) < 50


def test_a_worker_that_dies_is_said_in_one_line() -> None:
    with pytest.raises(CurateError, match="a worker process died") as stopped:
        list(map_shards(die, ["good", "bad", "good", "good"], workers=2))
    assert "\n" not in str(stopped.value)


def test_no_shards_are_no_results() -> None:
    assert list(map_shards(length, [], workers=4)) == []
