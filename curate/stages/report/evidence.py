"""What there is to be said of the classifier and its threshold, beside the table of who judges how well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from curate.curve import Point, judgment_curve
from curate.judged import worth_by_judge
from curate.learning import learning_curve
from curate.progress import Progress
from curate.rubric import Rubric
from curate.stages.report import calibrated, promised
from curate.stages.report.parting import parting
from curate.stages.report.sealed import Answers, Labelled
from curate.stages.report.slices import slices

Row = Mapping[str, Any]
LEAST_POINTS = 3
"""Points of a learning curve that a fit needs."""
MOST_JUDGED = 4000
"""Judged pages that the learning curve is drawn over at most."""


@dataclass(frozen=True)
class Given:
    """What the evidence is made from."""

    pages: Sequence[Row]
    test: Labelled
    known: Labelled
    """Labelled pages of train and val."""
    judged: Mapping[str, Row]
    answers: Mapping[str, Answers]
    records: Mapping[str, Row]
    rubric: Rubric
    unlabelled: Mapping[str, float]
    """Probabilities of sealed pages that nobody labelled, by page id."""
    root: Path


def evidence_of(given: Given, *, by: Sequence[str], excerpt_chars: int, progress: Progress) -> dict[str, Any]:
    """Promise, corpus rates, calibration, bias, slices, where classifier and judge part, and the learning curve; for a
    quiz, which has no classifier, the slices alone."""
    if "classifier" not in given.answers:
        return {"slices": slices(given.test, given.answers, given.rubric, by) if given.rubric.kept else {}}
    probability, filtered = given.answers["classifier"].score, given.records["filter"]["report"]
    held = _held(given)
    found = promised.drawn(given.pages, _truth(given), {**given.unlabelled, **held, **_sealed(given)}, filtered)
    columns = dict.fromkeys([*by, *given.records["filter"]["inputs"]["settings"]["by"]])
    corpus = promised.in_corpus(found, filtered, same_corpus=_same_corpus(given.records))
    if corpus:
        worth = {p["page_id"]: _worth(given, p) for p in given.pages}
        told = {name: value for name, value in worth.items() if not np.isnan(value)}
        corpus["worth_with_judge"] = promised.worth_with_judge(given.pages, _truth(given), told)
    with progress.task("report: learning curve over judgments", None):
        curve = _curve(given)
    return {
        "promise": {**filtered["promise"], "sealed": promised.on_sealed(filtered, found)},
        "corpus": corpus,
        "calibrated": calibrated.calibrated(given.test, probability),
        "bias": calibrated.bias(given.test, given.rubric, given.judged, probability),
        "slices": slices(given.test, given.answers, given.rubric, list(columns)),
        "parting": parting(given.pages, given.judged, held, given.rubric, excerpt_chars=excerpt_chars),
        "judgment_curve": [point.as_dict() for point in curve],
        "judgments_gain": gain_of(curve),
    }


def _worth(given: Given, page: Row) -> float:
    return worth_by_judge(given.rubric, given.judged.get(page["page_id"], {}))


def gain_of(curve: Sequence[Point]) -> dict[str, Any]:
    """What as many judgments again would gain; {} of too few points."""
    if len(curve) < LEAST_POINTS:
        return {}
    columns = ([p.judgments for p in curve], [p.auc for p in curve], [p.error for p in curve])
    return learning_curve(*columns).as_dict()


def _held(given: Given) -> dict[str, float]:
    """The classifier's out-of-fold probabilities by page id."""
    name = given.records["distill"]["report"]["classifier_id"]
    table = pq.read_table(given.root / "classifiers" / f"{name}.held_out.parquet", columns=["page_id", "probability"])
    return dict(zip(table["page_id"].to_pylist(), table["probability"].to_pylist(), strict=True))


def _sealed(given: Given) -> dict[str, float]:
    names = [p["page_id"] for p in given.test.pages]
    return dict(zip(names, given.answers["classifier"].score.tolist(), strict=True))


def _truth(given: Given) -> dict[str, bool]:
    return {
        page["page_id"]: bool(keep)
        for side in (given.known, given.test)
        for page, keep in zip(side.pages, side.keep, strict=True)
    }


def _same_corpus(records: Mapping[str, Row]) -> bool:
    """Whether the sample was drawn from the corpus that was filtered."""
    return bool(records["sample"]["inputs"].get("source") == records["filter"]["inputs"].get("corpus"))


def _curve(given: Given) -> list[Point]:
    """By hashed words alone, which cost little: how much judgments teach, not how good the chosen classifier is."""
    from curate.features import features_of
    from curate.heads import fit_head

    truth = {p["page_id"]: float(keep) for p, keep in zip(given.known.pages, given.known.keep, strict=True)}
    worth = {p["page_id"]: _worth(given, p) for p in given.pages if p["split"] != "test"}
    open_ = [p for p in given.pages if not np.isnan(worth.get(p["page_id"], np.nan))]
    chosen = sorted(open_, key=lambda p: (p["page_id"] not in truth, p["page_id"]))[:MOST_JUDGED]
    if not chosen:
        return []
    block = features_of([p["text"] for p in chosen], None, blocks={"ngrams"}).block("ngrams")
    judged = np.array([worth[p["page_id"]] for p in chosen])

    def fit(learned: np.ndarray, asked: np.ndarray) -> np.ndarray:
        head = fit_head(
            "ngrams", "linear", block[learned], judged[learned], np.ones(len(learned)), c=1.0, random_state=0
        )
        return head.log_odds("ngrams", block[asked])

    people = np.array([truth.get(p["page_id"], np.nan) for p in chosen])
    return judgment_curve(fit, judged, people, [str(p["group_id"]) for p in chosen])
