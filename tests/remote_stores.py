"""Stores on loopback: a web server that serves parts of files, one that plays the hub, and servers of S3 and GCS."""

import http.server
import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit


class Web(http.server.ThreadingHTTPServer):
    """Files by path, in memory."""

    def __init__(self, files: dict[str, bytes], *, ranges: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), WebFile)
        self.files, self.ranges = files, ranges
        self.url = f"http://127.0.0.1:{self.server_port}"


class WebFile(http.server.BaseHTTPRequestHandler):
    server: Web
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(self.server.files.get(unquote(urlsplit(self.path).path)))

    do_GET = do_HEAD

    def _answer(self, data: bytes | None) -> None:
        status, part, headers = 200 if data is not None else 404, data or b"", {"ETag": '"abc"'}
        if "secret" in self.path:
            status, part = 403, b""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if self.server.ranges:
            headers["Accept-Ranges"] = "bytes"
            if wanted and data is not None:
                first, last = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
                status, part = 206, data[first : last + 1]
                headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(part))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(part)

    def _json(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


class HubFile(WebFile):
    """One data set, org/set, whose files lie under /datasets/org/set/resolve/main/."""

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path in ("/api/datasets/org/set", "/api/datasets/org/set/revision/main"):
            self._json({"id": "org/set", "sha": "0" * 40, "siblings": [], "tags": [], "private": False})
        elif path.startswith("/api/datasets/org/set/tree/main"):
            self._json(self._tree(path.removeprefix("/api/datasets/org/set/tree/main").strip("/")))
        else:
            super().do_GET()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._json([])

    def _tree(self, folder: str) -> list[dict[str, object]]:
        root = "/datasets/org/set/resolve/main/"
        inside = {name.removeprefix(root): data for name, data in self.server.files.items()}
        prefix = f"{folder}/" if folder else ""
        names = [name for name in inside if name.startswith(prefix)]
        if "recursive=true" not in self.path.lower():
            folders = {name[len(prefix) :].split("/")[0] for name in names if "/" in name[len(prefix) :]}
            names = [name for name in names if "/" not in name[len(prefix) :]]
        else:
            folders = {name[len(prefix) :].rpartition("/")[0] for name in names if "/" in name[len(prefix) :]}
        return [
            *({"type": "directory", "path": prefix + name, "oid": "f" * 40, "size": 0} for name in sorted(folders)),
            *({"type": "file", "path": n, "oid": f"{len(inside[n]):040x}", "size": len(inside[n])} for n in names),
        ]


@contextmanager
def serving(server: Web) -> Iterator[Web]:
    """A server that answers within the block."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def process(arguments: Sequence[str], port: int) -> Iterator[str]:
    """A server in a process of its own; gives its host and port once it listens."""
    running = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert running.poll() is None, f"{arguments[0]} ended with {running.returncode}"
                assert time.monotonic() < deadline, f"{arguments[0]} does not listen"
                time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(10)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
