"""What a classifier sees of a page, in blocks: its embedding, its static embedding, words and pairs, character runs, shape.

Nothing here is fitted, so the same page gives the same row in every process and on every shard.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from curate.errors import BadInput, did_you_mean
from curate.ngrams import CHAR_BITS, READ_CHARS, TOKEN, char_counts, plain, word_counts

__all__ = ["BLOCKS", "READ_CHARS", "SPARSE", "TOKEN", "Features", "features_of", "plain", "shape_features", "shapes"]

Block = Literal["embedding", "static", "ngrams", "chars", "shape"]
BLOCKS: tuple[str, ...] = get_args(Block)
SPARSE = frozenset({"ngrams", "chars"})
"""Blocks of counts; the others are dense."""
PAGES_PER_S = {"embedding": 35, "static": 5000, "ngrams": 13_000, "chars": 10_000, "shape": 6500}
"""Pages of 300 words that one core looks at in a second, as it was measured once: a choice of features by cost is then
the same on every machine. `tests/bench` measures it anew."""
Floats = npt.NDArray[np.float32]


class Embeds(Protocol):
    """What makes static embeddings of texts: `curate.static.StaticVectors`."""

    def embed(self, texts: Sequence[str], /) -> Floats:
        """Vectors (n, d)."""
        ...


TYPE_TOKEN_WORDS = 500
"""Words over which the type-token ratio is taken: it falls with length, so pages are compared over equal length."""

FUNCTION_WORDS = frozenset(
    word
    for words in (
        "the of and to in a is that for it as with was on are be this by from or an at have not but they which you we",
        "der die das und ist nicht mit ein eine von zu den auf het een van op te en dat",
        "le la les et est un une des du que pour dans el los las y en por con se del una",
        "il di che per non o os da do em um uma não",
    )
    for word in words.split()
)
"""Frequent closed-class words of seven European languages: running text has many, keyword lists have few."""

LIST_MARKER = re.compile(r"(?:[-*+•·▪►»–]|\(?\d{1,3}[.)]|[a-zA-Z][.)])\s")
LINK = re.compile(r"https?:|www\.|\w\.(?:com|org|net|edu|gov|html?|php)\b|\w@\w", re.IGNORECASE)
LINE_ENDS = tuple(".!?:;…\"'”’)。！？：」』।؟۔")
SENTENCE_ENDS = frozenset(".!?…。！？।؟۔")
CODE_SYMBOLS = "{}[]<>=;_\\|`~^$#@&*/+"
LONG_LINE, SHORT_LINE_WORDS, LONG_WORD, SHORT_WORD = 200, 5, 20, 3

SHAPE_NAMES = (
    "log_chars",  # natural logarithm of 1 + characters of the whole page
    "log_words",  # of 1 + words, read part
    "log_lines",  # of 1 + lines that are not blank
    "log_mean_line_chars",  # of 1 + mean characters of a line
    "mean_word_chars",
    "long_word_share",  # words of more than 20 characters
    "short_word_share",  # words of at most 3 characters
    "digit_share",  # of characters that are not white space, as are the next five
    "upper_share",
    "letter_share",
    "punctuation_share",
    "code_symbol_share",  # {}[]<>=;_ and the like
    "non_ascii_share",
    "line_end_share",  # lines that end in punctuation
    "list_line_share",  # lines that begin with a bullet or a number
    "short_line_share",  # lines of fewer than 5 words
    "long_line_share",  # lines of more than 200 characters
    "duplicate_line_share",  # lines that stood before
    "sentences_per_word",  # sentence-ending marks
    "links_per_word",
    "capitalised_word_share",
    "function_word_share",
    "type_token_ratio",  # of the first 500 words
    "top_word_share",  # how much of those the most frequent one takes
)
"""The columns of `shape_features`, in order. Shares lie in [0, 1]; an empty page has zeros everywhere."""

_DIGIT, _UPPER, _LETTER, _SPACE, _PUNCTUATION, _CODE, _OTHER = range(7)


@dataclass(frozen=True)
class Features:
    """Rows of pages, in blocks: dense ones as float32 arrays (n, d), counts as sparse matrices (n, columns)."""

    blocks: Mapping[str, Any]

    def __post_init__(self) -> None:
        sizes = {name: block.shape[0] for name, block in self.blocks.items()}
        if len(set(sizes.values())) != 1:
            raise BadInput(f"features: blocks must have one row per page (got {sizes or 'no blocks'})")

    def __len__(self) -> int:
        return int(next(iter(self.blocks.values())).shape[0])

    def __getitem__(self, rows: Any) -> "Features":
        """The rows chosen by an index array, a mask or a slice."""
        return Features({name: block[rows] for name, block in self.blocks.items()})

    def block(self, name: str) -> Any:
        """One block. Raises BadInput when it was not made."""
        if name not in self.blocks:
            raise BadInput(f"features: no {name!r} block (got {', '.join(self.blocks)}); make it with features_of")
        return self.blocks[name]


def features_of(
    texts: Sequence[str],
    embeddings: npt.NDArray[np.float32] | None = None,
    *,
    static: Embeds | None = None,
    ngram_bits: int = 18,
    blocks: Iterable[str] = BLOCKS,
) -> Features:
    """The blocks of `texts`. `embedding` is there only where `embeddings` (n, d) are given, `static` only where what
    makes them is."""
    made: dict[str, Any] = {}
    wanted = set(blocks)
    if "embedding" in wanted and embeddings is not None:
        made["embedding"] = np.asarray(embeddings, dtype=np.float32)
    if "static" in wanted and static is not None:
        made["static"] = static.embed(texts)
    if "ngrams" in wanted:
        made["ngrams"] = word_counts(texts, bits=ngram_bits)
    if "chars" in wanted:
        made["chars"] = char_counts(texts, bits=min(CHAR_BITS, ngram_bits))
    if "shape" in wanted:
        made["shape"] = shapes(texts)
    return Features(made)


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Blocks in their fixed order. Raises BadInput for an unknown one, or none."""
    wanted = list(names)
    for name in wanted:
        if name not in BLOCKS:
            raise BadInput(f"classifier: no features {name!r}{did_you_mean(name, BLOCKS)}")
    if not wanted:
        raise BadInput(f"classifier: no features given (allowed: {', '.join(BLOCKS)})")
    return tuple(name for name in BLOCKS if name in wanted)


