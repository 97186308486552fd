"""Calls to models: retries, rate limits, the journal of replies, the ledger of money. Only this file speaks LiteLLM.

A reply is journalled under `Request.key` before anything else can fail, so the same request is paid for once.
"""

import asyncio
import atexit
import contextlib
import copy
import ipaddress
import json
import logging
import math
import os
import queue
import random
import re
import threading
import time
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Literal, ParamSpec, TypeVar
from urllib.parse import urlsplit

from curate.errors import BadInput, CurateError
from curate.journal import BudgetSpent, Journal, Spend, Spent
from curate.schema import fingerprint, now
from curate.tokens import TokenEnds

__all__ = [
    "BudgetSpent",
    "Client",
    "Endpoint",
    "Failure",
    "Journal",
    "LogprobsUnsupported",
    "Reply",
    "Request",
    "Spend",
    "Spent",
    "count_tokens",
    "price",
    "token_ends",
]

T = TypeVar("T")
P = ParamSpec("P")

# Before anything imports LiteLLM, which would fetch a price list at import; dspy imports it by itself.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

SAME_FAILURES = 5
"""This many calls refused with the same status and none answered: the settings are wrong, not the pages."""
FIRST_CONTACT_TRIES = 3
"""Attempts to reach a server that has never answered."""
LONGEST_BACKOFF_SECONDS = 60.0
LONGEST_RETRY_AFTER_SECONDS = 900.0
"""A server that asks for a longer pause than this has run out of a quota: the run stops and can be resumed."""
ASSUMED_COMPLETION_TOKENS = 512
"""Held against the budget for a call that sets no `max_tokens`."""
LOWEST_LOGPROB = -9999.0
"""In place of minus infinity, which is not JSON."""
SHORT_REPLY = 16
"""Tokens of a reply whose alternatives are kept whole."""
RARE_LOGPROB = math.log(1e-4)
"""A longer reply's alternatives that are rarer tell nothing, and the journal would keep hundreds of each reply."""

_CLOSED = "the client was closed while calls were in flight; run the same again"
_FREE_PROVIDERS = ("hosted_vllm", "vllm", "ollama", "ollama_chat", "lm_studio", "llamafile", "docker_model_runner")
_CONNECTION_EXTRAS = re.compile(
    r"(extra_)?headers|api_version|organization|project|ssl_verify|(aws|azure|vertex|gcs)_.*"
)


class LogprobsUnsupported(CurateError):
    """The model's provider rejects `logprobs`. Choose an answer form that reads the text instead."""


@dataclass(frozen=True)
class Endpoint:
    """A model and how to reach it."""

    model: str
    """LiteLLM's name for it: `openai/NAME`, `hosted_vllm/NAME`, `anthropic/NAME`."""
    api_base: str | None = None
    """URL of an own or compatible server; None: the provider's."""
    api_key_env: str | None = None
    """Environment variable that holds the key. With `api_base`, no other key is ever sent; without, None means the
    provider's usual variable."""
    timeout_seconds: float = 120
    concurrency: int = 8
    """Most calls in flight; a rate limit lowers it for a while."""
    retries: int = 5
    """Attempts after the first, for failures that may pass."""
    input_usd_per_million: float | None = None
    """US dollars for a million tokens sent; None: LiteLLM's price list."""
    output_usd_per_million: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of LiteLLM's completion. Those that only concern the connection (headers, api_version, aws_...,
    azure_..., vertex_...) are not part of a request's key."""

    def __post_init__(self) -> None:
        if (self.input_usd_per_million is None) != (self.output_usd_per_million is None):
            raise BadInput(f"{self.model}: give both input_usd_per_million and output_usd_per_million, or neither")
        if self.concurrency < 1 or self.retries < 0 or not self.timeout_seconds > 0:
            raise BadInput(f"{self.model}: concurrency must be 1 or more, retries 0 or more, timeout_seconds above 0")


