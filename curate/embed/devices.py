"""Several devices: a process each, fed by sentence-transformers' own pool."""

import weakref
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from curate.embed.chunks import Vectors
from curate.embed.torched import precision_on
from curate.errors import BadInput, CurateError


class Pool:
    """A process a device, started at the first use and ended with this object or the program."""

    LEAST: ClassVar[int] = 64
    """Texts below which one device does it alone."""

    def __init__(self, loaded: Any, devices: Sequence[str], precision: str) -> None:
        self.loaded, self.devices = loaded, list(devices)
        self.precision = precision_on(devices[0].split(":")[0], precision)

    def encode(self, texts: list[str], prompt: str, batch_pages: int) -> Vectors:
        """Vectors of the texts, float32 (n, d). Raises CurateError when a process dies."""
        each = max(len(texts) // len(self.devices) // 2, 1)
        try:
            made = self.loaded.encode(
                texts,
                prompt=prompt or None,
                batch_size=batch_pages,
                pool=self._processes,
                chunk_size=each,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        except RuntimeError as error:
            raise CurateError(
                f"embedder: a process of devices {', '.join(self.devices)} failed ({str(error).splitlines()[0]}); use "
                "fewer devices or a smaller distill.max_tokens"
            ) from error
        return np.asarray(made, dtype=np.float32)

    @cached_property
    def _processes(self) -> Any:
        if not self.devices[0].startswith("cpu") and self.precision != "float32":
            self.loaded.half() if self.precision == "float16" else self.loaded.bfloat16()
        processes = self.loaded.start_multi_process_pool(self.devices)
        weakref.finalize(self, type(self.loaded).stop_multi_process_pool, processes)
        return processes


def devices_of(wanted: Sequence[str]) -> tuple[str, ...]:
    """The devices to use: those wanted, else all CUDA devices. Raises BadInput for one that is not there."""
    import torch

    if not wanted:
        return tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    for device in wanted:
        _must_exist(device)
    return tuple(wanted)


def _must_exist(device: str) -> None:
    import torch

    kind, _, number = device.partition(":")
    known = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind not in known or (number and not number.isdigit()) or int(number or 0) >= known[kind]:
        there = [name for name, count in known.items() if count]
        raise BadInput(f"embedder: devices: no {device} on this machine (it has: {', '.join(there)})")
