import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from small_desk import HOSTILE, REASON, desk, judged_desk, opened, pages
from starlette.testclient import TestClient

from curate.errors import BadInput, CurateError
from curate.rubric import Rubric
from curate.web.app import DESK_KEYS, answer_keys, make_app, serve
from curate.web.desk import Given, PipelineDesk
from curate.web.gate import Password

TOKEN = "a-token-nobody-guesses"


def visitor(at: PipelineDesk, *, rater: str = "", base: str = "http://127.0.0.1:8000", **given: Any) -> TestClient:
    """A browser that has not opened the link yet."""
    app = make_app(at, token=TOKEN, rater=rater, **given)
    return TestClient(app, base_url=base, raise_server_exceptions=False, follow_redirects=False)


def seated(at: PipelineDesk, **given: Any) -> TestClient:
    """A browser that has opened the link."""
    client = visitor(at, **given)
    assert client.get(f"/?token={TOKEN}").status_code == 200
    return client


def ahead(client: TestClient, rater: str = "anna", count: int = 1) -> list[dict[str, Any]]:
    return client.get("/api/pages", params={"rater": rater, "count": count}).json()["pages"]


def word(page: Mapping[str, Any], rater: str = "anna", **given: Any) -> dict[str, Any]:
    return {"rater": rater, "page_id": page["page_id"], "level": 1, "seconds": 3.5, **given}


@pytest.mark.parametrize(
    "path", ["/", "/?token=wrong", "/?token=", "/name", "/api/pages?rater=anna", "/static/desk.js", "/no"]
)
def test_without_the_token_everything_is_refused(tmp_path: Path, path: str) -> None:
    answer = visitor(desk(tmp_path)).get(path)
    assert answer.status_code == 403
    assert "open the link that was printed at the start" in answer.text


@pytest.mark.parametrize("path", ["/api/labels", "/api/undo", "/api/rater"])
def test_without_the_token_nothing_is_written(tmp_path: Path, path: str) -> None:
    at = desk(tmp_path)
    body = word(at.ahead("anna")[0]) | {"name": "anna"}
    assert visitor(at).post(path, json=body).status_code == 403
    assert at.store.parts("labels") == []


def test_the_link_is_needed_once_and_the_cookie_stays_on_this_site(tmp_path: Path) -> None:
    client = visitor(desk(tmp_path))
    first = client.get(f"/?token={TOKEN}")
    (cookie,) = first.headers.get_list("set-cookie")
    assert TOKEN in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert client.get("/").status_code == 200


def test_two_desks_in_one_browser_do_not_lock_each_other_out(tmp_path: Path) -> None:
    at = desk(tmp_path)
    first = seated(at)
    second = TestClient(
        make_app(at, token="another", rater=""), base_url="http://127.0.0.1:9000", cookies=first.cookies
    )
    assert second.get("/?token=another").status_code == 200
    second.cookies.update(first.cookies)
    assert second.get("/").status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000"])