@dataclass(frozen=True)
class Request:
    """Messages for a model and every setting that changes its answer (temperature, max_tokens, logprobs, seed, ...)."""

    messages: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    tag: str = ""
    """The caller's own name for it, such as a page id. Not part of the key."""
    repeat: int = 0
    """Above 0 to ask the same thing again and have both answers."""

    def key(self, endpoint: Endpoint) -> str:
        """Name of the reply: model and settings, a dash, messages and repeat. Not the server, not the API key."""
        return f"{self.family(endpoint)}-{fingerprint([dict(message) for message in self.messages], self.repeat)}"

    def family(self, endpoint: Endpoint) -> str:
        """The part of the key that requests with the same model and settings share."""
        extra = {name: value for name, value in endpoint.extra.items() if not _CONNECTION_EXTRAS.fullmatch(name)}
        return fingerprint(endpoint.model, dict(self.settings), *([extra] if extra else []))


@dataclass(frozen=True)
class Reply:
    """What a model answered."""

    text: str
    finish_reason: str
    top: list[dict[str, float]]
    """For each generated token, the likeliest tokens with their natural-log probabilities, the chosen one first. Empty
    where logprobs were not asked for, or the provider silently left them out. Of a reply of more than SHORT_REPLY tokens
    those below RARE_LOGPROB are left out."""
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: float
    """US dollars; 0 for own servers and where `price` is unknown."""
    seconds: float
    thinking_tokens: int = 0
    """Those of the completion that went into thinking, as the provider counts them."""
    from_journal: bool = False


FailureKind = Literal["refused", "too_long", "failed"]


@dataclass(frozen=True)
class Failure:
    """A request that has no answer. `failed` may go better another day; the others are about the page."""

    kind: FailureKind
    why: str


