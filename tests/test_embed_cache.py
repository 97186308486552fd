"""No page is embedded twice, by one process or several."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import small_embedder

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
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_embedder.write(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def embedder(model: Path) -> Embedder:
    return Embedder(str(model), max_tokens=64, precision="float32")


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
    other = Embedder(embedder.model, max_tokens=8, precision="float32")
    text = [TEXTS[3] + "and more"]
    one = EmbeddingCache(tmp_path).get_many(ids(text), text, embedder)
    two = EmbeddingCache(tmp_path).get_many(ids(text), text, other)
    assert {path.name for path in tmp_path.iterdir()} == {embedder.id, other.id}
    assert (one != two).any()


def test_the_cache_writes_bounded_parts(embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.embed.cache.PART_PAGES", 2)
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
    assert EmbeddingCache(tmp_path).get_many([], [], embedder).shape == (0, 32)


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
import numpy as np
import curate.embed.cache as cache

class Lengths:
    id, dimensions = "lengths", 2

    def embed(self, texts, on_progress=None):
        return np.array([[len(text), 1] for text in texts], np.float32)

cache.PART_PAGES = 5
first, last = map(int, sys.argv[1:])
texts = ["x" * i for i in range(first, last)]
for end in range(1, len(texts) + 1):
    found = cache.EmbeddingCache(Path({str(tmp_path)!r})).get_many(texts[:end], texts[:end], Lengths())
    assert found[:, 0].tolist() == list(range(first, first + end)), found
"""
    env = {"PATH": "", "PYTHONPATH": ":".join(p for p in sys.path if p)}
    running = [subprocess.Popen([sys.executable, "-c", code, *ends], env=env) for ends in (("0", "40"), ("20", "60"))]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    rows = [name for path in tmp_path.rglob("*.parquet") for name in pq.read_table(path)["page_id"].to_pylist()]
    assert set(rows) == {"x" * i for i in range(60)}
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_part_of_other_vectors_is_named(embedder: Embedder, tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path)
    cache._write(["a"], np.zeros((1, 3), np.float32), embedder.id)
    with pytest.raises(BadInput, match=r"holds no vectors of length 32; delete it"):
        cache.get_many(["a"], ["a"], embedder)
