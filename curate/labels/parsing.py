"""What a value in a file of labels means: a level, criteria, a time, or nothing."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from curate.errors import did_you_mean
from curate.rubric import Rubric


def absent(value: Any) -> bool:
    """Whether there is no value: null, NaN (a null that went through pandas) or blank."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def said(value: Any) -> str:
    """A value as it is written in a map of levels: 1 also where the column is of floats, `true` for a boolean."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def whole(value: Any) -> int | None:
    """The whole number that a value is or says, else None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() else None


def time_of(value: Any) -> str:
    """A time in UTC, ISO 8601, where the value is one, else empty."""
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return ""
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="microseconds")


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


def mapped_level(rubric: Rubric, value: Any, levels: Mapping[str, int | str]) -> int:
    """The level that a value stands for, by `levels` where there are some. Raises ValueError with what is allowed."""
    level = level_of(rubric, levels.get(said(value)) if levels else value)
    if level is None:
        raise ValueError(f"{value!r} is no level (allowed: {', '.join(levels) if levels else allowed_levels(rubric)})")
    return level


def criteria_of(rubric: Rubric, value: Any) -> dict[str, int]:
    """Criterion to level, given as an object or as its JSON; a criterion without a value is left out. Raises ValueError
    where it is no such thing, or names what the rubric has not."""
    try:
        given = {} if absent(value) else json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ValueError(f"{value[:80]!r} is not JSON ({error})") from error
    if not isinstance(given, Mapping):
        raise ValueError(f"must hold objects of criterion to level (got {str(given)[:80]!r})")
    found: dict[str, int] = {}
    for name, answer in given.items():
        if absent(answer):
            continue
        if name not in rubric.criteria:
            raise ValueError(f"the rubric has no criterion {name!r}{did_you_mean(name, rubric.criteria)}")
        levels, level = rubric.criteria[name].levels, whole(answer)
        if level is None or level not in levels:
            raise ValueError(f"{name}: {answer!r} is no level (allowed: 0..{max(levels)})")
        found[name] = level
    return found
