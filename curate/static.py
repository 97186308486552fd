"""Static embeddings: a sentence embedder's vector of each token, averaged over a page. Ninety times faster than the embedder,
and made from it on this machine, once (the way of model2vec: Tulkens and van Dongen 2024).

At predict time this needs the tokenizer and numpy alone: no torch, so a worker process starts at once.
"""

import json
from collections import ChainMap
from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.embed import Embedder, OnProgress
from curate.errors import BadInput
from curate.schema import fingerprint
from curate.store import whole

DIMENSIONS = 256
READ_CHARS = 4000
"""Characters of a page that are read."""
FREQUENT = 1e-4
"""The share of all words at which a token's weight is halved (SIF: Arora et al. 2017)."""
FORMAT = 1
MOST_KNOWN, LONGEST_KNOWN = 400_000, 40
"""Words whose tokens are kept (some 80 MB), and their length: text without spaces is not kept."""


class StaticVectors:
    """A vector for each token of a tokenizer. Pages become their mean, of unit length. `vectors` is float16 (tokens, d),
    `tokenizer` the JSON of the tokenizers library."""

    def __init__(self, tokenizer: str, vectors: npt.NDArray[np.float16]) -> None:
        self.tokenizer, self.vectors = tokenizer, vectors

    @cached_property
    def id(self) -> str:
        """Name of the vectors, by content."""
        digest = sha256(np.ascontiguousarray(self.vectors).tobytes()).hexdigest()
        words = sha256(self.tokenizer.encode()).hexdigest()
        return fingerprint("static", FORMAT, READ_CHARS, words, list(self.vectors.shape), digest)

    def embed(self, texts: Sequence[str], /) -> npt.NDArray[np.float32]:
        """One vector per text: float32 (n, d), of length 1; zeros for a text without tokens."""
        from scipy.sparse import csr_matrix

        rows = self._tokens([_readable(text).split() for text in texts])
        ends = np.cumsum([0, *map(len, rows)])
        tokens = np.fromiter(chain.from_iterable(rows), np.int32, count=ends[-1])
        shape = (len(texts), len(self.vectors))
        bags = csr_matrix((np.ones(len(tokens), np.float32), tokens, ends), shape=shape)
        sums = np.asarray(bags @ self._full, dtype=np.float32)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        return np.asarray(sums / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)

    def _tokens(self, pages: list[list[str]]) -> list[list[int]]:
        """The tokens of pages that were split at white space. Few words make most of a text, so what a word was cut into is
        kept: that is five times as fast as the tokenizer, which cuts each one anew."""
        known = self._known
        if len(known) > MOST_KNOWN:
            known.clear()
        new = list({word for words in pages for word in words if word not in known})
        found = self._encoder.encode_batch_fast([f" {word}" for word in new], add_special_tokens=False)
        once = dict(zip(new, (tuple(one.ids) for one in found), strict=True))
        known.update((word, ids) for word, ids in once.items() if len(word) <= LONGEST_KNOWN)
        ids_of = ChainMap(once, known) if len(once) and max(map(len, once)) > LONGEST_KNOWN else known
        return [list(chain.from_iterable(map(ids_of.__getitem__, words))) for words in pages]

    def save(self, folder: Path) -> Path:
        """Write `tokenizer.json` and `vectors.npy`, both or neither; what is there stays."""
        if not folder.exists():
            with whole(folder) as temporary:
                temporary.mkdir()
                (temporary / "tokenizer.json").write_text(self.tokenizer, encoding="utf-8")
                np.save(temporary / "vectors.npy", self.vectors, allow_pickle=False)
        return folder

    @classmethod
    def load(cls, folder: Path) -> "StaticVectors":
        """Read what `save` wrote. Raises BadInput when a file is missing or damaged."""
        try:
            tokenizer = (folder / "tokenizer.json").read_text(encoding="utf-8")
            json.loads(tokenizer)
            vectors = np.load(folder / "vectors.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BadInput(f"{folder}: static vectors are missing or damaged ({type(error).__name__})") from error
        if vectors.ndim != 2 or vectors.dtype != np.float16:
            raise BadInput(f"{folder}: vectors.npy must be float16 of two axes (got {vectors.dtype}, {vectors.shape})")
        return cls(tokenizer, vectors)

    def __getstate__(self) -> dict[str, Any]:
        """What goes to a worker process: each one builds its tokenizer for itself."""
        return {"tokenizer": self.tokenizer, "vectors": self.vectors}

    @cached_property
    def _known(self) -> dict[str, tuple[int, ...]]:
        return {}

    @cached_property
    def _encoder(self) -> Any:
        from tokenizers import Tokenizer

        made = Tokenizer.from_str(self.tokenizer)
        made.no_truncation()
        made.no_padding()
        return made

    @cached_property
    def _full(self) -> npt.NDArray[np.float32]:
        return self.vectors.astype(np.float32)


def _readable(text: str) -> str:
    """The start of the text; lone surrogates, which the tokenizer refuses, become question marks."""
    start = text[:READ_CHARS]
    return start if start.isascii() else start.encode("utf-8", "replace").decode("utf-8")


def static_vectors(
    embedder: Embedder, cache: Path, *, dimensions: int = DIMENSIONS, on_progress: OnProgress | None = None
) -> StaticVectors:
    """The static vectors of `embedder`, from the folder `cache` or made now, which takes 10 to 30 s for a small model.

    `on_progress` is told the tokens that were just embedded. Tokens are taken to be numbered by frequency, as tokenizers
    are built, and weighed by it.
    """
    folder = cache / fingerprint("static", FORMAT, embedder.id, dimensions)
    if folder.exists():
        return StaticVectors.load(folder)
    tokenizer, vectors = embedder.token_vectors(on_progress)
    made = StaticVectors(tokenizer, _reduced(vectors, dimensions))
    made.save(folder)
    return made


def _reduced(vectors: npt.NDArray[np.float32], dimensions: int) -> npt.NDArray[np.float16]:
    """The first principal components, each token weighed down by its frequency after Zipf's law."""
    moved = vectors - vectors.mean(axis=0)
    values, axes = np.linalg.eigh(moved.T.astype(np.float64) @ moved)
    kept = axes[:, np.argsort(-values)[:dimensions]]
    kept *= np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])])  # an axis has no sign of its own
    share = 1 / (np.arange(len(vectors)) + 2)
    weight = FREQUENT / (FREQUENT + share / share.sum())
    return np.asarray((moved @ kept) * weight[:, None], dtype=np.float16)
