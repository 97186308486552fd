"""Labels with a judge's help: who sees it, and what is written down."""

from pathlib import Path

import pytest
from small_desk import REASON, TUNED, desk, judged_desk, level, opened, pages

from curate.errors import BadInput
from curate.web.desk import PipelineDesk


def splits(at: PipelineDesk) -> dict[str, str]:
    return {row["page_id"]: row["split"] for row in at.store.rows("pages")}


def test_before_the_judge_comes_with_the_page_and_the_label_says_so(tmp_path: Path) -> None:
    at = judged_desk(tmp_path, assist="before", rows=pages(30))
    found = at.ahead("anna", count=30)
    assert {splits(at)[page["page_id"]] for page in found} == {"train", "val"}
    assert at.tally("anna").left == len(found) < 30
    assert all(page["judge"]["level"] == 2 and page["judge"]["reason"] == REASON for page in found)
    at.save("anna", level(found[0], 1))
    (row,) = at.store.rows("labels")
    assert row["assisted"]
    assert row["shown"] == f"text; judge {TUNED} before"


def test_before_a_sealed_page_is_refused_but_may_be_flagged(tmp_path: Path) -> None:
    at = judged_desk(tmp_path, assist="before", rows=pages(30))
    sealed = next(name for name, split in splits(at).items() if split == "test")
    with pytest.raises(BadInput, match="this page is sealed"):
        at.save("anna", level({"page_id": sealed}, 1))
    assert at.store.parts("labels") == []


def test_after_a_change_needs_a_first_choice_and_is_marked(tmp_path: Path) -> None:
    at = judged_desk(tmp_path, assist="after", rows=pages(30))
    page = next(one for one in at.ahead("anna", count=30) if splits(at)[one["page_id"]] != "test")
    assert "judge" not in page
    with pytest.raises(BadInput, match="nobody was shown"):
        at.save("anna", level(page, 2, after_judge=True))
    at.save("anna", level(page, 1))
    assert at.advice(page["page_id"])
    at.save("anna", level(page, 2, after_judge=True))
    first, second = sorted(at.store.rows("labels"), key=lambda row: str(row["at"]))
    assert (first["level"], first["assisted"], first["shown"]) == (1, False, "text")
    assert (second["level"], second["assisted"], second["shown"]) == (2, True, f"text; judge {TUNED} after")


def test_after_a_sealed_page_keeps_its_first_choice(tmp_path: Path) -> None:
    at = judged_desk(tmp_path, assist="after", rows=pages(30))
    page = next(one for one in at.ahead("anna", count=30) if splits(at)[one["page_id"]] == "test")
    at.save("anna", level(page, 1))
    assert at.advice(page["page_id"]) is None
    with pytest.raises(BadInput, match="nobody was shown"):
        at.save("anna", level(page, 2, after_judge=True))


def test_a_desk_without_help_takes_no_word_that_says_it_had_it(tmp_path: Path) -> None:
    at = judged_desk(tmp_path)
    (page,) = at.ahead("anna")
    at.save("anna", level(page, 1))
    assert at.advice(page["page_id"]) is None
    with pytest.raises(BadInput, match="nobody was shown"):
        at.save("anna", level(page, 2, after_judge=True))


def test_without_a_judge_there_is_no_help(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--assist: no judge has said anything .* --until score"):
        PipelineDesk(opened(tmp_path), assist="after")
    assert desk(tmp_path).assist == ""


def test_who_saw_the_judge_once_is_marked_from_then_on_also_after_taking_back(tmp_path: Path) -> None:
    at = judged_desk(tmp_path, assist="after", rows=pages(30))
    page = next(one for one in at.ahead("anna", count=30) if splits(at)[one["page_id"]] != "test")
    first = at.save("anna", level(page, 1))
    assert at.save("anna", level(page, 1)) == first, "sent twice is said once"
    at.undo("anna", first)
    at.save("anna", level(page, 2))
    plain = PipelineDesk(at.opened)
    plain.save("anna", level(page, 0))
    said = {row["level"]: row["assisted"] for row in at.store.rows("labels") if row["level"] is not None}
    assert said == {1: False, 2: True, 0: True}
