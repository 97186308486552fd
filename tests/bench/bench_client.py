"""What the client costs a call: a server that answers after 50 ms, 64 calls in flight."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from generated import text
from measure import Case, Row, rows, seconds

from curate.llm import Client, Endpoint, Journal, Reply, Request

SERVER = Path(__file__).parents[1] / "openai_server.py"
DELAY_SECONDS, IN_FLIGHT = 0.05, 64
SETTINGS = {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": 20}

Post = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


def run(*, quick: bool) -> list[Row]:
    """Calls a second of `Client.complete_many`, with and without a journal, and of bare loops."""
    calls, fresh = (128 if quick else 512), count()

    def requests() -> list[Request]:
        """New ones each time, as a journal answers what it has seen."""
        pages = (text(next(fresh), words=70) for _ in range(calls))
        return [Request([{"role": "user", "content": page}], SETTINGS) for page in pages]

    with _server() as url, TemporaryDirectory() as folder, closing(Journal(Path(folder))) as journal:
        cases = [
            Case("bare aiohttp", lambda: calls / _bare(_with_aiohttp, url, requests())),
            Case("bare httpx", lambda: calls / _bare(_with_httpx, url, requests())),
            Case("Client.complete_many", lambda: calls / _client(url, requests())),
            Case("the same, with a journal", lambda: calls / _client(url, requests(), journal)),
        ]
        return rows("client", cases, unit="calls/s", runs=2 if quick else 5, warm=True)


@contextmanager
def _server() -> Iterator[str]:
    """The stub in a process of its own; gives its URL."""
    command = [sys.executable, str(SERVER), "--delay", str(DELAY_SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def _client(url: str, requests: list[Request], journal: Journal | None = None) -> float:
    replies: list[Any] = []
    with Client(Endpoint("openai/stub", api_base=url, concurrency=IN_FLIGHT), journal=journal) as client:
        took = seconds(lambda: replies.extend(reply for _, reply in client.complete_many(requests)))
    assert all(isinstance(reply, Reply) for reply in replies)
    return took


def _bare(post_all: Callable[..., Coroutine[Any, Any, None]], url: str, requests: list[Request]) -> float:
    bodies = [{"model": "stub", "messages": list(r.messages), **r.settings} for r in requests]
    return seconds(lambda: asyncio.run(post_all(f"{url}/chat/completions", bodies)))


async def _with_aiohttp(url: str, bodies: list[dict[str, Any]]) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session:

        async def post(body: dict[str, Any]) -> dict[str, Any]:
            async with session.post(url, json=body) as response:
                return await response.json()

        await _all(post, bodies)


async def _with_httpx(url: str, bodies: list[dict[str, Any]]) -> None:
    import httpx

    async with httpx.AsyncClient(timeout=60) as session:

        async def post(body: dict[str, Any]) -> dict[str, Any]:
            return (await session.post(url, json=body)).json()

        await _all(post, bodies)


async def _all(post: Post, bodies: list[dict[str, Any]]) -> None:
    room = asyncio.Semaphore(IN_FLIGHT)

    async def one(body: dict[str, Any]) -> None:
        async with room:
            assert (await post(body))["choices"]

    await asyncio.gather(*map(one, bodies))
