import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_desk import HOSTILE, desk, level, opened, pages

from curate import pipeline
from curate.config import open_pipeline
from curate.errors import BadInput
from curate.progress import Quiet
from curate.stages import label
from curate.web.desk import HOLD_SECONDS, Given, PipelineDesk, rater_name
from curate.web.screen import FOLD_CHARS, shown


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [page["page_id"] for page in found]


def counted(on: PipelineDesk) -> label.Report:
    run = pipeline.run(on.opened, progress=Quiet(), until="label", on_line=lambda line: None)
    return label.Report(**run.records["label"]["report"])


def flag(page: dict[str, Any], word: str) -> Given:
    return Given.model_validate({"page_id": page["page_id"], "flag": word, "seconds": 1})


def test_a_label_is_one_part_at_once_and_the_label_stage_counts_it(tmp_path: Path) -> None:
    at = desk(tmp_path)
    (page,) = at.ahead("anna")
    saved = at.save("anna", level(page, 2, criteria={"layout": 1}, note="  clear  ", seconds=7.25))
    (part,) = at.store.parts("labels")
    assert part.name == f"part-{saved}.parquet"
    (row,) = at.store.rows("labels")
    assert {key: row[key] for key in ("page_id", "rater", "level", "note", "flag", "seconds", "shown", "assisted")} == {
        "page_id": page["page_id"],
        "rater": "anna",
        "level": 2,
        "note": "clear",
        "flag": "",
        "seconds": 7.25,
        "shown": "text",
        "assisted": False,
    }
    assert json.loads(row["criteria"]) == {"layout": 1}
    assert row["rubric_hash"] == at.rubric.hash
    assert datetime.fromisoformat(row["at"]).utcoffset() == timedelta(0)
    report = counted(at)
    assert (report.labels, report.raters, report.missing) == (1, {"anna": 1}, 3)
    assert sum(report.levels.values()) == report.levels["2"] == 1


def test_the_order_is_fixed_and_is_not_the_order_of_the_file(tmp_path: Path) -> None:
    at = desk(tmp_path)
    order = [page["url"] for page in at.ahead("anna", count=12)]
    assert sorted(order) == sorted(row["url"] for row in pages())
    assert order != [row["url"] for row in pages()]
    assert [page["url"] for page in PipelineDesk(open_pipeline(tmp_path / "p.yaml")).ahead("ben", count=12)] == order


def test_early_pages_come_from_all_splits(tmp_path: Path) -> None:
    at = desk(tmp_path, rows=pages(120))
    split = {row["page_id"]: row["split"] for row in at.store.rows("pages")}
    assert {split[name] for name in ids(at.ahead("anna", count=20))} == {"train", "val", "test"}


def test_pages_in_hand_and_pages_labelled_do_not_come_again(tmp_path: Path) -> None:
    at = desk(tmp_path)
    first, second, third = at.ahead("anna", count=3)
    at.save("anna", level(first, 0))
    assert at.ahead("anna", besides=[second["page_id"]]) == [third]
    assert first["page_id"] not in ids(at.ahead("anna", count=99))
    assert len(at.ahead("anna", count=99)) == 11


def test_a_page_goes_to_the_screen_without_split_group_or_what_others_said(tmp_path: Path) -> None:
    at = desk(tmp_path)
    (page,) = at.ahead("ben")
    at.save("ben", level(page, 2, note="theirs"))
    seen = next(one for one in at.ahead("anna", count=12) if one["page_id"] == page["page_id"])
    assert set(seen) == {"page_id", "title", "url", "host", "lang", "chars", "text", "rest"}
    assert "theirs" not in json.dumps([at.ahead("anna", count=12), at.tally("anna").as_dict()])


