import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import BadInput, CurateError
from curate.journal import BudgetSpent, Journal, Spend


def call(usd: float = 0.0, *, prompt: int = 10, cached: int = 4, completion: int = 1) -> SimpleNamespace:
    return SimpleNamespace(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion, cost_usd=usd)


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_bytes().splitlines()]


def test_a_record_is_there_at_once_and_after_opening_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.put("a", {"text": "4", "top": [{"4": -0.1}]})
    assert journal.get("a") == {"text": "4", "top": [{"4": -0.1}]}
    assert Journal(tmp_path / "journal").get("a") == {"text": "4", "top": [{"4": -0.1}]}
    assert journal.get("b") is None
    assert "a" in journal
    assert len(journal) == 1


def test_an_empty_journal_leaves_nothing_behind(tmp_path: Path) -> None:
    Journal(tmp_path / "journal").close()
    assert not (tmp_path / "journal").exists()


@given(records=st.dictionaries(st.text(min_size=1), st.dictionaries(st.text(), st.text()), max_size=8))
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, records: dict[str, dict[str, str]]) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder)
    for key, record in records.items():
        journal.put(key, record)
    journal.close()
    again = Journal(folder)
    assert {key: again.get(key) for key in again} == records


def test_a_key_is_recorded_once_and_the_first_record_stays(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.put("a", {"text": "first"})
    journal.put("a", {"text": "second"})
    assert journal.get("a") == {"text": "first"}
    assert len(lines(tmp_path)) == 1


@pytest.mark.parametrize("cut", [1, 2, 20, 45])
def test_a_torn_last_line_costs_that_record_only(tmp_path: Path, cut: int) -> None:
    journal = Journal(tmp_path)
    for name in "abc":
        journal.put(name, {"text": name * 20})
    journal.close()
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(tmp_path)
    assert sorted(again) == ["a", "b"]
    again.put("c", {"text": "again"})
    again.put("d", {"text": "new"})
    third = Journal(tmp_path)
    assert {key: third.get(key)["text"] for key in "abcd"} == {"a": "a" * 20, "b": "b" * 20, "c": "again", "d": "new"}


def test_a_damaged_record_is_absent_not_a_crash(tmp_path: Path) -> None:
    Journal(tmp_path).put("a", {"text": "fine"})
    (path,) = tmp_path.glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"fine"', b'"fi\x00e"'))
    assert Journal(tmp_path).get("a") is None


def test_closed_and_used_again_it_starts_a_new_segment(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.put("a", {"text": "1"})
    journal.close()
    journal.put("b", {"text": "2"})
    assert [journal.get(key) for key in "ab"] == [{"text": "1"}, {"text": "2"}]
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_threads_share_a_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: journal.put(str(n % 100), {"text": "x" * n}), range(400)))
    assert len(journal) == len(lines(tmp_path)) == 100
    assert all(set(journal.get(key)["text"]) <= {"x"} for key in journal)


WRITER = """
import sys
from pathlib import Path
from curate.journal import Journal
journal = Journal(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    journal.put(f"{sys.argv[2]}-{number}", {"text": "x" * 500})
    print(number, flush=True)
"""


def test_processes_never_share_a_segment(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, name, "200"], stdout=subprocess.DEVNULL)
        for name in ("a", "b", "c")
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(list(tmp_path.glob("*.jsonl"))) == 3
    assert len(Journal(tmp_path)) == 600


