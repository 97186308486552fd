import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_quiz import QUIZ, questions
from small_world import STEM

from curate import judge as judges
from curate.judge import Judge
from curate.schema import Judgment
from curate.stages.tune import Labelled
from curate.stages.tune.choose import Contender, choose, level_of, macro_f1, measure_for, paired_error, row_of

PAGES = [
    Labelled(f"p{i}", f"text {i}", "val", f"g{i}", float(i % 6), i % 6 >= 3, (("ann", i % 6, ""),)) for i in range(48)
]
TRUTH = np.array([page.truth for page in PAGES])
AUC = measure_for("auc", STEM, PAGES)
PLAIN = judges.of_rubric(STEM, "level", model="m", layout="page_first", page_chars=100)


def contender(label: str, scores: Any, *, chars: int = 0, judge: Judge = PLAIN) -> Contender:
    """One whose instruction is `chars` longer than the rubric's."""
    longer = judge.model_copy(update={"instruction": judge.instruction + "x" * chars})
    said = [
        Judgment.failed(page.page_id, "j", "unreadable", "?")
        if score is None
        else Judgment(page.page_id, "j", "ok", level=min(max(round(score), 0), 5), score=float(score), expected=score)
        for page, score in zip(PAGES, scores, strict=True)
    ]
    return Contender(label, longer, said)


def noisy(amount: float, seed: int) -> list[float]:
    return list(TRUTH + np.random.default_rng(seed).normal(0, amount, len(TRUTH)))


def test_the_better_candidate_is_taken_and_proven() -> None:
    found = choose([contender("untuned", noisy(9, 1)), contender("gepa 1", noisy(0.3, 2), chars=50)], AUC)
    assert found.chosen.label == "gepa 1"
    assert found.proven
    assert found.gain.value > found.gain_error > 0


def test_within_one_standard_error_the_shorter_prompt_is_taken() -> None:
    better, shorter = noisy(1.4, 3), noisy(1.4, 3)
    shorter[0], shorter[1] = shorter[1], shorter[0]
    several = [contender("untuned", noisy(9, 1)), contender("gepa 1", better, chars=900), contender("gepa 2", shorter, chars=40)]  # fmt: skip
    behind = AUC.value(PLAIN, several[1].said) - AUC.value(PLAIN, several[2].said)
    assert behind <= paired_error(several[2], several[1], AUC)
    found = choose(several, AUC)
    assert found.chosen.label == "gepa 2"
    worse = [*several[:2], contender("gepa 2", noisy(5, 4), chars=40)]
    assert choose(worse, AUC).chosen.label == "gepa 1"


def test_of_equally_short_prompts_the_better_is_taken() -> None:
    found = choose([contender("untuned", [0.0] * 48), contender("a", noisy(2, 2)), contender("b", noisy(1.7, 2))], AUC)
    assert found.chosen.label == "b"


@pytest.mark.parametrize("seed", range(4))
def test_noise_does_not_beat_the_untuned_judge(seed: int) -> None:
    base = noisy(1.5, seed)
    found = choose([contender("untuned", base), contender("gepa 1", base, chars=10)], AUC)
    assert found.chosen.label == "untuned"
    assert "the untuned rubric stays" in found.why
    assert found.gain.value == 0


def test_a_worse_or_silent_candidate_is_never_taken() -> None:
    silent = contender("gepa 1", [None] * 48)
    assert choose([contender("untuned", noisy(3, 1)), silent], AUC).chosen.label == "untuned"
    assert choose([contender("untuned", noisy(0.5, 1)), contender("a", noisy(6, 2))], AUC).chosen.label == "untuned"


def test_a_silent_untuned_judge_is_beaten_by_any_that_answers() -> None:
    found = choose([contender("untuned", [None] * 48), contender("a", list(-TRUTH))], AUC)
    assert found.chosen.label == "a"
    assert not found.proven


def test_no_difference_has_no_error_and_groups_widen_it() -> None:
    one, other = contender("a", noisy(2, 1)), contender("b", noisy(2, 2))
    assert paired_error(one, one, AUC) == 0
    grouped = measure_for("auc", STEM, [replace(page, group=f"g{i // 12}") for i, page in enumerate(PAGES)])
    assert paired_error(one, other, AUC) > 0
    assert paired_error(one, other, grouped) > 0


@pytest.mark.parametrize("name", ["auc", "qwk", "kappa", "macro_f1", "accuracy"])
def test_every_measure_is_1_for_what_people_say_and_less_for_less(name: str) -> None:
    measure = measure_for(name, STEM, PAGES)
    right, wrong = contender("r", list(TRUTH)), contender("w", noisy(3, 1))
    assert measure.value(right.judge, right.said) == pytest.approx(1)
    assert measure.value(wrong.judge, wrong.said) < 1
    assert measure.estimate(right.judge, right.said).n == 48


@pytest.mark.parametrize("name", ["auto", "accuracy", "macro_f1", "kappa"])
def test_classes_are_compared_as_classes(name: str) -> None:
    pages = questions("")
    quiz = judges.of_rubric(QUIZ, "letter", model="m", layout="page_first", page_chars=100)
    measure = measure_for(name, QUIZ, pages)
    right = [Judgment(p.page_id, "j", "ok", level=p.level, score=1.0, expected=p.truth) for p in pages]
    none = [Judgment.failed(p.page_id, "j", "unreadable", "?") for p in pages]
    assert measure.value(quiz, right) == pytest.approx(1)
    assert measure.value(quiz, none) == pytest.approx(0, abs=1e-9)
    assert measure.name == ("accuracy" if name == "auto" else name)
    assert row_of(Contender("x", quiz, right), measure, QUIZ, pages)["auc"]["value"] is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 3)), min_size=1, max_size=40))
def test_macro_f1_is_scikit_learns_over_the_classes_that_people_named(pairs: list[tuple[int, int]]) -> None:
    from sklearn.metrics import f1_score

    truth, said = zip(*pairs, strict=True)
    named = sorted(set(truth))
    assert macro_f1(truth, said) == pytest.approx(f1_score(truth, said, labels=named, average="macro", zero_division=0))


def test_levels_follow_the_cuts_that_were_fitted_after_the_answer_was_read() -> None:
    cut = PLAIN.model_copy(update={"cuts": (-4.0, -2.0, 0.0, 2.0, 4.0)})
    said = Judgment("p", "j", "ok", level=5, score=1.0, expected=5.0)
    assert level_of(PLAIN, said) == 5
    assert level_of(cut, said) == 3
    assert level_of(cut, Judgment.failed("p", "j", "unreadable", "?")) is None


def test_a_number_that_is_not_defined_is_not_the_best() -> None:
    one_sided = [replace(page, keep=True) for page in PAGES]
    assert math.isnan(measure_for("auc", STEM, one_sided).value(PLAIN, contender("a", noisy(1, 1)).said))
