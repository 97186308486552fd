"""What a team does at the desk: help from the judge, disagreements settled, and a password where others can reach it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import small_desk

from browser.browsing import (
    BIDI,
    HOSTILE,
    PHONE,
    TITLE,
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
    unharmed,
    wait_for_rows,
)
from curate.config import Opened
from curate.pipeline import fresh_records
from curate.schema import Judgment
from curate.store import write_text
from curate.web.app import make_app
from curate.web.desk import PipelineDesk
from curate.web.gate import MOST_TRIES, Password

Serve = Callable[[Any], Server]
Check = Callable[[Any], None]
REASON = "<b>because</b> it <script>document.title = 'owned'</script> explains"


def judged(folder: Path) -> Opened:
    """A pipeline whose judge says 1 of every page."""
    opened = small_desk.opened(folder)
    work = fresh_records(opened)
    judge = work.make_judge("level", "page_first")
    write_text(work.judges / judge.id / "judge.json", judge.model_dump_json())
    name, _ = work.find("tune")
    report = {"tuned_id": judge.id, "untuned_id": judge.id}
    work.store.write_record("tune", name, {"fingerprint": name, "report": report})
    said = [
        Judgment(page["page_id"], judge.id, "ok", level=1, expected=1.1, probabilities=[0.1, 0.7, 0.2], reason=REASON)
        for page in work.pages()
    ]
    work.store.append("judgments", [one.row() for one in said])
    return opened


def split_of(desk: PipelineDesk, text: str) -> str:
    return next(str(page["split"]) for page in desk._pages.values() if page["text"] == text)


def until(page: Any, desk: PipelineDesk, *, sealed: bool) -> str:
    """Skip until a page that is sealed, or is not, is on the desk."""
    while (split_of(desk, text := shown(page)) == "test") is not sealed:
        label(page, "s")
    return text


def test_help_after_the_choice_is_seen_then_and_not_before(
    tmp_path: Path, serve: Serve, visit: Visits, accessible: Check
) -> None:
    desk = PipelineDesk(judged(tmp_path), assist="after")
    page = visit(serve(make_app(desk, token=TOKEN, rater="anna")).link)
    text = until(page, desk, sealed=False)
    assert page.is_hidden("#judge")
    assert "because" not in page.content()
    press(page, "2 1")
    page.wait_for_selector("#judge:not([hidden])")
    assert "level 1 (70 %)" in page.inner_text("#judge")
    assert REASON in page.inner_text("#judge")
    assert page.inner_text("#text") == text
    accessible(page)
    picture(page, "assist-after")
    first = len(rows(desk))
    page.keyboard.press("Enter")
    page.wait_for_function("before => document.querySelector('#text').textContent !== before", arg=text)
    kept = rows(desk)[-1]
    assert (kept["level"], kept["assisted"]) == (2, False)
    assert len(rows(desk)) == first


def test_an_answer_changed_after_help_is_marked_and_the_first_stays(
    tmp_path: Path, serve: Serve, visit: Visits
) -> None:
    desk = PipelineDesk(judged(tmp_path), assist="after")
    page = visit(serve(make_app(desk, token=TOKEN, rater="anna")).link)
    text = until(page, desk, sealed=False)
    before = len(rows(desk))
    press(page, "2 1")
    page.wait_for_selector("#judge:not([hidden])")
    label(page, "1 1")
    first, changed = wait_for_rows(page, desk, before + 2)[before:]
    assert texts(desk)[first["page_id"]] == texts(desk)[changed["page_id"]] == text
    assert (first["level"], first["assisted"]) == (2, False)
    assert (changed["level"], changed["assisted"]) == (1, True)
    assert "judge" in changed["shown"]


def test_after_the_choice_a_sealed_page_gets_no_help(tmp_path: Path, serve: Serve, visit: Visits) -> None:
    desk = PipelineDesk(judged(tmp_path), assist="after")
    page = visit(serve(make_app(desk, token=TOKEN, rater="anna")).link)
    until(page, desk, sealed=True)
    label(page, "2 1")
    assert page.is_hidden("#judge")
    assert rows(desk)[-1]["assisted"] is False


def test_help_before_the_choice_is_marked_and_never_on_sealed_pages(
    tmp_path: Path, serve: Serve, visit: Visits, accessible: Check
) -> None:
    desk = PipelineDesk(judged(tmp_path), assist="before")
    page = visit(serve(make_app(desk, token=TOKEN, rater="anna")).link)
    shown(page)
    assert "level 1 (70 %)" in page.inner_text("#judge")
    accessible(page)
    picture(page, "assist-before")
    seen = []
    while page.is_hidden("#end"):
        seen.append(split_of(desk, shown(page)))
        before = len(rows(desk))
        page.keyboard.press("2")
        page.keyboard.press("1")
        wait_for_rows(page, desk, before + 1)
        page.wait_for_timeout(150)
    assert seen
    assert "test" not in seen
    assert all(row["assisted"] for row in rows(desk))


def test_a_plain_desk_never_sends_what_the_judge_said(tmp_path: Path, serve: Serve, visit: Visits) -> None:
    desk = PipelineDesk(judged(tmp_path))
    page = visit(serve(make_app(desk, token=TOKEN, rater="anna")).link)
    answers: list[str] = []
    page.on("response", lambda response: answers.append(response.url))
    bodies = []
    page.on("requestfinished", lambda request: bodies.append(request.response().text()))
    label(page, "2 1")
    page.wait_for_timeout(200)
    assert any("/api/labels" in url for url in answers)
    assert not any("because" in body for body in bodies)


def parted(folder: Path) -> PipelineDesk:
    """anna and ben part on two pages, on one of them across the border; on a third they agree."""
    desk = small_desk.desk(folder, overlap=1.0)
    found = sorted(desk._pages.values(), key=lambda page: str(page["url"]))[:3]
    for page, (one, other) in zip(found, [(2, 0), (1, 0), (2, 2)], strict=True):
        desk.save("anna", small_desk.level(page, one, note="anna <img src=x onerror=alert(1)> says why"))
        desk.save("ben", small_desk.level(page, other, note="ben says why not"))
    return desk


def test_disagreements_are_settled_by_keys_the_largest_first(
    tmp_path: Path, serve: Serve, visit: Visits, accessible: Check
) -> None:
    desk = parted(tmp_path)
    server = serve(make_app(desk, token=TOKEN, rater="zoe", adjudicate=True))
    page = visit(f"{server.origin}/adjudicate?token={TOKEN}")
    shown(page)
    assert page.inner_text("#counts") == "2 disagreements to settle"
    assert "Some would keep this page" in page.inner_text("#border")
    assert "anna <img src=x onerror=alert(1)> says why" in page.inner_text("#sides")
    headings = page.locator("#sides h3").all_inner_texts()
    assert [words[0] for words in headings] == ["A", "B"]
    assert not any("anna" in words or "ben" in words for words in headings)
    accessible(page)
    picture(page, "adjudicate")
    page.set_viewport_size(PHONE)
    assert fits(page)
    picture(page, "adjudicate-phone")
    page.set_viewport_size({"width": 1280, "height": 900})
    text = page.inner_text("#text")
    page.keyboard.press("n")
    page.keyboard.type("1 is right")
    page.keyboard.press("Enter")
    page.keyboard.press("1")
    page.wait_for_function("before => document.querySelector('#text').textContent !== before", arg=text)
    ruling = rows(desk)[-1]
    assert (ruling["rater"], ruling["role"], ruling["level"], ruling["note"]) == (
        "zoe",
        "adjudication",
        1,
        "1 is right",
    )
    says(page, "settled: Level 1")
    page.keyboard.press("u")
    says(page, "taken back")
    page.wait_for_function(
        "words => document.querySelector('#counts').textContent === words", arg="2 disagreements to settle"
    )
    for _ in range(2):
        before = page.inner_text("#counts")
        press(page, "0")
        page.wait_for_function("before => document.querySelector('#counts').textContent !== before", arg=before)
    page.wait_for_selector("#end:not([hidden])")
    accessible(page)
    assert desk.disputes() == []


def test_hostile_pages_and_notes_are_only_text_where_they_are_settled(
    tmp_path: Path, serve: Serve, visit: Visits
) -> None:
    rows = [{"url": f"javascript:alert(1)//{BIDI}", "title": TITLE, "text": HOSTILE, "lang": "<b>"}]
    desk = small_desk.desk(tmp_path, rows=rows, overlap=1.0)
    (page_id,) = desk._pages
    for rater, said in ("<b>a</b>", 2), ("ben", 0):
        desk.save(rater, small_desk.level({"page_id": page_id}, said, note=HOSTILE))
    server = serve(make_app(desk, token=TOKEN, rater="zoe", adjudicate=True, names=True))
    page = visit(f"{server.origin}/adjudicate?token={TOKEN}")
    assert shown(page).splitlines()[0] == HOSTILE.splitlines()[0]
    assert page.locator("#sides h3").all_inner_texts()[0].startswith("<b>a</b>")
    page.wait_for_timeout(100)
    unharmed(page, server, "/adjudicate")


def test_a_desk_on_a_network_asks_for_the_password_and_tires_of_guesses(
    tmp_path: Path, serve: Serve, visit: Visits, accessible: Check
) -> None:
    visit.expected += ["401 (Unauthorized)", "429 (Too Many Requests)"]
    desk = small_desk.desk(tmp_path)
    app = make_app(desk, token=TOKEN, rater="anna", hosts=(), password=Password("right horse"))
    server = serve(app)
    page = visit(server.link)
    assert page.url == f"{server.origin}/login"
    accessible(page)
    picture(page, "password")
    page.fill("#password", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "this is not the password" in page.inner_text("#trouble")
    page.fill("#password", "right horse")
    page.keyboard.press("Enter")
    shown(page)
    label(page, "2 1")
    assert len(wait_for_rows(page, desk, 1)) == 1
    other = visit(server.link)
    for turn in range(MOST_TRIES + 1):
        other.fill("#password", f"guess {turn}")
        with other.expect_response("**/api/login") as answer:
            other.keyboard.press("Enter")
    assert answer.value.status == 429
    other.wait_for_function("() => document.querySelector('#trouble').textContent.includes('too many')")
    other.goto(server.origin)
    assert other.url == f"{server.origin}/login"