def count_tokens(text: str) -> int:
    """Roughly how many tokens: a quarter of the characters, at least 1. Good to a factor of two for European text."""
    return max(len(text) // 4, 1)


@cache
def token_ends(model: str) -> TokenEnds:
    """Where tokens end, by the model's own tokenizer where LiteLLM comes with it (OpenAI's models), else by cl100k_base,
    whose name then says so: the limit of a page is rough by some ten per cent. Nothing is fetched."""
    _litellm().encode(model="gpt-4", text="")  # LiteLLM now has its tokenizer files found
    import tiktoken

    try:
        encoding, own = tiktoken.encoding_for_model(model.rpartition("/")[2]), True
    except (KeyError, OSError):
        encoding, own = tiktoken.get_encoding("cl100k_base"), False

    def split(text: str) -> list[bytes]:
        return [encoding.decode_single_token_bytes(token) for token in encoding.encode(text, disallowed_special=())]

    return TokenEnds(encoding.name if own else f"{encoding.name} (not the model's own)", own, split)


def price(endpoint: Endpoint) -> tuple[float, float] | None:
    """US dollars for one token sent and one generated; None when unknown, 0 for own servers.

    From the endpoint, else LiteLLM's bundled price list (no network).
    """
    if endpoint.input_usd_per_million is not None and endpoint.output_usd_per_million is not None:
        return endpoint.input_usd_per_million / 1e6, endpoint.output_usd_per_million / 1e6
    if endpoint.model.split("/")[0] in _FREE_PROVIDERS:
        return 0.0, 0.0
    listed = _litellm().model_cost.get(endpoint.model) or _litellm().model_cost.get(endpoint.model.partition("/")[2])
    if listed and "input_cost_per_token" in listed:
        return float(listed["input_cost_per_token"]), float(listed.get("output_cost_per_token") or 0.0)
    return (0.0, 0.0) if _is_own(endpoint.api_base) else None


class Client:
    """Asks one endpoint. Thread safe. Replies come from the journal where it has them."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        journal: Journal | None = None,
        spend: Spend | None = None,
        purpose: str = "",
        backoff_seconds: float = 0.5,
    ) -> None:
        self.purpose = purpose
        self._calls = _Calls(endpoint, journal, spend, backoff_seconds)

    @property
    def endpoint(self) -> Endpoint:
        """Whom it asks."""
        return self._calls.endpoint

    def for_(self, purpose: str) -> "Client":
        """The same client, entering what it spends under `purpose`."""
        other = copy.copy(self)
        other.purpose = purpose
        return other

    def complete(self, request: Request) -> Reply | Failure:
        """Ask once and wait. Raises as `complete_many` does."""
        key = request.key(self.endpoint)
        recorded = self._calls.recorded(key)
        return recorded or self._calls.run(self._calls.answer, request, key, self.purpose)

    def complete_many(self, requests: Iterable[Request]) -> Iterator[tuple[Request, Reply | Failure]]:
        """Ask many, some at a time, and yield each as it comes back, in no order.

        `requests` is pulled as there is room, in the caller's thread. Closing the iterator, or any exception, cancels
        the calls in flight; what was received is in the journal.
        Raises CurateError for what no retry and no other page would cure: the server cannot be reached, the key or
        the model is refused, the quota is used up, the first calls all fail alike; BudgetSpent before the call that
        could exceed the budget; LogprobsUnsupported; BadInput when the key or a price that a budget needs is missing.
        """
        calls, room, in_flight = self._calls, 2 * self.endpoint.concurrency, _InFlight(self._calls)
        try:
            for request in requests:
                key = request.key(self.endpoint)
                if recorded := calls.recorded(key):
                    yield request, recorded
                    continue
                while in_flight.count >= room or in_flight.ready:
                    yield in_flight.next()
                in_flight.start(request, key, self.purpose)
            while in_flight.count:
                yield in_flight.next()
        finally:
            in_flight.cancel()

    def close(self) -> None:
        """Cancel what is in flight; the last open client of the process closes the connections. A later call opens it
        again."""
        self._calls.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Calls:
    """What a client shares with those made from it by `for_`: the calls in flight, the limits, the counts."""

    def __init__(
        self, endpoint: Endpoint, journal: Journal | None, spend: Spend | None, backoff_seconds: float
    ) -> None:
        self.endpoint, self.journal, self.spend = endpoint, journal, spend
        self.backoff_seconds = backoff_seconds
        self.limiter = _Limiter(endpoint.concurrency)
        self.contacted = False
        self.last_success = 0.0
        self.succeeded: set[str] = set()
        self.refused_alike: Counter[tuple[str, int]] = Counter()
        self._asking: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._background: _Background | None = None
        self._starting = threading.Lock()

    def recorded(self, key: str) -> Reply | Failure | None:
        """What the journal has under a key."""
        record = self.journal.get(key) if self.journal is not None else None
        return _from_record(record) if record else None

    def background(self) -> "_Background":
        """Where its calls run. LiteLLM is imported first, in the caller's thread: it takes seconds."""
        _litellm()
        with self._starting:
            if self._background is None:
                self._check_budget_can_be_kept()
                self._background = _Background()
            return self._background

    def run(self, work: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a coroutine on the background loop; cancelled when the wait is interrupted."""
        return _waited(self.background().submit(work, *args, **kwargs))

    def close(self) -> None:
        with self._starting:
            background, self._background = self._background, None
        if background:
            background.close()

    def _check_budget_can_be_kept(self) -> None:
        if self.spend is not None and self.spend.budget_usd is not None and price(self.endpoint) is None:
            raise BadInput(
                f"budget_usd: the price of {self.endpoint.model} is not known, so no budget can be kept; "
                "set input_usd_per_million and output_usd_per_million, or remove budget_usd"
            )

    async def answer(self, request: Request, key: str, purpose: str) -> Reply | Failure:
        """From the journal or the model. The same key asked twice at once is asked of the model once."""
        if self.journal is None:
            return await self._ask(request, key, purpose)
        lock = self._asking.setdefault(key, asyncio.Lock())
        async with lock:
            return self.recorded(key) or await self._ask(request, key, purpose)

    async def _ask(self, request: Request, key: str, purpose: str) -> Reply | Failure:
        tries = _Tries(self.endpoint.retries)
        while True:
            async with self.limiter.slot(), self._within_budget(request):
                sent = time.monotonic()
                try:
                    response = await _completion(self.endpoint, request)
                    reply, refusal = _read(response, self.endpoint, time.monotonic() - sent)
                except Exception as error:  # providers raise some thirty classes; _diagnose sorts them
                    trouble = _diagnose(error, self.endpoint, asked_logprobs="logprobs" in request.settings)
                else:
                    return self._received(request, key, purpose, reply, refusal)
            wait = self._wait_or_give_up(trouble, tries, request, sent)
            if isinstance(wait, Failure):
                return wait
            await asyncio.sleep(wait)

    @contextlib.asynccontextmanager
    async def _within_budget(self, request: Request) -> AsyncIterator[None]:
        if self.spend is None or self.spend.budget_usd is None:
            yield
            return
        usd = _most_it_may_cost(request, price(self.endpoint) or (0.0, 0.0))
        while not self.spend.hold(usd):
            await asyncio.sleep(0.02)
        try:
            yield
        finally:
            self.spend.release(usd)

    def _received(self, request: Request, key: str, purpose: str, reply: Reply, refusal: str | None) -> Reply | Failure:
        """Journal first, then the ledger: no await between a reply and its record, so no cancellation either."""
        if self.journal is not None:
            self.journal.put(key, _to_record(reply, refusal))
        if self.spend is not None:
            self.spend.add(purpose, reply)
        self.contacted, self.last_success = True, time.monotonic()
        self.succeeded.add(request.family(self.endpoint))
        self.limiter.went_well()
        return reply if refusal is None else Failure("refused", refusal)

    def _wait_or_give_up(self, trouble: "_Trouble", tries: "_Tries", request: Request, sent: float) -> float | Failure:
        """Seconds until the next attempt, or the failure this request ends in. Raises what should stop the run."""
        if trouble.kind == "fatal":
            raise CurateError(f"{self._who()}: {trouble.why}")
        if trouble.kind == "logprobs":
            raise LogprobsUnsupported(
                f"{self._who()}: log-probabilities are not available ({trouble.why}); "
                "use an answer form that does not need them"
            )
        self.contacted = self.contacted or trouble.kind != "connection"
        if trouble.kind in ("refused", "too_long"):
            return Failure(trouble.kind, trouble.why)
        if trouble.kind == "failed":
            return self._failed(trouble, request)
        progress = self.last_success > sent
        tries.spend_one(free=trouble.kind == "rate" and progress)
        if tries.over or (trouble.kind == "connection" and not self.contacted and tries.used >= FIRST_CONTACT_TRIES):
            return self._exhausted(trouble, tries, request)
        wait = max(trouble.retry_after_seconds, self._backoff(tries.used))
        if trouble.kind == "rate":
            self.limiter.hold_back(sent, wait)
        return wait

    def _backoff(self, tries: int) -> float:
        longest = min(self.backoff_seconds * 2.0 ** max(tries - 1, 0), LONGEST_BACKOFF_SECONDS)
        return longest * random.uniform(0.5, 1.0)

    def _exhausted(self, trouble: "_Trouble", tries: "_Tries", request: Request) -> Failure:
        """A server that is down or out of quota stops the run; one that stumbles over this page fails the page."""
        others_got_through = self.last_success > tries.began
        if trouble.kind == "connection" and not others_got_through:
            lost = "lost the connection to" if self.contacted else "cannot reach"
            raise CurateError(
                f"{lost} the model server at {self.endpoint.api_base or self.endpoint.model}: {trouble.why}; "
                "start it or set api_base, and run the same again"
            )
        if trouble.kind == "rate" and not others_got_through:
            raise CurateError(
                f"{self._who()}: still over its rate limit after {tries.used} attempts ({trouble.why}); "
                "lower concurrency or wait, and run the same again: replies so far are kept"
            )
        return self._failed(replace(trouble, why=f"{trouble.why} ({tries.used} attempts)"), request)

    def _failed(self, trouble: "_Trouble", request: Request) -> Failure:
        family = request.family(self.endpoint)
        if family not in self.succeeded:
            alike = (family, trouble.status)
            self.refused_alike[alike] += 1
            if self.refused_alike[alike] >= SAME_FAILURES and not self._ever_answered(family):
                raise CurateError(
                    f"{self._who()}: the first {SAME_FAILURES} calls all failed alike, so the run stops: {trouble.why}"
                )
        return Failure("failed", trouble.why)

    def _ever_answered(self, family: str) -> bool:
        """Whether an earlier run got a reply with the same model and settings: then it is the pages that fail."""
        if self.journal is not None and any(key.startswith(family) for key in self.journal):
            self.succeeded.add(family)
        return family in self.succeeded

    def _who(self) -> str:
        return self.endpoint.model + (f" at {self.endpoint.api_base}" if self.endpoint.api_base else "")


class _Tries:
    """Attempts of one request. A rate limit costs no attempt while others get through, up to ten times as many."""

    def __init__(self, retries: int) -> None:
        self.retries, self.used, self.free = retries, 0, 0
        self.began = time.monotonic()

    def spend_one(self, *, free: bool) -> None:
        self.free += free
        self.used += not free

    @property
    def over(self) -> bool:
        return self.used > self.retries or self.free > 10 * (self.retries + 1)


class _Limiter:
    """Calls in flight: halved at a rate limit, one more after each full round that went well (AIMD). One loop only."""

    def __init__(self, most: int) -> None:
        self.most, self.limit, self.active = most, float(most), 0
        self.resume_at = self.halved_at = 0.0
        self._freed: asyncio.Event | None = None

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for room and for the end of a pause."""
        while (pause := self.resume_at - time.monotonic()) > 0 or self.active >= int(self.limit):
            if pause > 0:
                await asyncio.sleep(pause)
            else:
                self._freed = self._freed or asyncio.Event()
                await self._freed.wait()
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1
            self._wake()

    def went_well(self) -> None:
        self.limit = min(float(self.most), self.limit + 1 / self.limit)

    def hold_back(self, sent: float, wait: float) -> None:
        """Once for all calls that were already out when the limit was hit."""
        if sent >= self.halved_at:
            self.limit = max(1.0, self.limit / 2)
            self.halved_at = time.monotonic()
        self.resume_at = max(self.resume_at, time.monotonic() + wait)

    def _wake(self) -> None:
        freed, self._freed = self._freed, None
        if freed:
            freed.set()


class _Background:
    """What an open client has running on the event loop that all of them share."""

    def __init__(self) -> None:
        self._shared = _shared.setdefault(os.getpid(), _SharedLoop())
        self._loop = self._shared.join(self)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = threading.Lock()
        self._closed = False

    def submit(self, work: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Run it on the loop. Raises CurateError when closed."""
        with self._closing:
            if self._closed:
                raise CurateError(_CLOSED)
            return asyncio.run_coroutine_threadsafe(self._run(work, *args, **kwargs), self._loop)

    async def _run(self, work: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await work(*args, **kwargs)
        finally:
            self._tasks.discard(task)

    def close(self) -> None:
        """Cancel what runs, wait until it has ended, and leave the loop."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            try:
                asyncio.run_coroutine_threadsafe(_cancel(self._tasks), self._loop).result()
            finally:
                self._shared.leave(self)


class _SharedLoop:
    """An event loop in a thread, from the first client that opens to the last that closes or the end of the program.
    One for all, because LiteLLM's logging worker is one for all and breaks when it is used from two loops in turn."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._users: set[_Background] = set()

    def join(self, user: _Background) -> asyncio.AbstractEventLoop:
        """The running loop; the first to join starts it."""
        with self._changing:
            if not self._users:
                self._start()
            self._users.add(user)
            return self._loop

    def leave(self, user: _Background) -> None:
        """The last to leave stops the loop."""
        with self._changing:
            self._users.remove(user)
            if not self._users:
                self._stop()

    def _start(self) -> None:
        self._loop = _Loop()
        self._thread = threading.Thread(target=_serve_loop, args=(self._loop,), name="llm-calls", daemon=True)
        self._thread.start()
        atexit.register(self._close_users)

    def _stop(self) -> None:
        atexit.unregister(self._close_users)
        asyncio.run_coroutine_threadsafe(_wind_up(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _close_users(self) -> None:
        if self._thread.is_alive():  # not in a fork of the process
            for user in list(self._users):
                user.close()


_shared: dict[int, _SharedLoop] = {}
"""By process: a fork has neither the thread nor the locks of its parent."""


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that keeps what worker threads make for a call, see `_Made`."""

    # the supertype's signature needs TypeVarTuple syntax that says nothing more here
    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        made = _made.get()
        return super().run_in_executor(executor, made.keeping(func) if made else func, *args)


class _Made:
    """Coroutines that LiteLLM makes in a worker thread for one call. When the call is cancelled before it awaits them
    nobody ever will, and Python complains about that; so they are closed with the call."""

    def __init__(self) -> None:
        self._coroutines: list[Coroutine[Any, Any, Any]] = []
        self._over = False

    def keeping(self, func: Callable[..., T]) -> Callable[..., T]:
        def call(*args: Any) -> T:
            result = func(*args)
            if asyncio.iscoroutine(result):
                self._coroutines.append(result)
                if self._over:
                    result.close()
            return result

        return call

    def close(self) -> None:
        self._over = True
        for coroutine in self._coroutines:
            coroutine.close()


_made: ContextVar[_Made | None] = ContextVar("_made", default=None)


def _serve_loop(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them and wait until they have ended."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _wind_up() -> None:
    """Cancel every task of the loop and close LiteLLM's connections that belong to it."""
    await _cancel(asyncio.all_tasks() - {asyncio.current_task()})
    cached = _litellm().in_memory_llm_clients_cache
    mine = cached.update_cache_key_with_event_loop("")
    for name in [name for name in cached.cache_dict if mine and name.endswith(mine)]:
        client = cached.cache_dict.pop(name)
        close = getattr(client, "close", None) or getattr(client, "aclose", None)
        closing = close() if close else None
        if asyncio.iscoroutine(closing):
            with contextlib.suppress(Exception):  # whatever a library's close raises, the loop must stop
                await closing
    await asyncio.sleep(0.02)  # closed transports let go of their sockets in the loop's next rounds
    await asyncio.get_running_loop().shutdown_asyncgens()


class _InFlight:
    """The calls of one `complete_many`: started from the caller's thread, run on the background loop."""

    def __init__(self, calls: _Calls) -> None:
        self._calls = calls
        self._background: _Background | None = None
        self._done: queue.SimpleQueue[tuple[Request, asyncio.Task[Reply | Failure]]] = queue.SimpleQueue()
        self._tasks: set[asyncio.Task[Reply | Failure]] = set()
        self.count = 0

    def start(self, request: Request, key: str, purpose: str) -> None:
        self._background = self._background or self._calls.background()
        self._background.submit(self._answer, request, key, purpose)
        self.count += 1

    async def _answer(self, request: Request, key: str, purpose: str) -> Reply | Failure:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._finished(request, task))
        return await self._calls.answer(request, key, purpose)

    def _finished(self, request: Request, task: "asyncio.Task[Reply | Failure]") -> None:
        self._tasks.discard(task)
        self._done.put((request, task))

    @property
    def ready(self) -> bool:
        """Whether one is back already."""
        return not self._done.empty()

    def next(self) -> tuple[Request, Reply | Failure]:
        """The next one back; raises what its call raised."""
        request, task = self._done.get()
        self.count -= 1
        if task.cancelled():
            raise CurateError(_CLOSED)
        return request, task.result()

    def cancel(self) -> None:
        """Cancel what is in flight and wait until it has ended."""
        if self._background is None or not self.count:
            return
        with contextlib.suppress(CurateError):  # the client was closed, and with it all calls
            _waited(self._background.submit(_cancel, self._tasks))


def _waited(future: "Future[T]") -> T:
    """The result; an interrupted wait (Ctrl-C) cancels the work."""
    try:
        return future.result()
    except CancelledError as error:
        raise CurateError(_CLOSED) from error
    except BaseException:
        future.cancel()
        raise


@cache
def _litellm() -> Any:
    """LiteLLM, imported on first use (3 s), without its telemetry and chatter."""
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    return litellm


async def _completion(endpoint: Endpoint, request: Request) -> Any:
    arguments = {
        **endpoint.extra,
        **request.settings,
        "model": endpoint.model,
        "messages": _sendable([dict(message) for message in request.messages]),
        "timeout": endpoint.timeout_seconds,
        "num_retries": 0,
        "max_retries": 0,
        **_address(endpoint),
    }
    made = _Made()
    _made.set(made)
    try:
        # LiteLLM's own limit is on silence; a server that trickles is cut off here
        async with asyncio.timeout(endpoint.timeout_seconds + 5):
            return await _litellm().acompletion(**arguments)
    finally:
        made.close()


def _address(endpoint: Endpoint) -> dict[str, str]:
    """Where to send, with which key. A key that was meant for the provider is never sent to another server."""
    where = {"api_base": endpoint.api_base} if endpoint.api_base else {}
    if endpoint.api_key_env is None:
        return {**where, "api_key": "none"} if where else {}
    key = os.environ.get(endpoint.api_key_env)
    if not key:
        raise BadInput(
            f"api_key_env: the environment variable {endpoint.api_key_env} is not set; set it to the API key"
        )
    return {**where, "api_key": key}


def _sendable(value: Any) -> Any:
    """The same with lone surrogates, which UTF-8 cannot carry, replaced; pages from broken encodings have them."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {name: _sendable(each) for name, each in value.items()}
    return [_sendable(each) for each in value] if isinstance(value, list) else value


def _is_own(api_base: str | None) -> bool:
    """Whether a server is on this machine or a private network."""
    host = urlsplit(api_base or "").hostname or ""
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")) or (host and "." not in host):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_private
    return False


def _read(response: Any, endpoint: Endpoint, seconds: float) -> tuple[Reply, str | None]:
    """The reply, and why the model refused if it did. Raises on a response that is not one; that is asked again."""
    choice, usage = response.choices[0], response.usage
    details = getattr(usage, "prompt_tokens_details", None)
    thinking = getattr(usage, "completion_tokens_details", None)
    refusal = getattr(choice.message, "refusal", None)
    if choice.finish_reason == "content_filter":
        refusal = refusal or "stopped by the provider's content filter"
    reply = Reply(
        text=choice.message.content or "",
        finish_reason=choice.finish_reason or "",
        top=_positions(getattr(getattr(choice, "logprobs", None), "content", None) or []),
        prompt_tokens=int(usage.prompt_tokens or 0),
        cached_tokens=int(getattr(details, "cached_tokens", None) or 0),
        completion_tokens=int(usage.completion_tokens or 0),
        cost_usd=0.0,
        seconds=round(seconds, 3),
        thinking_tokens=int(getattr(thinking, "reasoning_tokens", None) or 0),
    )
    return replace(reply, cost_usd=_cost(reply, response, endpoint)), refusal


def _positions(entries: Sequence[Any]) -> list[dict[str, float]]:
    lowest = RARE_LOGPROB if len(entries) > SHORT_REPLY else LOWEST_LOGPROB
    return [
        {token: value for i, (token, value) in enumerate(_position(entry).items()) if i == 0 or value >= lowest}
        for entry in entries
    ]


def _position(entry: Any) -> dict[str, float]:
    """One generated token. Two tokens that read the same count as one, as likely as both together."""
    top: dict[str, float] = {}
    for each in entry.top_logprobs or []:
        value = max(float(each.logprob), LOWEST_LOGPROB)
        before = top.get(each.token)
        top[each.token] = value if before is None else _log_of_sum(before, value)
    chosen = top.pop(entry.token, max(float(entry.logprob), LOWEST_LOGPROB))
    return {entry.token: chosen, **top}


def _log_of_sum(one: float, other: float) -> float:
    return max(one, other) + math.log1p(math.exp(-abs(one - other)))


def _cost(reply: Reply, response: Any, endpoint: Endpoint) -> float:
    """US dollars: from the endpoint's prices, else LiteLLM's own sum, which knows the discount on cached tokens."""
    prices = price(endpoint)
    if prices is None:
        return 0.0
    listed = getattr(response, "_hidden_params", {}).get("response_cost")
    if endpoint.input_usd_per_million is None and any(prices) and listed is not None:
        return float(listed)
    return reply.prompt_tokens * prices[0] + reply.completion_tokens * prices[1]


def _most_it_may_cost(request: Request, prices: tuple[float, float]) -> float:
    settings = request.settings
    completion = settings.get("max_tokens") or settings.get("max_completion_tokens") or ASSUMED_COMPLETION_TOKENS
    return count_tokens(json.dumps(list(request.messages), default=str)) * prices[0] + int(completion) * prices[1]


def _to_record(reply: Reply, refusal: str | None) -> dict[str, Any]:
    record = {name: value for name, value in vars(reply).items() if name != "from_journal"}
    return {**record, "at": now(), **({"refused": refusal} if refusal is not None else {})}


def _from_record(record: Mapping[str, Any]) -> Reply | Failure:
    if "refused" in record:
        return Failure("refused", record["refused"])
    fields = {name: record[name] for name in Reply.__dataclass_fields__ if name in record}
    return Reply(**{**fields, "cost_usd": 0.0}, from_journal=True)


TroubleKind = Literal["rate", "connection", "server", "timeout", "fatal", "logprobs", "refused", "too_long", "failed"]


@dataclass(frozen=True)
class _Trouble:
    """What went wrong with one attempt, by what is to be done about it."""

    kind: TroubleKind
    why: str
    status: int = 0
    retry_after_seconds: float = 0.0


def _diagnose(error: Exception, endpoint: Endpoint, *, asked_logprobs: bool) -> _Trouble:
    """Sort an exception of LiteLLM. By status, cause and words rather than class: the class differs by provider (a
    500 of one is a BadRequestError, a refused connection of another an InternalServerError)."""
    if isinstance(error, CurateError):
        raise error
    causes = {cls.__name__ for cause in _causes(error) for cls in type(cause).__mro__}
    status, (why, code) = int(getattr(error, "status_code", None) or 0), _said(error, endpoint)
    words = f"{why} {code}".lower()
    pause = _retry_after(error)
    if status == 429 and not re.search("insufficient_quota|current quota|billing", words):
        if pause > LONGEST_RETRY_AFTER_SECONDS:
            return _Trouble(
                "fatal", f"over its rate limit, free again in {pause:.0f} s; run the same again then", status
            )
        return _Trouble("rate", why, status, pause)
    if "ConnectTimeout" in causes:
        return _Trouble("connection", f"no connection within {endpoint.timeout_seconds:g} s")
    if isinstance(error, TimeoutError) or "TimeoutException" in causes or status == 408:
        return _Trouble("timeout", f"no answer within {endpoint.timeout_seconds:g} s", status)
    if "TransportError" in causes or "APIConnectionError" in causes:
        return _Trouble("connection", _deepest(error, why))
    if status in (401, 402, 403, 404, 429) or re.search(
        "missing credentials|api_key client option|provider not provided", words
    ):
        return _Trouble("fatal", f"{why} (check model, api_base and api_key_env)", status)
    if (
        "ContextWindowExceededError" in causes
        or status == 413
        or re.search(r"context.{0,12}(length|size|window)", words)
    ):
        return _Trouble("too_long", why, status)
    if "ContentPolicyViolationError" in causes or re.search("content.?(filter|policy|management)", words):
        return _Trouble("refused", why, status)
    if 400 <= status < 500 and asked_logprobs and re.search("log_?probs", words):
        return _Trouble("logprobs", why, status)
    if "UnsupportedParamsError" in causes:
        return _Trouble("fatal", why, status)
    if 400 <= status < 500:
        return _Trouble("failed", why, status)
    return _Trouble("server", why, status, pause)


def _causes(error: BaseException) -> list[BaseException]:
    """The exception and what it came from, outermost first."""
    chain: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in chain:
        chain.append(step)
        step = step.__cause__ or step.__context__
    return chain


def _deepest(error: Exception, why: str) -> str:
    """What the operating system said, where it said something."""
    said = [cause for cause in _causes(error) if isinstance(cause, OSError)]
    number = said[-1].errno if said else None
    if number and number > 0:
        return os.strerror(number).lower()
    return " ".join(str(said[-1]).split()) if said and str(said[-1]) else why


def _said(error: Exception, endpoint: Endpoint) -> tuple[str, str]:
    """The provider's own words and error code, in one line, without LiteLLM's prefixes, and never with the key.

    At most 300 characters: some servers quote the request after that, and a page must not pass for an error message.
    """
    text = re.sub(r"^((litellm\.)?\w+(Error|Timeout): |\w*Exception - )+", "", " ".join(str(error).split()))
    body = getattr(error, "body", None)
    with contextlib.suppress(ValueError, TypeError, KeyError):
        body = json.loads(text)["error"]
        text = str(body["message"])
    key = os.environ.get(endpoint.api_key_env or "")
    text = (text.replace(key, "[key]") if key else text)[:300] or type(error).__name__
    return text, str(body.get("code") or "") if isinstance(body, Mapping) else ""


def _retry_after(error: Exception) -> float:
    """Seconds the server asks to wait, given as a number or a date; 0 where it does not say."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    value = headers.get("retry-after") or (getattr(error, "litellm_response_headers", None) or {}).get("retry-after")
    if not value:
        return 0.0
    try:
        return max(float(value), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except ValueError:
        return 0.0
