"""Tuning through a real server: models that follow their instruction, garble, fail, refuse, and copy."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai_server import TROUBLES, Follower, OpenAIServer, by_task, copying, garbling, proposer, text_of

from curate import judge as judges
from curate import metrics
from curate import rubric as rubrics
from curate.errors import CurateError
from curate.judge import Form, Judge, Layout
from curate.llm import Client, Endpoint, Journal, Spend
from curate.progress import Quiet
from curate.rubric import Rubric
from curate.schema import fingerprint, page_id
from curate.stages import tune
from curate.stages.tune import Labelled, Settings
from curate.store import Store, read_json

LESSONS = Rubric(
    name="lessons",
    asks="How good is this page to learn from?",
    keep=3,
    levels={
        0: "Nothing to learn.",
        1: "Hardly anything.",
        2: "A little.",
        3: "Something.",
        4: "A lot.",
        5: "All of it.",
    },
    instruction="Rate this page from 0 to 5 as a text to learn from.",
)
SIGNS = {"derives": ("worked step", 1.3), "coupons": ("coupon", -1.3), "dialogue": ("said the", -0.7)}
"""What people see in a page, and how far it moves their level: the word of a rule, its sign in the page, its worth."""
NOTES = {"derives": "derives the result", "coupons": "full of coupons", "dialogue": "only a dialogue"}
RULES = {
    "derives the result": "A page that derives its result is a 4 or 5.",
    "full of coupons": "A page with coupons is a 0 or 1.",
    "only a dialogue": "A page that is a dialogue loses a level.",
}
FAST: dict[str, Any] = {"forms": ["level"], "max_metric_calls": 200, "minibatch": 6, "reflection": "model"}


def made(number: int) -> tuple[str, float, str]:
    """Text, level and note of a page: its signs are drawn, and people weigh them."""
    draw = random.Random(number)
    here = [word for word in SIGNS if draw.random() < 0.45]
    signs = [f"{SIGNS[word][0]} {draw.randint(100, 999)}" for word in here]
    filler = [draw.choice(["river", "table", "green", "seven", "cloud", "paper", "stone", "light"]) for _ in range(24)]
    level = min(max(2.5 + sum(SIGNS[word][1] for word in here), 0), 5)
    return f"Page {number}: {' '.join([*filler, *signs])}", round(level), ", ".join(NOTES[word] for word in here)


def labelled(train: int = 30, val: int = 30, test: int = 0) -> list[Labelled]:
    rows = []
    for number in range(train + val + test):
        text, level, note = made(number)
        split = "train" if number < train else "val" if number < train + val else "test"
        rows.append(
            Labelled(page_id(text), text, split, f"g{number}", float(level), level >= 3, (("ann", level, note),))
        )
    return rows


def make(form: Form, layout: Layout) -> Judge:
    return judges.of_rubric(LESSONS, form, model="openai/stub", layout=layout, page_chars=600)


@contextmanager
def client_of(server: OpenAIServer, folder: Path, **given: Any) -> Iterator[tuple[Client, Spend]]:
    spend = Spend(folder / "spend.jsonl")
    endpoint = Endpoint("openai/stub", api_base=server.url, concurrency=4, **given)
    with Client(endpoint, journal=Journal(folder / "journal"), spend=spend, backoff_seconds=0.01) as client:
        yield client, spend


def run(folder: Path, server: OpenAIServer, rows: list[Labelled], *, threads: int = 4, **settings: Any) -> tune.Report:
    with client_of(server, folder) as (client, spend):
        return tune.run(
            Store(folder),
            Settings(**{**FAST, **settings}),
            rubric=LESSONS,
            pages=rows,
            make=make,
            complete=client.for_("tune").complete,
            reflect=client.for_("reflect").complete,
            threads=threads,
            name="tuning",
            progress=Quiet(),
            spent=lambda: spend.total_usd,
            folder=folder / "tune",
        )


def auc_on(folder: Path, server: OpenAIServer, judge: Judge, pages: list[Labelled]) -> float:
    with client_of(server, folder) as (client, _):
        said = [
            judges.read(judge, p.page_id, [client.complete(r) for r in judges.requests(judge, p.text)]) for p in pages
        ]
    return metrics.auc([p.keep for p in pages], metrics.ranked_last([s.score for s in said]))


def value(estimate: dict[str, Any]) -> float:
    assert estimate["value"] is not None
    return float(estimate["value"])


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tune.Report, dict[str, float]]:
    """One run for many looks: the workspace, the report, and AUC on pages held out of it, before and after."""
    folder, rows = tmp_path_factory.mktemp("tuned"), labelled(test=60)
    with OpenAIServer(by_task(Follower(SIGNS), proposer(RULES))) as server:
        report = run(folder, server, [row for row in rows if row.split != "test"], ablate=True)
        held_out = [row for row in rows if row.split == "test"]
        found = {
            which: auc_on(folder, server, judges.load(folder / "judges", name), held_out)
            for which, name in (("untuned", report.untuned_id), ("tuned", report.tuned_id))
        }
    return folder, report, found


Tuned = tuple[Path, tune.Report, dict[str, float]]


def test_tuning_finds_the_rules_that_the_rubric_lacks_and_held_out_agreement_rises(tuned: Tuned) -> None:
    folder, report, auc = tuned
    assert auc["tuned"] > auc["untuned"] + 0.25
    assert auc["tuned"] > 0.9
    best = judges.load(folder / "judges", report.tuned_id)
    assert all(rule in best.instruction for rule in list(RULES.values())[:2])
    assert report.val["proven"]
    assert report.objective == "level"
    assert report.proposals >= 2
    json.dumps(report.as_dict(), allow_nan=False)


def test_the_rubric_file_that_comes_out_asks_what_the_judge_asks_and_says_where_it_is_from(tuned: Tuned) -> None:
    folder, report, _ = tuned
    file = folder / "judges" / report.tuned_id / "rubric.md"
    again, best = rubrics.load(file), judges.load(folder / "judges", report.tuned_id)
    assert judges.seed_instruction(again, best.form) == best.instruction
    assert (again.levels, again.keep) == (LESSONS.levels, LESSONS.keep)
    for said in (report.tuned_id, LESSONS.hash, "60", "openai/stub", "auc "):
        assert said in file.read_text().split("\n---")[0]


def test_what_each_rule_did_is_told_with_its_pages(tuned: Tuned) -> None:
    explained = tuned[1].explained
    assert [rule for step in explained["steps"] for rule in step["added"] if rule in RULES.values()]
    toward = [page for step in explained["steps"] for page in step["toward"]]
    assert toward
    assert {page["split"] for page in toward} <= {"train", "val"}
    assert all(abs(page["after"] - page["people"]) < abs(page["before"] - page["people"]) for page in toward)
    assert max(row["worth"] for row in explained["ablated"]) > 0.02, "what is left out is missed"
    shown = tune.explain(explained)
    assert "nearer to people" in shown
    assert toward[0]["page_id"][:8] in shown


def test_candidates_and_their_scores_on_each_val_page_are_kept(tuned: Tuned) -> None:
    folder, report, _ = tuned
    scores = Store(folder).rows("candidate_scores", "tuning")
    assert Counter(row["candidate_id"] for row in scores) == {c["candidate_id"]: 30 for c in report.candidates}
    assert all(0 <= row["score"] <= 1 and row["split"] == "val" for row in scores)
    assert all(row["chars"] > 0 for row in Store(folder).rows("candidates", "tuning"))
    known = {c["candidate_id"] for c in report.candidates}
    assert len(known) > 2
    for candidate in report.candidates[1:]:
        assert set(candidate["parents"]) <= known
        assert candidate["change"].startswith("+ ")


def test_garbled_answers_are_quoted_to_the_reflection_model(tmp_path: Path) -> None:
    def half_garbled(body: dict[str, Any]) -> Any:
        prompt = "\n".join(text_of(m) for m in body["messages"])
        number = re.search(r"Page (\d+):", prompt)
        return garbling(body) if number and int(number[1]) % 2 else Follower(SIGNS)(body)

    with OpenAIServer(by_task(half_garbled, proposer(RULES))) as server:
        report = run(tmp_path, server, labelled(), max_metric_calls=80)
        prompts = [text_of(b["messages"][-1]) for b in server.bodies if "new_instruction" in str(b)]
    assert prompts
    assert any("it depends on whom you ask" in prompt for prompt in prompts)
    assert report.unreadable > 0
    assert 0 < report.choice[0]["readable"] < 1


def test_a_model_that_always_fails_is_one_line(tmp_path: Path) -> None:
    with OpenAIServer(lambda _: TROUBLES["403"]) as server, pytest.raises(CurateError) as stopped:
        run(tmp_path, server, labelled())
    assert "\n" not in str(stopped.value)
    assert not (tmp_path / "judges").exists()


def test_a_rate_limit_for_a_while_changes_nothing(tmp_path: Path) -> None:
    answers = by_task(Follower(SIGNS), proposer(RULES))
    with OpenAIServer(answers, script=["ok"] * 3 + ["429"] * 4 + ["ok"] * 40 + ["429"] * 4) as server:
        limited = run(tmp_path / "a", server, labelled(), threads=1, max_metric_calls=60)
    with OpenAIServer(answers) as server:
        free = run(tmp_path / "b", server, labelled(), threads=1, max_metric_calls=60)
    assert limited.tuned_id == free.tuned_id
    assert limited.val == free.val


def test_a_reflection_model_that_copies_pages_is_stopped_before_it_costs_calls(tmp_path: Path) -> None:
    with OpenAIServer(by_task(Follower(SIGNS), copying)) as server:
        report = run(tmp_path, server, labelled(), max_metric_calls=90)
        judged = [b for b in server.bodies if "new_instruction" not in str(b)]
    assert report.guarded >= 3
    assert report.proposals == 0
    assert not [b for b in judged if "Give 5 to:" in str(b)]
    assert any("copies from a labelled page" in note for note in report.notes)
    assert report.chosen in ("untuned", "form alone")


def test_dollars_are_a_hard_stop_that_only_calls_in_flight_pass(tmp_path: Path) -> None:
    with OpenAIServer(by_task(Follower(SIGNS), proposer(RULES)), delay_seconds=0.005) as server:
        prices = {"input_usd_per_million": 1000.0, "output_usd_per_million": 1000.0}
        with client_of(server, tmp_path, **prices) as (client, spend):
            report = tune.run(
                Store(tmp_path),
                Settings(**{**FAST, "max_metric_calls": 5000, "max_usd": 20.0}),
                rubric=LESSONS,
                pages=labelled(),
                make=make,
                complete=client.complete,
                reflect=client.complete,
                threads=4,
                name="tuning",
                progress=Quiet(),
                spent=lambda: spend.total_usd,
            )
            dearest = max(json.loads(line)["usd"] for line in (tmp_path / "spend.jsonl").read_text().splitlines())
            assert 20.0 <= spend.total_usd <= 20.0 + 4 * dearest
    assert "tune.max_usd" in report.stopped
    assert report.usd == pytest.approx(spend.total_usd)
    assert any("ended early" in note for note in report.notes)
    assert report.tuned_id


SCRIPT = """
import sys, json
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_tune_server import *
class Known:
    def __init__(self, url): self.url = url
