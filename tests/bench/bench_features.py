"""What it costs to see a page, by what is looked at, and to score it: on one core, in pages of 300 words."""

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

from generated import classifier, noise, texts
from measure import Case, Row, cannot_run, rows, seconds
from threadpoolctl import threadpool_limits

from curate.embed import Embedder
from curate.embed.models import load
from curate.features import features_of
from curate.local_llm import cache_folder
from curate.static import static_vectors

ENCODE = "sentence-transformers' encode"
OURS: dict[str, dict[str, Any]] = {
    "embedding, float32": {"precision": "float32"},
    "embedding, precision auto": {},
    "embedding, 4 chunks": {"chunks": 4},
    "embedding, OpenVINO float32": {"precision": "float32", "backend": "openvino"},
    "embedding, OpenVINO auto": {"backend": "openvino"},
    "embedding, OpenVINO int8": {"precision": "int8"},
}


def run(*, quick: bool) -> list[Row]:
    """Pages a second: the embedder beside sentence-transformers' own `encode` in full precision, then all other blocks."""
    with threadpool_limits(1):
        return [*_embedders(quick), *_blocks(quick)]


def _embedders(quick: bool) -> list[Row]:
    few = texts(32 if quick else 96)
    plain = load(Embedder().folder, ENCODE, device="cpu")
    plain.max_seq_length = 256
    encode = partial(plain.encode, show_progress_bar=False, normalize_embeddings=True)
    cases = [Case(ENCODE, partial(_rate, encode, few), "256 tokens of a page, float32")]
    for name, given in OURS.items():
        if "OpenVINO" in name and not _installed():
            continue
        cases.append(Case(name, partial(_rate, Embedder(threads=1, **given).embed, few)))
    missing = [] if _installed() else [{**cannot_run("features", "needs curate-pages[fast]")[0], "case": "OpenVINO"}]
    return [*rows("features", cases, unit="pages/s", runs=2 if quick else 5, warm=True), *missing]


def _blocks(quick: bool) -> list[Row]:
    many = texts(300 if quick else 2000)
    static = static_vectors(Embedder(), cache_folder().with_name("static"))
    lexical, full = classifier(), classifier(("embedding", "ngrams", "shape"))
    ready = features_of(many, noise(len(many)))
    cases = [
        Case(name, partial(_rate, partial(features_of, static=static, blocks={name}), many))
        for name in ("ngrams", "chars", "shape", "static")
    ]
    cases += [
        Case("classifier of n-grams, from text", partial(_rate, lexical.predict_texts, many)),
        Case(
            "classifier of embedding, n-grams and shape, from features",
            lambda: len(many) / seconds(lambda: full.predict_score(ready)),
            "the features are made beforehand",
        ),
    ]
    return rows("features", cases, unit="pages/s", runs=2 if quick else 5, warm=True)


def _installed() -> bool:
    return all(importlib.util.find_spec(name) for name in ("openvino", "nncf"))


def _rate(work: Callable[[list[str]], object], pages: list[str]) -> float:
    return len(pages) / seconds(lambda: work(pages))
