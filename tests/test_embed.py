"""The packaged embedder: defined, deterministic, silent, and no page embedded twice."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_embedder

from curate.embed import Embedder
from curate.errors import BadInput

TEXTS = [
    "A cat sat on the mat in the sun.",
    "",
    "The kitten lay on the rug.",
    "Bond yields rose after the central bank's decision. " * 40,
    "x",
]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(max_tokens=64, batch_tokens=64, precision="float32")


def test_vectors_are_of_unit_length_and_in_the_order_of_the_texts(embedder: Embedder) -> None:
    counts: list[int] = []
    vectors = embedder.embed(TEXTS, counts.append)
    assert vectors.shape == (5, embedder.dimensions) == (5, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    assert sum(counts) == 5
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert vector @ embedder.embed([text])[0] > 0.9999
    assert vectors[0] @ vectors[2] > vectors[0] @ vectors[3] + 0.2


def test_texts_that_no_tokenizer_takes_have_vectors_too(embedder: Embedder) -> None:
    assert np.isfinite(embedder.embed(["", " \n", "\ud800 alone", "\x00"])).all()
    assert embedder.embed([]).shape == (0, 384)


def test_only_the_first_tokens_are_read(embedder: Embedder) -> None:
    start = "one two three four " * 30
    same = embedder.embed([start + "cats", start + "bonds " * 2000])
    assert same[0] @ same[1] > 0.9999


def test_half_precision_is_close_to_full(embedder: Embedder) -> None:
    half = Embedder(max_tokens=64, precision="bfloat16")
    assert half.id == embedder.id
    assert (half.embed(TEXTS) * embedder.embed(TEXTS)).sum(axis=1).min() > 0.999


def test_the_id_is_the_content_not_the_place(embedder: Embedder, tmp_path: Path) -> None:
    copy = shutil.copytree(embedder.folder, tmp_path / "model", copy_function=shutil.copy)
    assert Embedder(str(copy), max_tokens=64).id == embedder.id
    assert Embedder(str(copy), max_tokens=65).id != embedder.id
    pooling = copy / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps({**json.loads(pooling.read_text()), "pooling_mode_cls_token": True}))
    assert Embedder(str(copy), max_tokens=64).id != embedder.id


def test_other_weights_have_another_id(embedder: Embedder, tmp_path: Path) -> None:
    copy = shutil.copytree(embedder.folder, tmp_path / "model", copy_function=shutil.copy)
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1000, 2)
        file.write(b"\x01" * 1000)
    assert Embedder(str(copy), max_tokens=64).id != embedder.id


def test_a_worker_gets_the_settings_and_loads_for_itself(embedder: Embedder) -> None:
    embedder.embed(["loaded"])
    sent = pickle.dumps(embedder)
    assert len(sent) < 2000
    assert pickle.loads(sent).id == embedder.id


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"max_tokens: must be greater than 0 \(got 0\)"):
        Embedder(max_tokens=0)
    with pytest.raises(BadInput, match="package 'no-such-model' is not installed"):
        _ = Embedder("package:no-such-model").id
    with pytest.raises(BadInput, match="no folder or hub name"):
        _ = Embedder("./nothing/here/at/all").id
    with pytest.raises(BadInput, match=r"no \.safetensors weights"):
        Embedder(str(tmp_path)).embed(["a"])
    with pytest.raises(BadInput, match="at most 512"):
        Embedder(max_tokens=513).embed(["a"])


def test_a_hub_name_that_cannot_be_reached_says_so(tmp_path: Path) -> None:
    code = "from curate.embed import Embedder; Embedder('example/none').embed(['a'])"
    env = {
        "PATH": "",
        "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": ":".join(p for p in sys.path if p),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("curate.errors.CurateError: embedder: example/none could not be fetched from the hub"), last


@pytest.mark.slow
def test_a_packaged_model_is_silent_and_calls_nobody() -> None:
    code = """
