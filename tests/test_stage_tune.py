import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import pytest
from small_world import STEM, level_of, pages

from curate import judge as judges
from curate.errors import CurateError
from curate.journal import BudgetSpent
from curate.judge import Form, Judge, Layout
from curate.llm import Failure, Reply, Request
from curate.metrics import worth_keeping
from curate.progress import Quiet
from curate.stages import tune
from curate.stages.tune import Labelled, Settings
from curate.store import Store

KEY = "working"
"""The word that makes the model of these tests see what people see, once it stands in the instruction."""
assert KEY not in STEM.model_dump_json()
FAST: dict[str, Any] = {"forms": ["yesno"], "max_metric_calls": 120, "minibatch": 4, "anchors": 6}


def labelled(train: int = 24, val: int = 16, test: int = 0, *, note: str = f"shows the {KEY}") -> list[Labelled]:
    made = []
    for number, row in enumerate(pages(train + val + test)):
        level = level_of(number)
        made.append(
            Labelled(
                page_id=row["page_id"],
                text=row["text"],
                split="train" if number < train else "val" if number < train + val else "test",
                group=row["group_id"],
                truth=float(level),
                keep=bool(worth_keeping([float(level)], STEM.keep)[0]),
                said=(("ann", level, note if level >= 3 else "only sells things"), ("bob", level, "")),
            )
        )
    return made


class Model:
    """A `complete` that ranks pages as people do when KEY stands outside the page, and else mostly by chance."""

    def __init__(
        self, *, always: bool = False, fails_after: int | None = None, error: CurateError | None = None
    ) -> None:
        self.always, self.fails_after, self.error = always, fails_after, error
        self.asked: list[str] = []
        self.lock = threading.Lock()

    def __call__(self, request: Request) -> Reply | Failure:
        said = "\n".join(str(m["content"]) for m in request.messages)
        page = re.search(r"(?s)\[page .*?\[end \w+\]", said)
        assert page
        with self.lock:
            self.asked.append(page.group())
            count = len(self.asked)
        if self.fails_after is not None and count > self.fails_after and self.error:
            raise self.error
        number = re.search(r"Page (\d+)\.", page.group())
        assert number
        outside = said.replace(page.group(), "")
        noise = hashlib.sha256(f"{number[1]} {outside}".encode()).digest()[0] / 255
        sees = self.always or KEY in outside
        merit = level_of(int(number[1])) / 5 if sees else 0.25 * level_of(int(number[1])) / 5 + 0.75 * noise
        return reply_to(outside, min(max(merit, 0.01), 0.99))


def reply_to(question: str, merit: float) -> Reply:
    if "one digit" in question:
        top = {str(level): log(max(1e-6, 1 - abs(level - 5 * merit) / 1.5)) for level in range(6)}
    elif "A or B" in question:
        first_is_high = question.index("explains or works") < question.index("advertisement")
        top = {"A" if first_is_high else "B": log(merit), "B" if first_is_high else "A": log(1 - merit)}
    elif "What kind" in question:
        top = {"science": log(merit), "news": log(1 - merit)}
    else:
        top = {"Yes": log(merit), "No": log(1 - merit)}
    return Reply(max(top, key=lambda token: top[token]), "stop", [top], 50, 0, 1, 0.0, 0.0)


def make(form: Form, layout: Layout) -> Judge:
    return judges.of_rubric(STEM, form, model="openai/stub", layout=layout, page_chars=400)


def run(
    folder: Path,
    rows: list[Labelled],
    complete: Callable[[Request], Reply | Failure],
    *,
    reflect: Callable[[Request], Reply | Failure] | None = None,
    threads: int = 2,
    **settings: Any,
) -> tune.Report:
    return tune.run(
        Store(folder),
        Settings(**{**FAST, **settings}),
        rubric=STEM,
        pages=rows,
        make=make,
        complete=complete,
        reflect=reflect,
        threads=threads,
        name="tuning",
        progress=Quiet(),
    )


