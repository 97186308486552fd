"""Classes instead of levels: multiple choice, through all of tuning."""

import hashlib
import re
from math import log
from pathlib import Path
from typing import Any

import pytest
from small_quiz import LETTERS, QUESTIONS, QUIZ, questions, right

from curate import judge as judges
from curate import rubric as rubrics
from curate.judge import Form, Judge, Layout
from curate.llm import Failure, Reply, Request
from curate.progress import Quiet
from curate.rubric import Rubric
from curate.stages import tune
from curate.stages.tune import Labelled, Settings
from curate.store import Store

KEY = "everyday use"


def make(form: Form, layout: Layout) -> Judge:
    return judges.of_rubric(QUIZ, form, model="openai/stub", layout=layout, page_chars=400)


def answers(request: Request) -> Reply | Failure:
    """Knows the right letter where it is told to think of everyday use; otherwise guesses."""
    said = "\n".join(str(m["content"]) for m in request.messages)
    asked = re.search(r"Question: (.+)\n", said)
    assert asked
    number = [question for question, _ in QUESTIONS].index(asked[1])
    page = re.search(r"(?s)\[page .*?\[end \w+\]", said)
    assert page
    guess = hashlib.sha256(asked[1].encode()).digest()[0] % 5
    place = right(number) if KEY in said.replace(page.group(), "") else guess
    top = {letter: log(0.8 if i == place else 0.05) for i, letter in enumerate(LETTERS)}
    return Reply(LETTERS[place], "stop", [top], 60, 0, 1, 0.0, 0.0)


def run(folder: Path, complete: Any, rubric: Rubric, rows: list[Labelled], **settings: Any) -> tune.Report:
    return tune.run(
        Store(folder),
        Settings(**{"max_metric_calls": 120, "minibatch": 5, **settings}),
        rubric=rubric,
        pages=rows,
        make=make,
        complete=complete,
        reflect=None,
        threads=2,
        name="quiz",
        progress=Quiet(),
    )


def test_multiple_choice_is_tuned_and_measured_by_accuracy(tmp_path: Path) -> None:
    report = run(tmp_path, answers, QUIZ, questions(f"think of {KEY}"))
    assert (report.metric, report.objective, report.form) == ("accuracy", "exact", "letter")
    assert report.val["tuned"]["value"] == 1
    assert report.val["untuned"]["value"] < 0.5
    assert report.val["proven"]
    assert {"accuracy", "macro_f1"} <= set(report.forms[0])
    best = judges.load(tmp_path / "judges", report.tuned_id)
    assert KEY in best.instruction
    assert best.cuts == ()
    again = rubrics.load(tmp_path / "judges" / report.tuned_id / "rubric.md")
    assert (again.classes, again.keep) == (QUIZ.classes, [])
    assert judges.seed_instruction(again, "letter") == best.instruction


@pytest.mark.parametrize("select", ["macro_f1", "kappa"])
def test_other_numbers_can_decide(select: str, tmp_path: Path) -> None:
    report = run(tmp_path, answers, QUIZ, questions(f"think of {KEY}"), select=select)
    assert report.metric == select
    assert report.val["tuned"]["value"] > report.val["untuned"]["value"]


def test_a_quiz_without_logprobs_is_tuned_too(tmp_path: Path) -> None:
    def plain(request: Request) -> Reply | Failure:
        reply = answers(request)
        assert isinstance(reply, Reply)
        return Reply(reply.text, "stop", [], 60, 0, 1, 0.0, 0.0)

    report = run(tmp_path, plain, QUIZ, questions(f"think of {KEY}"))
    assert report.val["tuned"]["value"] == 1


def test_labels_of_one_class_cannot_teach(tmp_path: Path) -> None:
    from curate.errors import CurateError

    rows = [page for page in questions("") if page.level == 0 or page.split == "val"]
    with pytest.raises(CurateError, match="one class"):
        run(tmp_path, answers, QUIZ, rows)
