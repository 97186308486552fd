"""The labelling page: a small web application on loopback, behind a token that only the printed link carries."""

import functools
import json
import secrets
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from curate.errors import BadInput, CurateError
from curate.rubric import Rubric, first_problem
from curate.web import serving
from curate.web.desk import LONGEST_NAME, Given, PipelineDesk, rater_name
from curate.web.gate import LOGIN, LOOPBACK, TRIES_SECONDS, Gate, Password, cookie, keep_token

HERE = Path(__file__).parent
MOST_AHEAD = 5
MOST_DISPUTES = 20
"""Disagreements that are sent at once."""
DESK_KEYS = "nsfurw"
"""Letters that do something else on the desk."""
YEAR_SECONDS = 365 * 24 * 3600
RATER_COOKIE = "curate-rater"


def make_app(
    desk: PipelineDesk,
    *,
    token: str,
    rater: str,
    hosts: Collection[str] = LOOPBACK,
    password: Password | None = None,
    adjudicate: bool = False,
    names: bool = False,
    more: Sequence[BaseRoute] = (),
) -> Starlette:
    """The application. `rater` is who labels, or empty to ask; `hosts` are the names it answers to, empty for any;
    `adjudicate` adds the page that settles disagreements, with the raters' `names` where asked; `more` are further routes
    behind the same gate."""
    pages = _Pages(desk, token, rater, password=password, adjudicate=adjudicate, names=names, reads=bool(more))
    settling = [
        Route("/adjudicate", pages.adjudicate),
        Route("/api/disputes", pages.disputes),
        Route("/api/rulings", pages.settle, methods=["POST"]),
    ]
    return Starlette(
        routes=[
            Route("/", pages.home),
            Route("/name", pages.ask_name),
            Route("/api/rater", pages.set_rater, methods=["POST"]),
            Route("/api/pages", pages.ahead),
            Route("/api/labels", pages.save, methods=["POST"]),
            Route("/api/undo", pages.undo, methods=["POST"]),
            *(settling if adjudicate else []),
            *(
                [Route(LOGIN, pages.ask_password), Route(f"/api{LOGIN}", pages.log_in, methods=["POST"])]
                if password
                else []
            ),
            *more,
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(Gate, token=token, hosts=hosts, password=password)],
        exception_handlers={BadInput: say, CurateError: say, HTTPException: say},
    )


class _Pages:
    """What the routes answer. Reading and writing Parquet happens in threads, beside the event loop."""

    def __init__(
        self,
        desk: PipelineDesk,
        token: str,
        rater: str,
        *,
        password: Password | None = None,
        adjudicate: bool = False,
        names: bool = False,
        reads: bool = False,
    ) -> None:
        self.desk, self.token, self.fixed = desk, token, rater
        self.password, self.names = password, names
        settling = {"Adjudicate": "/adjudicate"} if adjudicate else {}
        reading = {"Pages": "/pages", "Agreement": "/agreement", "Report": "/report"} if reads else {}
        self.places = {"Label": "/", **settling, **reading} if settling or reading else {}

    async def home(self, request: Request) -> Response:
        """The desk; the name form where it is not known who sits at it."""
        name = self.fixed or _remembered(request)
        if not name:
            return await self.ask_name(request)
        return self._at_desk("desk.html.j2", name, assist=self.desk.assist)

    async def adjudicate(self, request: Request) -> Response:
        """The page that settles disagreements; the name form where it is not known who does."""
        name = self.fixed or _remembered(request)
        return self._at_desk("adjudicate.html.j2", name) if name else await self.ask_name(request)

    def _at_desk(self, template: str, name: str, **more: Any) -> Response:
        rubric = self.desk.rubric
        return self._html(
            template,
            facts={**_facts(self.desk, name), **more},
            rater=name,
            rubric=rubric,
            pipeline=self.desk.opened.pipeline.name,
            command=f"curate run {self.desk.opened.file}",
            fixed=bool(self.fixed),
            keys=[key.upper() for key in answer_keys(rubric).values()],
            places=self.places,
        )

    async def ask_password(self, request: Request) -> Response:
        """The form that asks for the password of a desk on a network."""
        return self._html("password.html.j2", pipeline=self.desk.opened.pipeline.name)

    async def log_in(self, request: Request) -> Response:
        """Let somebody in who gives the password; 429 for an address that tries too often."""
        assert self.password is not None
        given = (await _body(request)).get("password")
        address = request.client.host if request.client else ""
        right = self.password.check(given if isinstance(given, str) else "", address)
        if right is None:
            wait = f"too many wrong passwords from here; wait {TRIES_SECONDS} seconds"
            return JSONResponse({"message": wait}, 429, headers={"retry-after": str(TRIES_SECONDS)})
        if not right:
            return JSONResponse({"message": "this is not the password"}, 401)
        answer = JSONResponse({"in": True})
        answer.set_cookie(f"{cookie(self.token)}-in", self.password.pass_, httponly=True, samesite="strict")
        return answer

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
        given = _given(body)
        saved = await run_in_threadpool(self.desk.save, name, given)
        advice = None if given.flag or given.after_judge else self.desk.advice(given.page_id)
        return await self._answer(name, 201, saved=saved, **({"judge": advice} if advice else {}))

    async def disputes(self, request: Request) -> Response:
        """Pages that raters part on, the gravest first, and how many there are."""
        name = self._who(request.query_params.get("rater"))
        found = await run_in_threadpool(self.desk.disputes, names=self.names, rater=name)
        return JSONResponse({"disputes": found[:MOST_DISPUTES], "left": len(found)})

    async def settle(self, request: Request) -> Response:
        """What is true of a page that raters part on."""
        body = await _body(request)
        name = self._who(body.pop("rater", None))
        saved = await run_in_threadpool(self.desk.settle, name, _given(body))
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
        keep_token(response, self.token)
        return response


def serve(
    desk: PipelineDesk,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    rater: str = "",
    password: str = "",
    open_browser: bool = True,
    on_ready: Callable[[str], None],
    adjudicate: bool = False,
    names: bool = False,
    more: Sequence[BaseRoute] = (),
) -> None:
    """Serve the labelling page until Ctrl-C. `on_ready` gets the link once it can be opened.

    Raises BadInput when the address cannot be listened on, is on a network and there is no password, or `rater` is no
    name.
    """
    name = rater_name(rater) if rater else ""
    local = serving.is_loopback(host)
    if not local and not password:
        raise BadInput(
            f"--host {host}: others can reach this address, so it needs a password: give --password, or set "
            f"CURATE_LABEL_PASSWORD; or keep loopback and tunnel: ssh -L"
        )
    token = secrets.token_urlsafe(18)
    app = make_app(
        desk,
        token=token,
        rater=name,
        hosts=(*LOOPBACK, host) if local else (),
        password=Password(password) if password else None,
        adjudicate=adjudicate,
        names=names,
        more=more,
    )
    path = f"/{'adjudicate' if adjudicate else ''}?token={token}"
    serving.run(app, host=host, port=port, path=path, open_browser=open_browser, on_ready=on_ready)


def _facts(desk: PipelineDesk, rater: str) -> dict[str, Any]:
    """What the script of a page must know."""
    rubric = desk.rubric
    return {
        "id": desk.id,
        "rater": rater,
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


def _given(body: dict[str, Any]) -> Given:
    try:
        return Given.model_validate(body)
    except ValidationError as error:
        raise BadInput(first_problem(error)) from error


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


def say(request: Request, error: Exception) -> Response:
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