def tuned(folder: Path, report: tune.Report) -> Judge:
    return judges.load(folder / "judges", report.tuned_id)


def value(estimate: dict[str, Any]) -> float:
    assert estimate["value"] is not None
    return float(estimate["value"])


def text_reply(text: str) -> Reply:
    return Reply(text, "stop", [], 500, 0, 50, 0.01, 1.0)


def words_of(request: Request) -> str:
    return "\n".join(str(m["content"]) for m in request.messages)


def proposal(request: Request, text: str) -> Reply:
    """A proposed instruction in the shape that the prompt asks for: a field of a JSON object, or a fenced block."""
    field = re.search(r'"(new_\w+)": "\{new_', words_of(request))
    return text_reply(json.dumps({field[1]: text}) if field else f"```\n{text}\n```")


def test_the_raters_notes_lead_to_the_better_instruction(tmp_path: Path) -> None:
    report = run(tmp_path, labelled(), Model())
    best = tuned(tmp_path, report)
    assert KEY in best.instruction
    assert value(report.val["tuned_auc"]) > 0.95 > value(report.val["untuned_auc"])
    assert report.val["gain"]["low"] > 0
    assert report.val["tuned_auc"]["n"] == 16
    assert report.proposals >= report.accepted >= 1
    assert report.reflection_calls == 0
    json.dumps(report.as_dict(), allow_nan=False)


def test_the_tuned_judge_is_frozen_with_what_changed(tmp_path: Path) -> None:
    report = run(tmp_path, labelled(), Model())
    best, untuned = tuned(tmp_path, report), judges.load(tmp_path / "judges", report.untuned_id)
    folder = tmp_path / "judges" / report.tuned_id
    assert (folder / "instruction.md").read_text() == best.instruction + "\n"
    diff = (folder / "instruction.diff").read_text().splitlines()
    assert any(line.startswith("+") and KEY in line for line in diff)
    assert f" {STEM.asked().yesno}" in diff, "the rubric's own question stands in it unchanged"
    assert (untuned.form, untuned.layout, untuned.cuts) == ("level", "rubric_first", ())
    assert untuned.instruction == STEM.instruction
    assert (tmp_path / "judges" / report.untuned_id / "instruction.diff").read_text().strip() == ""
    assert len(best.cuts) == STEM.top
    assert list(best.cuts) == sorted(best.cuts)


def test_the_lineage_names_every_candidate_and_its_parent(tmp_path: Path) -> None:
    report = run(tmp_path, labelled(), Model())
    rows = Store(tmp_path).rows("candidates", "tuning")
    searched = [row for row in rows if row["phase"] == "gepa"]
    ids = [row["candidate_id"] for row in searched]
    assert len(ids) == len(set(ids)) == len(report.candidates)
    assert searched[0]["parent_id"] == ""
    assert searched[0]["instruction"] == STEM.asked().yesno
    for row in searched[1:]:
        assert row["parent_id"] in ids
        assert row["instruction"]
    best = max(searched, key=lambda row: row["value"])
    assert KEY in best["instruction"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["level", "ab", "kind"])
def test_every_form_can_be_tuned_with_notes(form: Form, tmp_path: Path) -> None:
    report = run(tmp_path, labelled(), Model(), forms=[form])
    assert report.form == form or report.chosen == "untuned"
    assert judges.well_formed(form, tuned(tmp_path, report).instruction)
    assert report.proposals >= 1
    if form != "kind":
        assert KEY in tuned(tmp_path, report).instruction


def test_the_form_that_suits_the_model_is_chosen(tmp_path: Path) -> None:
    def only_yes_and_no(request: Request) -> Reply | Failure:
        return Model(always="yes or no" in str(request.messages[-1]["content"]))(request)

    report = run(tmp_path, labelled(), only_yes_and_no, forms=["level", "ab", "yesno"])
    assert report.form == "yesno"
    assert {row["form"]: value(row["auc"]) > 0.95 for row in report.forms} == {
        "level": False,
        "ab": False,
        "yesno": True,
    }
    assert all(row["readable"] == 1 for row in report.forms)


