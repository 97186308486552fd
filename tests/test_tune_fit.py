from math import log

import numpy as np
from small_world import level_of
from test_stage_tune import labelled, make

from curate.llm import Reply, Request
from curate.progress import Quiet
from curate.schema import Judgment
from curate.stages.tune.bench import Bench, readable, scores_of
from curate.stages.tune.fit import with_answer_weights, with_cuts
from curate.stages.tune.gate import Gate

QUIET = Quiet()


def leaning(request: Request) -> Reply:
    """Always says 3; what people see is in the little it leaves to 5 and 0."""
    words = "\n".join(str(m["content"]) for m in request.messages)
    merit = level_of(int(words.split("Page ")[1].split(".")[0])) / 5
    top = {"3": log(0.9), "5": log(0.002 + 0.05 * merit), "0": log(0.052 - 0.05 * merit)}
    return Reply("3", "stop", [top], 9, 0, 1, 0.001, 0.5)


def test_weights_turn_a_lean_into_an_order() -> None:
    bench, train, judge = Bench(leaning, Gate(), 2, QUIET), labelled(train=48, val=0), make("level", "page_first")
    with QUIET.task("", 0) as task:
        fitted = with_answer_weights(bench, judge, train, task)
        assert fitted is not None
        assert len(fitted.answer_weights) == 6
        assert with_answer_weights(bench, judge, train[:9], task) is None
    scores = scores_of(bench.on(fitted, train))
    assert np.corrcoef(scores, [p.truth for p in train])[0, 1] > 0.8


def test_cuts_give_pages_the_shares_of_levels_that_people_gave() -> None:
    bench, train, judge = Bench(leaning, Gate(), 2, QUIET), labelled(train=48, val=0), make("level", "page_first")
    cut = with_cuts(bench, judge, train)
    assert len(cut.cuts) == 5
    levels = [s.level for s in bench.on(cut, train)]
    assert levels == [p.level for p in train]


def test_behind_a_closed_gate_cuts_are_fitted_on_what_is_known() -> None:
    gate = Gate()
    bench, train, judge = Bench(leaning, gate, 2, QUIET), labelled(train=24, val=0), make("level", "page_first")
    bench.on(judge, train[:12])
    gate.close("over")
    assert with_cuts(bench, judge, train).cuts == with_cuts(bench, judge, train[:12]).cuts != ()
    assert with_cuts(bench, make("yesno", "page_first"), train).cuts == ()


def test_what_judgments_took_is_added_up_and_the_unasked_is_not_remembered() -> None:
    gate = Gate()
    bench, train, judge = Bench(leaning, gate, 2, QUIET), labelled(train=6, val=0), make("level", "page_first")
    bench.on(judge, train[:4])
    gate.close("over")
    said = bench.on(judge, train)
    assert [s.status for s in said] == ["ok"] * 4 + ["failed"] * 2
    assert readable(said) == 4 / 6
    used = bench.used(judge, train)
    assert (used.pages, used.calls, used.prompt_tokens, used.completion_tokens) == (4, 4, 36, 4)
    assert (round(used.usd, 6), used.seconds) == (0.004, 2.0)
    assert bench.unreadable == 0
    assert isinstance(said[5], Judgment)
