"""Where a sentence embedder's files are, what they are by content, and the model made of them.

Weights are read as safetensors alone, never unpickled; no code of a model's folder is run; a model that is already on
this machine is loaded without a word to the network.
"""

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from curate.errors import BadInput, CurateError

MODEL_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
HUB_NAME = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
PROMPT_NAME = re.compile(r"[\w-]+")
SAMPLES, SAMPLE_BYTES = 64, 1 << 16


def folder_of(model: str) -> Path:
    """The folder of `package:NAME`, of a path, or of a hub name, which is downloaded first. Raises BadInput where there
    is none, CurateError where the hub does not give it."""
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


def content_hash(folder: Path) -> str:
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


def prompt_text(folder: Path, wanted: str | None) -> str:
    """What is put before each page: the prompt of that name in the model's settings, else the words themselves; None: the
    model's own default, if it has one. Raises BadInput for one word that names no prompt."""
    prompts, default = _prompts(folder)
    if wanted is None:
        return prompts.get(default or "", "")
    if wanted in prompts:
        return prompts[wanted]
    if PROMPT_NAME.fullmatch(wanted):
        known = ", ".join(prompts) or "none"
        raise BadInput(
            f"embedder: prompt: the model has no prompt named {wanted!r} (it has: {known}); give one of them, or the words "
            "themselves as they stand before a page, such as 'passage: '"
        )
    return wanted


def _prompts(folder: Path) -> tuple[dict[str, str], str | None]:
    path = folder / "config_sentence_transformers.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        prompts, default = dict(found.get("prompts") or {}), found.get("default_prompt_name")
    except (ValueError, AttributeError, TypeError) as error:
        raise BadInput(f"{path}: is not the settings of a sentence-transformers model ({error})") from error
    return {name: text for name, text in prompts.items() if isinstance(text, str)}, default


def load(folder: Path, name: str, *, device: str | None = None) -> Any:
    """The sentence-transformers model of a folder, on `device` (None: the best there is). Raises BadInput where it has no
    safetensors or is no such model."""
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
            str(folder),
            device=device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True},
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise BadInput(
            f"embedder: {name} is not a sentence-transformers model ({str(error).splitlines()[0]})"
        ) from error