import sys, warnings
warnings.simplefilter("error")
calls = []
watched = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
sys.addaudithook(lambda event, args: calls.append((event, args)) if event in watched else None)
from curate.embed import Embedder
assert Embedder(max_tokens=32).embed(["a page"]).shape == (1, 384)
assert not calls, calls
"""
    env = {"PATH": "", "PYTHONPATH": ":".join(p for p in sys.path if p)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_embedder.write(
        tmp_path_factory.mktemp("models") / "tiny", prompts={"query": "query: ", "passage": "passage: "}
    )


LONG = "one two three four " * 40 + "cat sun " * 40


def test_a_long_page_is_read_in_chunks_and_has_their_mean(tiny: Path) -> None:
    one = Embedder(str(tiny), max_tokens=42, precision="float32")
    six = Embedder(str(tiny), max_tokens=42, chunks=6, precision="float32")
    head, tail = " ".join(LONG.split()[:160]), " ".join(LONG.split()[160:])
    pieces = [" ".join(part.split()[i : i + 40]) for part in (head, tail) for i in range(0, len(part.split()), 40)]
    mean = one.embed(pieces).mean(axis=0)
    assert six.embed([LONG, "cat"]) == pytest.approx(
        np.stack([mean / np.linalg.norm(mean), one.embed(["cat"])[0]]), abs=1e-4
    )
    assert one.embed([LONG])[0] @ one.embed([head])[0] > 0.9999
    assert six.embed([LONG])[0] @ one.embed([LONG])[0] < 0.99
    assert len({one.id, six.id}) == 2


def test_progress_counts_pages_not_chunks(tiny: Path) -> None:
    told: list[int] = []
    Embedder(str(tiny), max_tokens=16, chunks=4).embed([LONG] * 90 + ["cat"] * 10, told.append)
    assert sum(told) == 100
    assert len(told) > 1


def test_a_prompt_is_words_or_the_name_of_one(tiny: Path) -> None:
    def made(prompt: str | None, text: str) -> np.ndarray:
        return Embedder(str(tiny), max_tokens=32, prompt=prompt, precision="float32").embed([text])[0]

    asked = made(None, "query: the cat of one")
    assert asked @ made("query", "the cat of one") > 0.9999
    assert asked @ made("query: ", "the cat of one") > 0.9999
    assert asked @ made("", "the cat of one") < 0.99
    ids = {Embedder(str(tiny), max_tokens=32, prompt=p).id for p in (None, "", "query", "query: ", "passage")}
    assert len(ids) == 3
    with pytest.raises(BadInput, match=r"no prompt named 'pasage' \(it has: query, passage\)"):
        made("pasage", "x")


def test_a_models_own_prompt_is_used_unless_told_otherwise(tmp_path: Path) -> None:
    folder = small_embedder.write(tmp_path / "asks", prompts={"query": "query: "}, default="query")
    usual, none = Embedder(str(folder), max_tokens=32), Embedder(str(folder), max_tokens=32, prompt="")
    assert usual.id != none.id
    assert usual.embed(["the cat"])[0] @ none.embed(["query: the cat"])[0] > 0.999
    assert usual.embed(["the cat"])[0] @ none.embed(["the cat"])[0] < 0.99


def test_a_chunk_has_room_for_its_prompt(tiny: Path) -> None:
    long = Embedder(str(tiny), max_tokens=16, chunks=3, prompt="query")
    assert np.isfinite(long.embed([LONG])).all()
    with pytest.raises(BadInput, match=r"max_tokens: the prompt alone has 4 tokens \(got 4\)"):
        Embedder(str(tiny), max_tokens=4, chunks=3, prompt="query").embed([LONG])


def test_a_static_model_embeds_too(tmp_path: Path) -> None:
    made = Embedder(str(small_embedder.write_static(tmp_path / "static")))
    vectors = made.embed(["the cat", "one two three", "the cat"])
    assert vectors.shape == (3, 16)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert vectors[0] == pytest.approx(vectors[2])
    with pytest.raises(BadInput, match="has no fast tokenizer: it can be read with chunks: 1 only"):
        Embedder(made.model, chunks=2).embed(["a"])


def test_what_a_classifier_has_to_remember_makes_the_same_vectors(tiny: Path) -> None:
    for given in ({}, {"chunks": 3}, {"prompt": "query"}, {"prompt": "", "chunks": 2}, {"precision": "float32"}):
        made = Embedder(str(tiny), max_tokens=32, **given)  # type: ignore[arg-type]
        assert Embedder(str(tiny), **made.settings).id == made.id
    assert Embedder(max_tokens=32).settings == {"max_tokens": 32}
    assert Embedder(precision="int8").settings == {"max_tokens": 256, "precision": "int8"}


def test_settings_that_do_not_fit_together_are_said(tiny: Path) -> None:
    with pytest.raises(BadInput, match=r"chunks: must be greater than 0 \(got 0\)"):
        Embedder(chunks=0)
    with pytest.raises(BadInput, match="int8 needs backend openvino or auto"):
        Embedder(backend="torch", precision="int8")
    with pytest.raises(BadInput, match=r"precision: must be one of .* \(got int4\)"):
        Embedder(precision="int4")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="float16 is for a GPU"):
        Embedder(str(tiny), max_tokens=8, precision="float16").embed(["a"])
