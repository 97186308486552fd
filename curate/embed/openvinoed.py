"""Tokenized pages to vectors by OpenVINO on the CPU, in int8 where it is wished: the fastest for CPUs that have VNNI
but not bfloat16.

PyTorch's model is converted as it is, without a hub or another library between, and kept in the user's cache by content.
OpenVINO and NNCF report each use to their maker unless their telemetry package cannot be imported, so here it cannot.
"""

import importlib.util
import json
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

from curate.embed.chunks import Vectors
from curate.embed.torched import fast_bf16
from curate.errors import BadInput
from curate.schema import fingerprint
from curate.store import whole

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
CALIBRATED_ON = 97
"""Pages of the demo from whose activations the ranges of int8 are taken, every third."""
FORMAT = 1


class OpenVino:
    """A loaded model whose transformer OpenVINO runs, its pooling and what follows PyTorch. Called with the features of
    some batches, gives the vectors of each, float32 (n, d). `precision` is float32, bfloat16, int8 or auto."""

    def __init__(self, loaded: Any, precision: str, *, name: str, cache: Path, threads: int | None = None) -> None:
        if precision == "float16":
            raise BadInput("embedder: precision: OpenVINO here runs on the CPU: use auto, float32, bfloat16 or int8")
        _must_be_installed(int8=precision == "int8")
        self.after = list(loaded)[1:]
        with _quiet():
            folder = _converted(loaded, name, cache, int8=precision == "int8")
            self.request, self.inputs = _compiled(folder, precision, threads)

    def __call__(self, batches: Sequence[Mapping[str, Any]]) -> list[Vectors]:
        import torch

        with torch.inference_mode():
            return [self._vectors(features) for features in batches]

    def _vectors(self, features: Mapping[str, Any]) -> Vectors:
        import torch

        given = [features[name].numpy() for name in self.inputs]
        done = {**features, "token_embeddings": torch.from_numpy(self.request.infer(given, share_inputs=True)[0])}
        for module in self.after:
            done = module(done)
        vectors: Vectors = done["sentence_embedding"].float().numpy()
        return vectors


def calibration_hash() -> str:
    """Name of what int8 vectors depend on beside the model: the pages calibrated on, and the quantizer."""
    return fingerprint(FORMAT, calibration_texts(), _version_of("nncf"))


def calibration_texts() -> list[str]:
    """Short pages of many kinds and some languages, which come with curate."""
    above = Path(__file__).resolve().parents[1]
    folder = next(place for place in (above / "_pipelines", above.parent / "pipelines") if place.is_dir())
    lines = (folder / "demo" / "pages.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines[::3]][:CALIBRATED_ON]


def _must_be_installed(*, int8: bool) -> None:
    needed = ("openvino", "nncf") if int8 else ("openvino",)
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise BadInput(
            f"embedder: {' and '.join(missing)} is not installed, which backend openvino"
            f"{' and precision int8 need' if int8 else ' needs'}; pip install 'curate-pages[fast]', or use backend: torch"
        )


def _version_of(package: str) -> str:
    return ".".join(version(package).split(".")[:2]) if importlib.util.find_spec(package) else "none"


@contextmanager
def _quiet() -> Iterator[None]:
    """No telemetry, and no progress bars or tracing warnings on the user's screen."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        yield


def _converted(loaded: Any, name: str, cache: Path, *, int8: bool) -> Path:
    """The folder of the converted model, made once a machine: a second, or some 15 for int8."""
    made_by = [_version_of("openvino"), version("torch"), *([calibration_hash()] if int8 else [])]
    folder = cache / fingerprint("openvino", FORMAT, name, int8, made_by)
    if folder.exists():
        return folder
    import openvino

    model, inputs = _from_torch(loaded)
    if int8:
        model = _quantized(model, loaded, inputs)
    with whole(folder) as temporary:
        temporary.mkdir(parents=True)
        openvino.save_model(model, temporary / "model.xml", compress_to_fp16=False)
        (temporary / "inputs.json").write_text(json.dumps(inputs), encoding="utf-8")
    return folder


def _from_torch(loaded: Any) -> tuple[Any, list[str]]:
    """OpenVINO's model of the transformer, and the names of its inputs in order. Raises BadInput for another kind."""
    import openvino
    import torch

    features = loaded.preprocess(["two", "words here"])
    inputs = [name for name in INPUTS if torch.is_tensor(features.get(name)) and features[name].dim() == 2]
    if not {"input_ids", "attention_mask"} <= set(inputs):
        raise BadInput(
            "embedder: backend: OpenVINO runs transformers only, which this model is not; use backend: torch"
        )
    try:
        model = openvino.convert_model(
            _transformer(loaded[0], inputs), example_input=tuple(features[n] for n in inputs)
        )
    except Exception as error:  # whatever a model does that the converter's tracing cannot follow
        raise BadInput(
            f"embedder: backend: OpenVINO cannot convert this model ({str(error).strip().splitlines()[0][:200]}); use "
            "backend: torch"
        ) from error
    return model, inputs


def _transformer(module: Any, inputs: Sequence[str]) -> Any:
    """The first module of a sentence-transformers model as a function of tensors alone."""
    import torch

    class Tokens(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, *given: Any) -> Any:
            return self.module(dict(zip(inputs, given, strict=True)))["token_embeddings"]

    return Tokens().eval()


def _quantized(model: Any, loaded: Any, inputs: Sequence[str]) -> Any:
    import nncf

    pages = [loaded.preprocess([text]) for text in calibration_texts()]
    data = nncf.Dataset([[page[name].numpy() for name in inputs] for page in pages])
    return nncf.quantize(model, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(pages))


def _compiled(folder: Path, precision: str, threads: int | None) -> tuple[Any, list[str]]:
    import openvino
    from openvino import properties
    from openvino.properties import hint

    half = precision == "bfloat16" or (precision == "auto" and fast_bf16())
    settings = {
        hint.inference_precision: openvino.Type.bf16 if half else openvino.Type.f32,
        hint.performance_mode: hint.PerformanceMode.LATENCY,
        **({properties.inference_num_threads: threads} if threads else {}),
    }
    try:
        inputs = json.loads((folder / "inputs.json").read_text(encoding="utf-8"))
        compiled = openvino.Core().compile_model(folder / "model.xml", "CPU", settings)
    except (OSError, ValueError, RuntimeError) as error:
        raise BadInput(f"{folder}: the converted model is damaged ({str(error).splitlines()[0]}); delete it") from error
    return compiled.create_infer_request(), inputs
