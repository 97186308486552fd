import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai_server import OpenAIServer
from small_world import STEM, pages

from curate import judge as judges
from curate.errors import CurateError
from curate.judge import Judge
from curate.llm import Failure, Reply, Request
from curate.progress import Quiet
from curate.stages import score
from curate.stages.score import CompleteMany, Settings
from curate.store import Store

Row = dict[str, Any]


def judge_of(form: judges.Form = "level", model: str = "openai/stub") -> Judge:
    return judges.of_rubric(STEM, form, model=model, layout="page_first", page_chars=400)


def said(text: str, *, usd: float = 0.0) -> Reply:
    return Reply(text, "stop", [{text: -0.01}], 10, 0, 1, usd, 0.0)


class Asked:
    """A `complete_many` that answers in reverse order and keeps what it was asked."""

    def __init__(self, answer: Reply | Failure | None = None, **failing: Failure) -> None:
        self.answer, self.failing = answer or said("4", usd=0.25), failing
        self.requests: list[Request] = []

    def __call__(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Reply | Failure]]:
        batch = list(requests)
        self.requests += batch
        for request in reversed(batch):
            shown = str(request.messages[-1]["content"])
            yield request, next((f for word, f in self.failing.items() if f"Page {word[1:]}." in shown), self.answer)


def run(store: Store, rows: list[Row], complete_many: CompleteMany, *work: Judge, **settings: Any) -> score.Report:
    return score.run(
        store,
        Settings(**settings),
        work=[(judge, rows) for judge in work or [judge_of()]],
        complete_many=complete_many,
        progress=Quiet(),
    )


def counts(store: Store) -> Counter[tuple[str, str]]:
    return Counter((row["judge_id"], row["page_id"]) for row in store.rows("judgments"))


def test_every_page_has_one_judgment_and_a_second_run_asks_nothing(tmp_path: Path) -> None:
    store, rows, asked = Store(tmp_path), pages(10), Asked()
    report = run(store, rows, asked, batch_pages=4)
    assert (report.made, report.already, report.cost_usd) == (10, 0, 2.5)
    assert report.judges == {judge_of().id: {"ok": 10}}
    assert counts(store) == Counter({(judge_of().id, row["page_id"]): 1 for row in rows})
    again = run(store, rows, asked)
    assert (again.made, again.already, again.cost_usd) == (0, 10, 0)
    assert len(asked.requests) == 10


def test_only_pages_without_a_judgment_are_asked(tmp_path: Path) -> None:
    store, rows, asked = Store(tmp_path), pages(12), Asked()
    run(store, rows[:5], asked)
    report = run(store, rows, asked)
    assert (report.made, report.already) == (7, 5)
    assert set(counts(store).values()) == {1}
    assert len(asked.requests) == 12


def test_a_page_that_is_given_twice_is_judged_once(tmp_path: Path) -> None:
    rows, asked = pages(4), Asked()
    run(Store(tmp_path), [*rows, *rows], asked)
    assert len(asked.requests) == 4
    assert set(counts(Store(tmp_path)).values()) == {1}


def test_judges_do_not_share_judgments(tmp_path: Path) -> None:
    store, rows, asked = Store(tmp_path), pages(6), Asked()
    report = run(store, rows, asked, judge_of("level"), judge_of("level", "openai/other"))
    assert report.made == 12
    assert len(report.judges) == 2
    assert set(counts(store).values()) == {1}


def test_both_orders_of_a_page_make_one_judgment(tmp_path: Path) -> None:
    def always_a(requests: Iterable[Request]) -> Iterator[tuple[Request, Reply | Failure]]:
        batch = list(requests)
        for request in sorted(batch, key=lambda r: r.tag.split(":")[1], reverse=True):
            yield request, Reply("A", "stop", [{"A": -0.1, "B": -2.35}], 5, 0, 1, 0.5, 0.0)

    store, rows = Store(tmp_path), pages(3)
    report = run(store, rows, always_a, judge_of("ab"))
    assert report.cost_usd == 3.0
    for row in store.rows("judgments"):
        assert row["score"] == pytest.approx(0)
        assert row["raw"] == "A\nA"
        assert (row["prompt_tokens"], row["cost_usd"]) == (10, 1.0)


def test_labelled_pages_come_first_and_a_limit_never_leaves_one_out() -> None:
    rows = pages(20)
    labelled = {row["page_id"] for row in rows[12:18]}
    order = score.chosen(rows, labelled, Settings(pages=None))
    assert {row["page_id"] for row in order[:6]} == labelled
    assert len(order) == 20
    assert [r["page_id"] for r in order[:9]] == [
        r["page_id"] for r in score.chosen(rows[::-1], labelled, Settings(pages=9))
    ]
    assert {row["page_id"] for row in score.chosen(rows, labelled, Settings(pages=2))} == labelled