def test_it_answers_to_loopback_names(tmp_path: Path, host: str) -> None:
    assert visitor(desk(tmp_path)).get(f"/?token={TOKEN}", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8000", "", "[", "localhost@evil.example"]
)
def test_a_foreign_name_that_leads_here_is_refused_even_with_the_token(tmp_path: Path, host: str) -> None:
    answer = visitor(desk(tmp_path)).get(f"/?token={TOKEN}", headers={"host": host})
    assert answer.status_code == 403
    assert "not served under this name" in answer.text


def test_beyond_loopback_any_name_will_do_but_not_without_the_token(tmp_path: Path) -> None:
    client = visitor(desk(tmp_path), base="http://box.example:8000", hosts=())
    assert client.get("/").status_code == 403
    assert client.get(f"/?token={TOKEN}").status_code == 200


@pytest.mark.parametrize("path", ["/", "/name", "/api/pages?rater=anna", "/static/desk.css", "/no"])
def test_every_answer_forbids_what_is_not_our_own(tmp_path: Path, path: str) -> None:
    at = desk(tmp_path)
    for client in (visitor(at), seated(at)):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/name"])
def test_pages_have_no_script_or_style_of_their_own_and_load_nothing_from_elsewhere(tmp_path: Path, path: str) -> None:
    html = seated(desk(tmp_path), rater="anna").get(path).text
    assert re.findall(r"<script(?![^>]*src=\"/static/)", html) == []
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    assert {url for url in re.findall(r"(?:src|href)=\"([^\"]*)\"", html) if not url.startswith("/")} <= {"#page"}
    for name in ("desk.js", "desk.css", "icon.svg"):
        assert f"/static/{name}" in html
        assert "//" not in re.sub(
            r"^\s*//.*$|http://www.w3.org/2000/svg|//[ ].*$",
            "",
            (Path(__file__).parent.parent / "curate/web/static" / name).read_text(),
            flags=re.M,
        )


def test_a_hostile_page_and_a_hostile_rubric_are_only_text(tmp_path: Path) -> None:
    at = desk(tmp_path, rows=[{"url": "https://evil.example/<b>", "text": HOSTILE, "lang": "en"}, *pages(2)])
    client = seated(at, rater="<i>anna</i>"[:9])
    html = client.get("/").text
    assert "<b>use" not in html
    assert "&lt;this&gt; page?" in html
    assert "<i>anna" not in html
    answer = client.get("/api/pages", params={"rater": "<i>anna</"[:9], "count": 3})
    assert answer.headers["content-type"] == "application/json"
    assert HOSTILE in [page["text"] for page in answer.json()["pages"]]


def test_a_rater_is_asked_once_who_they_are(tmp_path: Path) -> None:
    client = seated(desk(tmp_path))
    assert 'id="who"' in client.get("/").text
    answer = client.post("/api/rater", json={"name": "  Ana  Åström "})
    assert answer.json() == {"rater": "Ana Åström"}
    assert "SameSite=strict" in answer.headers["set-cookie"]
    html = client.get("/").text
    assert 'id="who"' not in html
    assert "<b>Ana Åström</b>" in html
    assert 'value="Ana Åström"' in client.get("/name").text


@pytest.mark.parametrize("name", ["", " ", "x" * 41, None, 7, "a\nb\x07"])
def test_what_is_no_name_is_400(tmp_path: Path, name: object) -> None:
    answer = seated(desk(tmp_path)).post("/api/rater", json={"name": name})
    assert answer.status_code == 400
    assert "must be a name of 1 to 40 characters" in answer.json()["message"]


def test_a_name_given_on_the_command_line_is_not_asked_for_and_is_the_only_one(tmp_path: Path) -> None:
    client = seated(desk(tmp_path), rater="anna")
    assert "<b>anna</b>" in client.get("/").text
    assert "not you?" not in client.get("/").text
    (page,) = ahead(client)
    answer = client.post("/api/labels", json=word(page, rater="ben"))
    assert answer.status_code == 400
    assert "this desk is anna's" in answer.json()["message"]


def test_a_label_is_written_when_it_is_given(tmp_path: Path) -> None:
    at = desk(tmp_path)
    client = seated(at)
    (page,) = ahead(client)
    answer = client.post("/api/labels", json=word(page, level=2, criteria={"layout": 0}, note="why"))
    assert answer.status_code == 201
    (row,) = at.store.rows("labels")
    assert row["label_id"] == answer.json()["saved"] == answer.json()["tally"]["undo"]
    assert (row["rater"], row["level"], row["criteria"], row["note"], row["seconds"]) == (
        "anna", 2, '{"layout": 0}', "why", 3.5,
    )  # fmt: skip
    assert answer.json()["tally"]["mine"] == 1


def test_skip_flag_and_undo(tmp_path: Path) -> None:
    at = desk(tmp_path)
    client = seated(at)
    first, second = ahead(client, count=2)
    client.post("/api/labels", json=word(first, level=None, flag="skipped"))
    tally = client.post("/api/labels", json=word(second, level=None, flag="unusable")).json()["tally"]
    assert (tally["mine"], tally["left"]) == (0, 10)
    answer = client.post("/api/undo", json={"rater": "anna", "label_id": tally["undo"]}).json()
    assert answer["page"] == {**second, "said": {"level": None, "note": "", "flag": "unusable"}}
    assert answer["tally"]["left"] == 11
    assert sorted(row["flag"] for row in at.store.rows("labels")) == ["skipped", "undone", "unusable"]


def test_two_raters_on_one_desk_do_not_see_each_others_words(tmp_path: Path) -> None:
    client = seated(desk(tmp_path))
    (page,) = ahead(client, "anna")
    client.post("/api/labels", json=word(page, "anna", level=2, note="anna's note"))
    answer = client.get("/api/pages", params={"rater": "ben", "count": 5})
    assert "anna's note" not in answer.text
    assert answer.json()["tally"]["mine"] == 0
    assert answer.json()["tally"]["undo"] is None
    everything = client.get("/api/pages", params={"rater": "ben", "count": 5, "besides": ""}).json()["pages"]
    assert all("said" not in one and "level" not in one for one in everything)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"level": 3}, r"level: must be one of the levels 0\.\.2 \(got 3\)"),
        ({"level": "2"}, r"level: .*integer.*\(got '2'\)"),
        ({"level": True}, r"level: .*integer.*\(got True\)"),
        ({"level": None}, "give either a level or a flag"),
        ({"seconds": -1}, r"seconds: .*greater than or equal to 0 \(got -1\)"),
        ({"criteria": {"shape": 1}}, "no criterion 'shape'"),
        ({"flag": "boring"}, r"flag: .*'skipped' or 'unusable' \(got 'boring'\)"),
        ({"note": "x" * 5000}, r"note: .*at most 4000 characters"),
        ({"page_id": "elsewhere"}, "no such page in this sample"),
        ({"judge": 1}, r"judge: .*not permitted"),
        ({"rater": ""}, "rater: must be a name"),
    ],
)
def test_a_word_that_makes_no_sense_is_400_with_a_message(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    at = desk(tmp_path)
    client = seated(at)
    answer = client.post("/api/labels", json=word(ahead(client)[0]) | change)
    assert answer.status_code == 400
    assert re.search(says, answer.json()["message"])
    assert at.store.parts("labels") == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"[" * 60000, b"\xff"])
