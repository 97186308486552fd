from dataclasses import replace

import pytest
from small_quiz import QUIZ, questions
from small_world import STEM
from test_stage_tune import labelled

from curate.errors import BadInput
from curate.stages.tune import Labelled
from curate.stages.tune.labelled import anchors_of, check_labels, examples_of


@pytest.mark.parametrize(("truth", "level"), [(2.0, 2), (2.5, 2), (2.51, 3), (0.0, 0), (3.4, 3)])
def test_the_level_is_the_nearest_and_the_lower_one_halfway(truth: float, level: int) -> None:
    assert replace(labelled(train=1, val=0)[0], truth=truth).level == level


def test_pages_that_nobody_labelled_are_neither_anchors_nor_examples() -> None:
    blank = Labelled("p", "x", "train", "g", float("nan"), False, ())
    assert not blank.labelled
    assert anchors_of([blank], 4) == examples_of([blank], 4) == []


def test_anchors_are_half_worth_keeping() -> None:
    chosen = anchors_of(labelled(train=24, val=0), 8)
    assert sum(page.keep for page in chosen) == 4


def test_pages_on_which_raters_agree_are_shown_first() -> None:
    rows = labelled(train=24, val=0)
    shortest = min((p for p in rows if p.level == 5), key=lambda p: len(p.text))
    torn = replace(shortest, said=(("ann", 5, ""), ("bob", 3, "")))
    chosen = examples_of([torn if p is shortest else p for p in rows], 6)
    assert torn not in chosen
    assert 5 in {p.level for p in chosen}


def test_labels_that_teach_pass_and_classes_need_no_page_to_keep() -> None:
    check_labels(labelled(), STEM)
    check_labels(questions(""), QUIZ)
    with pytest.raises(BadInput, match="val has no labelled pages"):
        check_labels(labelled(val=0), STEM)
