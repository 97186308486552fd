"""The packaged embedder: defined, deterministic, silent, and no page embedded twice."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from curate.embed import Embedder, EmbeddingCache
from curate.errors import BadInput
from curate.schema import page_id

TEXTS = [
    "A cat sat on the mat in the sun.",
    "",
    "The kitten lay on the rug.",
    "Bond yields rose after the central bank's decision. " * 40,
    "x",
]


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder(max_tokens=64, batch_pages=2, bf16=False)


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
    half = Embedder(max_tokens=64, bf16=True)
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


def ids(texts: list[str]) -> list[str]:
    return [page_id(text) for text in texts]


def test_the_cache_embeds_no_page_twice(embedder: Embedder, tmp_path: Path) -> None:
    cache, counts = EmbeddingCache(tmp_path), []
    first = cache.get_many(ids(TEXTS[:3]), TEXTS[:3], embedder, counts.append)
    assert sum(counts) == 3
    parts = sorted(tmp_path.rglob("*.parquet"))
    again = cache.get_many(ids(TEXTS[:3]), ["not read", "again", "at all"], embedder)
    assert (again == first).all()
    assert sorted(tmp_path.rglob("*.parquet")) == parts
    mixed = [*reversed(TEXTS), TEXTS[0]]
    vectors = cache.get_many(ids(mixed), mixed, embedder)
    assert (vectors[[-2, -1]] == first[0]).all()
    assert (vectors[2] == first[2]).all()
    assert sum(len(pq.read_table(path)) for path in tmp_path.rglob("*.parquet")) == len(TEXTS)


def test_vectors_of_other_settings_do_not_mix(embedder: Embedder, tmp_path: Path) -> None:
    other = Embedder(max_tokens=8, bf16=False)
    text = [TEXTS[3] + "and more"]
    one = EmbeddingCache(tmp_path).get_many(ids(text), text, embedder)
    two = EmbeddingCache(tmp_path).get_many(ids(text), text, other)
    assert {path.name for path in tmp_path.iterdir()} == {embedder.id, other.id}
    assert (one != two).any()


def test_the_cache_writes_bounded_parts(embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.embed.PART_PAGES", 2)
    EmbeddingCache(tmp_path).get_many(ids(TEXTS), TEXTS, embedder)
    assert sorted(len(pq.read_table(path)) for path in tmp_path.rglob("*.parquet")) == [1, 2, 2]


def test_a_damaged_part_is_named(embedder: Embedder, tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.get_many(ids(TEXTS), TEXTS, embedder)
    (part,) = tmp_path.rglob("*.parquet")
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(BadInput, match=part.name):
        cache.get_many(ids(TEXTS), TEXTS, embedder)


def test_ids_and_texts_must_pair(embedder: Embedder, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="2 page ids for 1 texts"):
        EmbeddingCache(tmp_path).get_many(["a", "b"], ["x"], embedder)


def test_no_pages_are_no_vectors(embedder: Embedder, tmp_path: Path) -> None:
    assert EmbeddingCache(tmp_path).get_many([], [], embedder).shape == (0, 384)
