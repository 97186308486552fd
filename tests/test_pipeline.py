"""The whole chain on a small world: a real server, real tables, a real classifier."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai_server import OpenAIServer
from small_world import ROOT, level_of, words

from curate import pipeline
from curate.config import Opened, open_pipeline
from curate.errors import BadInput, CurateError
from curate.pipeline import Line, Result
from curate.progress import Quiet

PAGES = 120
LABELLED = 90
STAGES = ["sample", "label", "tune", "score", "distill", "filter", "report"]
FILE = """
name: small
rubric: rubric.md
source: {path: pages.jsonl, text: text, url: url}
judge: {model: openai/stub, api_base: "http://127.0.0.1:1/v1", page_chars: 400, input_usd_per_million: 1, output_usd_per_million: 1}
sample: {pages: null}
label:
  needed: 60
  labels_from: {path: labels.jsonl, match: url, rater: rater, note: note}
tune: {forms: [level, yesno], max_metric_calls: 40, minibatch: 3, anchors: 4, finalists: 1}
distill: {features: [[ngrams], [ngrams, shape]], c: [1.0], human_weight: [1.0], folds: 3, ngram_bits: 12}
filter: {by: [kind]}
report: {examples: 3}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A pipeline file with its rubric, pages and labels of two raters."""
    pages = [
        {"url": f"https://site{n}.example/{n}", "text": words(n, level_of(n)), "kind": "abc"[n % 3]}
        for n in range(PAGES)
    ]
    labels = [
        {
            "url": pages[n]["url"],
            "rater": rater,
            "level": min(level_of(n) + (shift and n % 9 == 0), 5),
            "note": "it explains",
        }
        for shift, rater in enumerate(("ann", "ben"))
        for n in range(LABELLED)
    ]
    (tmp_path / "p.yaml").write_text(FILE)
    (tmp_path / "pages.jsonl").write_text("".join(json.dumps(p) + "\n" for p in pages))
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(x) + "\n" for x in labels))
    shutil.copy(ROOT / "rubrics" / "stem.md", tmp_path / "rubric.md")
    return tmp_path


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


def opened(folder: Path, server: OpenAIServer | None = None, *overrides: str) -> Opened:
    where = [f"judge.api_base={server.url}"] if server else []
    return open_pipeline(folder / "p.yaml", [*where, *overrides])


def run(folder: Path, server: OpenAIServer | None, *overrides: str, **how: Any) -> Result:
    return pipeline.run(opened(folder, server, *overrides), progress=Quiet(), on_line=lambda line: None, **how)


def states(lines: list[Line]) -> dict[str, str]:
    return {line.stage: line.state for line in lines}


def report_of(folder: Path, result: Result) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(
        (folder / "runs" / "small" / result.records["report"]["report"]["json"]).read_text(encoding="utf-8")
    )
    return value


@pytest.mark.slow
def test_the_whole_job_runs_once_and_is_fresh_after(folder: Path, server: OpenAIServer) -> None:
    first = run(folder, server)
    assert states(first.lines) == dict.fromkeys(STAGES, "done")
    calls = server.calls
    assert calls > PAGES
    again = run(folder, server)
    assert states(again.lines) == dict.fromkeys(STAGES, "fresh")
    assert server.calls == calls

    value = report_of(folder, first)
    assert set(value["sealed"]) == {"human_ceiling", "judge_untuned", "judge_tuned", "classifier", "lexical"}
    for who, found in value["sealed"].items():
        assert set(found["auc"]) == {"value", "low", "high", "n"}, who
        assert 0 <= found["auc"]["low"] <= found["auc"]["value"] <= found["auc"]["high"] <= 1
    assert len({found["auc"]["n"] for found in value["sealed"].values()}) == 1
    assert value["test"]["openings"] == 1
    assert sum(s["usd"] for s in value["spend"].values()) > 0
    kept = first.records["filter"]["report"]
    assert sum(kept["reasons"].values()) == kept["pages"] == PAGES
    html = (folder / "runs" / "small" / first.records["report"]["report"]["html"]).read_text(encoding="utf-8")
    assert "http://" not in html.replace("http://www.w3.org", "").replace("http://127.0.0.1", "")
    assert "<script" not in html


@pytest.mark.slow
def test_only_what_depends_on_a_change_runs_again(folder: Path, server: OpenAIServer) -> None:
    run(folder, server)
    calls = server.calls

    threshold = run(folder, server, "filter.aim=recall>=0.9")
    assert [s for s, state in states(threshold.lines).items() if state == "done"] == ["filter", "report"]
    examples = run(folder, server, "report.examples=1")
    assert [s for s, state in states(examples.lines).items() if state == "done"] == ["report"]
    strength = run(folder, server, "distill.c=[3.0]")
    assert [s for s, state in states(strength.lines).items() if state == "done"] == ["distill", "filter", "report"]
    assert server.calls == calls, "none of these asks the model"

    text = (folder / "rubric.md").read_text()
    (folder / "rubric.md").write_text(text.replace("reasons given", "grounds given"))
    rubric = run(folder, server)
    assert [s for s, state in states(rubric.lines).items() if state == "done"] == STAGES[2:]
    (folder / "rubric.md").write_text(text)
    assert states(run(folder, server).lines) == dict.fromkeys(STAGES, "fresh"), "the old rubric's work is still there"


@pytest.mark.slow
def test_a_new_label_on_a_sealed_page_changes_the_report_alone_and_on_a_train_page_tunes_again(
    folder: Path, server: OpenAIServer
) -> None:
    first = run(folder, server)
    work = pipeline.fresh_records(opened(folder, server))
    split = {p["url"]: p["split"] for p in work.pages()}
    unlabelled = [f"https://site{n}.example/{n}" for n in range(LABELLED, PAGES)]

    def add(url: str) -> None:
        with (folder / "labels.jsonl").open("a") as file:
            file.write(json.dumps({"url": url, "rater": "ann", "level": 0, "note": "nothing"}) + "\n")

    add(next(url for url in unlabelled if split[url] == "test"))
    sealed = run(folder, server)
    ran = [s for s, state in states(sealed.lines).items() if state == "done"]
    assert "tune" not in ran
    assert ran[0] == "label"
    assert ran[-1] == "report"
    assert sealed.records["tune"]["fingerprint"] == first.records["tune"]["fingerprint"]
    add(next(url for url in unlabelled if split[url] == "train"))
    assert "tune" in [s for s, state in states(run(folder, server).lines).items() if state == "done"]


def test_too_few_labels_stop_after_sample_and_say_what_to_do(folder: Path) -> None:
    (folder / "labels.jsonl").write_text(
        json.dumps({"url": "https://site1.example/1", "rater": "ann", "level": 3, "note": ""}) + "\n"
    )
    result = run(folder, None)
    assert states(result.lines) == {"sample": "done", "label": "needs labels"}
    assert result.missing_labels
    said = pipeline.next_step(opened(folder), result.missing_labels)
    assert said.startswith("59 more labelled pages are needed before tuning (1 of 60)")
    assert f"curate label {folder / 'p.yaml'}" in said


def test_a_plan_makes_no_call_and_no_workspace(folder: Path) -> None:
    lines = pipeline.plan(opened(folder))
    assert states(lines) == {"sample": "must run", **dict.fromkeys(STAGES[1:], "waits for sample")}
    calls = {line.stage: line.calls for line in lines if line.calls}
    assert set(calls) == {"tune", "score"}
    assert all(line.usd for line in lines if line.calls)
    assert not (folder / "runs").exists()


@pytest.mark.slow
def test_a_plan_is_an_upper_bound_of_the_calls(folder: Path, server: OpenAIServer) -> None:
    run(folder, server, until="label")
    planned = {line.stage: line.calls for line in pipeline.plan(opened(folder, server))}
    run(folder, server, until="tune")
    assert server.calls <= planned["tune"]
    tuned = server.calls
    left = {line.stage: line.calls for line in pipeline.plan(opened(folder, server))}
    run(folder, server, until="score")
    assert server.calls - tuned <= left["score"]


def test_a_server_that_is_down_is_one_line_and_keeps_the_stages_before(folder: Path) -> None:
    with pytest.raises(CurateError, match="refused"):
        run(folder, None, "judge.retries=0")
    assert [line.stage for line in pipeline.plan(opened(folder)) if line.state == "fresh"] == ["sample", "label"]


def test_a_budget_of_nothing_stops_before_the_first_call(folder: Path, server: OpenAIServer) -> None:
    with pytest.raises(CurateError, match="budget"):
        run(folder, server, "budget_usd=0")
    assert server.calls == 0


def test_two_runs_at_once_are_refused(folder: Path) -> None:
    one = opened(folder)
    with pipeline.Work(one, Quiet()).store.lock(), pytest.raises(CurateError, match="another run is at work"):
        run(folder, None)


def test_no_workspace_is_said_in_one_line(folder: Path) -> None:
    with pytest.raises(BadInput, match="no workspace yet"):
        pipeline.workspace_path(opened(folder))


@pytest.mark.slow
def test_killed_in_any_stage_the_same_command_goes_on_to_the_same_end(folder: Path) -> None:
    """kill -9 at ten moments of the whole run; what was answered is never asked again, and the tables hold no row twice."""
    with OpenAIServer(delay_seconds=0.01) as server:
        command = [
            sys.executable,
            "-m",
            "curate",
            "run",
            str(folder / "p.yaml"),
            "--set",
            f"judge.api_base={server.url}",
        ]
        command += ["--set", "judge.concurrency=4"]
        kills = 0
        for wait in (3.0, 5.0, 6.0, 7.0, 7.5, 8.0, 8.5, 9.0, 10.0, 11.0):
            going = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT)
            deadline = time.monotonic() + wait
            while going.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            if going.poll() is not None:
                break
            os.kill(going.pid, signal.SIGKILL)
            going.wait()
            kills += 1
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0, done.stderr
        bodies = [json.dumps(body, sort_keys=True) for body in server.bodies]
    assert kills > 0
    assert len(bodies) - len(set(bodies)) <= 4 * kills
    work = pipeline.fresh_records(opened(folder, None, f"judge.api_base={server.url}", "judge.concurrency=4"))
    assert set(work.records) == set(STAGES)
    twice = "SELECT page_id, judge_id FROM judgments GROUP BY ALL HAVING count(*) > 1"
    assert work.store.sql(twice).num_rows == 0
    decisions = work.store.sql("SELECT count(*) AS n FROM decisions", scopes=work.scopes()).to_pylist()
    assert decisions[0]["n"] == PAGES
    assert not list((folder / "runs").rglob("*.tmp"))
