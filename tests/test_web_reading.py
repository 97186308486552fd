import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import small_desk
from hypothesis import given, settings
from hypothesis import strategies as st
from small_reading import HOSTILE_NOTE, THRESHOLD, TUNED, UNTUNED, in_order, reader, split
from starlette.applications import Starlette
from starlette.testclient import TestClient

from curate.errors import BadInput
from curate.labels.agreed import Agreed, agreed
from curate.pipeline import fresh_records
from curate.rubric import Rubric
from curate.stages import label
from curate.stages.report import _read_before
from curate.store import write_json, write_text
from curate.web.app import make_app
from curate.web.desk import PipelineDesk
from curate.web.gate import HEADERS
from curate.web.reading import Reader
from curate.web.reading_app import make_reading_app, serve
from curate.web.reading_query import MADE, MOST_ROWS, SAID, Asked, presets
from curate.web.reading_routes import FOLD_CHARS, POLICY, REPORT_POLICY, routes


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """Read by all, changed by none."""
    return reader(tmp_path_factory.mktemp("read"))


def visitor(at: Reader) -> TestClient:
    return TestClient(Starlette(routes=routes(at)), base_url="http://127.0.0.1", raise_server_exceptions=True)


def found(at: Reader, where: str = "", order: str = "", **given: Any) -> list[dict[str, Any]]:
    return at.find(Asked(where, order, limit=given.pop("limit", MOST_ROWS), **given)).rows


# The list ------------------------------------------------------------------------------------------------------------


def test_all_pages_with_what_was_said_of_those_that_are_not_sealed(read: Reader) -> None:
    rows = found(read)
    assert len(rows) == 12
    for row in rows:
        said = [row[name] for name in SAID]
        assert all(value is None for value in said) if row["split"] == "test" else None not in said
    assert {row["split"] for row in rows} == {"train", "val", "test"}


def test_a_condition_and_an_order_choose_and_sort(read: Reader) -> None:
    rows = found(read, "split <> 'test' AND judge = 2", "score DESC")
    assert rows
    assert all(row["judge"] == 2 for row in rows)
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    scores = [row["score"] for row in found(read, "", "score")]
    sealed = scores.count(None)
    assert scores[:-sealed] == sorted(scores[:-sealed])
    assert scores[-sealed:] == [None] * sealed
    assert [r["host"] for r in found(read, "host LIKE 'host1%'", "chars")]
    assert found(read, "text LIKE '%x29%' AND chars > 50 AND lang = 'en' AND start <> ''")


def test_human_is_the_mean_and_spread_the_distance(read: Reader) -> None:
    assert {(row["human"], row["spread"], row["labels"]) for row in found(read, "split <> 'test'")} == {
        (1.0, 2, 2), (2.0, 0, 2)}  # fmt: skip


def test_paging_walks_through_all_once(read: Reader) -> None:
    asked = [read.find(Asked(limit=5, page=page)) for page in (1, 2, 3, 4)]
    assert [len(one.rows) for one in asked] == [5, 5, 2, 0]
    walked = [row["page_id"] for one in asked for row in one.rows]
    assert walked == asked[0].ids
    assert len(set(walked)) == 12
    assert asked[0].beside(walked[0]) == ("", walked[1])
    assert asked[0].beside(walked[3]) == (walked[2], walked[4])
    assert asked[0].beside(walked[-1]) == (walked[-2], "")
    assert asked[0].beside("elsewhere") == ("", "")


