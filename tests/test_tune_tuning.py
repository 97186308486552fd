"""All steps together, on the shapes of input that the other tests do not bring: kept classes, judges as raters, criteria."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_world import STEM, level_of
from test_stage_tune import KEY, Model, labelled, run, tuned

from curate import judge as judges
from curate import rubric as rubrics
from curate.judge import Form, Judge, Layout
from curate.llm import Failure, Reply, Request
from curate.progress import Quiet
from curate.rubric import Rubric
from curate.stages import tune
from curate.stages.tune import Labelled, Settings
from curate.store import Store

GENRES = Rubric(
    name="genres",
    asks="What is this page?",
    scale="choice",
    keep=["lesson", "reference"],
    classes={"lesson": "it explains", "reference": "it lists facts", "shop": "it sells"},
    levels={0: "it explains", 1: "it lists facts", 2: "it sells"},
    instruction="Say what kind of page this is.",
)


def genre(number: int) -> int:
    return 2 - level_of(number) // 2


def pages(note: str) -> list[Labelled]:
    rows = []
    for number, page in enumerate(labelled()):
        place = genre(number)
        rows.append(replace(page, truth=float(place), keep=place < 2, said=(("ann", place, note), ("bob", place, ""))))
    return rows


def sees(request: Request) -> tuple[int, str]:
    """The class that is answered, and what was asked: right with KEY in the prompt, else mostly one class."""
    words = "\n".join(str(m["content"]) for m in request.messages)
    number = re.search(r"Page (\d+)\.", words)
    assert number
    told = KEY in re.sub(r"(?s)\[page (\w+)\].*?\[end \1\]", "", words)
    return genre(int(number[1])) if told or int(number[1]) % 3 == 0 else 0, str(request.messages[-1]["content"])


def classes_model(request: Request) -> Reply | Failure:
    place, asked = sees(request)
    name = list(GENRES.classes)[place]
    if "JSON" in asked:
        return Reply(json.dumps({"reason": "seen", "class": name}), "stop", [], 50, 0, 9, 0.0, 0.0)
    if "one word of" in asked:
        return Reply(name, "stop", [], 50, 0, 1, 0.0, 0.0)
    if "yes or no" in asked:
        return Reply("yes" if place < 2 else "no", "stop", [], 50, 0, 1, 0.0, 0.0)
    letter = re.search(rf"(?m)^(\w): {name} - ", asked)
    return Reply(letter[1] if letter else "A", "stop", [], 50, 0, 1, 0.0, 0.0)


def run_classes(folder: Path, forms: list[str], **settings: Any) -> tune.Report:
    def make(form: Form, layout: Layout) -> Judge:
        return judges.of_rubric(GENRES, form, model="openai/stub", layout=layout, page_chars=400, logprobs=False)

    return tune.run(
        Store(folder),
        Settings(**{"forms": forms, "max_metric_calls": 140, "minibatch": 6, **settings}),
        rubric=GENRES,
        pages=pages(f"shows the {KEY}"),
        make=make,
        complete=classes_model,
        reflect=None,
        threads=2,
        name="tuning",
        progress=Quiet(),
    )


@pytest.mark.parametrize("form", ["letter", "json", "kind", "yesno"])
def test_classes_of_which_some_are_kept_are_tuned_in_every_form(form: Form, tmp_path: Path) -> None:
    report = run_classes(tmp_path, [form])
    assert report.metric == "macro_f1"
    assert report.choice[0]["auc"]["value"] is not None, "kept classes rank pages too"
    assert 0 <= report.val["tuned"]["value"] <= 1
    if form in ("letter", "json"):
        assert report.val["tuned"]["value"] > report.val["untuned"]["value"]
        assert KEY in judges.load(tmp_path / "judges", report.tuned_id).instruction
    again = rubrics.load(tmp_path / "judges" / report.tuned_id / "rubric.md")
    assert (again.classes, again.keep) == (GENRES.classes, GENRES.keep)


def test_a_judge_as_rater_teaches_with_levels_between_two(tmp_path: Path) -> None:
    rows = [
        replace(
            page, truth=page.truth * 0.9 + 0.2, said=(("judge:abcdef01", page.truth * 0.9 + 0.2, f"shows the {KEY}"),)
        )
        for page in labelled()
    ]
    report = run(tmp_path, rows, Model(), forms=["level"], select="qwk")
    assert report.metric == "qwk"
    assert KEY in tuned(tmp_path, report).instruction
    assert report.val["tuned"]["value"] > 0.8


def test_criteria_on_which_judge_and_people_part_reach_the_reflection_model(tmp_path: Path) -> None:
    prompts: list[str] = []

    def answers(request: Request) -> Reply | Failure:
        said = {"formatting": 0, "reasoning": 2, "reason": "It reasons.", "level": 2}
        return Reply(json.dumps(said), "stop", [], 50, 0, 30, 0.0, 0.0)

    def reflect(request: Request) -> Reply | Failure:
        prompts.append(str(request.messages[-1]["content"]))
        return Reply(json.dumps({"new_instruction": f"Rate it, try {len(prompts)}."}), "stop", [], 50, 0, 30, 0.0, 0.0)

    rows = [replace(page, criteria={"formatting": 2.0, "reasoning": 2.0}) for page in labelled()]
    report = run(tmp_path, rows, answers, forms=["json"], reflection="model", reflect=reflect, max_metric_calls=60)
    assert prompts
    assert "They part on formatting: people 2 (clean), the judge 0." in prompts[0]
    assert "It reasons." in prompts[0]
    assert STEM.levels[0] in prompts[0] + prompts[-1]
    assert report.chosen == "form alone", "no proposal was better, and the untuned form cannot be read"


@pytest.mark.parametrize("select", ["qwk", "kappa", "macro_f1", "accuracy"])
def test_levels_are_fitted_before_they_are_compared(select: str, tmp_path: Path) -> None:
    report = run(tmp_path, labelled(), Model(always=True), forms=["yesno"], select=select, max_metric_calls=20)
    alone = next(row for row in report.choice if row["label"] == "form alone")
    assert alone["value"]["value"] > 0.7, "a form that ranks rightly agrees once its scores are cut into levels"