def test_a_few_failures_are_written_down_with_their_reason(tmp_path: Path) -> None:
    store, rows = Store(tmp_path), pages(40)
    trouble = Failure("failed", "the server said 500")
    refused, long = Failure("refused", "I cannot"), Failure("too_long", "4096 tokens")
    report = run(store, rows, Asked(_3=trouble, _5=trouble, _7=refused, _9=long))
    assert report.judges[judge_of().id] == {"ok": 36, "failed": 2, "refused": 1, "too_long": 1}
    why = {row["status"]: row["why"] for row in store.rows("judgments") if row["status"] != "ok"}
    assert why == {"failed": "the server said 500", "refused": "I cannot", "too_long": "4096 tokens"}
    assert all(row["level"] is None for row in store.rows("judgments") if row["status"] != "ok")


def test_too_many_failures_stop_in_one_line_and_keep_what_was_answered(tmp_path: Path) -> None:
    store, rows = Store(tmp_path), pages(20)
    failing = {f"_{number}": Failure("failed", "the server said 500") for number in range(10, 15)}
    with pytest.raises(CurateError) as stopped:
        run(store, rows, Asked(**failing), batch_pages=20, most_failed=0.2)
    assert stopped.value.exit_code == 1
    assert "5 of 20 pages failed with openai/stub" in str(stopped.value)
    assert "the server said 500" in str(stopped.value)
    assert "\n" not in str(stopped.value)
    assert Counter(row["status"] for row in store.rows("judgments")) == {"ok": 15}
    mended = Asked()
    assert run(store, rows, mended).made == 5
    assert len(mended.requests) == 5
    assert set(counts(store).values()) == {1}


@pytest.mark.parametrize(("most_failed", "batch_pages"), [(0.05, 1), (0.0, 64), (0.2, 2)])
def test_a_dead_provider_stops_the_run_whatever_the_size_of_a_part(
    tmp_path: Path, most_failed: float, batch_pages: int
) -> None:
    asked = Asked(Failure("failed", "connection refused"))
    with pytest.raises(CurateError, match="connection refused"):
        run(Store(tmp_path), pages(30), asked, most_failed=most_failed, batch_pages=batch_pages)
    assert len(asked.requests) <= max(batch_pages, 2)


def test_no_failure_may_pass_where_none_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="1 of 20 pages failed"):
        run(Store(tmp_path), pages(20), Asked(_4=Failure("failed", "once")), most_failed=0)


def test_what_stops_the_calls_keeps_the_parts_before(tmp_path: Path) -> None:
    def until_spent(requests: Iterable[Request]) -> Iterator[tuple[Request, Reply | Failure]]:
        for request in requests:
            if len(asked) == 10:
                raise CurateError("budget_usd: spent")
            asked.append(request)
            yield request, said("2")

    asked: list[Request] = []
    store = Store(tmp_path)
    with pytest.raises(CurateError, match="budget_usd: spent"):
        run(store, pages(20), until_spent, batch_pages=4)
    assert len(store.rows("judgments")) == 8


def test_a_reply_with_lone_surrogates_is_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    reply = said('{"formatting": 1, "reasoning": 1, "reason": "half a face \\ud83d", "level": 3} \ud83d')
    report = run(store, pages(1), Asked(reply), judge_of("json"))
    assert report.judges[judge_of("json").id] == {"ok": 1}
    assert store.rows("judgments")[0]["reason"] == "half a face ?"


RUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_stage_score import judge_of, pages
from curate.journal import Journal
from curate.llm import Client, Endpoint
from curate.progress import Quiet
from curate.stages import score
from curate.store import Store
root, concurrency = Path(sys.argv[2]), int(sys.argv[4])
endpoint = Endpoint("openai/stub", api_base=sys.argv[3], concurrency=concurrency)
with Client(endpoint, journal=Journal(root / "journal"), backoff_seconds=0.01) as client:
    report = score.run(
        Store(root), score.Settings(batch_pages=16), work=[(judge_of("yesno"), pages(150))],
        complete_many=client.complete_many, progress=Quiet(),
    )
print(report.made)
"""


@pytest.mark.slow
def test_killed_at_any_moment_no_reply_is_lost_doubled_or_paid_for_twice(tmp_path: Path) -> None:
    concurrency, kills = 4, sorted(random.Random(5).sample(range(5, 145), 3))
    with OpenAIServer(delay_seconds=0.01) as server:
        command = [sys.executable, "-c", RUN, str(Path(__file__).parent), str(tmp_path), server.url, str(concurrency)]
        for calls in kills:
            with subprocess.Popen(command) as process:
                while server.calls < calls:
                    assert process.poll() is None, "it ended before it could be killed"
                    time.sleep(0.001)
                os.kill(process.pid, signal.SIGKILL)
        after_kills = server.calls
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        asked = Counter(str(body["messages"]) for body in server.bodies)
    assert kills[-1] <= after_kills < 150
    assert 150 - after_kills <= int(done.stdout) <= 150
    assert counts(Store(tmp_path)) == Counter({(judge_of("yesno").id, row["page_id"]): 1 for row in pages(150)})
    assert len(asked) == 150
    repeated = asked.total() - len(asked)
    assert repeated <= concurrency * len(kills), "only the calls in flight are made again"
    assert {row["status"] for row in Store(tmp_path).rows("judgments")} == {"ok"}