def test_two_raters_have_pages_and_counts_of_their_own(tmp_path: Path) -> None:
    at = desk(tmp_path)
    (mine,) = at.ahead("anna")
    at.save("anna", level(mine, 1))
    (theirs,) = at.ahead("ben")
    assert theirs != mine
    at.save("ben", level(mine, 2))
    anna, ben = at.tally("anna"), at.tally("ben")
    assert (anna.mine, anna.labelled_pages, anna.raters) == (1, 1, {"anna": 1, "ben": 1})
    assert (anna.left, ben.left) == (11, 11)
    assert at.undo("ben", str(ben.undo))["said"]["level"] == 2
    assert (at.tally("anna").mine, at.tally("ben").mine) == (1, 0)


def test_until_there_are_enough_labels_every_third_page_is_a_second_opinion(tmp_path: Path) -> None:
    at = desk(tmp_path, rows=pages(40), needed=40, overlap=1)
    labelled = ids(at.ahead("ben", count=6))
    for page in at.ahead("ben", count=6):
        at.save("ben", level(page, 0))
    coming = ids(at.ahead("anna", count=9))
    assert [page in labelled for page in coming] == [False, False, True] * 3
    assert [page for page in coming if page in labelled] == labelled[:3], "the first labelled is the first seen again"


def test_once_there_are_enough_labels_second_opinions_come_first(tmp_path: Path) -> None:
    at = desk(tmp_path, rows=pages(60), needed=40, overlap=1)
    given = at.ahead("ben", count=40)
    for i, page in enumerate(given):
        at.save("ben", level(page, 2 * (i % 2)))
    assert at.tally("anna").enough
    assert ids(at.ahead("anna", count=40)) == ids(given)
    assert set(ids(at.ahead("ben", count=40))).isdisjoint(ids(given))


@pytest.mark.parametrize(("overlap", "raters_test"), [(0.0, 1), (0.5, 2), (1.0, 3)])
def test_a_page_gets_as_many_raters_as_it_wants_and_no_more(tmp_path: Path, overlap: float, raters_test: int) -> None:
    at = desk(tmp_path, rows=pages(60), overlap=overlap, raters_test=raters_test)
    split = {row["page_id"]: row["split"] for row in at.store.rows("pages")}
    raters = ["anna", "ben", "cleo", "dan"]
    for page in at.ahead("anna", count=30):
        at.save("anna", level(page, 2 * (int(page["page_id"], 16) % 2)))
    assert at.tally("anna").enough
    assert at.tally("anna").left == 30, "one rater alone is never held up"
    while any(found := {rater: at.ahead(rater) for rater in raters}.values()):
        for rater, coming in zip(raters, found, strict=True):
            for page in coming:
                at.save(rater, level(page, 2 * (int(page["page_id"], 16) % 2)))
    said = Counter(row["page_id"] for row in at.store.rows("labels"))
    assert {said[page] for page in split if split[page] == "test"} == {raters_test}
    two = {page for page in split if split[page] != "test" and said[page] == 2}
    others = sum(part != "test" for part in split.values())
    assert {said[page] for page in split if split[page] != "test"} <= {1, 2}
    assert len(two) == {0.0: 0, 1.0: others}.get(overlap, len(two))
    assert overlap != 0.5 or 0.25 * others < len(two) < 0.75 * others
    assert all(at.tally(rater).left == 0 for rater in raters)


def test_a_page_on_another_screen_takes_one_of_its_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = desk(tmp_path, overlap=0, raters_test=1)
    theirs = ids(at.ahead("ben", count=3))
    rest = {row["page_id"] for row in at.store.rows("pages")} - set(theirs)
    assert set(ids(at.ahead("anna", count=12))) == rest
    assert at.tally("anna").left == 12, "they may still come to her"
    now = time.monotonic()
    monkeypatch.setattr("curate.web.assignment.time.monotonic", lambda: now + HOLD_SECONDS + 1)
    assert len(at.ahead("anna", count=12)) == 12