ATTACKS = [
    "page_id IN (SELECT content FROM read_text('/etc/passwd'))",
    "(SELECT count(*) FROM read_csv('/etc/passwd')) > 0",
    "EXISTS (FROM '/etc/passwd')",
    "EXISTS (FROM read_blob('/etc/*'))",
    "EXISTS (FROM glob('/etc/*'))",
    "true) UNION ALL (SELECT 1",
    "true) UNION SELECT content FROM read_text('/etc/passwd') WHERE (true",
    "1) FROM read_csv('/etc/passwd') WHERE (1=1",
    "true); COPY (SELECT 1) TO 'PLACE/written.csv'; SELECT (true",
    "true; ATTACH 'PLACE/written.duckdb' AS stolen",
    "true); ATTACH 'PLACE/written.duckdb'; SELECT (1",
    "true); INSTALL httpfs; LOAD httpfs; SELECT (1",
    "true); SET enable_external_access=true; SELECT (1",
    "true); CREATE TABLE t AS SELECT 1; SELECT (1",
    "EXPORT DATABASE 'PLACE/written'",
    "PRAGMA version",
    "(SELECT max(level) FROM labels) = 2",
    "(FROM rows SELECT count(*)) > 0",
    "EXISTS (SELECT 1 FROM duckdb_settings())",
    "(WITH t AS (SELECT 1 AS x) SELECT x FROM t) = 1",
    "page_id = ANY (SELECT page_id FROM pages)",
    "true) -- ",
    "true /* ",
    "row_number() OVER () = 1",
    "getenv('HOME') <> ''",
    "true\x00",
    "",
]


@pytest.mark.parametrize("attack", ATTACKS[:-1])
def test_a_condition_reaches_no_file_no_table_and_no_setting(read: Reader, attack: str, tmp_path: Path) -> None:
    attack = attack.replace("PLACE", str(tmp_path))
    for asked in Asked(where=attack), Asked(order=attack):
        with pytest.raises(BadInput) as refused:
            read.find(asked)
        assert "\n" not in str(refused.value).replace(attack, "")
        assert "root:" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=15)
@given(st.text(max_size=40))
def test_any_text_is_a_condition_or_an_error_in_words(read: Reader, text: str) -> None:
    for asked in Asked(where=text), Asked(order=text):
        try:
            assert set(read.find(asked).ids) <= {row["page_id"] for row in found(read)}
        except BadInput:
            continue


def test_no_condition_tells_what_was_said_of_sealed_pages(read: Reader) -> None:
    for name in SAID:
        rows = found(read, f"split = 'test' AND {name} IS NOT NULL")
        assert rows == []
    sealed = [row["page_id"] for row in found(read, "split = 'test'")]
    assert sealed == [row["page_id"] for row in found(read, "split = 'test'", "score DESC")]