def test_a_body_that_is_no_object_is_400(tmp_path: Path, body: bytes) -> None:
    answer = seated(desk(tmp_path)).post("/api/labels", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("the request")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:8000"}, 201),
    ],
)
def test_only_json_from_this_very_site_is_taken(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    at = desk(tmp_path)
    client = seated(at)
    (page,) = ahead(client)
    assert client.post("/api/labels", json=word(page), headers=headers).status_code == status
    assert len(at.store.parts("labels")) == (status == 201)


def test_a_request_too_long_is_413(tmp_path: Path) -> None:
    client = seated(desk(tmp_path))
    assert client.post("/api/labels", json=word(ahead(client)[0], note="x" * 70_000)).status_code == 413


def test_when_a_label_cannot_be_written_it_says_so_and_takes_it_later(tmp_path: Path) -> None:
    at = desk(tmp_path)
    client, (page,) = seated(at), ahead(seated(at))
    append = at.store.append

    def full(*args: Any, **kwargs: Any) -> Path:
        raise CurateError("part-1.parquet: could not be written (No space left on device); nothing was left behind")

    at.store.append = full  # type: ignore[method-assign]
    answer = client.post("/api/labels", json=word(page))
    assert answer.status_code == 503
    assert "No space left on device" in answer.json()["message"]
    at.store.append = append  # type: ignore[method-assign]
    assert client.post("/api/labels", json=word(page)).status_code == 201
    assert len(at.store.parts("labels")) == 1


def test_the_page_names_the_command_that_goes_on(tmp_path: Path) -> None:
    at = desk(tmp_path)
    html = seated(at, rater="anna").get("/").text
    assert f"curate run {tmp_path / 'p.yaml'}" in html


def test_the_page_shows_every_level_and_criterion_of_the_rubric(tmp_path: Path) -> None:
    html = seated(desk(tmp_path), rater="anna").get("/").text
    for words in (
        "of no &lt;b&gt;use&lt;/b&gt;",
        "somewhat",
        "very",
        "Did the layout survive?",
        "Say how useful the page is.",
    ):
        assert words in html


def test_every_button_is_named_for_who_cannot_see_it(tmp_path: Path) -> None:
    html = seated(desk(tmp_path), rater="anna").get("/").text
    assert 'aria-live="polite"' in html
    for button in re.findall(r"<button[^>]*>.*?</button>", html, flags=re.S):
        assert "aria-label" in button or re.sub(r"<kbd>.*?</kbd>|<[^>]+>", "", button).strip()


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    at = desk(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(BadInput) as caught:
            serve(at, port=port, open_browser=False, on_ready=lambda url: pytest.fail("was not ready"))
    assert f"port {port} cannot be listened on" in str(caught.value)
    assert "give another --port, or leave it out" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("port", [70000, -1])
def test_a_port_that_does_not_exist_is_bad_input(tmp_path: Path, port: int) -> None:
    with pytest.raises(BadInput, match=f"--port {port}: ports are 1..65535"):
        serve(desk(tmp_path), port=port, open_browser=False, on_ready=lambda url: pytest.fail("was ready"))


@pytest.mark.parametrize("host", ["no host", "203.0.113.7"])
def test_an_address_that_is_not_this_computers_is_one_line_and_exit_code_2(
    tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(tmp_path)
    monkeypatch.setenv("CURATE_LABEL_PASSWORD", "a word")
    with labelling(tmp_path, "--host", host) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert [line for line in err.splitlines() if line.startswith("curate: ")] == err.splitlines()[-1:]
    assert f"--host {host} --port 0" in err


def test_a_rater_that_is_no_name_is_bad_input_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="rater: must be a name"):
        serve(desk(tmp_path), rater="x" * 41, open_browser=False, on_ready=lambda url: pytest.fail("was served"))


def labelling(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "curate", "label", str(folder / "p.yaml"), "--no-browser", *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def link(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    for line in process.stdout:
        if found := re.search(r"label here: (\S+)", line):
            return found[1]
    raise AssertionError(process.stderr.read() if process.stderr else "")


def test_the_command_serves_the_page_and_ends_cleanly_on_ctrl_c(tmp_path: Path) -> None:
    opened(tmp_path)
    with labelling(tmp_path) as process:
        try:
            url = link(process)
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{20,}", url)
            with urllib.request.urlopen(url) as answer:
                assert b'id="who"' in answer.read()
        finally:
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "4 more labelled pages are needed" in out
    assert "Traceback" not in err


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this computer")
def test_in_a_browser_a_hostile_page_is_shown_as_its_text(tmp_path: Path) -> None:
    opened(tmp_path, rows=[{"url": "https://evil.example/", "text": HOSTILE, "lang": "en"}])
    with labelling(tmp_path, "--rater", "anna") as process:
        try:
            quiet = (
                "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
            )
            quiet += " --disable-component-update --disable-sync --virtual-time-budget=5000 --dump-dom"
            folder = f"--user-data-dir={tmp_path / 'browser'}"
            dom = subprocess.run(
                [str(CHROMIUM), *quiet.split(), folder, link(process)], capture_output=True, text=True, timeout=60,
                env={**os.environ, "HOME": str(tmp_path)},
            ).stdout  # fmt: skip
        finally:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert "<title>useful: label pages</title>" in dom
    assert "&lt;script&gt;document.title = 'owned'&lt;/script&gt;\n&lt;img src=x onerror=alert(1)&gt;" in dom
    assert "    indented = {{ 7 * 7 }}" in dom
    assert "0 of 1 pages labelled" in dom


def _classes(names: list[str]) -> Rubric:
    return Rubric.model_validate(
        {
            "name": "kinds",
            "asks": "What is it?",
            "scale": "choice",
            "keep": [],
            "classes": {name: f"about {name}" for name in names},
            "instruction": "Say what it is.",
        }
    )


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["A", "B", "C", "D", "E"], "abcde"),
        (["tutorial", "news", "shop"], "abc"),
        (["A", "B", "C", "D", "E", "F"], "123456"),
        (["N", "O"], "12"),
        (["é", "ü"], "12"),
        ([f"kind{i}" for i in range(12)], "123456789abc"),
        ([f"kind{i}" for i in range(26)], "123456789abcdeghijklmopqtv"),
    ],
)
def test_each_class_has_a_key_of_its_own_that_does_nothing_else_on_the_desk(names: list[str], keys: str) -> None:
    found = answer_keys(_classes(names))
    assert list(found) == list(range(len(names)))
    assert "".join(found.values()) == keys
    assert not set(found.values()) & set(DESK_KEYS)


def test_levels_are_their_own_keys(tmp_path: Path) -> None:
    assert answer_keys(opened(tmp_path).rubric) == {0: "0", 1: "1", 2: "2"}


def test_a_desk_of_classes_shows_their_names_and_takes_their_places(tmp_path: Path) -> None:
    found = opened(tmp_path)
    rubric = _classes(["tutorial", "news"])
    at = PipelineDesk(found.model_copy(update={"rubric": rubric}))
    page = seated(at, rater="ann").get("/").text
    assert "tutorial: about tutorial" in page
    assert "<dt>news</dt><dd>about news</dd>" in page
    assert "<kbd>A</kbd>–<kbd>B</kbd>" in page
    (one,) = at.ahead("ann")
    at.save("ann", Given(page_id=one["page_id"], level=1, seconds=2))
    with pytest.raises(BadInput, match="level"):
        at.save("ann", Given(page_id=one["page_id"], level=2, seconds=2))


PASSWORD = "a word that was agreed on"


def guarded(at: PipelineDesk) -> TestClient:
    """A browser of the network that has opened the link."""
    client = visitor(at, hosts=(), password=Password(PASSWORD))
    assert client.get(f"/?token={TOKEN}").headers["location"] == "/login"
    return client


def test_on_a_network_the_link_alone_opens_nothing(tmp_path: Path) -> None:
    at = desk(tmp_path)
    client = guarded(at)
    assert "This desk needs a password" in client.get("/login").text
    assert client.get("/api/pages", params={"rater": "anna"}).status_code == 403
    assert client.post("/api/labels", json=word(at.ahead("anna")[0])).status_code == 403
    assert at.store.parts("labels") == []
    assert visitor(at, hosts=(), password=Password(PASSWORD)).get("/login").status_code == 403, "nor a password alone"


def test_who_gives_the_password_sits_down(tmp_path: Path) -> None:
    client = guarded(desk(tmp_path))
    answer = client.post("/api/login", json={"password": PASSWORD})
    assert answer.status_code == 200
    (cookie,) = answer.headers.get_list("set-cookie")
    assert PASSWORD not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert ahead(client)
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("given", ["wrong", "", None, 7, ["a"], PASSWORD + "\n", "\ud800"])
def test_a_wrong_password_is_none(tmp_path: Path, given: object) -> None:
    client = guarded(desk(tmp_path))
    body, kind = json.dumps({"password": given}), {"content-type": "application/json"}
    assert client.post("/api/login", content=body, headers=kind).status_code == 401
    assert client.get("/api/pages", params={"rater": "anna"}).status_code == 403


def test_after_five_wrong_passwords_an_address_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, clock = guarded(desk(tmp_path)), [1000.0]
    monkeypatch.setattr("curate.web.gate.time.monotonic", lambda: clock[0])
    tries = [client.post("/api/login", json={"password": "wrong"}).status_code for _ in range(6)]
    assert tries == [401] * 5 + [429]
    assert client.post("/api/login", json={"password": PASSWORD}).status_code == 429, "also with the right one"
    clock[0] += 61
    assert client.post("/api/login", json={"password": PASSWORD}).status_code == 200


def test_an_address_that_others_can_reach_needs_a_password(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--host 0.0.0.0: others can reach .* --password"):
        serve(desk(tmp_path), host="0.0.0.0", open_browser=False, on_ready=lambda url: pytest.fail("was served"))


def test_an_ordinary_desk_never_says_what_a_judge_or_another_rater_said(tmp_path: Path) -> None:
    at = judged_desk(tmp_path)
    client = seated(at)
    others = at.ahead("ben", count=3)
    for page in others:
        at.save("ben", Given(page_id=page["page_id"], level=2, note="the note of ben", seconds=1))
    answers = [client.get(path).text for path in ("/", "/name", "/api/pages?rater=anna&count=5")]
    (page,) = ahead(client)
    saved = client.post("/api/labels", json=word(page))
    undone = client.post("/api/undo", json={"rater": "anna", "label_id": saved.json()["saved"]})
    for text in [*answers, saved.text, undone.text]:
        assert REASON not in text
        assert "the note of ben" not in text
        assert "judge_id" not in text
    assert "judge" not in saved.json()
    for path in ("/adjudicate", "/api/disputes?rater=anna", "/pages", "/agreement"):
        assert client.get(path).status_code == 404
    assert client.post("/api/rulings", json=word(page)).status_code == 404


def test_after_a_first_choice_the_judge_is_shown_and_a_change_is_marked(tmp_path: Path) -> None:
    at = judged_desk(tmp_path, assist="after")
    client = seated(at)
    for page in ahead(client, count=5):
        answer = client.post("/api/labels", json=word(page)).json()
        sealed = at._pages[page["page_id"]]["split"] == "test"
        assert ("judge" in answer) is not sealed
        changed = client.post("/api/labels", json=word(page, level=2, after_judge=True))
        assert changed.status_code == (400 if sealed else 201)
        if not sealed:
            assert answer["judge"]["reason"] == REASON
            assert "judge" not in changed.json(), "it is shown once"
    rows = at.store.rows("labels")
    assert {row["assisted"] for row in rows if row["level"] == 1} == {False}, "first choices were free, and stay"
    assert {row["assisted"] for row in rows if row["level"] == 2} == {True}
    assert all("; judge " in row["shown"] for row in rows if row["assisted"])


def test_disagreements_are_settled_blind_to_names(tmp_path: Path) -> None:
    at = desk(tmp_path, overlap=1)
    client = seated(at, adjudicate=True)
    (page,) = at.ahead("anna")
    for rater, said in (("anna", 0), ("ben", 2)):
        at.save(rater, Given(page_id=page["page_id"], level=said, note=f"note {said}", seconds=1))
    found = client.get("/api/disputes", params={"rater": "cleo"}).json()
    (one,) = found["disputes"]
    assert (found["left"], one["border"], one["own"]) == (1, True, False)
    assert [(side["who"], side["level"], side["note"]) for side in one["said_by"]] == [
        ("A", 0, "note 0"),
        ("B", 2, "note 2"),
    ]
    assert "anna" not in json.dumps(found)
    saved = client.post("/api/rulings", json=word(page, "cleo", note="settled"))
    assert saved.status_code == 201
    assert client.get("/api/disputes", params={"rater": "cleo"}).json()["left"] == 0
    assert client.post("/api/undo", json={"rater": "cleo", "label_id": saved.json()["saved"]}).status_code == 200
    assert client.get("/api/disputes", params={"rater": "anna"}).json()["disputes"][0]["own"] is True
    assert "<title>" in client.get("/adjudicate").text
