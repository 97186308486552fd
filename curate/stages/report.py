"""report: open the sealed test, put all who judged side by side on it, and write down what the filter kept."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from curate import __version__, agreement, metrics
from curate.classifier import (
    LexicalBaseline,
    PageClassifier,
    calibration_of,
    f1_threshold,
    folds_of,
    threshold_for,
)
from curate.embed import Embedder, EmbeddingCache
from curate.intervals import Estimate, bootstrap, paired_difference
from curate.judge import Judge
from curate.judge import answers as answers_of
from curate.progress import Progress
from curate.rubric import Rubric
from curate.schema import fingerprint, now
from curate.store import Store, write_json, write_text

WHO = {
    "human_ceiling": "human ceiling",
    "judge_untuned": "untuned judge",
    "judge_tuned": "tuned judge",
    "classifier": "classifier",
    "lexical": "lexical baseline",
}
LIBRARIES = (
    "dspy",
    "gepa",
    "litellm",
    "scikit-learn",
    "sentence-transformers",
    "torch",
    "duckdb",
    "pyarrow",
    "xllamacpp",
)


class Settings(BaseModel):
    """Settings of `report`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    examples: int = Field(12, ge=0)
    """Sealed pages shown on which the classifier and people part most."""
    excerpt_chars: int = Field(400, gt=0)
    """Characters shown of each."""


@dataclass(frozen=True)
class Report:
    """Where the report is, and its table."""

    html: str
    json: str
    sealed: dict[str, dict[str, Any]]
    openings: int
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For the stage's record."""
        return asdict(self)


@dataclass(frozen=True)
class _Test:
    """The sealed pages, with everything said of them. Arrays (n,)."""

    pages: Sequence[Mapping[str, Any]]
    labels: Sequence[Mapping[str, Any]]
    truth: np.ndarray
    keep: np.ndarray
    groups: np.ndarray


def run(
    store: Store,
    settings: Settings,
    *,
    pipeline_name: str,
    rubric: Rubric,
    pages: Sequence[Mapping[str, Any]],
    labels: Sequence[Mapping[str, Any]],
    judged: Mapping[str, Mapping[str, Mapping[str, Any]]],
    judges: Mapping[str, Judge],
    records: Mapping[str, Mapping[str, Any]],
    spend: Mapping[str, Any],
    max_tokens: int,
    name: str,
    progress: Progress,
) -> Report:
    """Write reports/<name>/report.html and report.json. Each opening of the sealed labels is written down first."""
    openings = _open_seal(store, name, labels)
    test = _side(pages, labels, rubric, ("test",))
    known = _side(pages, labels, rubric, ("train", "val"))
    with progress.task("report: scoring the sealed pages", len(WHO) - 1) as task:
        probability, threshold = _classified(store, records, test, max_tokens)
        lexical, lexical_threshold = _lexical(known, test, records)
        answers = {
            **{f"judge_{which}": _of_judge(judged[which], test) for which in ("untuned", "tuned")},
            "classifier": _Answers(
                probability, _levels(probability, records["distill"]["report"]["cuts"]), probability >= threshold
            ),
            "lexical": _Answers(lexical, None, lexical >= lexical_threshold),
        }
        ceiling = _ceiling(test, rubric)
        sealed = {"human_ceiling": ceiling.estimates}
        for who, given in answers.items():
            sealed[who] = _evaluated(given, test, rubric)
            task.advance()
    value: dict[str, Any] = {
        "pipeline": pipeline_name,
        "rubric": {
            "name": rubric.name,
            "hash": rubric.hash,
            "asks": rubric.asks,
            "keep": rubric.keep,
            "levels": rubric.levels,
        },
        "made_at": now(),
        "curate": __version__,
        "libraries": _versions(),
        "test": {
            "pages": len(test.pages),
            "keep": int(test.keep.sum()),
            "groups": len(set(test.groups)),
            "openings": openings,
        },
        "sealed": {who: {metric: e.as_dict() for metric, e in found.items()} for who, found in sealed.items()},
        "differences": _differences(answers, test),
        "agreement": _agreement(labels, rubric),
        "calibration": [b.as_dict() for b in metrics.reliability(test.keep, probability, bins=5)]
        if len(test.keep)
        else [],
        "brier": bootstrap(metrics.brier, [test.keep, probability], groups=test.groups).as_dict(),
        "confusion": _confusion(answers, test, rubric),
        "judges": {
            which: {
                "id": judge.id,
                "form": judge.form,
                "model": judge.model,
                "weights": judge.weights,
                "layout": judge.layout,
                "instruction": judge.instruction,
                "answer_weights": dict(zip(answers_of(judge), judge.answer_weights, strict=False)),
                "cuts": judge.cuts,
            }
            for which, judge in judges.items()
        },
        "stages": {
            stage: {key: record[key] for key in ("fingerprint", "report", "seconds", "usd")}
            for stage, record in records.items()
        },
        "spend": {purpose: asdict(spent) for purpose, spent in spend.items()},
        "notes": _notes(sealed, ceiling, records, test),
    }
    folder = Path("reports") / name
    write_json(store.root / folder / "report.json", value)
    shown = _disagreements(settings, test, probability, judged["tuned"])
    write_text(store.root / folder / "report.html", _html(value, shown, records, store))
    return Report(str(folder / "report.html"), str(folder / "report.json"), value["sealed"], openings, value["notes"])


