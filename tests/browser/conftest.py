"""A real Chromium before the real server on loopback. Whatever a test does, it must stay quiet: nothing asked of another
place, no error in the console, nothing refused by the policy of the page."""

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp

from browser.browsing import Server, Visits, faults

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser, one for the tests of a file; each visit has a profile of its own. Not one for all: while playwright is
    there, a loop runs in this thread, and no other test could run one."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this computer")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    args = ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=args)
        yield browser
        browser.close()


@pytest.fixture
def serve() -> Iterator[Callable[[ASGIApp], Server]]:
    """Starts an application on a free port; all are stopped at the end."""
    started: list[Server] = []

    def start(app: ASGIApp, port: int = 0) -> Server:
        listener = socket.create_server(("127.0.0.1", port))
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", ws="none", log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()

        def stop() -> None:
            server.should_exit = True
            server.force_exit = True
            thread.join(10)
            listener.close()

        started.append(Server(f"http://127.0.0.1:{listener.getsockname()[1]}", stop))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Visits]:
    visits = Visits(chromium)
    yield visits
    visits.close()


@pytest.fixture(scope="session")
def axe_script() -> str:
    """axe-core, which knows what shuts people out."""
    module = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    return (Path(module.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def accessible(axe_script: str) -> Callable[[Any], None]:
    """Holds a page to have no serious or critical fault, in light and in dark."""

    def check(page: Any) -> None:
        for scheme, only in {"light": "", "dark": "color-contrast"}.items():  # only colours differ
            page.emulate_media(color_scheme=scheme)
            found = faults(page, axe_script, only=only)
            assert not found, (scheme, found)
        page.emulate_media(color_scheme="light")

    return check
