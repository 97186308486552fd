"""Forms that write their answer into a text: JSON with criteria and a reason, or thoughts and a last line."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from curate.judge.formspec import (
    FormSpec,
    bare,
    heard,
    instruction_and_levels,
    instruction_of,
    level_answers,
    mean_level,
    of_choice,
    one_of,
    weighted,
)
from curate.judge.replies import Heard, Said, Unreadable, answer_text, heard_at
from curate.llm import Reply

if TYPE_CHECKING:
    from curate.judge.frozen import Example, Judge


def _answer_key(judge: "Judge") -> str:
    return "class" if judge.scale == "choice" else "level"


def _ask_json(judge: "Judge", _: str) -> str:
    keys = ", ".join([*judge.criteria, "reason", _answer_key(judge)])
    return f"Answer with JSON only, with the keys {keys}.{_criteria_lines(judge)}"


def _criteria_lines(judge: "Judge") -> str:
    lines = [
        f"\n{name} (number): {criterion.asks} "
        + "; ".join(f"{level} = {words}" for level, words in criterion.levels.items())
        for name, criterion in judge.criteria.items()
    ]
    wanted = (
        f"class: one of {one_of(list(judge.names.values()))}"
        if judge.classes
        else f"level: number from 0 to {judge.top}"
    )
    return "".join([*lines, f"\nreason: one sentence\n{wanted}"])


def _json_schema(judge: "Judge") -> dict[str, Any]:
    fields: dict[str, Any] = {name: {"type": "integer", "enum": list(c.levels)} for name, c in judge.criteria.items()}
    fields["reason"] = {"type": "string", "maxLength": 300}
    if judge.classes:
        fields["class"] = {"type": "string", "enum": list(judge.classes)}
    else:
        fields["level"] = {"type": "integer", "enum": list(judge.levels)}
    schema = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "judgment", "strict": True, "schema": schema}}


def _json_value(judge: "Judge", text: str) -> tuple[dict[str, Any], int]:
    """The reply as a value, and the level it gives."""
    found = re.search(r"\{.*\}", text, re.DOTALL)
    try:
        value = json.loads(found.group()) if found else None
    except (ValueError, RecursionError):
        value = None
    level = _level_named(judge, value.get(_answer_key(judge))) if isinstance(value, dict) else None
    if not isinstance(value, dict) or level is None:
        raise Unreadable(f"no {_answer_key(judge)} of {_span(judge)} in {text[:60]!r}")
    return value, level


def _span(judge: "Judge") -> str:
    return "/".join(judge.classes) if judge.classes else f"0..{judge.top}"


def _level_named(judge: "Judge", value: Any) -> int | None:
    """The level that a value names, if it names one."""
    if judge.classes:
        word = bare(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else ""
        return next((level for level, name in judge.names.items() if name.casefold() == word), None)
    level = _whole_number(value)
    return level if level in judge.levels else None


def _whole_number(value: Any) -> int | None:
    """The number, unless it is none: true is no 1. Models without a schema put digits in quotes."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d\s*", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _listen_json(judge: "Judge", reply: Reply, order: str) -> Heard:
    text = answer_text(reply)
    _, level = _json_value(judge, text)
    places = [m.start(1) for m in re.finditer(rf'"{_answer_key(judge)}"\s*:\s*"?([^\s",}}])', reply.text)]
    return _spoken(judge, reply, places[-1:], level, order)


def _spoken(judge: "Judge", reply: Reply, places: Sequence[int], level: int, order: str) -> Heard:
    """Probabilities of the levels where the reply names one; all on the level that it names where it has none."""
    found = heard_at(reply, places[0], level_answers(judge, order)) if places else None
    return found or Heard([1.0 if each == level else 0.0 for each in judge.levels])


def _read_json(judge: "Judge", replies: Sequence[Reply]) -> Said:
    value, level = _json_value(judge, answer_text(replies[0]))
    given = {name: _whole_number(value.get(name)) for name in judge.criteria}
    criteria = {name: n for name, n in given.items() if n is not None and n in judge.criteria[name].levels}
    found = heard(judge, replies, _listen_json)[0]
    return _written(judge, replies[0], found, level, reason=str(value.get("reason") or ""), criteria=criteria)


