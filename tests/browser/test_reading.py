"""The pages that are read, and hostile text in every one of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_desk
import small_reading

from browser.browsing import BIDI, HOSTILE, PHONE, TITLE, TOKEN, Server, Visits, fits, picture, shown, unharmed
from curate.stages import label
from curate.store import Store, write_json, write_text
from curate.web.app import make_app
from curate.web.desk import PipelineDesk
from curate.web.reading import Reader
from curate.web.reading_app import make_reading_app

Serve = Callable[[Any], Server]
Check = Callable[[Any], None]


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return small_reading.reader(tmp_path)


@pytest.fixture
def server(reader: Reader, serve: Serve) -> Server:
    return serve(make_reading_app(reader, token=TOKEN))


def test_from_the_list_to_a_page_and_on(server: Server, visit: Visits) -> None:
    page = visit(server.link)
    assert page.url == f"{server.origin}/pages"
    page.fill("#filter-where", "split <> 'test' AND keep")
    page.fill("#filter-order", "score DESC")
    page.keyboard.press("Enter")
    page.wait_for_url("**/pages?*where=*")
    assert page.input_value("#filter-where") == "split <> 'test' AND keep"
    links = page.locator(".found h2 a")
    assert links.count() > 1
    second = links.nth(1).get_attribute("href").split("?")[0]
    links.first.click()
    page.wait_for_selector(".verdicts")
    page.click("a[rel=next]")
    page.wait_for_url(f"**{second}?*")
    page.click("text=the list")
    page.wait_for_selector(".found")
    assert page.input_value("#filter-order") == "score DESC"


def test_an_error_stands_above_the_form_which_keeps_its_words(server: Server, visit: Visits) -> None:
    visit.expected += ["400 (Bad Request)"]
    page = visit(server.link)
    page.fill("#filter-where", "judg = 2")
    page.click("text=Show")
    page.wait_for_selector("[role=alert]")
    assert "did you mean judge?" in page.inner_text("[role=alert]")
    assert page.input_value("#filter-where") == "judg = 2"
    page.click("text=raters disagree")
    page.wait_for_selector(".found li")


def test_a_sealed_page_is_opened_by_hand_alone(server: Server, visit: Visits, reader: Reader) -> None:
    sealed = small_reading.split(reader.opened, "test")[0]["page_id"]
    page = visit(server.link)
    page.goto(f"{server.origin}/pages/{sealed}")
    assert page.locator(".verdicts").count() == 0
    folder = reader.work().store.root / "unsealed"
    assert not folder.exists()
    page.click("text=Open it for this page")
    page.wait_for_selector(".verdicts")
    assert len(list(folder.iterdir())) == 1


def test_every_state_is_open_to_all_and_fits(server: Server, visit: Visits, reader: Reader, accessible: Check) -> None:
    visit.expected += ["400 (Bad Request)", "404 (Not Found)"]
    opened = small_reading.split(reader.opened, "train")[0]["page_id"]
    sealed = small_reading.split(reader.opened, "test")[0]["page_id"]
    paths = {
        "pages": "pages", "error": "pages?where=judg", "read": f"pages/{opened}", "sealed": f"pages/{sealed}",
        "agreement": "agreement", "no-report": "report", "no-page": "pages/none",
    }  # fmt: skip
    page = visit(server.link)
    for name, path in paths.items():
        page.goto(f"{server.origin}/{path}")
        accessible(page)
        for size, viewport in {"desk": {"width": 1280, "height": 900}, "phone": PHONE}.items():
            page.set_viewport_size(viewport)
            assert fits(page), (name, size)
            picture(page, f"reading-{name}-{size}")


def test_the_report_keeps_its_styles_and_asks_nobody(server: Server, visit: Visits, reader: Reader) -> None:
    store = reader.work().store
    html = "<!doctype html><title>r</title><style>h1 { color: rgb(1, 2, 3) }</style><body><h1 style='margin:7px'>R</h1>"
    write_text(store.root / "reports" / "r" / "report.html", html + "<img src='https://evil.example/i.png'>")
    record = {"fingerprint": "r", "report": {"html": "reports/r/report.html"}}
    write_json(store.root / "stages" / "report-r.json", record)
    visit.expected += ["evil.example"]
    page = visit(server.link)
    page.goto(f"{server.origin}/report")
    style = "(name) => getComputedStyle(document.querySelector('h1'))[name]"
    assert page.evaluate(style, "color") == "rgb(1, 2, 3)"
    assert page.evaluate(style, "marginTop") == "7px"
    assert page.evaluate("document.querySelector('img').naturalWidth") == 0
    page.click("text=← pages")
    page.wait_for_selector(".found")


def test_without_the_token_nothing_is_read(server: Server, visit: Visits) -> None:
    visit.expected += ["403 (Forbidden)"]
    for path in "pages", "agreement", "report", "static/reading.css":
        assert "open the link" in visit(f"{server.origin}/{path}").inner_text("body")


def test_hostile_text_is_only_text_wherever_it_is_read(tmp_path: Path, serve: Serve, visit: Visits) -> None:
    rows = [
        {"url": f"javascript:alert({i})//{BIDI}", "title": TITLE, "text": f"{i} {HOSTILE}", "lang": "<b>"}
        for i in range(2)
    ]
    reader = small_reading.reader(tmp_path, rows=[*rows, *small_desk.pages(2)])
    store, rubric = Store(reader.opened.workspace), reader.rubric
    pages = small_reading.in_order(reader.opened)
    words = [
        label.label_row(rubric, page["page_id"], HOSTILE[:30], level=1, note=HOSTILE, at="2026-03-01") for page in pages
    ]
    store.append("labels", words)
    server = serve(make_reading_app(reader, token=TOKEN))
    page = visit(server.link)
    hrefs = [f"/pages/{one['page_id']}?sealed=show" for one in pages]
    for path in ["/pages", "/pages?where=title+IS+NOT+NULL", "/agreement", *hrefs]:
        page.goto(f"{server.origin}{path}")
        page.wait_for_timeout(100)
        unharmed(page, server, path)
    texts = {one["page_id"]: one["text"] for one in pages}
    page.goto(f"{server.origin}{hrefs[0]}")
    assert page.evaluate("document.querySelector('.text').textContent") == texts[pages[0]["page_id"]]


def test_hostile_text_is_only_text_on_the_desk(tmp_path: Path, serve: Serve, visit: Visits) -> None:
    rows = [{"url": f"javascript:alert(1)//{BIDI}", "title": TITLE, "text": HOSTILE, "lang": "<b>"}]
    server = serve(make_app(small_desk.desk(tmp_path, rows=rows), token=TOKEN, rater="anna"))
    page = visit(server.link)
    shown(page)
    assert page.evaluate("document.querySelector('#text').textContent").strip() == HOSTILE.strip()
    page.wait_for_timeout(100)
    unharmed(page, server, "/")


def test_a_plain_desk_serves_no_pages_to_read(tmp_path: Path, serve: Serve, visit: Visits) -> None:
    desk = PipelineDesk(small_reading.opened(tmp_path))
    visit.expected += ["404 (Not Found)"]
    server = serve(make_app(desk, token=TOKEN, rater="carl"))
    page = visit(server.link)
    assert page.locator("a[href='/pages']").count() == 0
    for path in "pages", "agreement", "report":
        assert page.goto(f"{server.origin}/{path}").status == 404
