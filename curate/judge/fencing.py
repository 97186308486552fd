"""The page as a judge is shown it: cut to a length, fenced as data with a mark that it cannot know."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from curate.tokens import Ends

Cut = Literal["head", "head_tail", "head_middle_tail"]

JOINT = " [...] "
"""Stands where something of the page is left out."""
JOINT_TOKENS = 4
"""Held back for each joint; the count of the whole decides."""
CHARS_A_TOKEN = 16
"""More characters than this a token, on average, no page is taken to have: what lies beyond is not even counted."""
NEAR_CHARS = 24
"""How far a cut moves to fall between two words."""
CONTROL = re.compile(
    r"<[|｜][^|｜<>\n]{1,40}[|｜]>|</?(?:s|start_of_turn|end_of_turn|bos|eos|think)>|\[/?INST\]|\[g?MASK\]|<</?SYS>>",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class View:
    """What of a page is shown."""

    text: str
    shown: str = "all"
    """`all`, or what was cut, as in `head 3000 of 12345 characters`."""


def fenced(text: str, *, key: str, chars: int) -> str:
    """The first `chars` characters of a page between two marks that it cannot contain."""
    return fence(text, key=key, view=view(text, chars=chars))


def fence(text: str, *, key: str, view: View) -> str:
    """A view of a page between two marks that it cannot contain: they are a hash of the key and the whole page.

    Chat control words (`<|im_end|>` and their like) are broken up, so that no page can end its own message.
    """
    mark = _mark(f"{key}\n{text}")
    return f"[page {mark}]\n{harmless(view.text)}\n[end {mark}]"


def harmless(text: str) -> str:
    """The text with chat control words broken up, and as UTF-8 can carry it."""
    plain = text.encode("utf-8", "replace").decode()
    return CONTROL.sub(lambda found: found.group()[0] + " " + found.group()[1:], plain)


def view(text: str, *, chars: int, tokens: int | None = None, cut: Cut = "head", ends: Ends | None = None) -> View:
    """The whole page where it fits, else parts of it: its head, or equal parts of head, (middle,) and tail.

    With `tokens` and `ends` the limit is in tokens of the judge's model, joints and broken control words included, and
    holds strictly; else it is `chars` characters of the page. Parts end between words where one is near, but for the
    head of a page that is cut by characters.
    """
    if tokens is not None and ends is not None:
        return _by_tokens(text, tokens, cut, ends)
    if len(text) <= chars:
        return View(text)
    if cut == "head":
        return View(text[:chars].rstrip() + JOINT.rstrip(), _said("head", chars, text))
    parts = _PARTS[cut]
    return _joined(text, _spans(len(text), chars // len(parts), parts), cut)


_PARTS: dict[Cut, tuple[str, ...]] = {
    "head": ("head",),
    "head_tail": ("head", "tail"),
    "head_middle_tail": ("head", "middle", "tail"),
}


def _by_tokens(text: str, tokens: int, cut: Cut, ends: Ends) -> View:
    ends_of, plain = cache(ends), harmless(text)
    most = tokens * CHARS_A_TOKEN
    if len(plain) <= most and len(ends_of(plain)) <= tokens:
        return View(text)
    room = tokens - JOINT_TOKENS * max(len(_PARTS[cut]) - 1, 1)
    while room > 0:
        found = _joined(plain, _token_spans(plain, room, most, cut, ends_of), cut)
        count = len(ends_of(harmless(found.text)))
        if count <= tokens:
            return View(found.text, f"{found.shown} ({count} tokens)")
        room -= count - tokens
    return View("", _said("none", 0, plain))


def _token_spans(text: str, room: int, most: int, cut: Cut, ends_of: Ends) -> list[tuple[int, int]]:
    """Spans in characters that hold `room` tokens together. Of a page of more than `most` characters, only a stretch
    for each part is split into tokens."""
    parts = _PARTS[cut]
    whole = [(0, len(text))] * len(parts)
    stretches = whole if len(text) <= most else _spans(len(text), most // len(parts), parts)
    spans = []
    for part, (low, high) in zip(parts, stretches, strict=True):
        bounds = [0, *ends_of(text[low:high])]
        first, last = _spans(len(bounds) - 1, min(room // len(parts), len(bounds) - 1), [part])[0]
        spans.append((low + bounds[first], low + bounds[last]))
    return spans


def _spans(length: int, share: int, parts: Sequence[str]) -> list[tuple[int, int]]:
    """Begin and end of each part, `share` long, of a whole of this length."""
    begins = {"head": 0, "middle": (length - share) // 2, "tail": length - share}
    return [(begins[part], begins[part] + share) for part in parts]


def _joined(text: str, spans: Sequence[tuple[int, int]], cut: Cut) -> View:
    """The parts with a mark at each joint, drawn in from the words they cut through."""
    pieces = [text[slice(*_between_words(text, *span))].strip() for span in spans]
    whole = JOINT.join(pieces) + (JOINT.rstrip() if cut == "head" else "")
    return View(whole, _said(cut.replace("_", "+"), sum(len(piece) for piece in pieces), text))


def _between_words(text: str, begin: int, end: int) -> tuple[int, int]:
    """The span without the words that it begins and ends inside of, where their ends are near."""
    if 0 < begin < end and not text[begin - 1].isspace():
        gap = re.search(r"\s", text[begin : min(begin + NEAR_CHARS, end)])
        begin += gap.start() if gap else 0
    if begin < end < len(text) and not text[end].isspace():
        near = max(begin, end - NEAR_CHARS)
        gap = re.search(r"\s\S*$", text[near:end])
        end = near + gap.start() if gap else end
    return begin, end


def _said(what: str, chars: int, text: str) -> str:
    return f"{what} {chars} of {len(text)} characters"


def _mark(text: str) -> str:
    """Ten letters (47 bits): tokenizers give each digit a token of its own, and every page pays for its marks."""
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return "".join(chr(ord("a") + number // 26**i % 26) for i in range(10))
