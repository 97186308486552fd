"""All who judge, side by side on the sealed pages."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from curate import agreement, metrics
from curate.classifier import LexicalBaseline, PageClassifier, calibration_of, f1_threshold, folds_of, threshold_for
from curate.embed import EmbeddingCache
from curate.intervals import Estimate, bootstrap, paired_difference
from curate.labels.truth import How, counts, truth_of
from curate.labels.words import by_people
from curate.rubric import Rubric
from curate.store import Store

Row = Mapping[str, Any]
WHO = {
    "human_ceiling": "human ceiling",
    "judge_untuned": "untuned judge",
    "judge_tuned": "tuned judge",
    "classifier": "classifier",
    "lexical": "lexical baseline",
}


@dataclass(frozen=True)
class Labelled:
    """Labelled pages of some splits, with everything that people said of them. Arrays (n,)."""

    pages: Sequence[Row]
    labels: Sequence[Row]
    truth: np.ndarray
    keep: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True)
class Answers:
    """What one judge or classifier says of the sealed pages. Arrays (n,)."""

    score: np.ndarray
    level: np.ndarray | None
    keep: np.ndarray | None
    said: Mapping[str, np.ndarray] = field(default_factory=dict)
    """What else the classifier says, by name."""


def labelled(
    pages: Sequence[Row], labels: Sequence[Row], rubric: Rubric, splits: tuple[str, ...], *, how: How = "mean"
) -> Labelled:
    """The labelled pages of these splits, in a fixed order. Their labels are those of raters, each for themselves."""
    split = {p["page_id"]: p["split"] for p in pages if p["split"] in splits}
    found = truth_of(labels, rubric, how=how, splits=split)
    chosen = sorted((p for p in pages if p["page_id"] in found), key=lambda p: str(p["page_id"]))
    truth = np.array([found[p["page_id"]] for p in chosen])
    return Labelled(
        pages=chosen,
        labels=[row for row in by_people(labels) if row["page_id"] in found and counts(row, split[row["page_id"]])],
        truth=truth,
        keep=rubric.worth(truth.tolist()),
        groups=np.array([p["group_id"] for p in chosen]),
    )


def of_judge(said: Mapping[str, Row], test: Labelled) -> Answers:
    """A judge's judgments of the sealed pages; NaN where it gave none."""
    rows = [said.get(p["page_id"], {}) for p in test.pages]
    score = np.array([np.nan if row.get("score") is None else row["score"] for row in rows], float)
    level = np.array([np.nan if row.get("level") is None else row["level"] for row in rows], float)
    return Answers(score, level, None)


def of_classifier(store: Store, records: Mapping[str, Row], test: Labelled) -> Answers:
    """The classifier's probabilities, levels and decisions."""
    distilled = records["distill"]["report"]
    classifier = PageClassifier.load(store.root / "classifiers" / distilled["classifier_id"])
    texts = [p["text"] for p in test.pages]
    vectors = None
    if classifier.needs_embedding:
        vectors = EmbeddingCache(store.root / "embeddings").get_many(
            [p["page_id"] for p in test.pages], texts, classifier.embedder()
        )
    said = classifier.predict_all(texts, vectors)
    probability = classifier.probability_of(said.pop("score"))
    levels = np.searchsorted(np.asarray(distilled["cuts"]), probability, side="right").astype(float)
    return Answers(
        probability,
        levels if distilled["cuts"] else None,
        probability >= records["filter"]["report"]["threshold"]["value"],
        said,
    )


def of_outputs(said: Mapping[str, np.ndarray], test: Labelled, rubric: Rubric) -> dict[str, dict[str, Any]]:
    """How what else the classifier says of the sealed pages agrees with people: rank correlation of levels and criteria, AUC
    of a class; by name, with what was measured. Those that people said nothing of are left out."""
    found = {}
    for name, values in said.items():
        truth = _people_on(name, test, rubric)
        known = ~np.isnan(truth)
        if known.sum() < 2 or np.ptp(truth[known]) == 0:
            continue
        metric = metrics.auc if name.startswith("class ") else metrics.spearman
        people = truth[known] > 0.5 if metric is metrics.auc else truth[known]
        e = bootstrap(metric, [people, values[known]], groups=test.groups[known])
        found[name] = {"metric": metric.__name__, **e.as_dict()}
    return found


