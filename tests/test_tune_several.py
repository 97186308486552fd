from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import STEM
from test_stage_tune import FAST, Model, labelled

from curate import judge as judges
from curate.errors import CurateError
from curate.judge import Form, Judge, Layout
from curate.llm import Failure, Reply, Request
from curate.progress import Quiet
from curate.stages import tune
from curate.stages.tune import Settings, pareto, run_models
from curate.store import Store

ROWS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=12)


def row(value: float, usd: float, seconds: float) -> dict[str, Any]:
    return {"value": value, "usd_per_million": usd, "seconds_per_million": seconds}


@given(ROWS)
def test_nothing_on_the_front_is_beaten_and_all_else_is(found: list[tuple[float, float, float]]) -> None:
    rows = [row(*one) for one in found]
    front = pareto(rows)
    assert any(front)
    for one, on_it in zip(found, front, strict=True):
        beaten = any(o[0] >= one[0] and o[1] <= one[1] and o[2] <= one[2] and o != one for o in found)
        assert on_it is not beaten


def test_a_free_model_that_is_slow_is_beaten_by_none_that_costs() -> None:
    assert pareto([row(0.9, 50, 10), row(0.8, 0, 900), row(0.7, 60, 20)]) == [True, True, False]


def asked_of(name: str) -> Any:
    def make(form: Form, layout: Layout) -> Judge:
        return judges.of_rubric(STEM, form, model=f"openai/{name}", layout=layout, page_chars=400)

    return make


class Priced(Model):
    """A model whose calls cost and take time."""

    def __init__(self, usd: float, seconds: float, **given: Any) -> None:
        super().__init__(**given)
        self.usd, self.seconds = usd, seconds

    def __call__(self, request: Request) -> Reply | Failure:
        reply = super().__call__(request)
        assert isinstance(reply, Reply)
        return Reply(reply.text, "stop", reply.top, 50, 0, 1, self.usd, self.seconds)


def run(folder: Path, models: list[tune.Model], **settings: Any) -> tune.Report:
    return run_models(
        Store(folder),
        Settings(**{**FAST, "max_metric_calls": 240, **settings}),
        models=models,
        rubric=STEM,
        pages=labelled(),
        reflect=None,
        name="tuning",
        progress=Quiet(),
    )


def model(name: str, complete: Any, **more: Any) -> tune.Model:
    return tune.Model(name, asked_of(name), complete, **more)


def test_each_model_is_tuned_measured_and_asked_the_others_instruction(tmp_path: Path) -> None:
    report = run(tmp_path, [model("dear", Priced(0.002, 0.5)), model("local", Priced(0.0, 2.0), usd_per_hour=0.9)])
    dear, local = report.models["table"]
    assert dear["usd_per_million"] == pytest.approx(2000)
    assert local["usd_per_million"] == pytest.approx(2.0 * 0.9 / 3600 * 1e6)
    assert (dear["tokens_per_million"], local["seconds_per_million"]) == (51e6, 2e6)
    assert dear["value"]["value"] > 0.95
    cross = report.models["cross"]
    assert [(c["instruction_of"], c["asked_of"]) for c in cross] == [("dear", "local"), ("local", "dear")]
    assert all(c["value"]["value"] > 0.9 for c in cross), "the rule that was found helps either model"
    assert set(report.models["front"]) == {"dear", "local"}
    assert report.budget_calls == 120
    for one in (dear, local):
        assert judges.load(tmp_path / "judges", one["judge"]).model == f"openai/{one['model']}"
    rows = Store(tmp_path).rows("candidates", "tuning")
    assert {r["candidate_id"] for r in rows if r["phase"] == "choice"}


@pytest.mark.parametrize(("prefer", "chosen"), [("quality", "dear"), ("cost", "cheap")])
def test_the_cheaper_of_equals_is_taken_where_cost_is_preferred(prefer: str, chosen: str, tmp_path: Path) -> None:
    report = run(tmp_path, [model("dear", Priced(0.01, 1.0)), model("cheap", Priced(0.0001, 1.0))], prefer=prefer)
    assert report.models["chosen"] == chosen
    assert judges.load(tmp_path / "judges", report.tuned_id).model == f"openai/{chosen}"
    assert report.models["front"] == ["cheap"]


def test_a_model_that_cannot_be_tuned_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    silent = model("silent", lambda _: Reply("I would rather not", "stop", [], 1, 0, 1, 0.0, 0.0))
    report = run(tmp_path, [silent, model("fine", Model())])
    assert report.models["chosen"] == "fine"
    assert "no readable answer" in report.models["failed"]["silent"]
    assert any(note.startswith("silent could not be tuned") for note in report.notes)
    with pytest.raises(CurateError, match="none could be tuned"):
        run(tmp_path / "b", [silent])


def test_no_models_or_two_of_one_name_are_said(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="names must differ"):
        run(tmp_path, [model("one", Model()), model("one", Model())])
    with pytest.raises(CurateError, match="empty"):
        run(tmp_path, [])
