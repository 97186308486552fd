"""The labelling page: a small web application on loopback, behind a token that only the printed link carries."""

import functools
import ipaddress
import json
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from curate.errors import BadInput, CurateError
from curate.rubric import Rubric, first_problem
from curate.web.desk import LONGEST_NAME, Given, PipelineDesk, rater_name

HERE = Path(__file__).parent
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_BYTES = 64 * 1024
"""Longest request that is read."""
MOST_AHEAD = 5
DESK_KEYS = "nsfur"
"""Letters that do something else on the desk."""
YEAR_SECONDS = 365 * 24 * 3600
RATER_COOKIE = "curate-rater"
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""On every answer: a page's text is untrusted, and what is on the desk is nobody else's."""


class Gate:
    """Lets a request through when it names a host we answer to and carries the token, in the link or the cookie.

    The host is checked because a foreign name that resolves to loopback would make a foreign site our own (DNS
    rebinding); the origin, because another server on loopback counts as the same site for cookies.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str]) -> None:
        self.app, self.token, self.hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, 413 or 415 in place of the application, or let it answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        app = self._refusal(Request(scope)) or self.app
        await app(scope, receive, with_headers)

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if self.hosts and _hostname(host) not in self.hosts:
            return _refused(403, f"not served under this name; use one of {', '.join(self.hosts)}")
        given = request.query_params.get("token") or request.cookies.get(_cookie(self.token), "")
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            return _refused(403, "open the link that `curate label` printed: it carries the token of this desk")
        if request.method not in ("GET", "HEAD"):
            origin = request.headers.get("origin")
            if origin and urlsplit(origin).netloc != host:
                return _refused(403, "sent from another site")
            if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                return _refused(415, "must be JSON")
            if not request.headers.get("content-length", "").isdigit():
                return _refused(411, "must say its length")
            if int(request.headers["content-length"]) > MOST_BYTES:
                return _refused(413, f"must be at most {MOST_BYTES} bytes")
        return None


def make_app(desk: PipelineDesk, *, token: str, rater: str, hosts: Collection[str] = LOOPBACK) -> Starlette:
    """The application. `rater` is who labels, or empty to ask; `hosts` are the names it answers to, empty for any."""
    pages = _Pages(desk, token, rater)
    return Starlette(
        routes=[
            Route("/", pages.home),
            Route("/name", pages.ask_name),
            Route("/api/rater", pages.set_rater, methods=["POST"]),
            Route("/api/pages", pages.ahead),
            Route("/api/labels", pages.save, methods=["POST"]),
            Route("/api/undo", pages.undo, methods=["POST"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(Gate, token=token, hosts=hosts)],
        exception_handlers={BadInput: _say, CurateError: _say, HTTPException: _say},
    )


class _Pages:
    """What the routes answer. Reading and writing Parquet happens in threads, beside the event loop."""

    def __init__(self, desk: PipelineDesk, token: str, rater: str) -> None:
        self.desk, self.token, self.fixed = desk, token, rater

    async def home(self, request: Request) -> Response:
        """The desk; the name form where it is not known who sits at it."""
        name = self.fixed or _remembered(request)
        if not name:
            return await self.ask_name(request)
        rubric = self.desk.rubric
        facts = {
            "id": self.desk.id,
            "rater": name,
            "classes": bool(rubric.classes),
            "levels": _answers(rubric),
            "criteria": [
                {
                    "name": key,
                    "asks": one.asks,
                    "levels": [[level, words, str(level), str(level)] for level, words in one.levels.items()],
                }
                for key, one in rubric.criteria.items()
            ],
        }
        return self._html(
            "desk.html.j2",
            facts=facts,
            rater=name,
            rubric=rubric,
            pipeline=self.desk.opened.pipeline.name,
            command=f"curate run {self.desk.opened.file}",
            fixed=bool(self.fixed),
            keys=[key.upper() for key in answer_keys(rubric).values()],
        )

    async def ask_name(self, request: Request) -> Response:
        """The form that asks a rater's name once."""
        known = await run_in_threadpool(self.desk.raters)
        return self._html(
            "name.html.j2",
            pipeline=self.desk.opened.pipeline.name,
            rubric=self.desk.rubric,
            name=_remembered(request),
            known=known,
            longest=LONGEST_NAME,
        )

    async def set_rater(self, request: Request) -> Response:
        """Remember who labels."""
        name = rater_name((await _body(request)).get("name"))
        response = JSONResponse({"rater": name})
        response.set_cookie(RATER_COOKIE, quote(name), max_age=YEAR_SECONDS, httponly=True, samesite="strict")
        return response

    async def ahead(self, request: Request) -> Response:
        """The next pages for a rater, and how far everybody is."""
        name = self._who(request.query_params.get("rater"))
        besides = request.query_params.get("besides", "").split(",")
        count = min(_number(request.query_params.get("count", "1")), MOST_AHEAD)
        found = await run_in_threadpool(self.desk.ahead, name, besides=besides, count=count)
        return await self._answer(name, 200, pages=found)

    async def save(self, request: Request) -> Response:
        """One label, skip or flag."""
        body = await _body(request)
        name = self._who(body.pop("rater", None))
        try:
            given = Given.model_validate(body)
        except ValidationError as error:
            raise BadInput(first_problem(error)) from error
        saved = await run_in_threadpool(self.desk.save, name, given)
        return await self._answer(name, 201, saved=saved)

    async def undo(self, request: Request) -> Response:
        """Take back the rater's last word."""
        body = await _body(request)
        name = self._who(body.get("rater"))
        page = await run_in_threadpool(self.desk.undo, name, str(body.get("label_id")))
        return await self._answer(name, 200, page=page)

    def _who(self, given: object) -> str:
        """Whom the page says it is for: the tab, not the cookie, since two people may share a browser."""
        name = rater_name(given)
        if self.fixed and name != self.fixed:
            raise BadInput(f"rater: this desk is {self.fixed}'s (got {name!r}); reload the page")
        return name

    async def _answer(self, name: str, status: int, **found: Any) -> Response:
        tally = await run_in_threadpool(self.desk.tally, name)
        return JSONResponse({**found, "tally": tally.as_dict()}, status_code=status)

    def _html(self, template: str, **values: Any) -> Response:
        response = HTMLResponse(_templates().get_template(template).render(values))
        response.set_cookie(_cookie(self.token), self.token, httponly=True, samesite="strict")
        return response


def serve(
    desk: PipelineDesk,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    rater: str = "",
    open_browser: bool = True,
    on_ready: Callable[[str], None],
) -> None:
    """Serve the labelling page until Ctrl-C. `on_ready` gets the link once it can be opened.

    Raises BadInput when the address cannot be listened on, or `rater` is no name.
    """
    import uvicorn

    name = rater_name(rater) if rater else ""
    token = secrets.token_urlsafe(18)
    with _listening(host, port) as listener:
        url = f"http://{_shown_host(host)}:{listener.getsockname()[1]}/?token={token}"
        app = make_app(desk, token=token, rater=name, hosts=(*LOOPBACK, host) if _is_loopback(host) else ())
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="none",
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=3,
            )
        )
        on_ready(url)
        if open_browser:
            _open(url)
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn ends in good order first, then raises the signal again
            return


