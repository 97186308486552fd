"""Pages that raters part on."""

from pathlib import Path

import pytest
from small_desk import desk, level

from curate.errors import BadInput
from curate.labels.truth import truth_of
from curate.labels.words import ADJUDICATION, by_people, current
from curate.web.desk import Given, PipelineDesk


def given(at: PipelineDesk, *levels: int) -> list[dict[str, object]]:
    """Pages on which anna says 0 and ben each of the levels in turn."""
    found = at.ahead("anna", count=len(levels))
    for page, said in zip(found, levels, strict=True):
        at.save("anna", level(page, 0))
        at.save("ben", level(page, said, note=f"said {said}"))
    return found


def test_those_across_the_border_come_first_then_by_how_far_they_are_apart(tmp_path: Path) -> None:
    at = desk(tmp_path, overlap=1)
    agree, near, across = given(at, 0, 1, 2)
    found = at.disputes()
    assert [one["page_id"] for one in found] == [across["page_id"], near["page_id"]]
    assert [one["border"] for one in found] == [True, False]
    assert [[side["level"] for side in one["said_by"]] for one in found] == [[0, 2], [0, 1]]
    assert agree["page_id"] not in [one["page_id"] for one in found]


def test_what_is_settled_is_true_and_what_raters_said_stays(tmp_path: Path) -> None:
    at = desk(tmp_path, overlap=1)
    (page,) = given(at, 2)
    saved = at.settle("cleo", level(page, 1, note="both overstate"))
    assert at.disputes() == []
    rows = current(at.store.rows("labels"))
    assert [(row["rater"], row["level"]) for row in rows if row["role"] == ADJUDICATION] == [("cleo", 1)]
    assert sorted(row["level"] for row in by_people(rows)) == [0, 2]
    splits = {row["page_id"]: row["split"] for row in at.store.rows("pages")}
    assert truth_of(rows, at.rubric, splits=splits)[str(page["page_id"])] == 1.0
    assert at.tally("cleo").mine == 0, "an adjudication is no label of one's own"
    assert at.undo("cleo", saved)["said"]["level"] == 1
    assert len(at.disputes()) == 1
    again = PipelineDesk(at.opened)
    assert len(again.disputes()) == 1, "another desk reads the same"


def test_a_rater_who_settles_keeps_their_own_word(tmp_path: Path) -> None:
    at = desk(tmp_path, overlap=1)
    (page,) = given(at, 2)
    assert at.disputes(rater="anna")[0]["own"]
    at.settle("anna", level(page, 2))
    said = {(row["rater"], row["role"] or ""): row["level"] for row in current(at.store.rows("labels"))}
    assert said == {("anna", ""): 0, ("ben", ""): 2, ("anna", ADJUDICATION): 2}


def test_only_what_is_in_dispute_is_settled_and_only_by_a_level(tmp_path: Path) -> None:
    at = desk(tmp_path, overlap=1)
    agree, across = given(at, 0, 2)
    with pytest.raises(BadInput, match="raters do not part on this page"):
        at.settle("cleo", level(agree, 1))
    with pytest.raises(BadInput, match="settled by a level"):
        at.settle("cleo", Given(page_id=str(across["page_id"]), flag="skipped", seconds=1))
    assert len(at.store.rows("labels")) == 4
