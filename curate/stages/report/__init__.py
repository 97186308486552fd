"""report: open the sealed test, put all who judged side by side on it, and write down what the filter kept."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from curate import __version__
from curate.judge import Judge
from curate.judge import answers as answers_of
from curate.labels.agreed import agreed
from curate.labels.truth import How
from curate.progress import Progress
from curate.rubric import Rubric
from curate.schema import fingerprint, now
from curate.stages.report.evidence import Given, evidence_of
from curate.stages.report.front import front
from curate.stages.report.gained import drawn_gain, labels_gain
from curate.stages.report.promised import kept_flags
from curate.stages.report.sealed import (
    WHO,
    Answers,
    Labelled,
    agreement_of,
    ceiling_of,
    confusions,
    differences,
    evaluated,
    labelled,
    of_classifier,
    of_judge,
    of_lexical,
    of_outputs,
)
from curate.stages.report.wording import as_text, columns_of, estimate, notes_of, number
from curate.store import Store, write_json, write_text

__all__ = ["READING", "Report", "Settings", "as_text", "run", "write_opening"]

READING = "reading"
"""What the name of an opening by a reading person ends in."""
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
    """Sealed pages shown on which the classifier (or of a quiz the judge) and people part most."""
    excerpt_chars: int = Field(400, gt=0)
    """Characters shown of each."""
    by: list[str] = ["lang", "length"]
    """Parts of the sealed pages that are looked at by themselves: columns of the sample, and `length` (in characters); the
    columns of filter.by are looked at too."""


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
    name: str,
    progress: Progress,
    consensus: How = "mean",
    worthwhile_gain: float = 0.01,
) -> Report:
    """Write reports/<name>/report.html and report.json. Each opening of the sealed labels is written down first.

    Without a record of `distill` and `filter` (a quiz, where nothing is to be kept) the judges alone stand beside people.
    """
    openings = _open_seal(store, name, labels, judges, records)
    test = labelled(pages, labels, rubric, ("test",), how=consensus)
    known = labelled(pages, labels, rubric, ("train", "val"), how=consensus)
    answers: dict[str, Answers] = {}
    with progress.task("report: scoring the sealed pages", len(WHO) - 1) as task:
        for which in ("untuned", "tuned"):
            answers[f"judge_{which}"] = of_judge(judged[which], test)
        if "distill" in records:
            answers["classifier"] = _by_own_threshold(of_classifier(store, records, test), records, test)
            answers["lexical"] = of_lexical(known, test, records)
        ceiling = ceiling_of(test, rubric)
        sealed = {"human_ceiling": ceiling.estimates}
        for who, given in answers.items():
            sealed[who] = evaluated(given, test, rubric)
            task.advance()
    value: dict[str, Any] = {
        "pipeline": pipeline_name,
        "rubric": {
            "name": rubric.name,
            "hash": rubric.hash,
            "asks": rubric.asks,
            "scale": rubric.scale,
            "keep": rubric.keep,
            "levels": rubric.levels,
            "names": rubric.names,
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
        "differences": differences(answers, test, rubric),
        "agreement": agreement_of(labels, rubric),
        "people": agreed(labels, pages, rubric).as_dict(),
        "labels_gain": labels_gain(known, labels, judged["tuned"], rubric, worthwhile=worthwhile_gain),
        "outputs": of_outputs(answers["classifier"].said, test, rubric) if "classifier" in answers else {},
        "confusion": confusions(answers, test, rubric),
        "judges": {which: _judge(judge) for which, judge in judges.items()},
        "robustness": records["score"]["report"].get("robustness"),
        "stages": {
            stage: {key: record[key] for key in ("fingerprint", "report", "seconds", "usd")}
            for stage, record in records.items()
        },
        "spend": {purpose: asdict(spent) for purpose, spent in spend.items()},
        "notes": [*notes_of(sealed, ceiling, records, test, quiz=not rubric.kept), *_read_before(store)],
    }
    seen = Given(
        pages=pages,
        test=test,
        known=known,
        judged=judged["tuned"],
        answers=answers,
        records=records,
        rubric=rubric,
        unlabelled=_unlabelled(store, records, pages, test),
        root=store.root,
    )
    value |= evidence_of(seen, by=settings.by, excerpt_chars=settings.excerpt_chars, progress=progress)
    folder = Path("reports") / name
    write_json(store.root / folder / "report.json", value)
    shown = _disagreements(settings, test, answers, judged["tuned"], rubric)
    write_text(store.root / folder / "report.html", _html(value, shown, records, store))
    return Report(str(folder / "report.html"), str(folder / "report.json"), value["sealed"], openings, value["notes"])


def _open_seal(
    store: Store,
    name: str,
    labels: Sequence[Mapping[str, Any]],
    judges: Mapping[str, Judge],
    records: Mapping[str, Mapping[str, Any]],
) -> int:
    """Write down that the sealed labels are looked at now, and what was measured on them; say how often they were."""
    measured = {f"judge_{which}": judge.id for which, judge in judges.items()}
    if "distill" in records:
        measured["classifier"] = records["distill"]["report"]["classifier_id"]
    write_opening(store, name, labels=labels, measured=measured)
    return len({p.name.rsplit("-", 1)[1] for p in (store.root / "unsealed").glob("*.json")} - {f"{READING}.json"})


def write_opening(store: Store, name: str, *, labels: Sequence[Mapping[str, Any]], measured: Mapping[str, str]) -> None:
    """Write down that sealed labels are looked at now, and what was measured on them. A `name` that ends in `-reading` is
    a person who read a page with them."""
    at = now()
    write_json(
        store.root / "unsealed" / f"{at.replace(':', '')}-{name}.json",
        {
            "at": at,
            "report": name,
            "labels": fingerprint(sorted(r["label_id"] for r in labels)),
            "measured": dict(measured),
            "fingerprint": fingerprint(measured),
        },
    )


def _read_before(store: Store) -> list[str]:
    """What a reader must know where people have looked at sealed pages one by one."""
    pages = {p.name.rsplit("-", 2)[1] for p in (store.root / "unsealed").glob(f"*-{READING}.json")}
    if not pages:
        return []
    return [
        f"the labels and judgments of {len(pages)} sealed page{'' if len(pages) == 1 else 's'} have been read one by one"
    ]


def _by_own_threshold(given: Answers, records: Mapping[str, Mapping[str, Any]], test: Labelled) -> Answers:
    return replace(given, keep=kept_flags(records["filter"]["report"], test.pages, given.score))


def _unlabelled(
    store: Store,
    records: Mapping[str, Mapping[str, Any]],
    pages: Sequence[Mapping[str, Any]],
    test: Labelled,
) -> dict[str, float]:
    """The classifier's probabilities of sealed pages that nobody labelled, by page id: it has seen none of them."""
    known = {p["page_id"] for p in test.pages}
    rest = [p for p in pages if p["split"] == "test" and p["page_id"] not in known]
    if "distill" not in records or not rest:
        return {}
    found = of_classifier(store, records, replace(test, pages=rest)).score
    return dict(zip([p["page_id"] for p in rest], found.tolist(), strict=True))