@dataclass(frozen=True)
class _Answers:
    """What one judge or classifier says of the sealed pages. Arrays (n,)."""

    score: np.ndarray
    level: np.ndarray | None
    keep: np.ndarray | None


def _open_seal(store: Store, name: str, labels: Sequence[Mapping[str, Any]]) -> int:
    """Write down that the sealed labels are looked at now, and say how often they were."""
    folder = store.root / "unsealed"
    at = now()
    write_json(
        folder / f"{at.replace(':', '')}-{name}.json",
        {"at": at, "report": name, "labels": fingerprint(sorted(r["label_id"] for r in labels))},
    )
    return len({p.name.rsplit("-", 1)[1] for p in folder.glob("*.json")})


def _side(
    pages: Sequence[Mapping[str, Any]], labels: Sequence[Mapping[str, Any]], rubric: Rubric, splits: tuple[str, ...]
) -> _Test:
    said: dict[str, list[int]] = {}
    for row in labels:
        said.setdefault(row["page_id"], []).append(row["level"])
    chosen = sorted(
        (p for p in pages if p["split"] in splits and p["page_id"] in said), key=lambda p: str(p["page_id"])
    )
    truth = np.array([float(np.mean(said[p["page_id"]])) for p in chosen])
    names = {p["page_id"] for p in chosen}
    return _Test(
        pages=chosen,
        labels=[row for row in labels if row["page_id"] in names],
        truth=truth,
        keep=metrics.worth_keeping(truth, rubric.keep),
        groups=np.array([p["group_id"] for p in chosen]),
    )


def _of_judge(said: Mapping[str, Mapping[str, Any]], test: _Test) -> _Answers:
    rows = [said.get(p["page_id"], {}) for p in test.pages]
    score = np.array([np.nan if row.get("score") is None else row["score"] for row in rows], float)
    level = np.array([np.nan if row.get("level") is None else row["level"] for row in rows], float)
    return _Answers(score, level, None)


def _classified(
    store: Store, records: Mapping[str, Mapping[str, Any]], test: _Test, max_tokens: int
) -> tuple[np.ndarray, float]:
    distilled = records["distill"]["report"]
    classifier = PageClassifier.load(store.root / "classifiers" / distilled["classifier_id"])
    texts = [p["text"] for p in test.pages]
    vectors = None
    if classifier.needs_embedding:
        embedder = Embedder(distilled["embedder"], max_tokens=max_tokens)
        vectors = EmbeddingCache(store.root / "embeddings").get_many(
            [p["page_id"] for p in test.pages], texts, embedder
        )
    probability = classifier.probability_of(classifier.predict_texts(texts, vectors))
    return probability, records["filter"]["report"]["threshold"]["value"]


