"""Asks judges about labelled pages; what was asked once is remembered."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from curate import judge as judges
from curate.judge import Judge
from curate.llm import Reply
from curate.progress import Progress, Task
from curate.schema import Judgment
from curate.stages.tune.gate import NOT_ASKED, Complete, Gate
from curate.stages.tune.labelled import Labelled


@dataclass(frozen=True)
class Used:
    """What some judgments took."""

    pages: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: float
    seconds: float


class Bench:
    """Judges at work on labelled pages, behind the gate. A page that the gate kept from being asked is a judgment that
    failed, and is not remembered."""

    def __init__(
        self, complete: Complete, gate: Gate, threads: int, progress: Progress, *, ends: judges.Ends | None = None
    ) -> None:
        self.complete, self.gate, self.ends = gate.through(complete), gate, ends
        self.threads, self.progress = threads, progress
        self.known: dict[tuple[str, str], Judgment] = {}
        self.unreadable = 0
        self._lock = threading.Lock()

    def ask(self, judge: Judge, page: Labelled) -> Judgment:
        """The judgment of one page."""
        return self.said(judge, page) or self.learn(judge, page, self._fresh(judge, page))

    def prior(self, judge: Judge) -> tuple[float, ...]:
        """What the judge's model answers on an empty page; () where that cannot be read."""
        return judges.prior_of(judge, replies) if (replies := self._replies_to_nothing(judge)) else ()

    def said(self, judge: Judge, page: Labelled) -> Judgment | None:
        """What is already known."""
        return self.known.get((judge.id, page.page_id))

    def learn(self, judge: Judge, page: Labelled, said: Judgment) -> Judgment:
        """Remember a judgment, unless the gate kept the page from being asked."""
        with self._lock:
            if was_asked(said) and (judge.id, page.page_id) not in self.known:
                self.known[judge.id, page.page_id] = said
                self.unreadable += said.status != "ok"
        return said

    def ask_all(self, pairs: Sequence[tuple[Judge, Labelled]], task: Task | None = None) -> list[Judgment]:
        """In the given order: pages first, so that a server that caches prefixes reads each page once."""
        with ThreadPoolExecutor(self.threads) as pool:
            found = []
            for said in pool.map(lambda pair: self.ask(*pair), pairs):
                found.append(said)
                if task:
                    task.advance()
            return found

    def on(self, judge: Judge, pages: Sequence[Labelled], task: Task | None = None) -> list[Judgment]:
        """The judgments of the pages, in their order."""
        return self.ask_all([(judge, page) for page in pages], task)

    def used(self, judge: Judge, pages: Sequence[Labelled]) -> Used:
        """What the judge took for those of the pages it was asked about."""
        said = [s for page in pages if (s := self.said(judge, page))]
        return Used(
            pages=len(said),
            calls=len(said) * len(judge.orders),
            prompt_tokens=sum(s.prompt_tokens for s in said),
            completion_tokens=sum(s.completion_tokens for s in said),
            usd=sum(s.cost_usd for s in said),
            seconds=sum(s.seconds for s in said),
        )

    def _replies_to_nothing(self, judge: Judge) -> list[Reply]:
        replies = [self.complete(request) for request in judges.requests(judge, "", ends=self.ends)]
        given = [reply for reply in replies if isinstance(reply, Reply)]
        return given if len(given) == len(replies) else []

    def _fresh(self, judge: Judge, page: Labelled) -> Judgment:
        replies = [self.complete(request) for request in judges.requests(judge, page.text, ends=self.ends)]
        shown = judges.view_of(judge, page.text, self.ends).shown
        return judges.read(judge, page.page_id, replies, shown=shown)


def was_asked(said: Judgment) -> bool:
    """Whether the page was asked about at all."""
    return not said.why.startswith(NOT_ASKED)


def scores_of(said: Sequence[Judgment]) -> np.ndarray:
    """Scores (n,), NaN where there is no readable answer."""
    return np.array([np.nan if s.score is None else s.score for s in said], dtype=np.float64)


def readable(said: Sequence[Judgment]) -> float:
    """Share of readable answers."""
    return float(np.mean([s.status == "ok" for s in said])) if said else 0.0
