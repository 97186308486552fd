"""What the report says and writes down; the whole of it is made in test_pipeline and test_quiz."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openai_server import OpenAIServer
from small_quiz import QUIZ
from small_world import STEM
from test_pipeline import folder, run, server  # noqa: F401  fixtures

from curate.agreement import Ceiling
from curate.intervals import Estimate
from curate.metrics import Estimate as Shown
from curate.stages.report import _family
from curate.stages.report.sealed import Answers, Labelled, confusions, differences, evaluated, labelled
from curate.stages.report.wording import as_text, columns_of, estimate, notes_of, number


def sealed_pages(levels: list[int], *, rubric: Any = STEM, lang: str = "en") -> Labelled:
    pages = [{"page_id": f"p{i}", "split": "test", "group_id": f"g{i}", "lang": lang} for i in range(len(levels))]
    labels = [{"page_id": f"p{i}", "rater": "ann", "level": level} for i, level in enumerate(levels)]
    return labelled(pages, labels, rubric, ("test",))


def sample(**more: Any) -> dict[str, Any]:
    return {"report": {"drawn": 100, "unreadable_shards": {}, "portrait": {"languages": {"en": 100}}, **more}}


def notes(test: Labelled, *, quiz: bool = False, **records: Any) -> list[str]:
    sealed: dict[str, dict[str, Shown]] = {"judge_untuned": {}, "judge_tuned": {}}
    return notes_of(sealed, Ceiling(raters=2), {"sample": sample(), **records}, test, quiz=quiz)


def test_labels_of_the_asked_splits_alone_are_looked_at() -> None:
    pages = [{"page_id": f"p{i}", "split": split, "group_id": "g"} for i, split in enumerate(("train", "val", "test"))]
    labels = [{"page_id": f"p{i}", "rater": "ann", "level": 4} for i in range(3)]
    assert [p["page_id"] for p in labelled(pages, labels, STEM, ("test",)).pages] == ["p2"]
    assert [p["page_id"] for p in labelled(pages, labels, STEM, ("train", "val")).pages] == ["p0", "p1"]


def test_of_a_quiz_the_majority_class_is_the_truth_and_nothing_is_to_be_kept() -> None:
    pages = [{"page_id": "p", "split": "test", "group_id": "g"}]
    labels = [{"page_id": "p", "rater": rater, "level": level} for rater, level in (("a", 4), ("b", 1), ("c", 1))]
    found = labelled(pages, labels, QUIZ, ("test",))
    assert (found.truth.tolist(), found.keep.tolist()) == ([1.0], [False])


def test_an_unjudged_question_counts_as_wrong() -> None:
    test = sealed_pages([0, 1, 2, 3] * 5, rubric=QUIZ)
    level = test.truth.copy()
    level[:5] = np.nan
    judge = Answers(np.where(np.isnan(level), np.nan, 1.0), level, None)
    found = evaluated(judge, test, QUIZ)
    assert found["accuracy"].value == pytest.approx(0.75)
    assert found["coverage"].value == pytest.approx(0.75)
    perfect = Answers(np.ones(20), test.truth, None)
    gain = differences({"judge_untuned": judge, "judge_tuned": perfect}, test, QUIZ)
    assert list(gain) == ["judge_tuned - judge_untuned"]
    assert gain["judge_tuned - judge_untuned"]["value"] == pytest.approx(0.25)
    assert np.sum(confusions({"judge_tuned": judge}, test, QUIZ)["judge_tuned"]) == 15, "the unjudged have no class"


def test_a_classifier_of_two_sides_is_not_held_to_classes() -> None:
    choice = QUIZ.model_copy(update={"keep": ["A"]})
    test = sealed_pages([0, 1, 2, 0] * 5, rubric=choice)
    found = evaluated(Answers(test.keep.astype(float), None, test.keep), test, choice)
    assert found["auc"].value == found["kappa"].value == 1


def test_notes_say_what_a_reader_must_know() -> None:
    few = notes(sealed_pages([0, 5] * 4))
    assert any("4 pages worth keeping and 4 not" in note for note in few)
    assert not any("worth keeping" in note for note in notes(sealed_pages([0, 5] * 4), quiz=True))
    found = notes(
        sealed_pages([0, 5] * 40),
        sample=sample(
            unreadable_shards={"b.parquet": "truncated"}, portrait={"languages": {"en": 60, "ar": 38, "": 2}}
        ),
    )
    assert found == [
        "1 unreadable shards were left out (b.parquet)",
        "no sealed page is in ar (38 of 100 drawn pages): nothing here says how well such pages are judged",
    ]


def test_a_tuned_judge_that_is_no_better_is_named() -> None:
    same = {"auc": Estimate(0.6, 0.5, 0.7, 40)}
    sealed = {"judge_untuned": same, "judge_tuned": same, "classifier": same, "lexical": same}
    found = notes_of(sealed, Ceiling(raters=2), {"sample": sample()}, sealed_pages([0, 5] * 40), quiz=False)
    assert len(found) == 2
    assert "the lexical baseline (AUC 0.60) is as good as the classifier" in found[0]
    assert found[1] == "on the sealed pages the tuned judge is no better than the untuned one"


def test_numbers_are_short_and_missing_ones_a_dash() -> None:
    assert [number(0.876), number(-0.031), number(1.0), number(12.5), number(None), number(math.nan)] == [
        ".88",
        "-.03",
        "1.00",
        "12.50",
        "–",
        "–",
    ]
    assert estimate({"value": 0.5, "low": 0.25, "high": 0.75}) == ".50 [.25, .75]"
    assert estimate({"value": 0.5, "low": None, "high": None}) == ".50 [no interval]"
    assert estimate({"value": None}) == estimate(None) == "–"


def test_the_terminal_shows_who_there_is() -> None:
    value = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 30}
    report = {
        "sealed": {"judge_untuned": {"accuracy": value}, "judge_tuned": {"accuracy": value}},
        "notes": ["read me"],
    }
    lines = as_text(report).splitlines()
    assert lines[0] == "On the same 30 sealed pages, with 95 % intervals:"
    assert [line.split()[0] for line in lines[1:4]] == ["accuracy", "untuned", "tuned"]
    assert lines[-1] == "note: read me"
    assert columns_of(report["sealed"]) == ["accuracy"]


def test_candidates_stand_below_what_they_were_made_from() -> None:
    rows = [("c", "b"), ("a", ""), ("b", "a"), ("d", "a"), ("lost", "gone")]
    found = _family([{"candidate_id": name, "parent_id": parent} for name, parent in rows])
    assert [(one["candidate_id"], one["depth"]) for one in found] == [
        ("a", 0),
        ("b", 1),
        ("c", 2),
        ("d", 1),
        ("lost", 0),
    ]


@pytest.mark.slow
def test_each_opening_of_the_seal_is_written_down_with_what_was_measured(
    folder: Path,  # noqa: F811
    server: OpenAIServer,  # noqa: F811
) -> None:
    result = run(folder, server)
    (opening,) = (folder / "runs" / "small" / "unsealed").glob("*.json")
    found = json.loads(opening.read_text())
    tuned = result.records["tune"]["report"]
    assert found["measured"] == {
        "judge_untuned": tuned["untuned_id"],
        "judge_tuned": tuned["tuned_id"],
        "classifier": result.records["distill"]["report"]["classifier_id"],
    }
    assert len(found["fingerprint"]) == len(found["labels"]) == 16
    value = json.loads((folder / "runs" / "small" / result.records["report"]["report"]["json"]).read_text())
    assert value["robustness"]["pages"] == 30
    assert value["robustness"]["rates"][0]["tried"] <= 30
    html = (folder / "runs" / "small" / result.records["report"]["report"]["html"]).read_text(encoding="utf-8")
    for heading in ("Can you trust it?", "Can pages talk the judge over?", "What was drawn", "How it was tuned"):
        assert f"<h2>{heading}</h2>" in html
