"""A labelled task that is no filter: the shipped quiz pipeline on questions in the form of its data set."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from openai_server import PAGE, Answer, OpenAIServer, by_task, one_token, proposer, text_of
from small_quiz import LETTERS, QUESTIONS, right, text

from curate import pipeline
from curate.config import open_pipeline
from curate.errors import BadInput
from curate.progress import Quiet

ROOT = Path(__file__).parents[1]
RULE = "Think of everyday use."
STAGES = ["sample", "label", "tune", "score", "report"]


def rows() -> list[dict[str, Any]]:
    """As the hub's data set has them: question, choices with label and text, answerKey."""
    found = []
    for number, (question, _) in enumerate(QUESTIONS):
        answers = [line.partition(". ")[2] for line in text(number).splitlines()[1:]]
        found.append(
            {
                "id": f"q{number}",
                "question": question,
                "choices": {"label": list(LETTERS), "text": answers},
                "answerKey": LETTERS[right(number)],
            }
        )
    return found


def answers(body: dict[str, Any]) -> Answer:
    """Knows the right letter where it is told to think of everyday use, else guesses by the question."""
    said = "\n".join(text_of(message) for message in body["messages"])
    page = PAGE.search(said)
    assert page
    question = page.group().partition("Question: ")[2].splitlines()[0]
    number = [asked for asked, _ in QUESTIONS].index(question)
    guess = hashlib.sha256(question.encode()).digest()[0] % 5
    place = right(number) if RULE in PAGE.sub("", said) else guess
    return one_token({letter: 3.0 if i == place else 0.0 for i, letter in enumerate(LETTERS)})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "questions"
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return folder


def overrides(data: Path, url: str = "http://127.0.0.1:1/v1") -> list[str]:
    settings = {
        "source.hub": str(data),
        "workspace": str(data.parent / "work"),
        "judge.model": "openai/stub",
        "judge.api_base": url,
        "judge.input_usd_per_million": 0,
        "judge.output_usd_per_million": 0,
        "sample.pages": "null",
        "label.needed": 30,
        "label.needed_a_class": 1,
        "tune.forms": "[letter]",
        "tune.max_metric_calls": 150,
        "score.injections": 4,
    }
    return [f"{key}={value}" for key, value in settings.items()]


@pytest.mark.slow
def test_the_quiz_is_tuned_and_its_report_holds_the_judges_to_the_right_answers(data: Path) -> None:
    with OpenAIServer(by_task(answers, proposer({"Question": RULE}))) as server:
        opened = open_pipeline(ROOT / "pipelines" / "commonsenseqa.yaml", overrides(data, server.url))
        result = pipeline.run(opened, progress=Quiet(), on_line=lambda line: None)
    assert [line.stage for line in result.lines] == STAGES
    assert all(line.state == "done" for line in result.lines)
    pages = pipeline.fresh_records(opened).pages()
    assert {page["page_id"]: page["text"] for page in pages}["q0"] == text(0)
    report = json.loads((opened.workspace / result.records["report"]["report"]["json"]).read_text(encoding="utf-8"))
    assert list(report["sealed"]) == ["human_ceiling", "judge_untuned", "judge_tuned"]
    tuned, untuned = (report["sealed"][f"judge_{which}"]["accuracy"] for which in ("tuned", "untuned"))
    assert tuned["value"] == 1 > 0.6 > untuned["value"]
    assert report["sealed"]["judge_tuned"]["macro_f1"]["value"] == 1
    assert RULE in report["judges"]["tuned"]["instruction"]
    assert report["differences"]["judge_tuned - judge_untuned"]["value"] == pytest.approx(1 - untuned["value"])
    assert len(report["confusion"]["judge_tuned"]) == 5
    html = (opened.workspace / result.records["report"]["report"]["html"]).read_text(encoding="utf-8")
    assert "accuracy, tuned judge" in html
    assert "What did it keep?" not in html
    again = pipeline.run(opened, progress=Quiet(), on_line=lambda line: None)
    assert {line.state for line in again.lines} == {"fresh"}


def test_a_quiz_has_nothing_to_filter(data: Path) -> None:
    opened = open_pipeline(ROOT / "pipelines" / "commonsenseqa.yaml", overrides(data))
    assert [line.stage for line in pipeline.plan(opened)] == STAGES
    with pytest.raises(BadInput, match="names no class worth keeping, so there is nothing to filter"):
        pipeline.run(opened, progress=Quiet(), until="filter", on_line=lambda line: None)


def test_labels_that_name_no_class_are_refused(data: Path) -> None:
    bad = [{**row, "answerKey": "F"} for row in rows()]
    (data / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bad))
    opened = open_pipeline(ROOT / "pipelines" / "commonsenseqa.yaml", overrides(data))
    with pytest.raises(BadInput, match=r"column answerKey: row 1: 'F', .* each is no level \(allowed: A, B, C, D, E\)"):
        pipeline.run(opened, progress=Quiet(), until="label", on_line=lambda line: None)