def test_a_page_that_wants_two_raters_may_lie_on_two_screens_but_not_on_three(tmp_path: Path) -> None:
    at = desk(tmp_path, overlap=1, raters_test=2)
    assert len(at.ahead("anna", count=12)) == len(at.ahead("ben", count=12)) == 12
    assert at.ahead("cleo", count=12) == []
    assert ids(at.ahead("anna", count=12)) == ids(at.ahead("anna", count=12)), "a reload shows the same"


def test_labels_are_counted_as_the_stage_counts_them(tmp_path: Path) -> None:
    at = desk(tmp_path, needed=4, overlap=1)
    for i, page in enumerate(at.ahead("anna", count=12)):
        at.save("anna", level(page, 0))
        at.save("ben", level(page, 2 * (i % 2)))
        if i % 4 == 1:
            at.settle("cleo", level(page, 2))
    tally = at.tally("anna")
    given = at.opened.pipeline.label
    found = label.run(at.store, given, rubric=at.rubric, labels_source=None, pages=at._sample, progress=Quiet())
    assert (tally.enough, tally.problems) == (found.enough, found.problems)


def test_of_near_duplicates_one_is_labelled_unless_all_are_asked_for(tmp_path: Path) -> None:
    rows = pages(10)
    rows += [{**row, "text": row["text"] + f" more{i}"} for i, row in enumerate(rows[:3])]
    at = desk(tmp_path, rows=rows)
    served = at.ahead("anna", count=13)
    assert len(served) == len({page["url"] for page in served}) == 10 == at.tally("anna").left
    both = PipelineDesk(open_pipeline(tmp_path / "p.yaml", ["label.duplicates=true"]))
    order = [page["url"] for page in both.ahead("ben", count=13)]
    assert len(set(order[:10])) == 10, "the repeats come last"
    assert sorted(order[10:]) == sorted(row["url"] for row in rows[:3])


def test_no_more_labels_are_asked_for_than_there_are_pages_to_label(tmp_path: Path) -> None:
    rows = pages(6)
    rows += [{**row, "text": row["text"] + " more"} for row in rows]
    at = desk(tmp_path, rows=rows, needed=100)
    assert at.tally("anna").needed == 6
    for page in at.ahead("anna", count=6):
        at.save("anna", level(page, 1))
    assert counted(at).missing == 0


def test_pages_of_one_host_are_no_near_duplicates(tmp_path: Path) -> None:
    rows = [{**row, "url": f"https://same.example/{i}"} for i, row in enumerate(pages(12))]
    assert len(desk(tmp_path, rows=rows).ahead("anna", count=12)) == 12


def test_a_page_that_was_skipped_or_flagged_does_not_come_again_and_is_no_label(tmp_path: Path) -> None:
    at = desk(tmp_path)
    skipped, flagged = at.ahead("anna", count=2)
    at.save("anna", flag(skipped, "skipped"))
    at.save("anna", flag(flagged, "unusable"))
    assert [row["flag"] for row in sorted(at.store.rows("labels"), key=lambda r: r["at"])] == ["skipped", "unusable"]
    assert {skipped["page_id"], flagged["page_id"]}.isdisjoint(ids(at.ahead("anna", count=12)))
    assert (at.tally("anna").mine, at.tally("anna").left, counted(at).labels) == (0, 10, 0)


def test_a_page_that_one_rater_flagged_wants_no_more_than_the_second_it_wanted(tmp_path: Path) -> None:
    at = desk(tmp_path, overlap=0, raters_test=2)
    split = {row["page_id"]: row["split"] for row in at.store.rows("pages")}
    for page in at.ahead("ben", count=12):
        at.save("ben", flag(page, "unusable"))
    assert {split[page] for page in ids(at.ahead("anna", count=12))} == {"test"}


