"""What a look at the drawn pages shows."""

from pathlib import Path

import pytest
import small_desk

from curate.errors import BadInput
from curate.looking import cards, pages_of, plain, sampled
from curate.pipeline import Work, fresh_records
from curate.schema import page_id


def look(folder: Path, n: int = 6) -> Work:
    rows = [{**row, "topic": f"t{i % 2}"} for i, row in enumerate(small_desk.pages(n))]
    return fresh_records(small_desk.opened(folder, rows=rows))


def test_pages_are_listed_with_what_people_said_of_each(tmp_path: Path) -> None:
    desk = small_desk.desk(tmp_path, needed=2)
    for rater, said in (("ann", 1), ("bob", 2)):
        page = desk.ahead(rater)[0]
        desk.save(rater, small_desk.level(page, said))
    work = fresh_records(desk.opened)
    found = pages_of(work, where="labels > 0", limit=None).to_pylist()
    assert sorted(row["human"] for row in found) == [1.0, 2.0]
    assert all(row["judge"] is None and row["score"] is None and row["chars"] > 100 for row in found)
    assert pages_of(work, where="", limit=None).num_rows == 12


def test_only_a_raters_last_word_counts(tmp_path: Path) -> None:
    desk = small_desk.desk(tmp_path)
    page = desk.ahead("ann")[0]
    desk.undo("ann", desk.save("ann", small_desk.level(page, 0)))
    assert pages_of(fresh_records(desk.opened), where="labels > 0", limit=None).num_rows == 0
    desk.save("ann", small_desk.level(page, 2, seconds=9.0))
    assert pages_of(fresh_records(desk.opened), where="human = 2", limit=None).num_rows == 1


def test_conditions_columns_order_and_limit_are_the_users(tmp_path: Path) -> None:
    work = look(tmp_path)
    assert pages_of(work, where="", limit=4).num_rows == 4
    assert pages_of(work, where="", limit=4).equals(pages_of(work, where="", limit=4)), "the order is fixed"
    found = pages_of(work, where="topic = 't1'", limit=None, columns=["url", "topic"], order="url DESC")
    assert found.to_pylist()[0] == {"url": "https://host5.example/5", "topic": "t1"}
    assert found.num_rows == 3
    whole, start = (pages_of(work, where="", limit=1, text=text).to_pylist()[0] for text in (True, False))
    assert len(whole["text"]) > 160 == len(start["start"])
    assert whole["text"].startswith(start["start"])


@pytest.mark.parametrize("given", [{"where": "nope = 1"}, {"columns": ["nope"]}, {"order": "nope"}])
def test_what_duckdb_does_not_know_is_one_line(tmp_path: Path, given: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="sql: ") as found:
        pages_of(look(tmp_path), **{"where": "", "limit": 3, **given})  # type: ignore[arg-type]
    assert len(str(found.value).splitlines()) == 1


def test_a_card_says_where_the_page_is_from_who_said_what_and_how_it_begins() -> None:
    row = {
        "page_id": page_id("x"),
        "split": "val",
        "lang": "en",
        "url": "https://a.example/1",
        "host": "a.example",
        "chars": 1200,
        "round": 2,
        "human": 2.5,
        "judge": 3,
        "score": 0.71,
        "keep": True,
        "title": "A title",
        "text": "line one\n\x1b[31mline two\x1b[0m \u202eright to left " + "word " * 200,
    }
    short, whole = cards([row]), cards([row], whole=True)
    assert short.splitlines()[0] == f"{page_id('x')}  val  en  https://a.example/1  1,200 characters"
    assert short.splitlines()[1] == "  round 2  people 2.5  judge 3  classifier 0.71, kept"
    assert short.splitlines()[2] == "  A title"
    assert short.endswith("\n\n1 page")
    assert "\x1b" not in short + whole
    assert "\u202e" not in short + whole
    assert len(short) < 600 < len(whole)
    assert "  line one\n  [31mline two[0m" in whole


def test_control_characters_go_and_lines_stay() -> None:
    assert plain("a\tb\nc\x1b]0;title\x07d\x9be") == "a\tb\nc]0;titlede"


def test_a_pipeline_without_a_sample_says_what_to_run(tmp_path: Path) -> None:
    small_desk.opened(tmp_path)
    with pytest.raises(BadInput, match="no pages are drawn yet; run `curate run"):
        sampled(tmp_path / "p.yaml", ["sample.seed=other"])
    assert sampled(tmp_path / "p.yaml", []).records.keys() >= {"sample"}
