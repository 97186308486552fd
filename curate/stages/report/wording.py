"""The report in words: notes, numbers, and the table for the terminal."""

import math
from collections.abc import Mapping
from typing import Any

from curate import agreement
from curate.intervals import Estimate
from curate.stages.report.sealed import WHO, Labelled

COLUMNS = (
    "auc",
    "average_precision",
    "spearman",
    "qwk",
    "kappa",
    "accuracy",
    "macro_f1",
    "balanced_accuracy",
    "f1",
    "precision",
    "recall",
    "keep_accuracy",
    "keep_kappa",
    "mae",
    "coverage",
)
IN_TERMINAL = ("auc", "kappa", "accuracy", "macro_f1", "f1")


def notes_of(
    sealed: Mapping[str, Mapping[str, Estimate]],
    ceiling: agreement.Ceiling,
    records: Mapping[str, Mapping[str, Any]],
    test: Labelled,
    *,
    quiz: bool,
) -> list[str]:
    """What a reader must know before believing the table."""
    stages = [stage for stage in ("tune", "distill", "filter") if stage in records]
    notes = [note for stage in stages for note in records[stage]["report"].get("notes", [])]
    keep, drop = int(test.keep.sum()), int((~test.keep).sum())
    if not quiz and min(keep, drop) < 30:
        notes.append(
            f"the sealed test has {keep} pages worth keeping and {drop} not: the intervals are wide, and somewhat too narrow still"
        )
    if ceiling.note:
        notes.append(ceiling.note)
    return notes + _sample_notes(records["sample"]["report"], test) + _comparisons(sealed)


def _sample_notes(sample: Mapping[str, Any], test: Labelled) -> list[str]:
    """Shards that were left out, and languages in the sample that no sealed page has."""
    shards = sample.get("unreadable_shards") or {}
    notes = [f"{len(shards)} unreadable shards were left out ({', '.join(list(shards)[:3])})"] if shards else []
    seen = {page["lang"] for page in test.pages}
    drawn = (sample.get("portrait") or {}).get("languages", {})
    unseen = {lang: n for lang, n in drawn.items() if lang and lang not in seen}
    if unseen:
        names = ", ".join(f"{lang} ({n:,} of {sample['drawn']:,} drawn pages)" for lang, n in list(unseen.items())[:6])
        notes.append(f"no sealed page is in {names}: nothing here says how well such pages are judged")
    return notes


def _comparisons(sealed: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
    notes = []
    best, lexical = (sealed.get(who, {}).get("auc") for who in ("classifier", "lexical"))
    if best and lexical and lexical.value >= best.value:
        notes.append(
            f"the lexical baseline (AUC {lexical.value:.2f}) is as good as the classifier ({best.value:.2f}) on the sealed pages: the judge added nothing that shows here"
        )
    metric = "auc" if "auc" in sealed["judge_tuned"] else "accuracy"
    before, after = sealed["judge_untuned"].get(metric), sealed["judge_tuned"].get(metric)
    if before and after and after.value <= before.value:
        notes.append("on the sealed pages the tuned judge is no better than the untuned one")
    return notes


def columns_of(sealed: Mapping[str, Mapping[str, Any]], among: tuple[str, ...] = COLUMNS) -> list[str]:
    """The numbers that some of them have, in the order of the report."""
    return [metric for metric in among if any(metric in found for found in sealed.values())]


def number(x: float | None, digits: int = 2) -> str:
    """.87, -.03, 12.50; a dash for none."""
    if x is None or math.isnan(x):
        return "–"
    text = f"{x:.{digits}f}"
    return text.replace("0.", ".", 1) if abs(x) < 1 else text


def estimate(e: Mapping[str, Any] | None) -> str:
    """A value with its interval."""
    if not e or e["value"] is None:
        return "–"
    if e["low"] is None or e["high"] is None:
        return f"{number(e['value'])} [no interval]"
    return f"{number(e['value'])} [{number(e['low'])}, {number(e['high'])}]"


def as_text(report: Mapping[str, Any], filtered: Mapping[str, Any] | None = None) -> str:
    """The table for the terminal, and what the filter kept and why the rest went."""
    sealed = report["sealed"]
    columns = columns_of(sealed, IN_TERMINAL)
    pages = max((e["n"] for found in sealed.values() for e in found.values()), default=0)
    lines = [
        f"On the same {pages} sealed pages, with 95 % intervals:",
        f"{'':17}" + "".join(f"{c.replace('_', ' '):>20}" for c in columns),
    ]
    for who, words in WHO.items():
        if who in sealed:
            lines.append(f"{words:17}" + "".join(f"{estimate(sealed[who].get(c)):>20}" for c in columns))
    lines += [f"note: {note}" for note in report["notes"]]
    return "\n".join([*lines, *(_kept(filtered) if filtered else [])])


def _kept(filtered: Mapping[str, Any]) -> list[str]:
    rest = ", ".join(f"{n:,} {why}" for why, n in filtered["reasons"].items() if why != "kept")
    lines = [f"\nkept {filtered['kept']:,} of {filtered['pages']:,} pages" + (f"; the rest: {rest}" if rest else "")]
    for column, counts in filtered["by"].items():
        shares = ", ".join(
            f"{value} {kept}/{total}"
            for value, (total, kept) in sorted(counts.items(), key=lambda kv: -kv[1][1] / kv[1][0])
        )
        lines.append(f"kept by {column}: {shares}")
    return lines
