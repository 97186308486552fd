from typing import Any

import pytest
from small_world import STEM
from test_stage_tune import KEY, labelled, make, text_reply

from curate.errors import CurateError
from curate.journal import BudgetSpent
from curate.llm import Failure, Request
from curate.progress import Quiet
from curate.stages.tune.bench import Bench
from curate.stages.tune.gate import Gate
from curate.stages.tune.guard import Guard
from curate.stages.tune.proposals import Counts, Proposer

ASK = Request(messages=[{"role": "user", "content": "?"}])


def proposer(form: Any = "yesno", reflect: Any = None, *, gate: Gate | None = None, max_chars: int = 6000) -> Proposer:
    pages = labelled()
    bench = Bench(lambda _: text_reply("x"), gate or Gate(), 1, Quiet())
    fatal: list[CurateError] = []
    made = Proposer(
        make(form, "page_first"),
        bench,
        Guard(STEM, pages, max_chars=max_chars),
        Counts(),
        pages=pages,
        marks={},
        reflect=reflect,
        fail=fatal.append,
    )
    made.fatal = fatal  # type: ignore[attr-defined]
    return made


def records(page: Any) -> dict[str, Any]:
    return {"ask": [{"Inputs": {"page": page.text}, "Generated Outputs": {}, "Feedback": ""}]}


def test_notes_are_worked_in_one_at_a_time_and_never_twice() -> None:
    made, page = proposer(), next(p for p in labelled() if p.level == 5)
    now = {"ask": made.seed.instruction}
    found = [made.by_notes(now, records(page), ["ask"])["ask"] for _ in range(12)]
    assert KEY in found[0]
    new = [text for text in found if text != made.seed.instruction]
    assert len(new) == len(set(new)) == made.counts.proposals


def test_a_note_that_quotes_the_page_is_passed_over() -> None:
    from dataclasses import replace

    page = next(p for p in labelled() if p.level == 5)
    quoting = replace(page, said=(("ann", 5, " ".join(page.text.split()[3:14])), ("bob", 5, f"shows the {KEY}")))
    made = proposer()
    made.by_text[page.text] = quoting
    assert KEY in made.by_notes({"ask": made.seed.instruction}, records(page), ["ask"])["ask"]
    assert made.counts.guarded == 1
    assert "copies" in made.counts.first_guarded


def test_what_is_too_long_is_not_proposed() -> None:
    made = proposer(max_chars=len(STEM.asked().yesno) + 5)
    page = next(p for p in labelled() if p.level == 5)
    assert made.by_notes({"ask": made.seed.instruction}, records(page), ["ask"])["ask"] == made.seed.instruction
    assert made.counts.proposals == 0
    assert made.counts.guarded > 0


def test_reflection_is_counted_and_its_failures_kept() -> None:
    made = proposer(reflect=lambda _: Failure("failed", "no such deployment"))
    made.ask(ASK)
    assert (made.counts.reflection_calls, made.counts.reflection_failures) == (1, 1)
    with pytest.raises(CurateError, match="no such deployment"):
        made.check()


def test_a_spent_budget_is_passed_on_to_stop_the_search() -> None:
    def spent(_: Request) -> Any:
        raise BudgetSpent("budget_usd: all is spent")

    made = proposer(reflect=spent)
    assert isinstance(made.ask(ASK), Failure)
    assert [type(e) for e in made.fatal] == [BudgetSpent]  # type: ignore[attr-defined]


def test_behind_a_closed_gate_nothing_is_asked_or_held_against_the_model() -> None:
    gate = Gate()
    gate.close("over")
    made = proposer(reflect=lambda _: text_reply("x"), gate=gate)
    assert isinstance(made.ask(ASK), Failure)
    assert made.counts.reflection_calls == 0
    made.check()
