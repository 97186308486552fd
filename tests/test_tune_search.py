import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_world import STEM
from test_stage_tune import FAST, Model, labelled, make, run

from curate.llm import Failure, Reply, Request
from curate.progress import Quiet
from curate.stages import tune
from curate.stages.tune import Settings
from curate.store import Store, read_json


def run_in(folder: Path, model: Any, progress: Any = None, **settings: Any) -> tune.Report:
    return tune.run(
        Store(folder),
        Settings(**{**FAST, **settings}),
        rubric=STEM,
        pages=labelled(),
        make=make,
        complete=model,
        reflect=None,
        threads=2,
        name="tuning",
        progress=progress or Quiet(),
        folder=folder / "tune",
    )


class Journalled:
    """A `complete` that remembers, as the journal does, and counts what it had to ask."""

    def __init__(self, model: Any, *, dies_after: int | None = None) -> None:
        self.model, self.dies_after = model, dies_after
        self.known: dict[str, Reply | Failure] = {}
        self.asked = 0

    def __call__(self, request: Request) -> Reply | Failure:
        key = json.dumps([list(request.messages), dict(request.settings)])
        if key not in self.known:
            if self.dies_after is not None and self.asked >= self.dies_after:
                raise Died
            self.asked += 1
            self.known[key] = self.model(request)
        return self.known[key]


class Died(BaseException):
    """Like a kill: nothing catches it."""


def test_a_search_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = Journalled(Model())
    reference = run_in(tmp_path / "whole", whole)
    broken = Journalled(Model(), dies_after=80)
    with pytest.raises(Died):
        run_in(tmp_path / "broken", broken, reflection="notes")
    (counts,) = (tmp_path / "broken").glob("tune/gepa/*/counts.json")
    before = read_json(counts)
    assert before["metric_calls"] > 0
    assert not (tmp_path / "broken" / "judges").exists()
    broken.dies_after = None
    report = run_in(tmp_path / "broken", broken)
    assert report.metric_calls > before["metric_calls"]
    assert report.proposals >= before["proposals"]
    assert report.tuned_id == reference.tuned_id
    assert report.explained["steps"][0]["pages_toward"] > 0, "what the killed run had heard is heard again"


def test_the_progress_tells_candidates_and_the_best_so_far(tmp_path: Path) -> None:
    notes: list[str] = []

    class Listening(Quiet):
        def task(self, name: str, total: int | None) -> Any:
            from contextlib import nullcontext

            return nullcontext(SimpleNamespace(advance=lambda amount=1: None, note=notes.append))

    run_in(tmp_path, Model(), Listening())
    assert any("candidates, best" in note and "proposals" in note for note in notes)


def test_too_small_a_budget_is_said(tmp_path: Path) -> None:
    none = run(tmp_path / "a", labelled(), Model(), max_metric_calls=16)
    assert none.proposals == 0
    assert any("before any proposal" in note for note in none.notes)
    few = run(tmp_path / "b", labelled(), Model(), max_metric_calls=40)
    assert 0 < few.proposals < 5
    assert any("proposals were tried" in note for note in few.notes)


def test_minutes_end_a_search_with_the_best_so_far(tmp_path: Path) -> None:
    import time

    def slow(request: Request) -> Reply | Failure:
        time.sleep(0.01)
        return Model()(request)

    began = time.monotonic()
    report = run_in(tmp_path, slow, max_metric_calls=100000, max_minutes=0.05)
    assert time.monotonic() - began < 20
    assert "tune.max_minutes" in report.stopped
    assert report.tuned_id
    assert any("ended early" in note for note in report.notes)


def test_judges_under_which_pages_were_not_asked_are_not_taken(tmp_path: Path) -> None:
    spent = [0.0]

    def paid(request: Request) -> Reply | Failure:
        spent[0] += 0.01
        return Model()(request)

    report = tune.run(
        Store(tmp_path),
        Settings(**{**FAST, "max_usd": 0.5}),
        rubric=STEM,
        pages=labelled(),
        make=make,
        complete=paid,
        reflect=None,
        threads=1,
        name="tuning",
        progress=Quiet(),
        spent=lambda: spent[0],
    )
    assert spent[0] <= 0.5 + 0.011
    assert report.usd == spent[0]
    assert report.chosen == "untuned"
    assert [row["label"] for row in report.choice] == ["untuned"]