def pages_per_s(blocks: Iterable[str]) -> float:
    """Pages of 300 words that one core looks at in a second, by PAGES_PER_S."""
    return 1 / sum(1 / PAGES_PER_S[name] for name in blocks)


def shapes(texts: Sequence[str]) -> Floats:
    """`shape_features` of each text: (n, len(SHAPE_NAMES))."""
    rows = [shape_features(text) for text in texts]
    return np.stack(rows) if rows else np.zeros((0, len(SHAPE_NAMES)), dtype=np.float32)


def shape_features(text: str) -> Floats:
    """How a page looks, whatever it says: SHAPE_NAMES, float32. All but `log_chars` read the first READ_CHARS."""
    start = text[:READ_CHARS]
    words = start.split()
    lines = [line for line in map(str.strip, start.splitlines()) if line]
    if not words:
        return np.zeros(len(SHAPE_NAMES), dtype=np.float32)
    sizes = [np.log1p(n) for n in (len(text), len(words), len(lines), len(start) / max(len(lines), 1))]
    numbers = [*sizes, *_word_lengths(words), *_characters(start), *_lines(lines), *_words(words)]
    return np.array(numbers, dtype=np.float32)


def _word_lengths(words: list[str]) -> list[float]:
    lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    return [float(lengths.mean()), float((lengths > LONG_WORD).mean()), float((lengths <= SHORT_WORD).mean())]


def _characters(text: str) -> list[float]:
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    kinds = np.bincount(_kinds()[np.minimum(codes, 0xFFFF)], minlength=_OTHER + 1)
    seen = max(int(kinds.sum() - kinds[_SPACE]), 1)
    letters = kinds[_LETTER] + kinds[_UPPER]
    counts = [kinds[_DIGIT], kinds[_UPPER], letters, kinds[_PUNCTUATION] + kinds[_CODE], kinds[_CODE]]
    return [*(float(count) / seen for count in counts), min(float((codes > 127).sum()) / seen, 1.0)]


@lru_cache(maxsize=1)
def _kinds() -> npt.NDArray[np.uint8]:
    """Kind of each character of the basic plane; the last one stands for all beyond it."""
    import unicodedata

    kind_of = {"Nd": _DIGIT, "Lu": _UPPER, "Lt": _UPPER, "L": _LETTER, "M": _LETTER, "Z": _SPACE, "P": _PUNCTUATION}
    table = np.full(0x10000, _OTHER, dtype=np.uint8)
    for code in range(0xFFFF):
        category = unicodedata.category(chr(code))
        table[code] = kind_of.get(category, kind_of.get(category[0], _OTHER))
    table[[ord(c) for c in "\t\n\r\v\f\x1c\x1d\x1e\x1f\x85"]] = _SPACE
    table[[ord(c) for c in CODE_SYMBOLS]] = _CODE
    return table


def _lines(lines: list[str]) -> list[float]:
    shares = [
        sum(line.endswith(LINE_ENDS) for line in lines),
        sum(LIST_MARKER.match(line) is not None for line in lines),
        sum(line.count(" ") < SHORT_LINE_WORDS - 1 for line in lines),
        sum(len(line) > LONG_LINE for line in lines),
        len(lines) - len(set(lines)),
    ]
    return [count / max(len(lines), 1) for count in shares]


def _words(words: list[str]) -> list[float]:
    first = [word.lower() for word in words[:TYPE_TOKEN_WORDS]]
    counts = Counter(first)
    return [
        min(sum(word[-1] in SENTENCE_ENDS for word in words) / len(words), 1.0),
        min(_links(words) / len(words), 1.0),
        sum(word[0].isupper() for word in words) / len(words),
        sum(count for word, count in counts.items() if word in FUNCTION_WORDS) / len(first),
        len(counts) / len(first),
        max(counts.values()) / len(first),
    ]


def _links(words: list[str]) -> int:
    """Links and addresses; only words with a mark that each of them has are looked at, which is five times faster."""
    may_be = " ".join(word for word in words if "." in word[:-1] or "@" in word or ":" in word)
    return sum(1 for _ in LINK.finditer(may_be))
