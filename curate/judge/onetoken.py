"""Forms whose answer is the first token: a level, yes or no, A or B, one word of a list."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curate.judge.formspec import (
    FormSpec,
    has_both,
    heard,
    instruction_and_levels,
    instruction_of,
    kinds,
    level_answers,
    mean_level,
    options,
    parts_keepers,
    side,
    weighted,
)
from curate.judge.replies import Heard, Said, Unreadable, heard_first, log_odds, sigmoid
from curate.llm import Reply
from curate.rubric import Rubric

if TYPE_CHECKING:
    from curate.judge.frozen import Example, Judge

WORD_QUESTIONS = {"kind": "What kind of text is above?", "does": "What does the text above do?"}
"""Forms whose answer is one word of a list; each word stands for a level."""


def _ask_level(judge: "Judge", _: str) -> str:
    return f"Answer with one digit from 0 to {judge.top}."


def _listen_level(judge: "Judge", reply: Reply, order: str) -> Heard:
    return heard_first(reply, level_answers(judge, order))


def _read_level(judge: "Judge", replies: Sequence[Reply]) -> Said:
    found = heard(judge, replies, _listen_level)[0]
    return Said(
        score=weighted(judge, found.shares, mean_level(judge, found.shares)),
        probabilities=found.shares,
        outside=found.outside,
    )


def _ask_yesno(judge: "Judge", _: str) -> str:
    return f"{judge.instruction}\nAnswer with one word, yes or no."


def _listen_yesno(judge: "Judge", reply: Reply, order: str) -> Heard:
    return heard_first(reply, ["yes", "no"])


def _read_yesno(judge: "Judge", replies: Sequence[Reply]) -> Said:
    found = heard(judge, replies, _listen_yesno)[0]
    odds = log_odds(*found.masses)
    return Said(score=odds, probabilities=[sigmoid(odds)], outside=found.outside, level=side(judge, odds > 0))


def _ask_ab(judge: "Judge", order: str) -> str:
    high, low = options(judge.instruction)
    first, second = (high, low) if order == "high_first" else (low, high)
    return f"Which describes the text above better?\nA: {first}\nB: {second}\nAnswer with one letter, A or B."


def _listen_ab(judge: "Judge", reply: Reply, order: str) -> Heard:
    return heard_first(reply, ["a", "b"])


def _read_ab(judge: "Judge", replies: Sequence[Reply]) -> Said:
    found = heard(judge, replies, _listen_ab)
    odds = [
        log_odds(*(each.masses if order == "high_first" else reversed(each.masses)))
        for order, each in zip(judge.orders, found, strict=True)
    ]
    mean = sum(odds) / len(odds)
    return Said(
        score=mean,
        probabilities=[sigmoid(mean)],
        outside=max(each.outside for each in found),
        level=side(judge, mean > 0),
    )


def _say_ab(judge: "Judge", example: "Example", order: str) -> str:
    return "A" if (example.level in judge.kept) == (order == "high_first") else "B"


def _word_lines(words: Mapping[str, int]) -> str:
    return "\n".join(f"{word}: {level}" for word, level in words.items())


def _ask_word(judge: "Judge", _: str) -> str:
    return f"{WORD_QUESTIONS[judge.form]} Answer with one word of: {', '.join(kinds(judge.instruction))}."


def _listen_word(judge: "Judge", reply: Reply, order: str) -> Heard:
    return heard_first(reply, list(kinds(judge.instruction)))


def _read_word(judge: "Judge", replies: Sequence[Reply]) -> Said:
    words, found = kinds(judge.instruction), heard(judge, replies, _listen_word)[0]
    pairs = list(zip(found.masses, words.values(), strict=True))
    good = sum(mass for mass, level in pairs if level in judge.kept)
    bad = sum(mass for mass, level in pairs if level not in judge.kept)
    best = list(words)[max(range(len(pairs)), key=found.masses.__getitem__)]
    by_class = {level: sum(mass for mass, stands in pairs if stands == level) for level in judge.levels}
    return Said(
        score=weighted(judge, found.shares, log_odds(good, bad)),
        probabilities=found.shares,
        outside=found.outside,
        level=max(by_class, key=by_class.__getitem__) if judge.scale == "choice" else None,
        reason=best,
    )


def _say_word(judge: "Judge", example: "Example", _: str) -> str:
    """The word whose level is nearest, on the same side of keep and drop where there is one."""
    words = kinds(judge.instruction)
    kept = example.level in judge.kept
    return min(words, key=lambda word: ((words[word] in judge.kept) != kept, abs(words[word] - example.level)))


def _is_words(instruction: str) -> bool:
    return _parses(kinds, instruction)


def _is_options(instruction: str) -> bool:
    return _parses(options, instruction)


def _parses(parse: Callable[[str], Any], instruction: str) -> bool:
    try:
        parse(instruction)
    except Unreadable:
        return False
    return True


def _word_form(words: Callable[[Rubric], dict[str, int]], about: str) -> FormSpec:
    return FormSpec(
        about=about,
        seed=lambda rubric: _word_lines(words(rubric)),
        question=_ask_word,
        answers=lambda judge, order: list(kinds(judge.instruction)),
        listen=_listen_word,
        read=_read_word,
        say=_say_word,
        usable=lambda rubric: has_both(rubric, list(words(rubric).values())),
        well_formed=_is_words,
    )


ONE_TOKEN: Mapping[str, FormSpec] = {
    "level": FormSpec(
        about="one digit, the level",
        seed=instruction_of,
        preamble=instruction_and_levels,
        question=_ask_level,
        answers=level_answers,
        listen=_listen_level,
        read=_read_level,
        say=lambda judge, example, order: judge.names[example.level],
        usable=lambda rubric: rubric.scale != "choice",
        on_levels=True,
    ),
    "yesno": FormSpec(
        about="yes or no to one question",
        seed=lambda rubric: rubric.asked().yesno,
        question=_ask_yesno,
        answers=lambda judge, order: ["yes", "no"],
        listen=_listen_yesno,
        read=_read_yesno,
        say=lambda judge, example, order: "yes" if example.level in judge.kept else "no",
        usable=parts_keepers,
    ),
    "ab": FormSpec(
        about="A or B, which of two descriptions fits; asked in both orders",
        seed=lambda rubric: f"high: {rubric.asked().high}\nlow: {rubric.asked().low}",
        question=_ask_ab,
        answers=lambda judge, order: ["a", "b"],
        listen=_listen_ab,
        read=_read_ab,
        say=_say_ab,
        usable=parts_keepers,
        orders=("high_first", "low_first"),
        well_formed=_is_options,
    ),
    "kind": _word_form(lambda rubric: rubric.asked().kinds, "one word, what kind of text it is"),
    "does": _word_form(lambda rubric: rubric.asked().does, "one word, what the text does"),
}