def _written(
    judge: "Judge", reply: Reply, found: Heard, level: int, *, reason: str, criteria: dict[str, int] | None = None
) -> Said:
    """An answer that stands in the text, with the probabilities of its token where the reply has them."""
    plain = of_choice(judge, found.shares, level) if judge.classes else mean_level(judge, found.shares)
    return Said(
        score=weighted(judge, found.shares, plain),
        probabilities=found.shares if reply.top and max(found.shares) < 1 else [],
        outside=found.outside,
        level=level,
        criteria=criteria or {},
        reason=reason,
    )


def _say_json(judge: "Judge", example: "Example", _: str) -> str:
    said: dict[str, Any] = {name: example.criteria[name] for name in judge.criteria if name in example.criteria}
    answer = judge.names[example.level] if judge.classes else example.level
    return json.dumps({**said, "reason": example.reason, _answer_key(judge): answer}, ensure_ascii=False)


def _ask_reasoned(judge: "Judge", _: str) -> str:
    wanted = (
        f"Class: one of {one_of(list(judge.names.values()))}"
        if judge.classes
        else f"Level: a digit from 0 to {judge.top}"
    )
    return f"Think about it in a few sentences. Then end with one line: {wanted}."


def _last_line(judge: "Judge", reply: Reply) -> tuple[str, int, str]:
    """The thoughts, the level, and the level as it is written. The last line alone is the answer: levels are thought of
    in passing before it, and a reply cut short has none."""
    thought, _, last = answer_text(reply).strip().rpartition("\n")
    if judge.classes:
        found = re.fullmatch(r"\W*(?:class|answer)\W{0,5}?([\w].*?)\W{0,3}", last, re.IGNORECASE)
    else:
        found = re.fullmatch(
            r"\W*level\W{0,5}?(?<![-.])(\d)(?:\W{0,3}|\s*(?:/|of|out of)\s*\d\W{0,3})", last, re.IGNORECASE
        )
    level = _level_named(judge, found[1]) if found else None
    if reply.finish_reason == "length" or found is None or level is None:
        name = _answer_key(judge).capitalize()
        raise Unreadable(f"no line `{name}: {_span(judge)}` at the end of {answer_text(reply).strip()[-60:]!r}")
    return thought, level, found[1]


def _listen_reasoned(judge: "Judge", reply: Reply, order: str) -> Heard:
    _, level, word = _last_line(judge, reply)
    line = reply.text.rstrip().rfind("\n") + 1
    key = re.match(r"\W*\w+", reply.text[line:])
    place = reply.text.find(word, line + (key.end() if key else 0))
    return _spoken(judge, reply, [place] if place >= 0 else [], level, order)


def _read_reasoned(judge: "Judge", replies: Sequence[Reply]) -> Said:
    thought, level, _ = _last_line(judge, replies[0])
    found = heard(judge, replies, _listen_reasoned)[0]
    return _written(judge, replies[0], found, level, reason=thought.strip()[:2000])


def _say_reasoned(judge: "Judge", example: "Example", _: str) -> str:
    thought = f"{example.reason}\n" if example.reason else ""
    return f"{thought}{_answer_key(judge).capitalize()}: {judge.names[example.level]}"


WRITTEN: Mapping[str, FormSpec] = {
    "json": FormSpec(
        about="JSON with the criteria, a reason and the level",
        seed=instruction_of,
        preamble=instruction_and_levels,
        question=_ask_json,
        answers=level_answers,
        listen=_listen_json,
        read=_read_json,
        say=_say_json,
        usable=lambda rubric: True,
        tokens=(400, 400),
        on_levels=True,
        response_format=_json_schema,
    ),
    "reasoned": FormSpec(
        about="a few sentences, then a line with the level",
        seed=instruction_of,
        preamble=instruction_and_levels,
        question=_ask_reasoned,
        answers=level_answers,
        listen=_listen_reasoned,
        read=_read_reasoned,
        say=_say_reasoned,
        usable=lambda rubric: True,
        tokens=(700, 700),
        on_levels=True,
    ),
}
