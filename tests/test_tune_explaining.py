from typing import Any

from small_world import STEM
from test_stage_tune import labelled, make

from curate.llm import Failure, Reply, Request
from curate.progress import Quiet
from curate.schema import Judgment
from curate.stages.tune import Labelled
from curate.stages.tune.bench import Bench
from curate.stages.tune.choose import Contender, measure_for
from curate.stages.tune.explaining import Step, ablate, as_dict, explain, text
from curate.stages.tune.gate import Gate
from curate.stages.tune.proposals import Counts
from curate.stages.tune.search import Candidate, Found

SEED = make("level", "page_first")
TEXTS = ["Rate it.", "Rate it. Steps count.", "Rate it. Steps count. Shops do not."]
PAGES = labelled(train=6, val=6)


def candidate(number: int, parent: int | None) -> Candidate:
    return Candidate(TEXTS[number], () if parent is None else (TEXTS[parent],), 0.5, {})


def silent(_: Request) -> Reply | Failure:
    raise AssertionError("explaining asks nothing")


def known(levels: list[list[float]], pages: list[Labelled] = PAGES) -> Bench:
    """A bench that heard each text's levels of the pages."""
    bench = Bench(silent, Gate(), 1, Quiet())
    for words, said in zip(TEXTS, levels, strict=True):
        judge = SEED.model_copy(update={"instruction": words})
        for page, level in zip(pages, said, strict=True):
            bench.learn(
                judge, page, Judgment(page.page_id, judge.id, "ok", level=round(level), score=level, expected=level)
            )
    return bench


def grade(_: Any, page: Any, said: Judgment) -> float | None:
    return None if said.expected is None else 1 - abs(said.expected - page.truth) / 5


def test_each_step_tells_its_rules_and_the_pages_it_moved() -> None:
    off = [2.5] * 12
    nearer = [page.truth if page.split == "train" else 2.5 for page in PAGES]
    worse = [5 - page.truth if i == 0 else level for i, (page, level) in enumerate(zip(PAGES, nearer, strict=True))]
    found = Found(SEED, [candidate(0, None), candidate(1, 0), candidate(2, 1)], Counts(), False, "")
    steps = explain(found, TEXTS[2], pages=PAGES, bench=known([off, nearer, worse]), grade=grade)
    assert [(step.added, step.removed) for step in steps] == [(["Steps count."], []), (["Shops do not."], [])]
    assert {m.page_id for m in steps[0].toward} == {p.page_id for p in PAGES if p.split == "train"}
    assert not steps[0].away
    assert [(m.page_id, m.before, m.after) for m in steps[1].away] == [(PAGES[0].page_id, 0.0, 5.0)]
    shown = text(as_dict(steps, []))
    assert "+ Steps count." in shown
    assert "nearer to people: 6 pages" in shown
    assert f"{PAGES[0].page_id[:8]} (train): people 0, 0.00 -> 5.00: Page 0." in shown


def test_many_pages_are_counted_and_the_ones_that_moved_most_recorded() -> None:
    pages = labelled(train=40, val=6)
    bench = known([[5 - p.truth for p in pages], *([[p.truth for p in pages]] * 2)], pages)
    found = Found(SEED, [candidate(0, None), candidate(1, 0)], Counts(), False, "")
    told = as_dict(explain(found, TEXTS[1], pages=pages, bench=bench, grade=grade), [])
    (step,) = told["steps"]
    assert step["pages_toward"] == 46
    assert len(step["toward"]) == 20
    assert step["toward"][0]["toward"] == 1


def test_an_instruction_as_it_was_has_no_steps() -> None:
    found = Found(SEED, [candidate(0, None)], Counts(), False, "")
    assert explain(found, TEXTS[0], pages=PAGES, bench=known([[1.0] * 12] * 3), grade=grade) == []
    assert "no rule" in text(as_dict([], []))


def test_a_rule_left_out_shows_what_it_was_worth() -> None:
    val = labelled(train=0, val=24)

    def by_steps(request: Request) -> Reply:
        words = "\n".join(str(m["content"]) for m in request.messages)
        number = int(words.split("Page ")[1].split(".")[0])
        level = (number * 7) % 6 if "Steps count." in words else 2
        return Reply(str(level), "stop", [{str(level): 0.0}], 9, 0, 1, 0.0, 0.0)

    bench = Bench(by_steps, Gate(), 2, Quiet())
    seed = SEED.model_copy(update={"instruction": TEXTS[0]})
    tuned = SEED.model_copy(update={"instruction": TEXTS[2]})
    measure = measure_for("auc", STEM, val)
    rows = ablate(Contender("gepa 1", tuned, bench.on(tuned, val)), seed, bench=bench, val=val, measure=measure)
    assert {row.rule: row.worth for row in rows} == {"Steps count.": 0.5, "Shops do not.": 0.0}
    assert "without 'Steps count.': auc on val -0.500" in text(as_dict([Step("c", "p", ["Steps count."], [])], rows))


def test_the_gate_ends_leaving_out() -> None:
    gate = Gate()
    gate.close("over")
    bench = Bench(silent, gate, 1, Quiet())
    tuned = SEED.model_copy(update={"instruction": TEXTS[2]})
    measure = measure_for("auc", STEM, PAGES)
    assert ablate(Contender("x", tuned, []), SEED, bench=bench, val=PAGES, measure=measure) == []