def _judge(judge: Judge) -> dict[str, Any]:
    return {
        "id": judge.id,
        "form": judge.form,
        "model": judge.model,
        "weights": judge.weights,
        "layout": judge.layout,
        "instruction": judge.instruction,
        "examples": len(judge.examples),
        "answer_weights": dict(zip(answers_of(judge), judge.answer_weights, strict=False)),
        "cuts": judge.cuts,
    }


def _disagreements(
    settings: Settings,
    test: Labelled,
    answers: Mapping[str, Answers],
    tuned: Mapping[str, Mapping[str, Any]],
    rubric: Rubric,
) -> list[dict[str, Any]]:
    """The sealed pages on which people part most from the classifier, or where there is none from the judge."""
    probability = answers["classifier"].score if "classifier" in answers else None
    if probability is None:
        level = answers["judge_tuned"].level
        assert level is not None  # a judge always gives levels
        apart = (level != test.truth).astype(float)
        order = [i for i in np.argsort(-apart, kind="stable") if apart[i]][: settings.examples]
    else:
        order = list(np.argsort(-np.abs(probability - test.keep))[: settings.examples])
    said: dict[str, list[Mapping[str, Any]]] = {}
    for row in test.labels:
        said.setdefault(row["page_id"], []).append(row)

    def name(level: int | None) -> str | None:
        return None if level is None else rubric.names[level]

    return [
        {
            "url": test.pages[i]["url"],
            "excerpt": test.pages[i]["text"][: settings.excerpt_chars],
            "probability": None if probability is None else float(probability[i]),
            "judge": name(tuned.get(test.pages[i]["page_id"], {}).get("level")),
            "people": [(r["rater"], name(r["level"]), r["note"]) for r in said[test.pages[i]["page_id"]]],
        }
        for i in order
    ]


def _family(candidates: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The candidates as a tree in lines: each below what it was made from, with its `depth`."""
    children: dict[str, list[Mapping[str, Any]]] = {}
    known = {c["candidate_id"] for c in candidates}
    for c in candidates:
        parent = c["parent_id"] if c["parent_id"] in known and c["parent_id"] != c["candidate_id"] else ""
        children.setdefault(parent, []).append(c)
    lines: list[dict[str, Any]] = []

    def below(parent: str, depth: int) -> None:
        for c in children.pop(parent, []):
            lines.append({**c, "depth": depth})
            below(c["candidate_id"], depth + 1)

    below("", 0)
    return lines


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
    environment.filters |= {"number": number, "estimate": estimate, "front": front, "drawn_gain": drawn_gain}
    folder = store.root / "judges" / value["judges"]["tuned"]["id"]
    return environment.get_template("report.html.j2").render(
        r=value,
        who={who: words for who, words in WHO.items() if who in value["sealed"]},
        columns=columns_of(value["sealed"]),
        headline="auc" if "auc" in value["sealed"]["judge_tuned"] else "accuracy",
        disagreements=disagreements,
        diff=(folder / "instruction.diff").read_text(encoding="utf-8"),
        filter=records["filter"]["report"] if "filter" in records else None,
        tune=records["tune"]["report"],
        family=_family(records["tune"]["report"]["candidates"]),
        distill=records["distill"]["report"] if "distill" in records else None,
        sample=records["sample"]["report"],
    )
