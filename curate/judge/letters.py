"""Forms that answer with one letter: the class, on a choice scale."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from curate.judge.formspec import FormSpec, bare, heard, instruction_of, of_choice, one_of, weighted
from curate.judge.replies import Heard, Said, Unreadable, answer_text, heard_first
from curate.llm import Reply

if TYPE_CHECKING:
    from curate.judge.frozen import Example, Judge


def _listed(judge: "Judge", order: str) -> dict[int, str]:
    """Class to its letter, in the order they are listed. Letters that are no names go by place, so that neither a
    letter nor a place is always the same class's."""
    levels = list(judge.levels) if order != "backward" else list(reversed(judge.levels))
    if judge.letters == judge.names:
        return {level: judge.letters[level] for level in levels}
    return dict(zip(levels, judge.letters.values(), strict=True))


def _letter_answers(judge: "Judge", order: str) -> list[str]:
    letters = _listed(judge, order)
    return [letters[level].lower() for level in judge.levels]


def _prose(judge: "Judge") -> str:
    return f"{judge.instruction}\n\n"


def _ask_letter(judge: "Judge", order: str) -> str:
    letters = _listed(judge, order)
    names = {level: "" if key == judge.names[level] else f"{judge.names[level]} - " for level, key in letters.items()}
    lines = [f"{key}: {names[level]}{judge.levels[level]}" for level, key in letters.items()]
    return "\n".join([*lines, f"Answer with one letter: {one_of(list(letters.values()))}."])


def _listen_letter(judge: "Judge", reply: Reply, order: str) -> Heard:
    """Without probabilities a reply may also begin with the letter, stand alone in capitals, or name the class."""
    answers = _letter_answers(judge, order)
    if reply.top:
        return heard_first(reply, answers)
    text = answer_text(reply).strip()
    level = _named(text, _listed(judge, order), judge.names)
    if level is None:
        raise Unreadable(f"no single answer of {'/'.join(answers)} in {text[:60]!r}")
    return Heard([1.0 if each == level else 0.0 for each in judge.levels])


def _named(text: str, letters: Mapping[int, str], names: Mapping[int, str]) -> int | None:
    """The class that a text names by letter or name, if it names one and no other."""
    begins = [level for level, key in letters.items() if re.match(rf"\W*{re.escape(key)}(?!\w)(?! \w)", text)]
    whole = [level for level, name in names.items() if bare(text) == name.casefold()]
    alone = [level for level, key in letters.items() if re.search(rf"(?<!\w){re.escape(key)}(?!\w)", text)]
    said = [
        level for level, name in names.items() if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)
    ]
    return next(
        (found[0] for found in (whole, begins, said if len(names[0]) > 1 else [], alone) if len(found) == 1), None
    )


def _read_letter(judge: "Judge", replies: Sequence[Reply]) -> Said:
    found = heard(judge, replies, _listen_letter)
    shares = _geometric_mean([each.shares for each in found])
    level = max(judge.levels, key=lambda each: (shares[each], -each))
    return Said(
        score=weighted(judge, shares, of_choice(judge, shares, level)),
        probabilities=shares,
        outside=max(each.outside for each in found),
        level=level,
    )


def _geometric_mean(rows: Sequence[Sequence[float]]) -> list[float]:
    """Of several lists of shares, as shares again; one list comes back as it is."""
    if len(rows) == 1:
        return list(rows[0])
    logs = [sum(math.log(max(share, 1e-9)) for share in column) / len(rows) for column in zip(*rows, strict=True)]
    return Heard([math.exp(each) for each in logs]).shares


def _say_letter(judge: "Judge", example: "Example", order: str) -> str:
    return _listed(judge, order)[example.level]


def _letter_form(orders: tuple[str, ...], about: str) -> FormSpec:
    return FormSpec(
        about=about,
        seed=instruction_of,
        preamble=_prose,
        question=_ask_letter,
        answers=_letter_answers,
        listen=_listen_letter,
        read=_read_letter,
        say=_say_letter,
        usable=lambda rubric: rubric.scale == "choice",
        orders=orders,
    )


LETTERS: Mapping[str, FormSpec] = {
    "letter": _letter_form(("",), "one letter, the class"),
    "letter_both": _letter_form(("forward", "backward"), "one letter, the class; asked with the list both ways"),
}