def test_what_was_put_before_a_kill_is_there(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, tmp_path, "a", "1000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        told = [writer.stdout.readline() for _ in range(200)]
        os.kill(writer.pid, signal.SIGKILL)
        told += writer.stdout.readlines()
    sure = [int(line) for line in told if line.endswith("\n")]
    journal = Journal(tmp_path)
    assert all(f"a-{number}" in journal for number in sure)
    assert len(journal) in (len(sure), len(sure) + 1)


FULL_DISK = """
import resource, sys
from pathlib import Path
from curate.errors import CurateError
from curate.journal import Journal
journal = Journal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
kept = 0
try:
    while True:
        journal.put(str(kept), {"text": "x" * 300})
        kept += 1
except CurateError as error:
    print(kept, error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.put("after", {"text": "room again"})
"""


def test_a_full_disk_is_said_in_one_line_and_loses_nothing_before(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, tmp_path], capture_output=True, text=True, check=True)
    kept, _, message = done.stdout.partition(" ")
    assert "could not be written" in message
    assert "free some space" in message
    assert int(kept) == 6
    assert sorted(Journal(tmp_path)) == ["0", "1", "2", "3", "4", "5", "after"]


def test_a_file_in_place_of_the_folder_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("")
    with pytest.raises(BadInput, match="is not a folder"):
        Journal(tmp_path / "journal")


def test_spend_adds_up_by_purpose_and_over_runs(tmp_path: Path) -> None:
    spend = Spend(tmp_path / "spend.jsonl")
    assert spend.total_usd == 0
    spend.add("tune", call(0.25))
    spend.add("score", call(0.5, prompt=100, cached=60, completion=7))
    spend.add("score", call(1.0))
    again = Spend(tmp_path / "spend.jsonl")
    assert again.total_usd == spend.total_usd == 1.75
    score = again.by_purpose()["score"]
    assert (score.calls, score.prompt_tokens, score.cached_tokens, score.completion_tokens) == (2, 110, 64, 8)
    assert list(again.by_purpose()) == ["score", "tune"]


def test_two_users_of_one_ledger_share_the_budget(tmp_path: Path) -> None:
    mine, theirs = (Spend(tmp_path / "spend.jsonl", budget_usd=1.0) for _ in range(2))
    theirs.add("score", call(0.95))
    with pytest.raises(BudgetSpent, match=r"\$0\.9500 of \$1\.0000"):
        mine.hold(0.1)


def test_a_torn_line_of_the_ledger_swallows_no_neighbour(tmp_path: Path) -> None:
    path = tmp_path / "spend.jsonl"
    mine, theirs = Spend(path), Spend(path)
    mine.add("score", call(1.0))
    theirs.add("score", call(1.0))
    path.write_bytes(path.read_bytes() + b'{"at":"2026-01-01T00:0')
    theirs.add("score", call(1.0))
    assert mine.total_usd == Spend(path).total_usd == 3.0


def test_what_is_in_flight_counts_against_the_budget(tmp_path: Path) -> None:
    spend = Spend(tmp_path / "spend.jsonl", budget_usd=1.0)
    assert spend.hold(0.6)
    assert not spend.hold(0.6)
    spend.release(0.6)
    spend.add("score", call(0.1))
    assert spend.hold(0.6)
    spend.release(0.6)
    spend.add("score", call(0.6))
    with pytest.raises(BudgetSpent, match="raise budget_usd"):
        spend.hold(0.6)
    assert spend.hold(0.0), "a free call always fits"


def test_threads_share_a_ledger(tmp_path: Path) -> None:
    spend = Spend(tmp_path / "spend.jsonl", budget_usd=100)
    start = threading.Barrier(5)

    def work(_: int) -> None:
        start.wait()
        for _ in range(40):
            assert spend.hold(0.001)
            spend.add("score", call(0.5))
            spend.release(0.001)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(work, range(5)))
    assert spend.by_purpose()["score"].calls == 200
    assert spend.total_usd == pytest.approx(100)


def test_bad_ledgers_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a folder"):
        Spend(tmp_path)
    for budget in (-1.0, float("nan")):
        with pytest.raises(BadInput, match="0 or more"):
            Spend(tmp_path / "spend.jsonl", budget)


def test_a_ledger_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    spend = Spend(tmp_path / "file" / "spend.jsonl")
    with pytest.raises(CurateError, match="could not be written"):
        spend.add("score", call(1.0))