def _people_on(name: str, test: Labelled, rubric: Rubric) -> np.ndarray:
    """What people say of one output of each sealed page, (n,), NaN where nobody did."""
    kind, _, what = name.partition(" ")
    if kind == "level":
        return test.truth
    if kind == "class":
        places = {named: place for place, named in rubric.names.items()}
        return np.asarray(test.truth == places[what], dtype=float)
    answers: dict[str, list[float]] = {}
    for row in test.labels:
        given = json.loads(row["criteria"] or "{}")
        if what in given:
            answers.setdefault(row["page_id"], []).append(given[what])
    return np.array([np.mean(answers[p["page_id"]]) if p["page_id"] in answers else np.nan for p in test.pages])


def of_lexical(known: Labelled, test: Labelled, records: Mapping[str, Row]) -> Answers:
    """Word n-grams on the human labels alone: what the whole chain has to beat. It is calibrated, and its threshold
    chosen, as the classifier's."""
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
    probability = calibration.probability(fitted.predict_score([p["text"] for p in test.pages]))
    return Answers(probability, None, probability >= chosen.value)


def evaluated(answers: Answers, test: Labelled, rubric: Rubric) -> dict[str, Estimate]:
    """Every number about one of them. A classifier of two sides is not held to classes."""
    sides = rubric.scale == "choice" and answers.level is None
    return metrics.evaluate(
        truth_level=test.keep.astype(float) if sides else test.truth,
        score=answers.score,
        level=answers.level,
        keep=1 if sides else keeps(rubric),
        levels=2 if sides else rubric.top + 1,
        groups=test.groups,
        predicted_keep=answers.keep,
        scale="binary" if sides else rubric.scale,
    )


def keeps(rubric: Rubric) -> int | frozenset[int]:
    """What is worth keeping: a level and those above it, or some classes."""
    return rubric.keep if isinstance(rubric.keep, int) else rubric.kept


def ceiling_of(test: Labelled, rubric: Rubric) -> agreement.Ceiling:
    """How well one rater does against the others."""
    groups = {p["page_id"]: p["group_id"] for p in test.pages}
    said = [(row["page_id"], row["rater"], row["level"]) for row in test.labels]
    return agreement.human_ceiling(said, keep=keeps(rubric), levels=rubric.top + 1, groups=groups, scale=rubric.scale)


def differences(answers: Mapping[str, Answers], test: Labelled, rubric: Rubric) -> dict[str, Any]:
    """Paired differences on the same pages: of the AUC, or of a quiz of the accuracy."""
    pairs = [("judge_untuned", "judge_tuned"), ("lexical", "classifier"), ("judge_tuned", "classifier")]
    return {
        f"{b} - {a}": _difference(answers[a], answers[b], test, rubric).as_dict()
        for a, b in pairs
        if a in answers and b in answers
    }


def _difference(before: Answers, after: Answers, test: Labelled, rubric: Rubric) -> Estimate:
    if rubric.kept:
        ranks = (metrics.ranked_last(before.score), metrics.ranked_last(after.score))
        return paired_difference(metrics.auc, test.keep, *ranks, groups=test.groups)
    wrong = rubric.top + 1
    classes = [np.nan_to_num(np.asarray(a.level, float), nan=wrong).astype(int) for a in (before, after)]
    return paired_difference(metrics.accuracy, test.truth.astype(int), *classes, groups=test.groups)


def agreement_of(labels: Sequence[Row], rubric: Rubric) -> dict[str, Any]:
    """Krippendorff's alpha over all labels, and who gave them."""
    ratings = [(row["page_id"], row["rater"], row["level"]) for row in labels]
    alpha = agreement.krippendorff_alpha(ratings, metric="ordinal" if rubric.scale == "ordinal" else "nominal")
    return {
        "krippendorff_alpha": alpha.as_dict(),
        "raters": sorted({row["rater"] for row in labels}),
        "labels": len(labels),
    }


def confusions(answers: Mapping[str, Answers], test: Labelled, rubric: Rubric) -> dict[str, list[list[int]]]:
    """Levels or classes: people in rows. An unjudged page counts as the lowest level; of classes it has none and is
    left out."""
    truth = metrics.nearest_level(test.truth)
    found = {}
    for who, given in answers.items():
        if given.level is None:
            continue
        judged = ~np.isnan(given.level) | (rubric.scale != "choice")
        level = np.nan_to_num(given.level[judged]).astype(int)
        found[who] = metrics.confusion(truth[judged], level, rubric.top + 1)
    return found
