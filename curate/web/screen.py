"""A page as it goes to a screen, folded where it is long."""

from collections.abc import Mapping
from typing import Any

FOLD_CHARS = 6000
"""Characters of a page that are shown before its fold."""


def shown(page: Mapping[str, Any]) -> dict[str, Any]:
    """A page as it goes to the screen; `rest` is what lies below the fold."""
    cut = fold(page["text"])
    head = {key: page.get(key) or "" for key in ("page_id", "title", "url", "host", "lang")}
    return {**head, "chars": len(page["text"]), "text": page["text"][:cut], "rest": page["text"][cut:]}


def fold(text: str) -> int:
    """Where a long text is folded: at the end of a line or word near FOLD_CHARS; its length when it is not long."""
    if len(text) <= FOLD_CHARS * 5 // 4:
        return len(text)
    for end in "\n", " ":
        cut = text.rfind(end, FOLD_CHARS * 3 // 4, FOLD_CHARS)
        if cut > 0:
            return cut + 1
    return FOLD_CHARS


def extent(text: str, unfolded: bool, seen: int | None = None) -> str:
    """What was shown of a page, as it is stored: `text`, or `text 5981 of 23411 characters`. `seen` is how many characters
    were, where the screen folds elsewhere."""
    cut = len(text) if unfolded else min(fold(text) if seen is None else seen, len(text))
    return "text" if cut == len(text) else f"text {cut} of {len(text)} characters"