def _listening(host: str, port: int) -> socket.socket:
    where = f"--host {host} --port {port}"
    if not 0 <= port <= 65535:  # the resolver would take the remainder
        raise BadInput(f"{where}: ports are 1..65535, or 0 to take a free one")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, proto)
    except (OSError, UnicodeError) as error:
        raise BadInput(f"{where}: no such address ({error}); leave --host out for loopback") from error
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise BadInput(
            f"{where}: port {port} cannot be listened on ({error.strerror or error}); "
            f"stop what uses it, give another --port, or leave it out to take a free one"
        ) from error
    return listener


def _open(url: str) -> None:
    """Open the default browser; not one that would draw on this terminal, where there is no display."""
    import webbrowser

    has_display = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if has_display:
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _shown_host(host: str) -> str:
    """The host as it stands in the link: for an address that means all of them, this computer's name."""
    if host in ("0.0.0.0", "::", ""):
        return socket.gethostname() or "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _hostname(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _cookie(token: str) -> str:
    """Cookies know no ports: a name of its own for each desk, so that two of them do not lock each other out."""
    from curate.schema import fingerprint

    return f"curate-{fingerprint(token)[:8]}"


def _remembered(request: Request) -> str:
    try:
        return rater_name(unquote(request.cookies.get(RATER_COOKIE, "")))
    except BadInput:
        return ""


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the request is not JSON ({error})") from error
    if not isinstance(body, dict):
        raise BadInput(f"the request must be a JSON object (got {type(body).__name__})")
    return body


def _number(given: str) -> int:
    if not given.isascii() or not given.isdigit() or len(given) > 3:
        raise BadInput(f"count: must be a number of pages (got {given!r:.20})")
    return int(given)


def _answers(rubric: Rubric) -> list[list[Any]]:
    """Each level with its words, the key that gives it, and its name."""
    keys = answer_keys(rubric)
    words = {
        level: f"{rubric.names[level]}: {said}" if rubric.classes and said else said or rubric.names[level]
        for level, said in rubric.levels.items()
    }
    return [[level, words[level], keys[level], rubric.names[level]] for level in rubric.levels]


def answer_keys(rubric: Rubric) -> dict[int, str]:
    """The key of each level: its digit; of a class its letter, or where that is a key of the desk, digits from 1 and then
    the letters that are free."""
    if not rubric.classes:
        return {level: str(level) for level in rubric.levels}
    letters = {level: letter.lower() for level, letter in rubric.letters.items()}
    if all(len(key) == 1 and key.isalnum() and key.isascii() and key not in DESK_KEYS for key in letters.values()):
        return letters
    free = [*"123456789", *(letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter not in DESK_KEYS), *"0"]
    return dict(zip(rubric.levels, free, strict=False))


def _refused(status: int, message: str) -> Response:
    return PlainTextResponse(f"curate label: {message}\n", status_code=status)


def _say(request: Request, error: Exception) -> Response:
    """Errors that a person can act on, as one line: 400 when the request was wrong, 503 when the work failed."""
    if isinstance(error, HTTPException):
        return JSONResponse({"message": error.detail}, status_code=error.status_code)
    return JSONResponse({"message": str(error)}, status_code=400 if isinstance(error, BadInput) else 503)


@functools.cache
def _templates() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
