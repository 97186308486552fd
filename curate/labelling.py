"""What the labels of a pipeline say of themselves, and which pages are to be labelled next."""

from collections.abc import Mapping
from typing import Any

from curate.classifier import PageClassifier
from curate.embed import EmbeddingCache
from curate.errors import BadInput
from curate.judged import worth_by_judge
from curate.labels import agreed, gain, suspects, teaching
from curate.labels.truth import truth_of
from curate.pipeline import Row, Work


def agreement_of(work: Work) -> agreed.Agreed:
    """How well its raters agree."""
    return agreed.agreed(work.labels(), work.pages(), work.rubric)


def agreement_by(work: Work, by: str) -> dict[str, agreed.Agreed]:
    """The same for each value of a column of the pages."""
    return agreed.agreed_by(work.labels(), work.pages(), work.rubric, by)


def suspects_of(work: Work) -> list[suspects.Suspect]:
    """Its labels of train and val that something speaks against."""
    return suspects.suspects(work.labels(), work.pages(), work.rubric, judged=judged_shares(work))


def gain_of(work: Work) -> tuple[gain.Gain, gain.JudgeCurve]:
    """What more labels would bring, and how the newest judge agreed with them as they came in."""
    pages, labels = work.pages(), work.labels()
    split = {page["page_id"]: page["split"] for page in pages}
    truth = truth_of(labels, work.rubric, how=work.p.label.consensus, splits=split)
    found = gain.gain_of_labels(truth, pages, work.rubric, worthwhile=work.p.label.worthwhile_gain)
    scores = {page: float(row["score"]) for page, row in _judgments(work).items() if row["score"] is not None}
    return found, gain.judge_curve(labels, pages, scores, work.rubric)


def to_teach(work: Work, round_: int) -> list[str]:
    """Ids of the pages of a round of the sample, those first that would teach most by the newest classifier and judge, in
    the order of the round where there is no classifier. Raises BadInput where the sample has no such round."""
    pages = [page for page in work.pages() if (page["round"] or 1) == round_]
    if not pages:
        raise BadInput(
            f"--round {round_}: the sample has no such round; add it under sample.rounds, as in "
            f"`rounds: [{{pages: 100, how: informative}}]`, and run `curate sample {work.opened.file}`"
        )
    report = _newest(work, "distill")
    if report is None:
        return [page["page_id"] for page in pages]
    filtered = _newest(work, "filter")
    order = teaching.teaching_order(
        pages,
        probability=probabilities(work, pages),
        judged=judged_shares(work),
        threshold=filtered["threshold"]["value"] if filtered else 0.5,
    )
    rest = [page["page_id"] for page in pages if page["page_id"] not in set(order)]
    return [*order, *rest]


def probabilities(work: Work, pages: list[Row]) -> dict[str, float]:
    """Probabilities that people would keep these pages, by the newest classifier; {} where there is none."""
    report = _newest(work, "distill")
    if report is None or not pages:
        return {}
    made = PageClassifier.load(work.store.root / "classifiers" / report["classifier_id"])
    ids, texts = [page["page_id"] for page in pages], [page["text"] for page in pages]
    vectors = None
    if made.needs_embedding:
        vectors = EmbeddingCache(work.store.root / "embeddings").get_many(ids, texts, made.embedder())
    found = made.score(texts, vectors)
    return dict(zip(ids, found.tolist(), strict=True))


def judged_shares(work: Work) -> dict[str, float]:
    """The share of keep by the newest tuned judge, of the pages it gave a level."""
    return {page: worth_by_judge(work.rubric, row) for page, row in _judgments(work).items()}


def _judgments(work: Work) -> dict[str, Mapping[str, Any]]:
    report = _newest(work, "tune")
    if report is None:
        return {}
    rows = work.store.sql("SELECT * FROM judgments WHERE judge_id = ? AND status = 'ok'", [report["tuned_id"]])
    return {row["page_id"]: row for row in rows.to_pylist()}


def _newest(work: Work, stage: str) -> Mapping[str, Any] | None:
    """The newest report of a stage, whether or not labels were given since."""
    records = work.store.records(stage)
    return records[-1]["report"] if records else None
