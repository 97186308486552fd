"""An application on an address, until Ctrl-C."""

import ipaddress
import os
import socket
import sys
import threading
from collections.abc import Callable

from starlette.types import ASGIApp

from curate.errors import BadInput


def run(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    path: str,
    open_browser: bool,
    on_ready: Callable[[str], None],
) -> None:
    """Serve `app` until Ctrl-C. `on_ready` gets the link, address and `path`, once it can be
    opened. Raises BadInput when the address cannot be listened on."""
    import uvicorn

    with listening(host, port) as listener:
        origin = f"http://{shown_host(host)}:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
        on_ready(origin + path)
        if open_browser:
            open_in_browser(origin + path)
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn ends in good order first, then raises the signal again
            return


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises BadInput where that is not possible."""
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


def open_in_browser(url: str) -> None:
    """Open the default browser; not one that would draw on this terminal, where there is no display."""
    import webbrowser

    has_display = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if has_display:
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def is_loopback(host: str) -> bool:
    """Whether an address is this computer's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def shown_host(host: str) -> str:
    """The host as it stands in the link: for an address that means all of them, this computer's name."""
    if host in ("0.0.0.0", "::", ""):
        return socket.gethostname() or "127.0.0.1"
    return f"[{host}]" if ":" in host else host
