"""What a reply holds: its text without the thinking, and the probabilities of the answers at the place where it
answers."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from curate.llm import Reply

LEAST_SHARE = 1e-4
LEAST_MASS = 1e-3
"""With less than this probability on the allowed answers a reply is unreadable."""
END_TOKENS = 3
"""So many tokens after the text (end of message and the like) may be without a place in it."""
_THINKING = re.compile(r"<(think|thinking|thought|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_THOUGHT_BEFORE = re.compile(r"\A.*</(?:think|thinking|thought|reasoning)>", re.DOTALL | re.IGNORECASE)


class Unreadable(ValueError):
    """The reply does not hold an answer of the asked form."""


@dataclass(frozen=True)
class Said:
    """An answer before it is put on the rubric's levels."""

    score: float
    probabilities: list[float] = field(default_factory=list)
    outside: float = 0.0
    level: int | None = None
    criteria: dict[str, int] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Heard:
    """Probability of each answer, and the mass on none of them."""

    masses: list[float]
    outside: float = 0.0

    @property
    def shares(self) -> list[float]:
        """The masses as parts of one."""
        return [mass / sum(self.masses) for mass in self.masses]


def answer_text(reply: Reply) -> str:
    """The reply without its thinking: what stands between `<think>` and `</think>`, or before a lone `</think>`, as of
    models whose template opens it. Thinking that never ends leaves nothing."""
    text = _THINKING.sub("", reply.text)
    return _THOUGHT_BEFORE.sub("", text).strip() if text != reply.text or "</t" in text or "</r" in text else text


def thinking_tokens(reply: Reply) -> int:
    """As the provider counts them, else by the share of the text that is thinking."""
    if reply.thinking_tokens or not reply.text:
        return reply.thinking_tokens
    return round(reply.completion_tokens * (1 - len(answer_text(reply).strip()) / max(len(reply.text.strip()), 1)))


def heard_first(reply: Reply, answers: Sequence[str]) -> Heard:
    """Probabilities at the first token of the answer; without any, the text decides.

    A token counts for every answer that it begins, shared between them. Raises Unreadable where the text names none or
    several, or next to nothing falls on any.
    """
    text = answer_text(reply)
    top = _first_top(reply, text)
    if not top:
        return _named_in(text, answers)
    heard = masses(top, answers)
    if sum(heard.masses) < LEAST_MASS:
        raise Unreadable(f"no probability on {'/'.join(answers)}; the model began {text[:60]!r}")
    return heard


def heard_at(reply: Reply, place: int, answers: Sequence[str]) -> Heard | None:
    """Probabilities at the token that holds the character `place` of the reply's text; None where the reply has none, or
    next to nothing falls on any answer."""
    top = top_at(reply, place)
    heard = masses(top, answers) if top else None
    return heard if heard and sum(heard.masses) >= LEAST_MASS else None


def top_at(reply: Reply, place: int) -> Mapping[str, float] | None:
    """The likeliest tokens where the reply's text has the character `place`; None where tokens and text do not meet.

    Counted from the end, since what a model thinks may be among the tokens and not in the text; else from the start.
    """
    chosen = [next(iter(top), "") for top in reply.top]
    for last in range(len(chosen), max(len(chosen) - END_TOKENS, 0), -1):
        if (i := _from_the_end(chosen[:last], reply.text, place)) is not None:
            return reply.top[i]
    i = _from_the_start(chosen, reply.text, place)
    return None if i is None else reply.top[i]


def masses(top: Mapping[str, float], answers: Sequence[str]) -> Heard:
    """Probability of each answer among the likeliest tokens."""
    found = [0.0] * len(answers)
    for token, logprob in top.items():
        word = token.strip().strip("*\"'`.(){}:,").lower()
        begun = [
            i
            for i, answer in enumerate(answers)
            if word and (answer == word or (len(word) > 1 and answer.startswith(word)))
        ]
        for i in begun:
            found[i] += math.exp(logprob) / len(begun)
    return Heard(found, max(0.0, 1.0 - sum(found)))


def without_prior(heard: Heard, prior: Sequence[float]) -> Heard:
    """The probabilities with a model's lean taken off: each divided by that of the same answer on an empty page, and
    all brought to the same sum again. Without a prior, as they are."""
    if not prior:
        return heard
    weighed = [mass / max(math.exp(lean), LEAST_SHARE) for mass, lean in zip(heard.masses, prior, strict=True)]
    scale = sum(heard.masses) / sum(weighed)
    return Heard([mass * scale for mass in weighed], heard.outside)


def log_odds(a: float, b: float) -> float:
    """Of two masses, 1e-9 at least each."""
    return math.log(max(a, 1e-9)) - math.log(max(b, 1e-9))


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), clipped at 50."""
    return 1 / (1 + math.exp(-max(min(x, 50.0), -50.0)))


def _first_top(reply: Reply, text: str) -> Mapping[str, float] | None:
    """The likeliest first tokens of the answer. A reply that does not think begins with its answer."""
    if not reply.top:
        return None
    if len(reply.top) == 1:
        return reply.top[0]
    place = len(reply.text.rstrip()) - len(text.strip())
    found = top_at(reply, place) if text.strip() else None
    thinks = reply.thinking_tokens or text != reply.text
    return found or (None if thinks else reply.top[0])


def _named_in(text: str, answers: Sequence[str]) -> Heard:
    words = re.findall(r"[\w-]+", text.lower())
    hits = [i for i, answer in enumerate(answers) if answer in words]
    if len(hits) != 1:
        raise Unreadable(f"no single answer of {'/'.join(answers)} in {text[:60]!r}")
    return Heard([1.0 if i == hits[0] else 0.0 for i in range(len(answers))])


def _from_the_end(chosen: Sequence[str], text: str, place: int) -> int | None:
    tail, back = text[place:], ""
    for i in range(len(chosen) - 1, -1, -1):
        back = chosen[i] + back
        if len(back) >= len(tail):
            return i if back.endswith(tail) else None
        if not tail.endswith(back):
            return None
    return None


def _from_the_start(chosen: Sequence[str], text: str, place: int) -> int | None:
    done = 0
    for i, token in enumerate(chosen):
        if not text.startswith(token, done):
            return None
        done += len(token)
        if done > place:
            return i
    return None