def test_undo_brings_the_page_back_with_what_was_said_and_then_the_one_before(tmp_path: Path) -> None:
    at = desk(tmp_path)
    first, second = at.ahead("anna", count=2)
    at.save("anna", level(first, 2, note="good"))
    at.save("anna", flag(second, "skipped"))
    assert at.undo("anna", str(at.tally("anna").undo)) == {
        **second,
        "said": {"level": None, "note": "", "flag": "skipped"},
    }
    back = at.undo("anna", str(at.tally("anna").undo))
    assert back == {**first, "said": {"level": 2, "note": "good", "flag": ""}}
    assert at.tally("anna").undo is None
    assert counted(at).labels == 0
    assert ids(at.ahead("anna", count=2)) == ids([first, second])
    at.save("anna", level(first, 0))
    assert counted(at).levels == {"0": 1, "1": 0, "2": 0}


def test_taking_back_twice_is_taking_back_once(tmp_path: Path) -> None:
    at = desk(tmp_path)
    (page,) = at.ahead("anna")
    saved = at.save("anna", level(page, 1))
    assert at.undo("anna", saved) == at.undo("anna", saved)
    assert len(at.store.parts("labels")) == 2


@pytest.mark.parametrize("who", ["ben", "anna"])
def test_what_is_not_the_raters_last_word_cannot_be_taken_back(tmp_path: Path, who: str) -> None:
    at = desk(tmp_path)
    (page,) = at.ahead("anna")
    first = at.save("anna", level(page, 1))
    at.save("anna", level(page, 2))
    with pytest.raises(BadInput, match="nothing to take back"):
        at.undo(who, first)


def test_the_same_word_sent_twice_is_one_part(tmp_path: Path) -> None:
    at = desk(tmp_path)
    (page,) = at.ahead("anna")
    assert at.save("anna", level(page, 1, seconds=1.2345)) == at.save("anna", level(page, 1, seconds=1.2345))
    assert len(at.store.parts("labels")) == 1


def test_the_last_word_wins_however_fast_it_follows(tmp_path: Path) -> None:
    at = desk(tmp_path)
    (page,) = at.ahead("anna")
    for said in (0, 1, 2, 0, 2, 1):
        at.save("anna", level(page, said))
        assert [row["level"] for row in label.current(at.store.rows("labels"))] == [said]


def test_the_last_word_wins_when_the_clock_was_set_back(tmp_path: Path) -> None:
    at = desk(tmp_path)
    (page,) = at.ahead("anna")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="microseconds")
    early = label.label_row(at.rubric, page["page_id"], "anna", level=0, at=tomorrow, shown="text")
    at.store.append("labels", [early], part=early["label_id"])
    at.save("anna", level(page, 2))
    assert [row["level"] for row in label.current(at.store.rows("labels"))] == [2]
    assert counted(at).levels["2"] == at.tally("anna").mine == 1


def test_labels_that_another_process_wrote_are_seen(tmp_path: Path) -> None:
    found = opened(tmp_path)
    here, there = PipelineDesk(found), PipelineDesk(found)
    (page,) = there.ahead("anna")
    there.save("anna", level(page, 1))
    assert here.tally("anna").mine == 1
    assert page["page_id"] not in ids(here.ahead("anna", count=12))


def test_labels_of_pages_outside_the_sample_are_not_counted(tmp_path: Path) -> None:
    at = desk(tmp_path)
    row = label.label_row(at.rubric, "elsewhere", "anna", level=1, at="2026-01-01")
    at.store.append("labels", [row], part=row["label_id"])
    assert (at.tally("anna").labelled_pages, counted(at).labelled_pages) == (0, 0)


def test_the_tally_says_when_there_are_enough_labels_and_what_is_missing_otherwise(tmp_path: Path) -> None:
    at = desk(tmp_path, rows=pages(40), needed=30)
    assert at.tally("anna").needed == 30
    given = at.ahead("anna", count=30)
    for page in given:
        at.save("anna", level(page, 0))
    found = at.tally("anna")
    assert (found.enough, found.labelled_pages) == (False, 30)
    assert "train has 0 labelled pages worth keeping, 1 are needed" in found.problems
    for i, page in enumerate(given):
        at.save("anna", level(page, 2 * (i % 2)))
    assert at.tally("anna").enough
    assert at.tally("anna").enough == counted(at).enough
    at.undo("anna", str(at.tally("anna").undo))
    assert not at.tally("anna").enough


