"""Where the tokens of a text end, whatever splits it: what cutting a page by tokens needs to know."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

Ends = Callable[[str], Sequence[int]]
"""Where each token of a text ends, in characters: a token that ends inside a character ends before it."""


@dataclass(frozen=True)
class TokenEnds:
    """A tokenizer as far as cutting needs it: called with a text, it says where its tokens end."""

    name: str
    """Its name, for people."""
    own: bool
    """Whether it is the model's own; else it is the nearest that is known, and counts are rough."""
    split: Callable[[str], Iterable[bytes]]
    """The tokens of a text as bytes."""

    def __call__(self, text: str) -> list[int]:
        return ends_of(text, self.split(text))


def ends_of(text: str, pieces: Iterable[bytes]) -> list[int]:
    """Where tokens with these bytes end in the text. Tokenizers that put a space before the text are seen through; where
    bytes and text still differ in length (a tokenizer that normalises), ends are taken in proportion."""
    sizes = [len(piece) for piece in pieces]
    starts = _character_starts(text)
    total, length = sum(sizes), starts[-1]
    before = 1 if total == length + 1 else 0
    scale = length / total if total not in (length, length + 1) and total else 1.0
    ends, done, at = [], -before, 0
    for size in sizes:
        done += size
        reached = min(round(done * scale), length)
        while at < len(text) and starts[at + 1] <= reached:
            at += 1
        ends.append(at)
    return ends


def _character_starts(text: str) -> list[int]:
    """Where each character begins in UTF-8, and where the last one ends."""
    starts = [0]
    for character in text:
        code = ord(character)
        starts.append(starts[-1] + (1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4))
    return starts