def test_a_form_that_cannot_be_read_is_not_chosen(tmp_path: Path) -> None:
    def no_letters(request: Request) -> Reply | Failure:
        answer = Model(always=True)(request)
        return text_reply("I would rather not") if "A or B" in str(request.messages[-1]["content"]) else answer

    report = run(tmp_path, labelled(), no_letters, forms=["ab", "yesno"])
    assert report.form in ("yesno", "level")
    assert next(row for row in report.forms if row["form"] == "ab")["readable"] == 0
    assert report.unreadable >= 24


def test_silence_is_no_better_than_a_form_that_is_often_wrong(tmp_path: Path) -> None:
    def wrong_or_silent(request: Request) -> Reply | Failure:
        if "one digit" in words_of(request):
            return text_reply("I would rather not")
        number = re.search(r"Page (\d+)\.", words_of(request))
        assert number
        return reply_to(words_of(request), 0.9 - level_of(int(number[1])) / 10)

    report = run(tmp_path, labelled(), wrong_or_silent, forms=["level", "yesno"])
    assert {row["form"]: row["readable"] for row in report.forms} == {"level": 0, "yesno": 1}
    assert report.form == "yesno"


def test_weighed_answers_are_tried_and_taken_where_they_rank_better(tmp_path: Path) -> None:
    def says_three(request: Request) -> Reply | Failure:
        number = re.search(r"Page (\d+)\.", words_of(request))
        assert number
        draw = hashlib.sha256(number[0].encode()).digest()[0] / 255
        shown = 0.002 + 0.02 * level_of(int(number[1])) / 5
        rest = 0.01 + 0.4 * draw
        shares = {"3": 0.9 - rest, "5": rest, "0": 0.05 - shown, "1": shown}
        return Reply("3", "stop", [{token: log(share) for token, share in shares.items()}], 9, 0, 1, 0.0, 0.0)

    settings: dict[str, Any] = {"forms": ["level"], "max_metric_calls": 30}
    report = run(tmp_path / "a", labelled(), says_three, **settings)
    assert "weighed" in report.chosen
    assert value(report.val["tuned_auc"]) > 0.95 > value(report.val["untuned_auc"])
    best = tuned(tmp_path / "a", report)
    assert len(best.answer_weights) == 6
    assert len(best.cuts) == 5
    plain = run(tmp_path / "b", labelled(), says_three, fit_answers=False, **settings)
    assert "weighed" not in plain.chosen
    assert tuned(tmp_path / "b", plain).answer_weights == ()


def test_a_model_that_never_gives_an_answer_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="no readable answer") as stopped:
        run(tmp_path, labelled(), lambda _: text_reply("I would rather not"), forms=["level", "yesno"])
    assert "\n" not in str(stopped.value)
    assert stopped.value.exit_code == 1


def test_a_reflection_model_proposes_and_the_better_text_wins(tmp_path: Path) -> None:
    prompts: list[str] = []

    def reflect(request: Request) -> Reply:
        prompts.append(words_of(request))
        return proposal(request, f"Does this text show its {KEY}?")

    report = run(tmp_path, labelled(), Model(), reflection="model", reflect=reflect)
    assert tuned(tmp_path, report).instruction == f"Does this text show its {KEY}?"
    assert report.reflection_calls == len(prompts) > 0
    assert report.reflection_failures == 0
    assert f"shows the {KEY}" in " ".join(prompts), "the raters' own words reach the reflection model"
    assert STEM.asked().yesno in prompts[0]
    assert report.val["gain"]["low"] > 0


def test_a_reflection_model_that_always_fails_is_an_error_not_silence(tmp_path: Path) -> None:
    with pytest.raises(CurateError) as stopped:
        run(
            tmp_path, labelled(), Model(), reflection="model", reflect=lambda _: Failure("failed", "no such deployment")
        )
    assert stopped.value.exit_code == 1
    assert "reflection model" in str(stopped.value)
    assert "no such deployment" in str(stopped.value)
    assert "\n" not in str(stopped.value)
    assert not (tmp_path / "judges").exists()


