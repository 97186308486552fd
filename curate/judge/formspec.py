"""What an answer form is made of, and what forms share. The forms themselves are in `onetoken`, `letters` and
`written`; `forms` names them all."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.judge.replies import LEAST_SHARE, Heard, Said, Unreadable, log_odds, without_prior
from curate.llm import Reply
from curate.rubric import Rubric

if TYPE_CHECKING:
    from curate.judge.frozen import Example, Judge

Listen = Callable[["Judge", Reply, str], Heard]


@dataclass(frozen=True)
class FormSpec:
    """One way to answer. A judge of the form is asked once for each of `orders`."""

    about: str
    """What the answer looks like, for people."""
    seed: Callable[[Rubric], str]
    """The words of a rubric that its instruction starts from: what tuning rewrites."""
    question: Callable[["Judge", str], str]
    """The closing question, in one of the orders."""
    answers: Callable[["Judge", str], list[str]]
    """The words, digits or letters whose probabilities are read, lower case, in the order of the levels."""
    listen: Listen
    """Their probabilities in a reply to the question in one of the orders. Raises Unreadable."""
    read: Callable[["Judge", Sequence[Reply]], Said]
    """What the replies, one for each order, say. Raises Unreadable."""
    say: Callable[["Judge", "Example", str], str]
    """The answer that an example stands for, in one of the orders."""
    usable: Callable[[Rubric], bool]
    """Whether the rubric has words for it."""
    tokens: tuple[int, int] = (1, 12)
    """Longest reply with and without logprobs."""
    preamble: Callable[["Judge"], str] = lambda judge: ""
    """What stands before the question: the instruction and the levels, for forms that have no better place for them."""
    orders: tuple[str, ...] = ("",)
    on_levels: bool = False
    """The score is an expected level, as long as no weights are fitted."""
    well_formed: Callable[[str], bool] = lambda instruction: True
    """Whether a proposed instruction can be asked."""
    response_format: Callable[["Judge"], dict[str, Any]] | None = None
    """The schema that is sent along."""


def options(instruction: str) -> tuple[str, str]:
    """The two descriptions of an `ab` instruction. Raises Unreadable when a line is missing."""
    found = dict(re.findall(r"^\s*(high|low)\s*:\s*(.+?)\s*$", instruction, re.MULTILINE | re.IGNORECASE))
    found = {key.lower(): words for key, words in found.items()}
    if set(found) != {"high", "low"}:
        raise Unreadable("an A/B instruction needs two lines, `high: ...` and `low: ...`")
    return found["high"], found["low"]


def kinds(instruction: str) -> dict[str, int]:
    """The words of a `kind` or `does` instruction and their levels. Raises Unreadable when there are fewer than two."""
    found = {
        word.lower(): int(level)
        for word, level in re.findall(r"^\s*([\w-]+)\s*:\s*(\d{1,2})\s*$", instruction, re.MULTILINE)
    }
    if len(found) < 2:
        raise Unreadable("an instruction of words needs two or more lines `word: level`")
    return found


def answer_features(probabilities: Sequence[float]) -> list[float]:
    """Log-probabilities of the answers, (k,), with a floor: what `answer_weights` weigh (vector scaling, Guo et al. 2017)."""
    return [math.log(max(p, LEAST_SHARE)) for p in probabilities]


def heard(judge: "Judge", replies: Sequence[Reply], listen: Listen) -> list[Heard]:
    """What each order's reply says, with the judge's prior taken off."""
    size = len(judge.prior) // len(judge.orders)
    return [
        without_prior(listen(judge, reply, order), judge.prior[i * size : (i + 1) * size])
        for i, (order, reply) in enumerate(zip(judge.orders, replies, strict=True))
    ]


def instruction_of(rubric: Rubric) -> str:
    """The prose of the rubric."""
    return rubric.instruction


def has_both(rubric: Rubric, levels: Sequence[int]) -> bool:
    """Whether some of the levels are worth keeping and some are not."""
    return any(level in rubric.kept for level in levels) and any(level not in rubric.kept for level in levels)


def parts_keepers(rubric: Rubric) -> bool:
    """Whether the rubric says what is worth keeping: a quiz does not."""
    return has_both(rubric, list(rubric.levels))


def instruction_and_levels(judge: "Judge") -> str:
    """The prose and the levels, a line each."""
    lines = "\n".join(f"{judge.names[level]}: {words}" for level, words in judge.levels.items())
    return f"{judge.instruction}\n\n{lines}\n\n"


def weighted(judge: "Judge", shares: Sequence[float], plain: float) -> float:
    """The score by the fitted weights of the answers, or `plain` where there are none."""
    if not judge.answer_weights:
        return plain
    return sum(w * x for w, x in zip(judge.answer_weights, answer_features(shares), strict=True))


def of_choice(judge: "Judge", shares: Sequence[float], level: int) -> float:
    """Log-odds of the classes worth keeping against the others; of the chosen one where none is asked for."""
    good = set(judge.kept) or {level}
    return log_odds(
        sum(share for i, share in enumerate(shares) if i in good),
        sum(share for i, share in enumerate(shares) if i not in good),
    )


def side(judge: "Judge", keep: bool) -> int | None:
    """The class that an answer of keep or drop stands for on a choice scale; the score decides on the other scales."""
    if judge.scale != "choice":
        return None
    return next(level for level in judge.levels if (level in judge.kept) is keep)


def level_answers(judge: "Judge", _: str) -> list[str]:
    """The digit or the name of each level."""
    return [name.lower() for name in judge.names.values()]


def mean_level(judge: "Judge", shares: Sequence[float]) -> float:
    """The expected level."""
    return sum(level * share for level, share in zip(judge.levels, shares, strict=True))


def one_of(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return ", ".join(words[:-1]) + f" or {words[-1]}"


def bare(text: str) -> str:
    """An answer without the marks around it, and whatever its capitals."""
    return text.strip(" \n\t*\"'`.()[]").casefold()
