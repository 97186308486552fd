"""Errors a user can act on: each says what, what it got, and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class CurateError(Exception):
    """The work failed for a reason the user can see and change. Printed as one line; exit code 1."""

    exit_code = 1


class BadInput(CurateError):
    """What the user gave cannot be used. Printed as one line; exit code 2, before any work is done."""

    exit_code = 2


def did_you_mean(got: str, allowed: Iterable[str]) -> str:
    """The end of an error line: the closest allowed word if there is one, then all of them; empty when none is allowed."""
    words = sorted(allowed)
    if not words:
        return ""
    close = get_close_matches(got, words, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{hint} (allowed: {', '.join(words)})"
