"""The checks of these tests can fail."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from browser.browsing import PHONE, Server, Visits, faults, fits

BAD = """<!doctype html><html><head><title>bad</title></head><body style="color:#ccc;background:#fff">
<img src="data:,"><button></button><p>pale words</p><pre style="width:2000px">wide</pre>
<script>console.error("loud"); fetch("http://127.0.0.2:9/elsewhere").catch(() => {})</script></body></html>"""


def test_faults_width_and_noise_are_seen(
    serve: Callable[[Any], Server], visit: Visits, accessible: Callable[[Any], None], axe_script: str
) -> None:
    page = visit(serve(Starlette(routes=[Route("/", lambda request: HTMLResponse(BAD))])).link, viewport=PHONE)
    with pytest.raises(AssertionError, match="image-alt"):
        accessible(page)
    page.add_style_tag(content="@media (prefers-color-scheme: dark) { p { color: #eee } }")
    page.emulate_media(color_scheme="dark")
    assert any(words.startswith("color-contrast") for words in faults(page, axe_script, only="color-contrast"))
    assert not fits(page)
    page.wait_for_timeout(200)
    for words in "console: loud", "request: GET http://127.0.0.2:9/elsewhere":
        assert any(words in odd for odd in visit.odd)
    visit.odd.clear()
