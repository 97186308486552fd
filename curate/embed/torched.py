"""Tokenized pages to vectors by PyTorch, at the precision that suits the device."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from curate.embed.chunks import Vectors
from curate.errors import BadInput


class Torched:
    """A loaded model at one precision. Called with the features of some batches, gives the vectors of each,
    float32 (n, d)."""

    def __init__(self, loaded: Any, precision: str) -> None:
        self.loaded, self.device = loaded, loaded.device.type
        self.precision = precision_on(self.device, precision)
        if self.device != "cpu" and self.precision != "float32":
            self.loaded.half() if self.precision == "float16" else self.loaded.bfloat16()

    def __call__(self, batches: Sequence[Mapping[str, Any]]) -> list[Vectors]:
        import torch

        with torch.inference_mode(), self._precision():  # around all batches: it keeps the weights that it has cast
            return [self._vectors(features) for features in batches]

    def _vectors(self, features: Mapping[str, Any]) -> Vectors:
        import torch

        to = self.loaded.device
        placed = {name: value.to(to) if torch.is_tensor(value) else value for name, value in features.items()}
        vectors: Vectors = self.loaded(placed)["sentence_embedding"].float().cpu().numpy()
        return vectors

    def _precision(self) -> AbstractContextManager[object]:
        import torch

        if self.device != "cpu" or self.precision == "float32":
            return nullcontext()
        return torch.autocast("cpu", dtype=torch.bfloat16)


def precision_on(device: str, wanted: str) -> str:
    """The precision of the inside of a model. `auto` is float16 on a GPU, and on a CPU bfloat16 where that is faster: both
    have vectors of cosine above .9999 to full precision. Raises BadInput for float16 on a CPU, which is slower there."""
    if device == "cpu" and wanted == "float16":
        raise BadInput("embedder: precision: float16 is for a GPU; on this machine use auto, float32, bfloat16 or int8")
    if wanted != "auto":
        return wanted
    if device in ("cuda", "mps"):
        return "float16"
    return "bfloat16" if device == "cpu" and fast_bf16() else "float32"


def fast_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware; elsewhere it is emulated and slower than full precision."""
    import torch

    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