def test_what_cannot_be_sorted_by_is_said(read: Reader) -> None:
    with pytest.raises(BadInput, match="cannot be sorted by; give a number or text"):
        read.find(Asked(order="[score]"))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"limit": "0"}, r"limit: must be a whole number from 1 to 200 \(got '0'\)"),
        ({"limit": "1000"}, "limit: must be"),
        ({"page": "-1"}, "page: must be"),
        ({"page": "٣"}, "page: must be"),
        ({"where": "x" * 3000}, r"where: must be at most 2000 characters \(got 3000\)"),
    ],
)
def test_what_cannot_be_meant_is_said(query: dict[str, str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        Asked.of(query)


@given(st.builds(Asked, st.text(max_size=30).map(str.strip), st.text(max_size=9).map(str.strip), st.integers(1, 200), st.integers(1, 999)))  # fmt: skip
def test_a_question_survives_its_query_string(asked: Asked) -> None:
    from starlette.datastructures import QueryParams

    assert Asked.of(QueryParams(asked.query())) == asked


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_every_preset_can_be_asked(read: Reader, threshold: float | None) -> None:
    counts = {one.name: len(found(read, one.where, one.order)) for one in presets(read.rubric, threshold)}
    assert counts["all pages"] == 12
    assert counts["raters disagree"] == len([row for row in found(read) if row["spread"]])
    assert counts["nobody labelled"] == 0
    kept = [row for row in found(read) if row["keep"] and row["human"] == 1]
    assert counts.get("kept, people would drop", len(kept)) == len(kept)


def test_presets_of_a_quiz_ask_nothing_of_keeping(read: Reader) -> None:
    quiz = _classes([])
    assert [one.name for one in presets(quiz, None)] == [
        "all pages", "judge and people part", "raters disagree", "nobody labelled"]  # fmt: skip
    kept = {one.name: one.where for one in presets(_classes(["news"]), 0.5)}
    assert kept["kept, people would drop"] == "keep AND NOT (human IN (1))"


def _classes(keep: list[str]) -> Rubric:
    given = {"name": "kinds", "asks": "What?", "scale": "choice", "keep": keep, "instruction": "Say."}
    return Rubric.model_validate({**given, "classes": {"tutorial": "about how", "news": "about what"}})


def test_the_list_shows_counts_links_and_presets(read: Reader) -> None:
    html = visitor(read).get("/pages", params={"limit": 5, "order": "chars DESC"}).text
    assert "1–5 of 12 pages" in html
    assert len(re.findall(r'href="/pages/[0-9a-f]{20}\?order=chars\+DESC&amp;limit=5"', html)) == 5
    assert 'rel="next" href="/pages?order=chars+DESC&amp;limit=5&amp;page=2"' in html
    assert "raters disagree" in html
    later = visitor(read).get("/pages", params={"limit": 5, "page": 9}).text
    assert "There are only 12 pages." in later
    assert "No page." in visitor(read).get("/pages", params={"where": "false"}).text


def test_an_error_stands_above_the_form_and_the_words_stay_in_it(read: Reader) -> None:
    answer = visitor(read).get("/pages", params={"where": "judg <> '<b>'", "order": "nothing"})
    assert answer.status_code == 400
    assert "did you mean judge?" in answer.text
    assert answer.text.index('role="alert"') < answer.text.index("<form")
    assert 'value="judg &lt;&gt; &#39;&lt;b&gt;&#39;"' in answer.text
    assert 'value="nothing"' in answer.text
    assert "<ol" not in answer.text
    assert visitor(read).get("/pages", params={"limit": "all"}).status_code == 400


# One page ------------------------------------------------------------------------------------------------------------


def test_a_page_shows_everything_that_is_known_of_it(read: Reader) -> None:
    page = next(page for page in in_order(read.opened) if page["split"] != "test")
    known = read.page(page["page_id"])
    assert known is not None
    assert [(row["rater"], row["standing"]) for row in known["labels"]] == [("anna", True), ("ben", True)]
    assert known["labels"][0]["criteria"] == [("layout", 1, "yes")]
    assert [(row["judge_id"], row["which"], row["status"]) for row in known["judgments"]] == [
        (TUNED, "tuned", "ok"), (UNTUNED, "untuned", "unreadable")]  # fmt: skip
    assert known["judgments"][0]["chances"] == [("0", 0.2), ("1", 0.3), ("2", 0.5)]
    assert [verdict.who for verdict in known["verdicts"]] == ["people", "judge", "classifier"]
    html = visitor(read).get(f"/pages/{page['page_id']}").text
    for words in ("very", "layout", "2026-01-02 03:", "4 s", "no level in the reply", "the whole reply", page["host"]):
        assert words in html
    assert f"threshold {str(THRESHOLD).lstrip('0')}0" in html


def test_where_they_part_is_said_in_a_sentence(read: Reader) -> None:
    said = {}
    for page in in_order(read.opened):
        known = read.page(page["page_id"])
        assert known is not None
        if not known["closed"]:
            sides = tuple(verdict.keep for verdict in known["verdicts"])
            said[sides] = known["why"]
    for (people, judge, classifier), why in said.items():
        if people == judge == classifier:
            assert why == f"People, judge and classifier agree: {'' if people else 'not '}worth keeping."
        else:
            keep, drop = re.match(r"They part: (.*) would keep it, (.*) would drop it\.", why).groups()  # type: ignore[union-attr]
            assert ("people" in keep, "judge" in keep, "classifier" in keep) == (people, judge, classifier)
            assert ("people" in drop, "judge" in drop, "classifier" in drop) == (not people, not judge, not classifier)
    assert len(said) > 1


def test_earlier_words_of_a_rater_are_shown_as_replaced(tmp_path: Path) -> None:
    at = reader(tmp_path)
    page = split(at.opened, "train")[0]["page_id"]
    again = label.label_row(at.rubric, page, "anna", level=0, at="2026-02-02T00:00:00+00:00")
    at.work().store.append("labels", [again])
    known = at.page(page)
    assert known is not None
    assert [(row["rater"], row["level"], row["standing"]) for row in known["labels"] if row["rater"] == "anna"] == [
        ("anna", 2, False), ("anna", 0, True)]  # fmt: skip
    assert "<span>replaced</span>" in visitor(at).get(f"/pages/{page}").text


def test_a_word_of_adjudication_settles_the_page_and_is_no_rater(tmp_path: Path) -> None:
    at = reader(tmp_path)
    before = next(row for row in found(at, "spread > 0 AND split = 'train'"))
    settled = label.label_row(at.rubric, before["page_id"], "zoe", level=0, at="2026-03-03", role="adjudication")
    at.work().store.append("labels", [settled])
    (after,) = found(at, f"page_id = '{before['page_id']}'")
    assert (before["human"], after["human"], after["spread"]) == (1.0, 0.0, before["spread"])
    html = visitor(at).get(f"/pages/{before['page_id']}").text
    assert "2 raters, 2 apart, settled" in html
    assert "<span>adjudication</span>" in html
    assert [one.name for one in people(at).raters] == ["anna", "ben"]


def test_neighbours_are_those_of_the_list_it_was_opened_from(read: Reader) -> None:
    ids = read.find(Asked("split <> 'test'", "score DESC")).ids
    query = {"where": "split <> 'test'", "order": "score DESC"}
    html = visitor(read).get(f"/pages/{ids[1]}", params=query).text
    assert f'rel="prev" href="/pages/{ids[0]}?' in html
    assert f'rel="next" href="/pages/{ids[2]}?' in html
    lost = visitor(read).get(f"/pages/{ids[1]}", params={"where": "nonsense("})
    assert lost.status_code == 200
    assert 'rel="next"' not in lost.text


@pytest.mark.parametrize("page_id", ["elsewhere", "a/b", "%2e%2e%2fetc%2fpasswd", "' OR 1=1", "<b>"])
def test_a_page_that_is_not_there_is_404(read: Reader, page_id: str) -> None:
    answer = visitor(read).get(f"/pages/{page_id}")
    assert answer.status_code == 404
    assert "No such page" in answer.text
    assert "<b>" not in answer.text


def test_a_long_page_is_folded_and_loses_nothing(tmp_path: Path) -> None:
    text = "".join(f"line {i}\n" for i in range(4000))
    at = reader(tmp_path, rows=[{"url": "https://long.example/", "text": text, "lang": "en"}, *small_desk.pages(5)])
    page = next(page for page in in_order(at.opened) if "long" in page["url"])
    html = visitor(at).get(f"/pages/{page['page_id']}").text
    shown = re.findall(r'<div class="text" dir="auto">(.*?)</div>', html, re.DOTALL)
    assert [len(part) for part in shown] == [FOLD_CHARS, len(page["text"]) - FOLD_CHARS]
    assert "".join(shown) == page["text"]


def test_repeats_and_other_columns_of_the_source_are_named(tmp_path: Path) -> None:
    rows = small_desk.pages(4)
    rows.append(
        {**rows[0], "url": "https://again.example/", "text": rows[0]["text"] + " more", "topic": "<i>roses</i>"}
    )
    at = reader(tmp_path, rows=rows)
    twin = next(page for page in in_order(at.opened) if page["duplicate_of"])
    html = visitor(at).get(f"/pages/{twin['page_id']}").text
    assert f'repeats <a href="/pages/{twin["duplicate_of"]}">' in html
    assert f'<a href="/pages/{twin["page_id"]}">' in visitor(at).get(f"/pages/{twin['duplicate_of']}").text
    extra = next(page for page in in_order(at.opened) if page["topic"])
    assert "&lt;i&gt;roses&lt;/i&gt;" in visitor(at).get(f"/pages/{extra['page_id']}").text
    assert [row["page_id"] for row in found(at, "topic IS NOT NULL")] == [extra["page_id"]]
    assert "topic" in at.columns()


def test_new_labels_do_not_hide_what_judge_and_classifier_said(tmp_path: Path) -> None:
    at = reader(tmp_path)
    assert "tune" not in fresh_records(at.opened).records
    assert {"tune", "filter"} <= at.work().records.keys()


def test_nothing_is_read_before_pages_are_drawn(tmp_path: Path) -> None:
    found = small_desk.opened(tmp_path)
    with pytest.raises(BadInput, match="no pages are drawn yet; run `curate run"):
        Reader(found.model_copy(update={"workspace": tmp_path / "other"}))


# Sealed pages --------------------------------------------------------------------------------------------------------


def test_what_was_said_of_a_sealed_page_stays_closed(tmp_path: Path) -> None:
    at = reader(tmp_path)
    page = split(at.opened, "test")[0]["page_id"]
    known = at.page(page)
    assert known is not None
    assert known["closed"]
    assert not {"labels", "judgments", "decisions", "verdicts"} & known.keys()
    html = visitor(at).get(f"/pages/{page}").text
    for words in ("anna", "because", "note", TUNED, "below threshold"):
        assert words not in html
    assert "stays closed" in html
    assert f"/pages/{page}?sealed=show" in html
    assert not (at.work().store.root / "unsealed").exists()


def test_opening_a_sealed_page_shows_it_and_is_written_down(tmp_path: Path) -> None:
    at = reader(tmp_path)
    page = split(at.opened, "test")[0]["page_id"]
    html = visitor(at).get(f"/pages/{page}", params={"sealed": "show"}).text
    assert "anna" in html
    assert "because" in html
    assert "this look is written down" in html
    store = at.work().store
    (opening,) = (store.root / "unsealed").glob("*.json")
    assert opening.name.endswith(f"-{page}-reading.json")
    assert f'"page": "{page}"' in opening.read_text()
    visitor(at).get(f"/pages/{page}", params={"sealed": "show"})
    assert _read_before(store) == ["the labels and judgments of 1 sealed page have been read one by one"]


def test_a_page_that_is_not_sealed_opens_nothing(tmp_path: Path) -> None:
    at = reader(tmp_path)
    page = split(at.opened, "train")[0]["page_id"]
    assert visitor(at).get(f"/pages/{page}", params={"sealed": "show"}).status_code == 200
    assert _read_before(at.work().store) == []


def people(of: Reader) -> Agreed:
    work = of.work()
    return agreed(work.labels(), work.pages(), work.rubric)


# Agreement and the report --------------------------------------------------------------------------------------------


def test_agreement_counts_pages_and_raters(read: Reader) -> None:
    given = people(read)
    assert (given.labels, given.pages, given.shared) == (24, 12, 12)
    assert [one.name for one in given.raters] == ["anna", "ben"]
    same = sum(row["level"] == 2 for row in read.work().labels() if row["rater"] == "ben") / 12
    assert given.raters[0].same.value == pytest.approx(same)
    assert given.raters[0].bias is not None
    assert given.raters[0].bias.value == pytest.approx(2 * (1 - same))
    html = visitor(read).get("/agreement").text
    assert "24 labels of 12 pages by 2 raters" in html
    assert "Krippendorff" in html


def test_labels_that_may_be_slips_are_listed_with_their_reasons_but_none_of_the_seal(tmp_path: Path) -> None:
    at = reader(tmp_path)
    pages = [row["page_id"] for row in found(at, "human = 1")] + [split(at.opened, "test")[0]["page_id"]]
    others = [
        label.label_row(at.rubric, page, rater, level=2, at="2026-04-01")
        for page in pages
        for rater in ("carl", "<dora>")
    ]
    at.work().store.append("labels", others)
    html = visitor(at).get("/agreement").text
    assert "Labels that may be slips" in html
    listed = set(re.findall(r'href="/pages/([0-9a-f]{20})"', html))
    assert listed <= {row["page_id"] for row in found(at, "split <> 'test'")}
    assert set(pages[:-1]) <= listed
    assert "3 others would keep it" in html


def test_agreement_without_labels_and_with_one_rater_says_so(tmp_path: Path) -> None:
    at = Reader(small_desk.opened(tmp_path))
    assert "Nobody has labelled yet." in visitor(at).get("/agreement").text
    page = in_order(at.opened)[0]["page_id"]
    at.work().store.append("labels", [label.label_row(at.rubric, page, "<anna>", level=1, at="2026-01-01")])
    html = visitor(at).get("/agreement").text
    assert "1 label of 1 page by 1 rater" in html
    assert "have a second person label some of the same pages" in html
    assert "&lt;anna&gt;" in html


def test_the_newest_report_is_served_as_it_was_written(tmp_path: Path) -> None:
    at = reader(tmp_path)
    missing = visitor(at).get("/report")
    assert missing.status_code == 404
    assert "curate run" in missing.text
    store = at.work().store
    for i, name in enumerate(["old", "new"]):
        html = f"<!doctype html><head><style>p {{ color: red }}</style></head><body><p>{name}</p></body>"
        write_text(store.root / "reports" / name / "report.html", html)
        record = {"fingerprint": name, "report": {"html": f"reports/{name}/report.html"}, "at": f"2026-01-0{i + 1}"}
        write_json(store.root / "stages" / f"report-{name}.json", record)
    answer = visitor(at).get("/report")
    assert "<p>new</p>" in answer.text
    assert "<style>p { color: red }</style>" in answer.text
    assert answer.headers["content-security-policy"] == REPORT_POLICY
    (store.root / "reports" / "new" / "report.html").unlink()
    assert "<p>old</p>" in visitor(at).get("/report").text


def test_the_report_needs_nothing_that_its_policy_forbids() -> None:
    folder = Path(__file__).parents[1] / "curate" / "stages" / "templates"
    for template in folder.glob("*.j2"):
        html = template.read_text()
        assert not re.search(r"<script|<link|<img|<iframe|\son\w+=|@import|url\(|<form", html), template.name
        assert not re.findall(r"(?:src|href)=\"(?!#|data:)", html), template.name


# Behind the gate -----------------------------------------------------------------------------------------------------


def gated(at: Reader) -> TestClient:
    return TestClient(make_reading_app(at, token="secret"), base_url="http://127.0.0.1")


@pytest.mark.parametrize(
    "path", ["/", "/pages", "/pages/x?sealed=show", "/agreement", "/report", "/static/reading.css"]
)
def test_nothing_is_read_without_the_token_or_under_a_foreign_name(read: Reader, path: str) -> None:
    assert gated(read).get(path).status_code == 403
    answer = gated(read).get(f"{path}{'&' if '?' in path else '?'}token=secret", headers={"host": "evil.example"})
    assert answer.status_code == 403
    assert not (read.work().store.root / "unsealed").exists()


def test_the_link_leads_to_the_list_and_is_needed_once(read: Reader) -> None:
    client = gated(read)
    answer = client.get("/?token=secret")
    assert answer.url.path == "/pages"
    assert "token" not in str(answer.url)
    assert client.get("/agreement").status_code == 200


def test_a_desk_can_show_them_too_where_it_is_told_to(read: Reader) -> None:
    desk = PipelineDesk(read.opened)
    plain = TestClient(make_app(desk, token="secret", rater="anna"), base_url="http://127.0.0.1")
    assert plain.get("/?token=secret").status_code == 200
    for path in "/pages", f"/pages/{in_order(read.opened)[0]['page_id']}", "/agreement", "/report":
        assert plain.get(path).status_code == 404
    more = routes(read, links={"Label": "/"})
    shows = TestClient(make_app(desk, token="secret", rater="anna", more=more), base_url="http://127.0.0.1")
    assert shows.get("/pages").status_code == 403
    assert shows.get("/?token=secret").status_code == 200
    answer = shows.get("/pages")
    assert '<a href="/">Label</a>' in answer.text
    assert answer.headers["content-security-policy"] == POLICY


def test_each_answer_has_the_policy_of_its_own_or_else_the_desks(tmp_path: Path) -> None:
    at = reader(tmp_path)
    client = gated(at)
    policy = "content-security-policy"
    assert client.get("/pages?token=secret").headers[policy] == POLICY
    assert client.get("/?token=secret", follow_redirects=False).headers[policy] == HEADERS[policy]
    assert client.get("/static/reading.css").headers[policy] == HEADERS[policy]
    assert gated(at).get("/pages").headers[policy] == HEADERS[policy]
    for name in HEADERS.keys() - {policy}:
        assert client.get("/pages").headers[name] == HEADERS[name]
    assert "script-src" not in POLICY + REPORT_POLICY
    assert POLICY.startswith("default-src 'none'")
    assert REPORT_POLICY.startswith("default-src 'none'")


def test_what_fails_is_said_in_one_line(tmp_path: Path) -> None:
    at = reader(tmp_path)
    client = gated(at)
    assert client.get("/?token=secret").status_code == 200
    at.work().store.parts("labels")[0].write_bytes(b"no parquet")
    answer = client.get("/agreement")
    assert answer.status_code == 503
    assert "is damaged" in answer.json()["message"]


def test_pages_are_read_on_this_computer_only(read: Reader) -> None:
    with pytest.raises(BadInput, match="on this computer only"):
        serve(read, host="0.0.0.0", open_browser=False, on_ready=lambda url: None)


def test_the_command_prints_a_link_that_opens_the_list_and_ends_in_good_order(tmp_path: Path) -> None:
    reader(tmp_path)
    command = [sys.executable, "-m", "curate", "read", str(tmp_path / "p.yaml"), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        try:
            url = re.search(r"http://\S+", said)
            assert url, said
            with urllib.request.build_opener(urllib.request.HTTPCookieProcessor()).open(url[0], timeout=20) as answer:
                assert b"1\xe2\x80\x9312 of 12 pages" in answer.read()
        finally:
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "Traceback" not in err


# Hostile text --------------------------------------------------------------------------------------------------------


TAGS = """html head meta title link body header strong nav a main h1 h2 p div form label input select option button details
summary code b small ol li bdi span dl dt dd article section em time table caption tr th td meter ul blockquote pre thead
tbody"""


class Markup(HTMLParser):
    """The tags of a page, and attributes that could run, style or lead somewhere else."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.odd: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            leads = name in ("href", "src", "action") and not (value or "").startswith("/")
            if name.startswith("on") or name in ("style", "srcdoc", "formaction", "http-equiv") or leads:
                self.odd.append((name, value))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    text = small_desk.HOSTILE + "<svg onload=alert(1)><style>*{display:none}</style><form action=//evil.example>"
    rows = [{"url": "javascript:alert(1)//<b>", "title": "<script>1</script>\u202e", "text": text, "lang": "<i>"}]
    at = reader(tmp_path_factory.mktemp("hostile"), rows=[*rows, *small_desk.pages(3)])
    with visitor(at) as client:
        yield client


@pytest.mark.parametrize(
    "path", ["/pages", "/pages?where=title+IS+NOT+NULL", "/agreement", "/report", "/pages/none", "each"]
)
def test_whatever_pages_and_people_wrote_is_only_text(hostile: TestClient, path: str) -> None:
    listed = re.findall(r'href="(/pages/[0-9a-f]{20})"', hostile.get("/pages").text)
    for one in listed if path == "each" else [path]:
        answer = hostile.get(one, params={"sealed": "show"} if path == "each" else None)
        html = answer.text
        assert answer.headers["content-security-policy"] == POLICY
        seen = Markup()
        seen.feed(html)
        assert seen.tags <= set(TAGS.split())
        assert not seen.odd
        assert "\u202e" not in html


def test_notes_and_reasons_are_shown_as_they_were_written(hostile: TestClient) -> None:
    one = re.findall(r'href="(/pages/[0-9a-f]{20})"', hostile.get("/pages").text)[0]
    html = hostile.get(one, params={"sealed": "show"}).text
    assert "&lt;script&gt;document.title = &#39;owned&#39;&lt;/script&gt; because" in html
    assert HOSTILE_NOTE.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;").replace("'", "&#39;") in html


def test_every_made_column_is_explained_in_the_list(read: Reader) -> None:
    html = visitor(read).get("/pages").text
    for name in MADE:
        assert f"<code>{name}</code>" in html
