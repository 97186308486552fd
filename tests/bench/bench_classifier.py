"""How well a few hundred human labels teach each kind of classifier, on real pages with human labels kept beside the repository:
AUC over grouped folds, near-duplicates in one, the same folds for all, and beside it what each costs a page.

fastText (the `fasttext-community` package), TF-IDF with logistic regression, and sentence embeddings with logistic
regression are what there is to beat; without the package fastText is a row that says so.
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from generated import texts
from measure import Case, Result, Row, cannot_run, machine, rows, seconds
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score, roc_auc_score
from threadpoolctl import threadpool_limits

from curate.choosing import choose
from curate.classifier import LexicalBaseline, PageClassifier, folds_of
from curate.embed import Embedder
from curate.features import Features, features_of
from curate.local_llm import cache_folder
from curate.sampling.duplicates import marks_of, near_duplicates, sets_of
from curate.static import StaticVectors, static_vectors

DATA = Path(__file__).parents[3] / "shared" / "data"
FOLDS = 5
BASELINE = "TF-IDF + logistic regression"
BLENDS: dict[str, tuple[str, ...]] = {
    "n-grams": ("ngrams",),
    "characters": ("chars",),
    "shape": ("shape",),
    "static": ("static",),
    "n-grams, shape": ("ngrams", "shape"),
    "n-grams, characters": ("ngrams", "chars"),
    "n-grams, characters, shape": ("ngrams", "chars", "shape"),
    "n-grams, static": ("static", "ngrams"),
    "n-grams, shape, static": ("static", "ngrams", "shape"),
    "n-grams, characters, shape, static": ("static", "ngrams", "chars", "shape"),
    "n-grams, embedding": ("embedding", "ngrams"),
    "n-grams, shape, embedding": ("embedding", "ngrams", "shape"),
    "all blocks": ("embedding", "static", "ngrams", "chars", "shape"),
}
WEBKB_KEPT, WEBKB_OTHERS = ("course", "project"), 5
"""WebKB has classes: these are kept, and of the pages of the others every fifth is taken."""


@dataclass(frozen=True)
class _Set:
    """Pages of one set. Arrays (n,); `score` is a person's number where there is one."""

    texts: list[str]
    keep: np.ndarray
    score: np.ndarray | None
    groups: list[str]
    features: Features
    static: StaticVectors


Scores = Callable[[_Set, np.ndarray, np.ndarray], np.ndarray]
"""Scores of the held-out pages by what was fitted on the others: rows to learn from, rows held out."""


def run(*, quick: bool) -> list[Row]:
    """AUC, kappa and Spearman by set and classifier, and pages a second on one core by blocks."""
    static = static_vectors(Embedder(), cache_folder().with_name("static"))
    speeds = _speeds(static, quick)
    if not DATA.is_dir():
        return [*speeds, *cannot_run("classifier", f"no real pages: {DATA} is not there")]
    names = ("dclm_human",) if quick else ("dclm_human", "core_registers", "health_expert", "webkb")
    return [*speeds, *(row for name in names for row in _measured(name, static, quick))]


def _measured(name: str, static: StaticVectors, quick: bool) -> list[Row]:
    pages = _set(name, static)
    fold_of = folds_of(pages.groups, pages.keep, folds=FOLDS, random_state=0)
    ways: dict[str, Scores] = {BASELINE: _lexical, "fastText": _fasttext, "MiniLM + logistic regression": _minilm}
    ways |= {what: partial(_blend, blocks) for what, blocks in BLENDS.items()}
    if not quick:
        ways |= {f"the search, {what}": partial(_searched, what) for what in ("quality", "speed")}
    found, base = [], 1.0
    for what, scores in ways.items():
        try:
            held = _held_out(scores, pages, fold_of)
        except ImportError:
            found += [{**cannot_run("classifier", "needs fasttext-community")[0], "case": f"{name}: {what}"}]
            continue
        base = _auc(held, pages, fold_of)[0] if what == BASELINE else base
        found += _rows(name, what, held, pages, fold_of, base)
    return found


def _rows(name: str, what: str, held: np.ndarray, pages: _Set, fold_of: np.ndarray, base: float) -> list[Row]:
    def row(value: float, unit: str, note: str, *, ratio: float | None = None, baseline: str | None = None) -> Row:
        return asdict(Result("classifier", f"{name}: {what}", round(value, 4), unit, ratio, baseline, FOLDS, note))

    auc, error = _auc(held, pages, fold_of)
    note = f"+-{error:.3f} over folds; {len(held)} pages; {machine()}"
    kappa = np.mean([_kappa(held, pages.keep, fold_of == fold) for fold in range(FOLDS)])
    made = [
        row(auc, "AUC", note, ratio=round(auc / base, 4), baseline=f"{name}: {BASELINE}"),
        row(float(kappa), "kappa", "as many pages kept as people keep"),
    ]
    if pages.score is not None:
        folds = [fold_of == fold for fold in range(FOLDS)]
        ranks = np.mean([spearmanr(pages.score[fold], held[fold]).statistic for fold in folds])
        made.append(row(float(ranks), "Spearman", "against the experts' score"))
    return made


