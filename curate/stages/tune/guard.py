"""The guard against leaks: an instruction that quotes labelled pages would be praised for knowing them."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from curate.rubric import Rubric
from curate.stages.tune.labelled import Labelled

RUN_WORDS = 8
"""So many words in a row of a page, and an instruction quotes it."""
READ_CHARS = 200_000
"""Characters of a page that are looked at: more than a judge is ever shown."""
_WORD = re.compile(r"[぀-ヿ㐀-鿿豈-﫿가-힯]|[^\W_]+", re.UNICODE)
"""A word, or one sign of a script that writes no spaces."""


class Guard:
    """Finds what an instruction copies out of labelled pages.

    The rubric's own words are free. Raters' notes are free as long as they do not quote: a note that repeats a run of
    a page's words leaks it just as well, so it is treated like the page.
    """

    def __init__(self, rubric: Rubric, pages: Sequence[Labelled], *, max_chars: int) -> None:
        self.max_chars = max_chars
        self.rejected = 0
        self.first = ""
        own = np.unique(_runs(_texts(rubric)))
        self._runs = np.setdiff1d(np.unique(_runs(page.text[:READ_CHARS] for page in pages)), own)

    def objection(self, instruction: str) -> str:
        """Why the instruction may not be asked; empty when it may. Counted."""
        why = self._why(instruction)
        if why:
            self.rejected += 1
            self.first = self.first or why
        return why

    def _why(self, instruction: str) -> str:
        if len(instruction) > self.max_chars:
            return f"it has {len(instruction):,} characters, more than tune.max_chars ({self.max_chars:,})"
        words = words_of(instruction)
        copied = next((run for run in _windows(words) if self._holds(_key(run))), None)
        return f"it copies from a labelled page: {' '.join(copied)!r}" if copied else ""

    def _holds(self, key: int) -> bool:
        place = int(np.searchsorted(self._runs, key))
        return place < len(self._runs) and int(self._runs[place]) == key


def words_of(text: str) -> list[str]:
    """Normalised words: case, punctuation and layout do not make a copy another text."""
    return [word.casefold() for word in _WORD.findall(text)]


def _windows(words: Sequence[str]) -> Iterable[Sequence[str]]:
    return (words[i : i + RUN_WORDS] for i in range(len(words) - RUN_WORDS + 1))


def _runs(texts: Iterable[str]) -> np.ndarray:
    """A number for each run of words in the texts."""
    keys = [_key(run) for text in texts for run in _windows(words_of(text))]
    return np.array(keys, dtype=np.int64)


def _key(run: Sequence[str]) -> int:
    return hash(tuple(run))


def _texts(rubric: Rubric) -> list[str]:
    asked = rubric.asked()
    criteria = [words for c in rubric.criteria.values() for words in (c.asks, *c.levels.values())]
    return [rubric.instruction, rubric.asks, *rubric.levels.values(), *criteria, asked.yesno, asked.high, asked.low]
