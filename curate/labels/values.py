"""What the cells of a label file say: levels, criteria, times, names."""

import json
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from curate.errors import did_you_mean
from curate.rubric import Rubric


class Refused(ValueError):
    """A value that cannot be taken: `got`, as it came, and `why`, as the rest of a sentence about it."""

    def __init__(self, column: str, got: str, why: str) -> None:
        super().__init__(f"{got} {why}" if got else why)
        self.column, self.got, self.why = column, got, why


def absent(value: Any) -> bool:
    """Whether a row says nothing here: null, NaN (a null that went through pandas) or blank."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def said(value: Any) -> str:
    """A value as it is written in a map: 1 also where the column is of floats, `true` for a boolean."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def name_of(value: Any) -> str:
    """A rater's name in one spelling: the same letters are the same person, whatever white space and control characters a
    file puts around them. Empty where there is none."""
    if absent(value):
        return ""
    return "".join(letter for letter in one_spelling(said(value)) if letter.isprintable())


def one_spelling(name: str) -> str:
    """A name with its letters composed and single spaces, so that the same letters are the same person."""
    return " ".join(unicodedata.normalize("NFC", name).split())


def note_of(value: Any) -> str:
    """A note as it was written; several of one question line by line."""
    if isinstance(value, list):
        return "\n".join(map(note_of, value))
    return "" if value is None or value != value else str(value)


def allowed_levels(rubric: Rubric) -> str:
    """The levels or classes that a label may name."""
    return ", ".join(rubric.names.values()) if rubric.scale == "choice" else f"0..{rubric.top}"


def level_of(rubric: Rubric, value: Any) -> int | None:
    """The level that a value says: a level, or on a `choice` scale the name of a class; None where it says none."""
    if rubric.scale == "choice":
        level = next((level for level, name in rubric.names.items() if name == said(value)), None)
    else:
        level = whole(value)
    return level if level in rubric.levels else None


def mapped_level(rubric: Rubric, value: Any, map: Mapping[str, int | str], column: str) -> int:
    """The level that a value stands for by the map, or says where there is none. Raises Refused."""
    level = level_of(rubric, map.get(said(value)) if map else value)
    if level is None:
        allowed = ", ".join(map) if map else allowed_levels(rubric)
        raise Refused(column, repr(value), f"is no level (allowed: {allowed})")
    return level


def criteria_of(rubric: Rubric, value: Any, column: str) -> dict[str, int]:
    """Criterion to level, given as an object or as its JSON; one without a value is left out. Raises Refused."""
    try:
        given = {} if absent(value) else json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise Refused(column, repr(value[:80]), f"is not JSON ({error})") from error
    if not isinstance(given, dict):
        raise Refused(column, "", f"must hold objects of criterion to level (got {str(given)[:80]!r})")
    return {name: criterion_level(rubric, name, answer, column) for name, answer in given.items() if not absent(answer)}


def criterion_level(rubric: Rubric, name: str, value: Any, column: str) -> int:
    """The level that a value says of a criterion. Raises Refused for one that the rubric does not have."""
    if name not in rubric.criteria:
        raise Refused(column, "", f"the rubric has no criterion {name!r}{did_you_mean(name, rubric.criteria)}")
    levels, level = rubric.criteria[name].levels, whole(value)
    if level is None or level not in levels:
        raise Refused(column, f"{name}: {value!r}", f"is no level (allowed: 0..{max(levels)})")
    return level


def whole(value: Any) -> int | None:
    """The whole number that a value is or says, else None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else None


def number(value: Any) -> float | None:
    """The finite number that a value is or says, else None."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if abs(found) < float("inf") else None


def truth(value: Any) -> bool:
    """Whether a value says yes: true, 1, or the words for it in a CSV file."""
    return said(value).lower() in ("true", "1", "yes")


def time_of(value: Any) -> str:
    """A time in UTC, ISO 8601, where the value is one, else empty."""
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        return time.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        return ""