def test_a_reflection_model_that_never_writes_an_instruction_is_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="reflection model"):
        run(tmp_path, labelled(), Model(), reflection="model", reflect=lambda _: text_reply("I would rather not."))


@pytest.mark.parametrize("never", ["the far end", "finish_reason"])
def test_a_reflection_model_is_shown_what_the_judge_was_shown(never: str, tmp_path: Path) -> None:
    prompts: list[str] = []

    def reflect(request: Request) -> Reply:
        prompts.append(words_of(request))
        return proposal(request, f"Does this text show its {KEY}?")

    rows = [replace(row, text=row.text + " and" * 5000 + " the far end") for row in labelled()]
    run(tmp_path, rows, Model(), reflection="model", reflect=reflect)
    assert prompts
    assert not [prompt for prompt in prompts if never in prompt]


def test_some_failed_reflections_are_told(tmp_path: Path) -> None:
    answers = iter([Failure("failed", "a bad moment")])

    def reflect(request: Request) -> Reply | Failure:
        return next(answers, None) or proposal(request, f"Does this text show its {KEY}?")

    report = run(tmp_path, labelled(), Model(), reflection="model", reflect=reflect)
    assert (report.reflection_failures, KEY in tuned(tmp_path, report).instruction) == (1, True)
    assert any("1 of" in note and "a bad moment" in note for note in report.notes)


@pytest.mark.parametrize("after", [0, 30, 90])
def test_a_spent_budget_stops_with_that_error(after: int, tmp_path: Path) -> None:
    spent = BudgetSpent("budget_usd: $1.0000 of $1.0000 is spent")
    model = Model(fails_after=after, error=spent)
    with pytest.raises(BudgetSpent, match="is spent"):
        run(tmp_path, labelled(), model, threads=1)
    assert len(model.asked) <= after + 40, "it does not go on asking"
    assert not (tmp_path / "judges").exists()


def test_a_budget_that_is_spent_on_reflection_stops_too(tmp_path: Path) -> None:
    def reflect(_: Request) -> Reply:
        raise BudgetSpent("budget_usd: $1.0000 of $1.0000 is spent")

    with pytest.raises(BudgetSpent, match="is spent"):
        run(tmp_path, labelled(), Model(), reflection="model", reflect=reflect)


def test_where_tuning_does_not_help_the_untuned_rubric_stays_and_the_report_says_so(tmp_path: Path) -> None:
    rows = labelled(note="")

    def good_as_it_is(request: Request) -> Reply | Failure:
        untuned = STEM.instruction in str(request.messages[0]["content"])
        return Model(always=untuned)(request)

    report = run(tmp_path, rows, good_as_it_is)
    assert report.chosen == "untuned"
    assert tuned(tmp_path, report).instruction == STEM.instruction
    assert report.form == "level"
    assert value(report.val["gain"]) == 0
    assert any("untuned rubric stays" in note for note in report.notes)


def test_only_train_and_val_are_ever_asked_about(tmp_path: Path) -> None:
    rows, model = labelled(test=10), Model()
    run(tmp_path, rows, model)
    sealed = {re.match(r"Page \d+\.", row.text).group() for row in rows if row.split == "test"}  # type: ignore[union-attr]
    assert len(sealed) == 10
    seen = {re.search(r"Page \d+\.", page).group() for page in model.asked}  # type: ignore[union-attr]
    assert not sealed & seen
    assert len(seen) == 40


def test_val_pages_give_no_words_to_the_instruction(tmp_path: Path) -> None:
    rows = [
        replace(row, said=(("ann", round(row.truth), "a note from val"),)) if row.split == "val" else row
        for row in labelled()
    ]
    run(tmp_path, rows, Model())
    candidates = Store(tmp_path).rows("candidates", "tuning")
    assert len(candidates) > 3
    assert not [row for row in candidates if "from val" in row["instruction"]]