def _lexical(known: _Test, test: _Test, records: Mapping[str, Mapping[str, Any]]) -> tuple[np.ndarray, float]:
    """Word n-grams on the human labels alone: what the whole chain has to beat. It is calibrated, and its
    threshold chosen, as the classifier's."""
    texts, keep, groups = [p["text"] for p in known.pages], known.keep, list(known.groups)
    fitted = LexicalBaseline(random_state=0).fit(texts, keep, groups)
    fold_of = folds_of(groups, keep, folds=5, random_state=0)
    held = np.zeros(len(texts))
    for fold in np.unique(fold_of):
        rest = [i for i in range(len(texts)) if fold_of[i] != fold]
        inner = LexicalBaseline(c=fitted.c_, random_state=0).fit([texts[i] for i in rest], keep[rest])
        held[fold_of == fold] = inner.predict_score([texts[i] for i in np.flatnonzero(fold_of == fold)])
    calibration = calibration_of(held, keep)
    aim, promised = records["filter"]["report"]["threshold"]["aim"], calibration.probability(held)
    as_f1 = aim == "f1" or aim.startswith("threshold=")
    chosen = f1_threshold(promised, keep) if as_f1 else threshold_for(promised, keep, aim=aim)
    return calibration.probability(fitted.predict_score([p["text"] for p in test.pages])), chosen.value


def _levels(probability: np.ndarray, cuts: Sequence[float]) -> np.ndarray:
    return np.searchsorted(np.asarray(cuts), probability, side="right").astype(float)


def _evaluated(answers: _Answers, test: _Test, rubric: Rubric) -> dict[str, Estimate]:
    return metrics.evaluate(
        truth_level=test.truth,
        score=answers.score,
        level=answers.level,
        keep=rubric.keep,
        levels=rubric.top + 1,
        groups=test.groups,
        predicted_keep=answers.keep,
    )


def _ceiling(test: _Test, rubric: Rubric) -> agreement.Ceiling:
    groups = {p["page_id"]: p["group_id"] for p in test.pages}
    said = [(row["page_id"], row["rater"], row["level"]) for row in test.labels]
    return agreement.human_ceiling(said, keep=rubric.keep, levels=rubric.top + 1, groups=groups)


def _differences(answers: Mapping[str, _Answers], test: _Test) -> dict[str, Any]:
    pairs = (("judge_untuned", "judge_tuned"), ("lexical", "classifier"), ("judge_tuned", "classifier"))
    return {
        f"{b} - {a}": paired_difference(
            metrics.auc,
            test.keep,
            metrics.ranked_last(answers[a].score),
            metrics.ranked_last(answers[b].score),
            groups=test.groups,
        ).as_dict()
        for a, b in pairs
    }


def _agreement(labels: Sequence[Mapping[str, Any]], rubric: Rubric) -> dict[str, Any]:
    ratings = [(row["page_id"], row["rater"], row["level"]) for row in labels]
    alpha = agreement.krippendorff_alpha(ratings, metric="ordinal" if rubric.scale == "ordinal" else "nominal")
    return {
        "krippendorff_alpha": alpha.as_dict(),
        "raters": sorted({row["rater"] for row in labels}),
        "labels": len(labels),
    }


def _confusion(answers: Mapping[str, _Answers], test: _Test, rubric: Rubric) -> dict[str, list[list[int]]]:
    truth = metrics.nearest_level(test.truth)
    return {
        who: metrics.confusion(truth, np.nan_to_num(found.level).astype(int), rubric.top + 1)
        for who, found in answers.items()
        if found.level is not None
    }


def _notes(
    sealed: Mapping[str, Mapping[str, Estimate]],
    ceiling: agreement.Ceiling,
    records: Mapping[str, Mapping[str, Any]],
    test: _Test,
) -> list[str]:
    """What a reader must know before believing the table."""
    notes = [note for stage in ("tune", "distill", "filter") for note in records[stage]["report"].get("notes", [])]
    if min(int(test.keep.sum()), int((~test.keep).sum())) < 30:
        notes.append(
            f"the sealed test has {int(test.keep.sum())} pages worth keeping and {int((~test.keep).sum())} not: the intervals are wide, and somewhat too narrow still"
        )
    if ceiling.note:
        notes.append(ceiling.note)
    best = sealed["classifier"].get("auc")
    lexical = sealed["lexical"].get("auc")
    if best and lexical and lexical.value >= best.value:
        notes.append(
            f"the lexical baseline (AUC {lexical.value:.2f}) is as good as the classifier ({best.value:.2f}) on the sealed pages: the judge added nothing that shows here"
        )
    before, after = sealed["judge_untuned"].get("auc"), sealed["judge_tuned"].get("auc")
    if before and after and after.value <= before.value:
        notes.append("on the sealed pages the tuned judge is no better than the untuned one")
    return notes


