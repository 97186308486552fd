"""The labelling desk, by keys and by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_desk

from browser.browsing import (
    PHONE,
    TOKEN,
    Server,
    Visits,
    fits,
    label,
    picture,
    press,
    rows,
    says,
    shown,
    texts,
    wait_for_rows,
)
from curate.web.app import make_app
from curate.web.desk import PipelineDesk

Serve = Callable[[Any], Server]
Check = Callable[[Any], None]
CLASSES = """---
name: useful
asks: What is this page?
scale: choice
keep: [tutorial]
classes: {tutorial: shows how, news: says what happened, shop: sells}
---
Say what the page is.
"""


@pytest.fixture
def desk(tmp_path: Path) -> PipelineDesk:
    return small_desk.desk(tmp_path)


@pytest.fixture
def server(desk: PipelineDesk, serve: Serve) -> Server:
    """The desk, where anna sits."""
    return serve(make_app(desk, token=TOKEN, rater="anna"))


def test_a_page_is_labelled_by_keys_with_its_criteria(server: Server, visit: Visits, desk: PipelineDesk) -> None:
    page = visit(server.link)
    assert page.url == f"{server.origin}/"  # the token does not stay in the address
    text = label(page, "2 1")
    (row,) = wait_for_rows(page, desk, 1)
    assert (row["rater"], row["level"], json.loads(row["criteria"])) == ("anna", 2, {"layout": 1})
    assert texts(desk)[row["page_id"]] == text
    assert 0.2 < row["seconds"] < 30
    says(page, "saved 2")
    label(page, "0 Enter")
    assert wait_for_rows(page, desk, 2)[1]["criteria"] is None


def test_a_note_goes_with_the_level_and_keys_in_it_are_words(server: Server, visit: Visits, desk: PipelineDesk) -> None:
    page = visit(server.link)
    press(page, "n")
    page.keyboard.type("2 s f u: only words")
    page.keyboard.press("Enter")
    label(page, "1 0")
    (row,) = wait_for_rows(page, desk, 1)
    assert (row["level"], row["note"], row["flag"]) == (1, "2 s f u: only words", "")


def test_skip_and_flag_and_undo(server: Server, visit: Visits, desk: PipelineDesk) -> None:
    page = visit(server.link)
    skipped, flagged = label(page, "s"), label(page, "f")
    found = wait_for_rows(page, desk, 2)
    assert [row["flag"] for row in found] == ["skipped", "unusable"]
    page.wait_for_selector("#undo:enabled")
    page.keyboard.press("u")
    page.wait_for_function("text => document.querySelector('#text').textContent === text", arg=flagged)
    says(page, "taken back: you said unusable")
    label(page, "2 1")
    assert wait_for_rows(page, desk, 4)[-1]["level"] == 2
    assert {texts(desk)[row["page_id"]] for row in rows(desk)} == {skipped, flagged}


def test_between_level_and_criterion_undo_goes_back_to_the_level(
    server: Server, visit: Visits, desk: PipelineDesk
) -> None:
    page = visit(server.link)
    press(page, "2")
    page.wait_for_selector("#step:not([hidden])")
    assert page.inner_text("#step") == "Level 2. layout, 1 of 1"
    page.keyboard.press("u")
    assert page.is_hidden("#step")
    label(page, "0 0")
    assert wait_for_rows(page, desk, 1)[0]["level"] == 0


def test_reloading_in_the_middle_loses_nothing(server: Server, visit: Visits, desk: PipelineDesk) -> None:
    page = visit(server.link)
    done = label(page, "2 1")
    open_page = shown(page)
    page.keyboard.press("1")
    page.reload()
    assert shown(page) == open_page != done
    assert page.is_hidden("#step")
    assert len(wait_for_rows(page, desk, 1)) == 1
    label(page, "0 1")
    assert [row["level"] for row in wait_for_rows(page, desk, 2)] == [2, 0]


def test_what_is_said_while_the_desk_does_not_answer_is_kept_and_sent(
    server: Server, visit: Visits, desk: PipelineDesk
) -> None:
    visit.expected += ["Failed to load resource", "ERR_"]
    page = visit(server.link)
    shown(page)
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    label(page, "2 1")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "the desk does not answer" in page.inner_text("#trouble")
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('curate-unsaved-')).length") == 1
    assert rows(desk) == []
    page.context.set_offline(False)
    (row,) = wait_for_rows(page, desk, 1)
    assert row["level"] == 2
    page.wait_for_selector("#trouble", state="hidden")


def test_two_raters_at_once_get_different_pages_and_stay_blind(desk: PipelineDesk, serve: Serve, visit: Visits) -> None:
    server = serve(make_app(desk, token=TOKEN, rater=""))
    pages = {}
    for name in "anna", "ben":
        page = pages[name] = visit(server.link)
        page.fill("#name", name)
        page.keyboard.press("Enter")
        page.wait_for_selector("#desk")
    said: dict[str, list[str]] = {"anna": [], "ben": []}
    for turn in range(2):
        for name, page in pages.items():
            press(page, "n")
            page.keyboard.type(f"{name}'s secret {turn}")
            page.keyboard.press("Enter")
            said[name].append(label(page, "2 1"))
    assert len({*said["anna"], *said["ben"]}) == 4
    wait_for_rows(pages["anna"], desk, 4)
    assert "secret" not in pages["ben"].content().replace("ben's secret", "")
    by_rater = {name: [texts(desk)[r["page_id"]] for r in rows(desk) if r["rater"] == name] for name in said}
    assert by_rater == said


def test_help_names_the_keys_and_takes_them_from_the_page(server: Server, visit: Visits, desk: PipelineDesk) -> None:
    page = visit(server.link)
    press(page, "?")
    assert page.is_visible("#keys")
    page.keyboard.press("2")
    page.keyboard.press("Escape")
    assert page.is_hidden("#keys")
    page.wait_for_timeout(100)
    assert page.is_hidden("#step")
    assert rows(desk) == []


def test_classes_have_keys_of_their_own(tmp_path: Path, serve: Serve, visit: Visits, accessible: Check) -> None:
    opened = small_desk.opened(tmp_path)
    (tmp_path / "useful.md").write_text(CLASSES)
    from curate.rubric import load

    desk = PipelineDesk(opened.model_copy(update={"rubric": load(tmp_path / "useful.md")}))
    page = visit(serve(make_app(desk, token=TOKEN, rater="anna")).link)
    shown(page)
    accessible(page)
    label(page, "b")
    assert wait_for_rows(page, desk, 1)[0]["level"] == 1
    says(page, "saved news")


def test_a_long_page_is_unfolded_by_a_key_and_the_label_says_so(tmp_path: Path, serve: Serve, visit: Visits) -> None:
    text = "\n".join(f"paragraph {i} of a long page" for i in range(600))
    desk = small_desk.desk(tmp_path, rows=[{"url": "https://long.example/", "lang": "en", "text": text}])
    page = visit(serve(make_app(desk, token=TOKEN, rater="anna")).link)
    assert len(shown(page)) < len(text)
    page.keyboard.press("r")
    assert page.inner_text("#text") == text
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    assert wait_for_rows(page, desk, 1)[0]["shown"] == "text"
    page.wait_for_selector("#end:not([hidden])")


@pytest.mark.parametrize("viewport", [PHONE, {"width": 1280, "height": 900}], ids=["phone", "desk"])
def test_every_state_is_open_to_all_and_fits(
    desk: PipelineDesk, serve: Serve, visit: Visits, accessible: Check, viewport: dict[str, int]
) -> None:
    server = serve(make_app(desk, token=TOKEN, rater=""))
    page = visit(server.link, viewport=viewport, has_touch=viewport is PHONE)
    size = "phone" if viewport is PHONE else "desk"

    def look(state: str) -> None:
        assert fits(page), state
        if viewport is not PHONE or state in ("page", "note"):
            accessible(page)
        picture(page, f"{state}-{size}")

    look("name")
    page.fill("#name", "anna")
    page.keyboard.press("Enter")
    page.wait_for_selector("#desk")
    shown(page)
    look("page")
    page.keyboard.press("2")
    page.wait_for_selector("#step:not([hidden])")
    look("criterion")
    page.keyboard.press("1")
    press(page, "n")
    look("note")
    page.keyboard.press("Escape")
    if viewport is not PHONE:
        press(page, "?")
        look("help")
        page.keyboard.press("Escape")
    for _ in range(11):
        press(page, "s")
    page.wait_for_selector("#end:not([hidden])")
    look("end")


def test_dark_and_light_differ(server: Server, visit: Visits) -> None:
    page = visit(server.link, color_scheme="dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="light")
    assert dark != page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_by_touch_alone_on_a_phone(server: Server, visit: Visits, desk: PipelineDesk) -> None:
    page = visit(server.link, viewport=PHONE, has_touch=True)
    shown(page)
    page.tap("#choices button:nth-child(3)")
    page.tap("#choices button:nth-child(2)")
    (row,) = wait_for_rows(page, desk, 1)
    assert (row["level"], json.loads(row["criteria"])) == (2, {"layout": 1})


def test_without_the_token_there_is_nothing_to_see(server: Server, visit: Visits) -> None:
    visit.expected += ["403 (Forbidden)"]
    page = visit(f"{server.origin}/")
    assert "open the link" in page.inner_text("body")