def test_the_same_again_finds_the_same(tmp_path: Path) -> None:
    first = run(tmp_path / "a", labelled(), Model(), threads=1)
    again = run(tmp_path / "b", labelled(), Model(), threads=1)
    assert (first.tuned_id, first.untuned_id) == (again.tuned_id, again.untuned_id)
    assert first.val == again.val


def test_the_number_of_judged_pages_keeps_to_its_budget(tmp_path: Path) -> None:
    small, large = Model(), Model()
    few = run(tmp_path / "a", labelled(), small, max_metric_calls=40)
    many = run(tmp_path / "b", labelled(), large, max_metric_calls=160)
    assert few.metric_calls < many.metric_calls <= 160 + 16 + 2 * 4
    assert len(small.asked) < len(large.asked)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "train"),
        (labelled(train=0), "train"),
        (labelled(val=0), "val"),
        ([row for row in labelled() if row.keep], "keep"),
        ([row for row in labelled() if not row.keep], "keep"),
        ([row for row in labelled() if row.keep or row.split == "val"], "train"),
        ([row for row in labelled() if row.keep or row.split == "train"], "val"),
    ],
    ids=["nothing", "no train", "no val", "all kept", "none kept", "train all kept", "val all kept"],
)
def test_labels_that_cannot_teach_are_said_in_one_line(rows: list[Labelled], words: str, tmp_path: Path) -> None:
    model = Model()
    with pytest.raises(CurateError, match=words) as stopped:
        run(tmp_path, rows, model)
    assert "\n" not in str(stopped.value)
    assert not model.asked, "before any call is made"


@pytest.mark.parametrize(
    "wrong", [{"forms": []}, {"forms": ["yes"]}, {"minibatch": 0}, {"reflection": "none"}, {"budget": 3}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)


def test_nothing_is_printed_but_by_progress(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, labelled(), Model())
    assert capfd.readouterr() == ("", "")


# Proposals from notes -------------------------------------------------------------------------------------------------


def without_notes(number: int) -> Labelled:
    page = labelled(train=number + 1)[number]
    return replace(page, said=(("ann", int(page.truth), ""),))


def test_labels_without_notes_are_reworded_with_the_rubrics_own_words() -> None:
    page = without_notes(0)
    found = list(tune.rewordings(make("ab", "page_first"), page, None))
    assert page.truth == 0
    assert len(found) >= 4
    assert found[1].splitlines() == [
        f"high: {STEM.asked().high}",
        f"low: {STEM.asked().low}, or advertising",
    ]


def test_notes_come_before_the_rubrics_words_and_what_they_deny_is_no_kind() -> None:
    page = replace(without_notes(0), said=(("ann", 0, "court report, no chemistry"), ("bob", 0, "")))
    found = list(tune.rewordings(make("kind", "page_first"), page, None))
    assert judges.kinds(found[0]) == {**STEM.questions.kinds, "report": 0}
    assert not any("chemistry" in text for text in found)


def test_a_verb_is_taken_from_a_note_for_the_does_form() -> None:
    page = replace(without_notes(5), said=(("ann", 5, "derives the formula"),))
    judge = make("does", "page_first")
    first = next(tune.rewordings(judge, page, None))
    assert judges.kinds(first) == {**STEM.questions.does, "derive": round(page.truth)}


@pytest.mark.parametrize(("answer", "goes"), [("science", True), ("news", False)])
def test_the_answer_that_misled_is_left_out(answer: str, goes: bool) -> None:
    judge, page = make("kind", "page_first"), without_notes(0)
    said = judges.read(judge, page.page_id, [reply_to("What kind", 0.9 if answer == "science" else 0.1)])
    assert said.reason == answer
    last = judges.kinds(list(tune.rewordings(judge, page, said))[-1])
    assert (answer not in last) == goes


def test_gepa_is_given_proposals_where_no_rater_wrote_a_note(tmp_path: Path) -> None:
    rows = [replace(page, said=(("ann", int(page.truth), ""),)) for page in labelled()]
    assert run(tmp_path, rows, Model(), forms=["ab"]).proposals > 0
