"""Who gets in: the name a request came under, the token of the link, where it was sent from, and on a network a password."""

import hmac
import secrets
import time
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_BYTES = 64 * 1024
"""Longest request that is read."""
MOST_TRIES, TRIES_SECONDS = 5, 60
"""Wrong passwords of one address in so many seconds, after which it must wait."""
LOGIN = "/login"
POLICY = "content-security-policy"
HEADERS = {
    POLICY: "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""On every answer: a page's text is untrusted, and what is on the desk is nobody else's."""


class Password:
    """One password for all who come over a network, and who has given it."""

    def __init__(self, word: str) -> None:
        self._word, self._key = _bytes(word), secrets.token_bytes(32)
        self._tries: dict[str, list[float]] = {}

    def check(self, given: str, address: str) -> bool | None:
        """Whether it is right; None where the address has tried too often and must wait."""
        since = time.monotonic() - TRIES_SECONDS
        self._tries = {one: late for one, ats in self._tries.items() if (late := [at for at in ats if at > since])}
        tries = self._tries.get(address, [])
        if len(tries) >= MOST_TRIES:
            return None
        right = hmac.compare_digest(self._sealed(_bytes(given)), self._sealed(self._word))
        self._tries = {**self._tries, address: [] if right else [*tries, time.monotonic()]}
        return right

    @property
    def pass_(self) -> str:
        """What the cookie of somebody who has given it holds."""
        return self._sealed(b"in").hex()

    def _sealed(self, given: bytes) -> bytes:
        return hmac.digest(self._key, given, "sha256")


def _bytes(given: str) -> bytes:
    """Also of half a character, which JSON can hold."""
    return given.encode("utf-8", "surrogatepass")


class Gate:
    """Lets a request through when it names a host we answer to and carries the token, in the link or the cookie; where
    there is a password, it must have been given too.

    The host is checked because a foreign name that resolves to loopback would make a foreign site our own (DNS
    rebinding); the origin, because another server on loopback counts as the same site for cookies. An answer that carries
    a policy of its own keeps it.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str], password: Password | None = None) -> None:
        self.app, self.token, self.hosts, self.password = app, token, hosts, password

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 303, 403, 411, 413 or 415 in place of the application, or let it answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(
                    {name: value for name, value in HEADERS.items() if name != POLICY or name not in headers}
                )
            await send(message)

        app = self._refusal(Request(scope)) or self.app
        await app(scope, receive, with_headers)

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if self.hosts and hostname(host) not in self.hosts:
            return refused(403, f"not served under this name; use one of {', '.join(self.hosts)}")
        given = request.query_params.get("token") or request.cookies.get(cookie(self.token), "")
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            return refused(403, "open the link that was printed at the start: it carries the token of this desk")
        return self._unsafe(request, host) or self._locked(request)

    def _unsafe(self, request: Request, host: str) -> Response | None:
        if request.method in ("GET", "HEAD"):
            return None
        origin = request.headers.get("origin")
        if origin and urlsplit(origin).netloc != host:
            return refused(403, "sent from another site")
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return refused(415, "must be JSON")
        if not request.headers.get("content-length", "").isdigit():
            return refused(411, "must say its length")
        if int(request.headers["content-length"]) > MOST_BYTES:
            return refused(413, f"must be at most {MOST_BYTES} bytes")
        return None

    def _locked(self, request: Request) -> Response | None:
        """What somebody gets who has not given the password: the form that asks for it, and what that form is made of."""
        path = request.url.path
        if self.password is None or path in (LOGIN, f"/api{LOGIN}") or path.startswith("/static/"):
            return None
        given = request.cookies.get(f"{cookie(self.token)}-in", "")
        if hmac.compare_digest(given.encode(), self.password.pass_.encode()):
            return None
        if request.method == "GET" and not path.startswith("/api/"):
            answer = RedirectResponse(LOGIN, status_code=303)
            keep_token(answer, self.token)
            return answer
        return JSONResponse({"message": "the password of this desk was not given yet; open the link again"}, 403)


def keep_token(response: Response, token: str) -> None:
    """Remember that this browser has opened the link."""
    response.set_cookie(cookie(token), token, httponly=True, samesite="strict")


def cookie(token: str) -> str:
    """Cookies know no ports: a name of its own for each desk, so that two of them do not lock each other out."""
    from curate.schema import fingerprint

    return f"curate-{fingerprint(token)[:8]}"


def hostname(header: str) -> str:
    """The name in a Host header, empty where there is none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def refused(status: int, message: str) -> Response:
    """A refusal in one line."""
    return PlainTextResponse(f"curate: {message}\n", status_code=status)