report = run(Path({folder!r}), Known({url!r}), labelled(), threads=2, max_metric_calls=180)
print(json.dumps([report.tuned_id, report.stopped, report.metric_calls, [c["candidate_id"] for c in report.candidates]]))
"""


def started(folder: Path, server: OpenAIServer) -> "subprocess.Popen[str]":
    code = SCRIPT.format(tests=str(Path(__file__).parent), folder=str(folder), url=server.url)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(ready: Any, process: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + 60
    while not ready():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.slow
def test_a_killed_search_goes_on_where_it_was_and_pays_nothing_twice(tmp_path: Path) -> None:
    def counts() -> dict[str, Any]:
        found = list(tmp_path.glob("tune/gepa/*/counts.json"))
        return dict(read_json(found[0])) if found else {"proposals": 0, "metric_calls": 0}

    with OpenAIServer(by_task(Follower(SIGNS), proposer(RULES)), delay_seconds=0.01) as server:
        first = started(tmp_path, server)
        wait_for(lambda: counts()["proposals"] >= 2, first)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        before = counts()
        candidates = read_json(next(tmp_path.glob("tune/gepa/*/candidates.json")))
        again = started(tmp_path, server)
        said, trouble = again.communicate(timeout=90)
        assert again.returncode == 0, trouble
        asked = Counter(json.dumps(body["messages"]) for body in server.bodies)
    tuned_id, stopped, metric_calls, ids = json.loads(said)
    assert sum(asked.values()) - len(asked) <= 2 + 1, "only what was in flight when it was killed is asked again"
    assert metric_calls > before["metric_calls"]
    assert metric_calls <= 180 + 30 + 12, "the calls before the kill count too"
    assert not stopped
    assert len(candidates) > 1
    assert {fingerprint(candidate["ask"]) for candidate in candidates} <= set(ids)
    assert judges.load(tmp_path / "judges", tuned_id)


def test_ctrl_c_ends_the_search_with_the_best_so_far(tmp_path: Path) -> None:
    count = 0

    def interrupting(body: dict[str, Any]) -> Any:
        nonlocal count
        count += 1
        if count == 220:
            os.kill(os.getpid(), signal.SIGINT)
        return by_task(Follower(SIGNS), proposer(RULES))(body)

    with OpenAIServer(interrupting) as server:
        report = run(tmp_path, server, labelled(), max_metric_calls=5000)
        assert server.calls <= 220 + 8
    assert "Ctrl-C" in report.stopped
    assert any("Ctrl-C" in note for note in report.notes)
    assert report.accepted >= 1
    assert judges.load(tmp_path / "judges", report.tuned_id)