def _auc(held: np.ndarray, pages: _Set, fold_of: np.ndarray) -> tuple[float, float]:
    aucs = [roc_auc_score(pages.keep[fold_of == fold], held[fold_of == fold]) for fold in range(FOLDS)]
    return float(np.mean(aucs)), float(np.std(aucs, ddof=1) / np.sqrt(FOLDS))


def _kappa(held: np.ndarray, keep: np.ndarray, fold: np.ndarray) -> float:
    cut = np.quantile(held[fold], 1 - keep[fold].mean())
    return float(cohen_kappa_score(keep[fold], held[fold] >= cut))


def _held_out(scores: Scores, pages: _Set, fold_of: np.ndarray) -> np.ndarray:
    held = np.zeros(len(fold_of))
    for fold in range(FOLDS):
        rest, rows = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        held[rows] = scores(pages, rest, rows)
    return held


def _lexical(pages: _Set, rest: np.ndarray, held: np.ndarray) -> np.ndarray:
    made = LexicalBaseline(c=10.0).fit([pages.texts[i] for i in rest], pages.keep[rest])
    return made.predict_score([pages.texts[i] for i in held])


def _fasttext(pages: _Set, rest: np.ndarray, held: np.ndarray) -> np.ndarray:
    import fasttext

    def line(i: int) -> str:
        return " ".join(pages.texts[i].lower().split())

    fasttext.FastText.eprint = lambda *_: None
    with NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(f"__label__{int(pages.keep[i])} {line(i)}" for i in rest))
        file.flush()
        model = fasttext.train_supervised(file.name, epoch=25, lr=0.5, wordNgrams=2, thread=1, verbose=0)
    found = [dict(zip(*model.predict(line(i), k=2), strict=True)) for i in held]
    return np.array([said.get("__label__1", 0.0) for said in found])


def _minilm(pages: _Set, rest: np.ndarray, held: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    vectors = pages.features.block("embedding")
    return LogisticRegression(max_iter=1000).fit(vectors[rest], pages.keep[rest]).predict_proba(vectors[held])[:, 1]


def _blend(blocks: tuple[str, ...], pages: _Set, rest: np.ndarray, held: np.ndarray) -> np.ndarray:
    made = PageClassifier(embedder_id="", features=blocks, static=pages.static)
    made.fit(pages.features[rest], pages.keep[rest].astype(float), None, [pages.groups[i] for i in rest])
    return made.predict_score(pages.features[held])


def _searched(prefer: Any, pages: _Set, rest: np.ndarray, held: np.ndarray) -> np.ndarray:
    keep, groups = pages.keep[rest].astype(float), [pages.groups[i] for i in rest]
    best = next(row for row in choose(pages.features[rest], keep, groups, prefer=prefer) if row.chosen)
    made = PageClassifier(embedder_id="", features=best.features, heads=best.heads, static=pages.static)
    return made.fit(pages.features[rest], keep, None, groups).predict_score(pages.features[held])


def _set(name: str, static: StaticVectors) -> _Set:
    table = [row for row in pq.read_table(DATA / f"{name}.parquet").to_pylist() if row["label"] and row["text"].strip()]
    kept = WEBKB_KEPT if name == "webkb" else ("keep", "satisfactory")
    if name == "webkb":
        table = [row for i, row in enumerate(table) if row["label"] in kept or i % WEBKB_OTHERS == 0]
    found = [row["text"] for row in table]
    sets = sets_of(len(found), near_duplicates(marks_of(found), similarity=0.7))
    return _Set(
        texts=found,
        keep=np.array([row["label"] in kept for row in table]),
        score=np.array([float(row["score"]) for row in table]) if "score" in table[0] else None,
        groups=[str(number) for number in sets],
        features=features_of(found, Embedder().embed(found), static=static),
        static=static,
    )


def _speeds(static: StaticVectors, quick: bool) -> list[Row]:
    """From text to score on one core, of generated pages; the embedding is not in it: it has a bench of its own."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    many, keep = texts(256 if quick else 1024), np.arange(256) % 2 == 1
    lexical = LexicalBaseline(c=10.0).fit(texts(256), keep)
    ready = features_of(texts(256), static=static)
    cases = [Case(BASELINE, partial(_rate, lexical.predict_score, many))]
    for what, blocks in BLENDS.items():
        if "embedding" not in blocks:
            made = PageClassifier(embedder_id="", features=blocks, static=static).fit(ready, keep.astype(float))
            cases.append(Case(what, partial(_rate, made.predict_texts, many)))
    with threadpool_limits(1):
        return rows("classifier", cases, unit="pages/s", runs=2 if quick else 5, warm=True)


def _rate(score: Callable[[list[str]], object], many: list[str]) -> float:
    return len(many) / seconds(lambda: score(many))
