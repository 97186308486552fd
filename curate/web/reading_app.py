"""`curate read`: the pages that are read as an application of their own, behind the same gate as the desk."""

import secrets
from collections.abc import Callable, Collection

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from curate.errors import BadInput, CurateError
from curate.web import serving
from curate.web.app import HERE, say
from curate.web.gate import LOOPBACK, Gate, keep_token
from curate.web.reading import Reader
from curate.web.reading_routes import routes


def make_reading_app(reader: Reader, *, token: str, hosts: Collection[str] = LOOPBACK) -> ASGIApp:
    """The application; `hosts` are the names it answers to, empty for any. It begins with the list of pages."""

    def home(request: Request) -> Response:
        answer = RedirectResponse("/pages", status_code=303)
        keep_token(answer, token)
        return answer

    return Starlette(
        routes=[Route("/", home), *routes(reader), Mount("/static", StaticFiles(directory=HERE / "static"))],
        middleware=[Middleware(Gate, token=token, hosts=hosts)],
        exception_handlers={BadInput: say, CurateError: say},
    )


def serve(
    reader: Reader,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    open_browser: bool = True,
    on_ready: Callable[[str], None],
) -> None:
    """Serve the pages until Ctrl-C. `on_ready` gets the link once it can be opened.

    Raises BadInput when the address is not loopback (what everybody said is not for the network), or cannot be listened
    on.
    """
    if not serving.is_loopback(host):
        raise BadInput(f"--host {host}: pages are read on this computer only; from another one, tunnel: ssh -L")
    token = secrets.token_urlsafe(18)
    app = make_reading_app(reader, token=token, hosts=(*LOOPBACK, host))
    serving.run(
        app,
        host=host,
        port=port,
        path=f"/?token={token}",
        open_browser=open_browser,
        on_ready=on_ready,
    )