def _disagreements(
    settings: Settings, test: _Test, probability: np.ndarray, tuned: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    order = np.argsort(-np.abs(probability - test.keep))[: settings.examples]
    said: dict[str, list[Mapping[str, Any]]] = {}
    for row in test.labels:
        said.setdefault(row["page_id"], []).append(row)
    return [
        {
            "url": test.pages[i]["url"],
            "excerpt": test.pages[i]["text"][: settings.excerpt_chars],
            "probability": float(probability[i]),
            "judge": tuned.get(test.pages[i]["page_id"], {}).get("level"),
            "people": [(row["rater"], row["level"], row["note"]) for row in said[test.pages[i]["page_id"]]],
        }
        for i in order
    ]


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _html(
    value: Mapping[str, Any], disagreements: Sequence[Mapping[str, Any]], records: Mapping[str, Any], store: Store
) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("curate.stages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "estimate": _estimate}
    folder = store.root / "judges" / value["judges"]["tuned"]["id"]
    return environment.get_template("report.html.j2").render(
        r=value,
        who=WHO,
        columns=_columns(value["sealed"]),
        disagreements=disagreements,
        diff=(folder / "instruction.diff").read_text(encoding="utf-8"),
        filter=records["filter"]["report"],
        tune=records["tune"]["report"],
        distill=records["distill"]["report"],
        sample=records["sample"]["report"],
    )


def _columns(sealed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    order = (
        "auc",
        "average_precision",
        "spearman",
        "qwk",
        "kappa",
        "accuracy",
        "balanced_accuracy",
        "f1",
        "precision",
        "recall",
        "mae",
        "coverage",
    )
    return [metric for metric in order if any(metric in found for found in sealed.values())]


def _number(x: float | None, digits: int = 2) -> str:
    if x is None or math.isnan(x):
        return "–"
    text = f"{x:.{digits}f}"
    return text.replace("0.", ".", 1) if abs(x) < 1 else text


def _estimate(e: Mapping[str, Any] | None) -> str:
    if not e or e["value"] is None:
        return "–"
    if e["low"] is None or e["high"] is None:
        return f"{_number(e['value'])} [no interval]"
    return f"{_number(e['value'])} [{_number(e['low'])}, {_number(e['high'])}]"


def as_text(report: Mapping[str, Any], filtered: Mapping[str, Any]) -> str:
    """The table for the terminal, and what the filter kept and why the rest went."""
    sealed = report["sealed"]
    columns = [c for c in ("auc", "kappa", "accuracy", "f1") if any(c in found for found in sealed.values())]
    pages = max((e["n"] for found in sealed.values() for e in found.values()), default=0)
    lines = [
        f"On the same {pages} sealed pages, with 95 % intervals:",
        f"{'':17}" + "".join(f"{c:>20}" for c in columns),
    ]
    for who, words in WHO.items():
        lines.append(f"{words:17}" + "".join(f"{_estimate(sealed[who].get(c)):>20}" for c in columns))
    lines += [f"note: {note}" for note in report["notes"]]
    rest = ", ".join(f"{n:,} {why}" for why, n in filtered["reasons"].items() if why != "kept")
    lines.append(
        f"\nkept {filtered['kept']:,} of {filtered['pages']:,} pages" + (f"; the rest: {rest}" if rest else "")
    )
    for column, counts in filtered["by"].items():
        shares = ", ".join(
            f"{value} {kept}/{total}"
            for value, (total, kept) in sorted(counts.items(), key=lambda kv: -kv[1][1] / kv[1][0])
        )
        lines.append(f"kept by {column}: {shares}")
    return "\n".join(lines)
