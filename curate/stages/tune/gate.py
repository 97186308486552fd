"""The gate that every call of tuning passes: it closes when money, minutes or the user's patience are used up."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from curate.llm import Failure, Reply, Request

Complete = Callable[[Request], Reply | Failure]
NOT_ASKED = "not asked: "


class Gate:
    """Lets calls through until a limit is reached; after that they fail without being made. Calls that are in flight
    when it closes are finished and paid: `max_usd` is passed by what these cost."""

    def __init__(
        self,
        *,
        max_usd: float | None = None,
        max_minutes: float | None = None,
        spent: Callable[[], float] = lambda: 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_usd, self.max_minutes = max_usd, max_minutes
        self._spent, self._at_start, self._before = spent, spent(), 0.0
        self._clock, self._began = clock, clock()
        self._why = ""

    @property
    def usd(self) -> float:
        """US dollars spent by this run, and by the interrupted one that it goes on with."""
        return self._spent() - self._at_start + self._before

    def remember(self, usd: float) -> None:
        """What an interrupted run had spent, counted against the limit once."""
        self._before = max(self._before, usd)

    @property
    def closed(self) -> str:
        """Why no more calls are made; empty while they are."""
        if not self._why and self.max_usd is not None and self.usd >= self.max_usd:
            self.close(f"${self.usd:.4f} of tune.max_usd ${self.max_usd:.4f} are spent")
        if not self._why and self.max_minutes is not None and self._clock() - self._began >= self.max_minutes * 60:
            self.close(f"tune.max_minutes ({self.max_minutes:g}) are over")
        return self._why

    def close(self, why: str) -> None:
        """From now on no call is made. The first reason stays."""
        self._why = self._why or why

    def through(self, complete: Complete) -> Complete:
        """`complete` behind this gate."""

        def asked(request: Request) -> Reply | Failure:
            return Failure("failed", NOT_ASKED + self.closed) if self.closed else complete(request)

        return asked


def finish(work: Callable[[], Any], gate: Gate) -> Any:
    """`work()` in a thread of its own, so that Ctrl-C closes the gate and the work ends by itself with what it has; a
    second Ctrl-C leaves at once. Elsewhere than in the main thread, where signals do not arrive, just `work()`."""
    import contextvars

    if threading.current_thread() is not threading.main_thread():
        return work()
    result: list[Any] = []
    trouble: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:  # carried to the caller's thread and raised there
            trouble.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="tune", daemon=True)
    with _first_interrupt(lambda: gate.close("stopped by Ctrl-C")):
        thread.start()
        while thread.is_alive():
            thread.join(0.1)
    if trouble:
        raise trouble[0]
    return result[0]


@contextmanager
def _first_interrupt(action: Callable[[], None]) -> Iterator[None]:
    """The first SIGINT does `action`; the next one what it did before."""
    before = signal.getsignal(signal.SIGINT)

    def once(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)
        action()

    signal.signal(signal.SIGINT, once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
