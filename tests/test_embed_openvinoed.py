"""OpenVINO's vectors beside PyTorch's; skipped where the extra `fast` is not installed."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_embedder

from curate.embed import Embedder
from curate.embed.openvinoed import calibration_texts
from curate.errors import BadInput

TEXTS = ["the cat", "", "one two three four " * 9, "sun of the bond", "query: cat, sun. 42"]
needs_fast = pytest.mark.skipif(
    not (importlib.util.find_spec("openvino") and importlib.util.find_spec("nncf")),
    reason="needs openvino and nncf: pip install 'curate-pages[fast]'",
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_embedder.write(tmp_path_factory.mktemp("models") / "tiny")


@needs_fast
def test_full_precision_is_the_same_vectors_under_the_same_id(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path))
    torched = Embedder(str(tiny), max_tokens=32, precision="float32")
    made = Embedder(str(tiny), max_tokens=32, precision="float32", backend="openvino", batch_tokens=64)
    assert made.id == torched.id
    assert made.embed(TEXTS) == pytest.approx(torched.embed(TEXTS), abs=1e-4)
    (folder,) = (tmp_path / "openvino").iterdir()
    written = folder.stat().st_mtime_ns
    again = Embedder(str(tiny), max_tokens=16, chunks=2, precision="float32", backend="openvino")
    assert again.embed(TEXTS).shape == (5, 32)
    assert folder.stat().st_mtime_ns == written, "read, not converted again"
    (folder / "model.xml").write_text("<net/>")
    with pytest.raises(BadInput, match=f"{folder.name}: the converted model is damaged"):
        Embedder(str(tiny), max_tokens=32, precision="float32", backend="openvino").embed(TEXTS)


@needs_fast
def test_int8_is_near_and_has_an_id_of_its_own(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path))
    torched, made = Embedder(str(tiny), max_tokens=32), Embedder(str(tiny), max_tokens=32, precision="int8")
    assert made.backend == "openvino"
    assert made.id != torched.id
    vectors = made.embed(TEXTS)
    likeness = (vectors * torched.embed(TEXTS)).sum(axis=1)
    assert likeness.min() > 0.9
    assert likeness.min() < 1, "it is quantized"
    assert np.array_equal(made.embed(TEXTS), vectors)


@needs_fast
def test_a_conversion_is_silent_and_calls_nobody(tiny: Path, tmp_path: Path) -> None:
    code = f"""
import sys, warnings
warnings.simplefilter("error")
calls = []
watched = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
sys.addaudithook(lambda event, args: calls.append((event, args)) if event in watched else None)
from curate.embed import Embedder
assert Embedder({str(tiny)!r}, max_tokens=32, precision="int8").embed(["a page"]).shape == (1, 32)
assert not calls, calls
"""
    path = ":".join(p for p in sys.path if p)
    env = {"PATH": "", "PYTHONPATH": path, "CURATE_CACHE": str(tmp_path), "HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "home").exists(), "no telemetry's client id"


@needs_fast
def test_what_is_no_transformer_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    folder = small_embedder.write_static(tmp_path / "static")
    with pytest.raises(BadInput, match="OpenVINO runs transformers only"):
        Embedder(str(folder), backend="openvino").embed(["a"])


def test_without_the_extra_it_says_what_to_install(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "openvino" else found(name))
    with pytest.raises(BadInput, match=r"openvino is not installed.*pip install 'curate-pages\[fast\]'"):
        Embedder(str(tiny), max_tokens=32, backend="openvino").embed(["a"])


def test_float16_is_not_for_the_cpu(tiny: Path) -> None:
    with pytest.raises(BadInput, match="OpenVINO here runs on the CPU"):
        Embedder(str(tiny), max_tokens=32, backend="openvino", precision="float16").embed(["a"])


def test_the_pages_calibrated_on_come_with_curate() -> None:
    texts = calibration_texts()
    assert len(set(texts)) > 90
    assert all(texts)