def test_the_pace_is_that_of_the_latest_pages(tmp_path: Path) -> None:
    at = desk(tmp_path)
    assert at.tally("anna").pages_an_hour is None
    first, second, third = at.ahead("anna", count=3)
    at.save("anna", flag(third, "skipped"))
    assert at.tally("anna").pages_an_hour is None
    at.save("anna", level(first, 1, seconds=9))
    at.save("anna", level(second, 1, seconds=30))
    assert at.tally("anna").pages_an_hour == 180


def test_a_long_page_is_folded_and_the_label_says_how_much_was_shown(tmp_path: Path) -> None:
    text = "\n".join(f"line {i} with a few words" for i in range(800))
    at = desk(tmp_path, rows=[{"url": "https://long.example", "text": text}, *pages(3)])
    page = next(one for one in at.ahead("anna", count=4) if one["rest"])
    assert FOLD_CHARS / 2 < len(page["text"]) <= FOLD_CHARS
    assert page["text"].endswith("\n")
    at.save("anna", level(page, 1))
    at.save("anna", level(page, 1, unfolded=True))
    shown_of = [row["shown"] for row in sorted(at.store.rows("labels"), key=lambda row: row["at"])]
    assert shown_of == [f"text {len(page['text'])} of {len(text)} characters", "text"]


@given(text=st.text(st.sampled_from("ab \n"), max_size=30).map(lambda piece: piece * 700))
def test_a_folded_page_loses_nothing(text: str) -> None:
    page = shown({"page_id": "a", "text": text})
    assert page["text"] + page["rest"] == text
    assert len(page["text"]) <= FOLD_CHARS * 5 // 4
    assert not text or page["text"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"level": 3}, r"level: must be one of the levels 0\.\.2 \(got 3\)"),
        ({"level": -1}, r"level: must be one of the levels 0\.\.2 \(got -1\)"),
        ({"level": None}, "give either a level or a flag"),
        ({"flag": "skipped"}, "give either a level or a flag"),
        ({"page_id": "elsewhere"}, "no such page in this sample"),
        ({"criteria": {"layuot": 1}}, "did you mean layout"),
        ({"criteria": {"layout": 2}}, r"criteria.layout: must be one of the levels 0\.\.1 \(got 2\)"),
    ],
)
def test_what_the_rubric_does_not_have_is_refused_and_nothing_is_written(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    at = desk(tmp_path)
    (page,) = at.ahead("anna")
    with pytest.raises(BadInput, match=says):
        at.save("anna", level(page, 1).model_copy(update=change))
    assert at.store.parts("labels") == []


def test_a_desk_without_drawn_pages_says_what_to_run(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(BadInput, match=r"no pages are drawn yet; run `curate run .*p.yaml --until sample`"):
        PipelineDesk(open_pipeline(tmp_path / "p.yaml", ["sample.seed=other"]))


def test_text_goes_to_the_screen_as_it_is(tmp_path: Path) -> None:
    at = desk(tmp_path, rows=[{"url": "https://evil.example", "text": HOSTILE}, *pages(2)])
    assert HOSTILE in [page["text"] for page in at.ahead("anna", count=3)]


@pytest.mark.parametrize("name", ["", "   ", "a" * 41, "a\x00b", "a\u202eb", None, 3, ["anna"]])
def test_what_is_no_name_is_refused(name: object) -> None:
    with pytest.raises(BadInput, match="must be a name of 1 to 40 characters"):
        rater_name(name)


@given(name=st.text(max_size=45))
def test_a_name_has_one_spelling(name: str) -> None:
    try:
        once = rater_name(name)
    except BadInput:
        return
    assert rater_name(once) == rater_name(f"  {once} ") == once


def test_letters_composed_in_two_ways_are_one_name() -> None:
    assert rater_name("A\u0308nne") == rater_name("\u00c4nne")
