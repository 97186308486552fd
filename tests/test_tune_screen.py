import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import STEM
from test_stage_tune import KEY, Model, labelled, make, reply_to, run, words_of

from curate.llm import Failure, Reply, Request
from curate.progress import Quiet
from curate.stages.tune import Settings
from curate.stages.tune.bench import Bench
from curate.stages.tune.choose import measure_for
from curate.stages.tune.gate import Gate
from curate.stages.tune.labelled import examples_of, interleaved
from curate.stages.tune.screen import LEAST_PAGES, Screened, rungs, screen


def screened(complete: Any, rows: Any = None, **settings: Any) -> tuple[list[Screened], Bench]:
    bench = Bench(complete, Gate(), 2, Quiet())
    train = [p for p in (rows or labelled(train=48)) if p.split == "train"]
    found = screen(Settings(**settings), bench, STEM, make, train, lambda pages: measure_for("auc", STEM, pages))
    return found, bench


def with_nothing(model: Model, merit: float) -> Any:
    """The model, and what it says of an empty page."""

    def complete(request: Request) -> Reply | Failure:
        page = re.search(r"Page (\d+)\.", words_of(request))
        return model(request) if page else reply_to(words_of(request), merit)

    return complete


@given(st.integers(1, 60), st.integers(2, 500))
def test_rungs_double_up_to_all_pages(combinations: int, pages: int) -> None:
    sizes = rungs(combinations, pages)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == pages
    assert all(size >= min(LEAST_PAGES, pages) for size in sizes)
    if combinations <= 2:
        assert sizes == [pages]


def test_the_worse_half_is_given_up_early_and_the_best_sees_all_pages() -> None:
    def only_yes_and_no(request: Request) -> Reply | Failure:
        return Model(always="yes or no" in words_of(request))(request)

    found, bench = screened(only_yes_and_no, forms=["level", "yesno", "ab", "kind", "does"])
    pages = {one.judge.form: one.row["pages"] for one in found}
    assert pages["yesno"] == 48
    assert sorted(pages.values())[0] == LEAST_PAGES
    assert max(found, key=lambda one: one.rank).judge.form == "yesno"
    asked = Counter(judge for judge, _ in bench.known)
    assert {one.judge.id: one.row["pages"] for one in found} == dict(asked)


def test_every_combination_is_tried_and_told() -> None:
    found, _ = screened(
        with_nothing(Model(), 0.5),
        forms=["level", "yesno"],
        layouts=["page_first", "rubric_first"],
        examples=[0, 4],
        prior=True,
    )
    rows = [one.row for one in found]
    combined = {(r["form"], r["layout"], r["examples"], r["prior"]) for r in rows}
    assert len(combined) == len(rows) == 16
    for row in rows:
        assert row["calls"] >= row["pages"] > 0
        assert row["auc"]["low"] is None or row["auc"]["low"] <= row["auc"]["value"] <= row["auc"]["high"]
        assert (row["usd"], row["readable"]) == (0.0, 1.0)


def test_examples_are_balanced_short_train_pages_and_are_not_asked_about() -> None:
    rows = labelled(train=48)
    chosen = examples_of([p for p in rows if p.split == "train"], 6)
    assert [p.level for p in chosen] == [0, 1, 2, 3, 4, 5]
    assert {p.split for p in chosen} == {"train"}
    for page in chosen:
        like = [p for p in rows if p.split == "train" and p.level == page.level]
        assert len(page.text) == min(len(p.text) for p in like)
    model = Model()
    found, bench = screened(model, rows, forms=["yesno"], examples=[6])
    assert [e.page_id for e in found[0].judge.examples] == [p.page_id for p in chosen]
    assert not {page_id for _, page_id in bench.known} & {p.page_id for p in chosen}


@given(st.integers(0, 12))
def test_fewer_examples_than_levels_are_spread_from_the_lowest_to_the_highest(count: int) -> None:
    chosen = examples_of([p for p in labelled(train=48) if p.split == "train"], count)
    assert len(chosen) == count
    levels = Counter(p.level for p in chosen)
    assert not levels or max(levels.values()) - min(levels.values()) <= 1
    if count >= 2:
        assert {0, 5} <= set(levels)


@given(st.integers(2, 40))
def test_every_beginning_holds_both_sides(count: int) -> None:
    train = [p for p in labelled(train=40) if p.split == "train"]
    sides = Counter(p.keep for p in interleaved(train, "s", by_class=False)[:count])
    rarer = min(Counter(p.keep for p in train).values())
    assert abs(sides[True] - sides[False]) <= 1 or min(sides.values()) == rarer


def test_a_prior_takes_off_what_the_model_says_of_nothing(tmp_path: Path) -> None:
    def leaning(request: Request) -> Reply | Failure:
        return with_nothing(Model(always=True), 0.8)(request)

    found, _ = screened(leaning, forms=["yesno"], prior=True)
    plain, calibrated = found
    assert not plain.judge.prior
    assert len(calibrated.judge.prior) == 2
    assert calibrated.judge.prior[0] > calibrated.judge.prior[1]


def test_several_starts_get_a_search_each_and_share_the_budget(tmp_path: Path) -> None:
    report = run(tmp_path, labelled(), Model(), forms=["yesno", "ab"], starts=2, max_metric_calls=160)
    assert {c["form"] for c in report.candidates} == {"yesno", "ab"}
    assert report.budget_calls == 160
    assert report.metric_calls <= 160 + 2 * (16 + 8)
    assert {row["label"] for row in report.choice} >= {"untuned", "form alone", "form alone 2"}


def test_a_judge_with_examples_and_a_prior_can_be_tuned(tmp_path: Path) -> None:
    report = run(
        tmp_path,
        labelled(),
        with_nothing(Model(), 0.5),
        forms=["yesno"],
        examples=[2],
        prior=True,
        max_metric_calls=120,
    )
    assert report.forms[0]["examples"] == 2
    assert report.proposals > 0
    assert report.choice[1]["chars"] > 500


@pytest.mark.parametrize("forms", [["letter"], ["does"]])
def test_forms_without_words_are_said_before_any_call(forms: list[str]) -> None:
    from curate.errors import BadInput

    model = Model()
    bench = Bench(model, Gate(), 1, Quiet())
    bare = STEM.model_copy(update={"questions": STEM.questions.model_copy(update={"does": {}})})
    with pytest.raises(BadInput, match="no words"):
        screen(Settings(forms=forms), bench, bare, make, labelled(), lambda pages: measure_for("auc", STEM, pages))
    assert not model.asked
    assert KEY
