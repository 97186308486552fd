"""Was the promise kept, and what is in the corpus? From labels that the threshold was chosen without, and with all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from curate.deciding import named
from curate.promises.giving import at_threshold
from curate.promises.ranked import Ranked
from curate.rates import Rate, kept_precision, kept_recall, powered_share, sampled
from curate.sampling import weights
from curate.stages.report.wording import estimate, number
from curate.thresholds import aim_of

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Drawn:
    """Pages of the sample with what the classifier says of them unseen, arrays (n,): `label` 1, 0, or NaN where people
    said nothing; `weight` what a page stands for; `kept` by the threshold of its slice."""

    label: np.ndarray
    probability: np.ndarray
    kept: np.ndarray
    weight: np.ndarray
    group: np.ndarray
    sealed: np.ndarray


def kept_flags(filtered: Row, pages: Sequence[Row], probability: np.ndarray) -> np.ndarray:
    """Which pages the filter keeps, (n,): by the threshold of their slice where there are slices."""
    own = {value: one["threshold"] for value, one in filtered["slices"].items() if one}
    column, default = filtered["slices_by"], filtered["promise"]["threshold"]
    cut = np.array([own.get(named(page.get(column)), default) if column else default for page in pages], float)
    return np.asarray(probability >= cut)


def drawn(pages: Sequence[Row], truth: Mapping[str, bool], probability: Mapping[str, float], filtered: Row) -> Drawn:
    """The pages that stand for others and have a probability. Those without a label are made to stand for all of them,
    also those that the classifier learned from and says nothing unseen of: the splits are by chance."""
    weight = weights([p["round"] or 0 for p in pages], [p["inclusion_probability"] for p in pages])
    labelled = np.array([p["page_id"] in truth for p in pages])
    there = np.array([p["page_id"] in probability for p in pages]) & (weight > 0)
    weight = _standing(weight, labelled, there)
    rows = [page for page, mine in zip(pages, there, strict=True) if mine]
    said = np.array([probability[p["page_id"]] for p in rows], float)
    return Drawn(
        label=np.array([float(truth[p["page_id"]]) if p["page_id"] in truth else np.nan for p in rows]),
        probability=said,
        kept=kept_flags(filtered, rows, said),
        weight=weight[there],
        group=np.array([p["group_id"] for p in rows]),
        sealed=np.array([p["split"] == "test" for p in rows], bool),
    )


def _standing(weight: np.ndarray, labelled: np.ndarray, there: np.ndarray) -> np.ndarray:
    """What each page stands for, (n,), where those of the unlabelled pages that are `there` stand for all of them."""
    told = weight[~labelled & there].sum()
    return np.where(labelled | (told == 0), weight, weight * (weight[~labelled].sum() / max(told, 1e-300)))


def on_sealed(filtered: Row, found: Drawn) -> dict[str, Any]:
    """Precision and recall of what the filter keeps of the sealed pages, beside what was promised."""
    mine = found.sealed & ~np.isnan(found.label)
    promise = filtered["promise"]
    if not 0 < found.label[mine].sum() < mine.sum():
        return {"precision": None, "recall": None, "verdict": "too few sealed labels", "words": ""}
    pages = Ranked.of(found.kept[mine].astype(float), found.label[mine] > 0.5, found.weight[mine], found.group[mine])
    here = at_threshold(0.5, pages=pages, aim=promise["aim"], confidence=promise["confidence"])
    rates = {"precision": here.precision.as_dict(), "recall": here.recall.as_dict()}
    asked = aim_of(promise["aim"])
    if not asked.rate:
        return {**rates, "verdict": "", "words": ""}
    name = asked.what.removesuffix(">=")
    verdict = _verdict(rates[name], asked.number)
    kind = "promised" if promise["promised"] else "aimed at, not promised"
    words = f"{name} {kind}: {number(asked.number)}; on {mine.sum()} sealed pages {estimate(rates[name])}: {verdict}"
    return {**rates, "verdict": verdict, "words": words}


def _verdict(found: Mapping[str, Any], asked: float) -> str:
    if found["value"] is None:
        return "nothing is kept there"
    if found["low"] >= asked:
        return "reached, surely"
    if found["value"] >= asked:
        return "reached, as far as so few pages can tell"
    return "missed" if found["high"] < asked else "below it, but by no more than chance"


def in_corpus(found: Drawn, filtered: Row, *, same_corpus: bool) -> dict[str, Any]:
    """How much of the corpus is worth keeping, and precision and recall of what is kept: prediction-powered, from all
    labels beside the classifier's word on pages that nobody labelled. `pages` only where the sample was drawn from the
    corpus that was filtered."""
    if np.isnan(found.label).all():
        return {}
    sample = sampled(found.label, found.probability, weight=found.weight, group=found.group)
    rates = {
        "worth": powered_share(sample),
        "precision": kept_precision(sample, found.kept),
        "recall": kept_recall(sample, found.kept),
    }
    scored = filtered["pages"] - filtered["reasons"].get("no text", 0) - filtered["reasons"].get("left out by where", 0)
    value: dict[str, Any] = {name: rate.as_dict() for name, rate in rates.items()}
    value["same_corpus"] = same_corpus
    value["pages"] = _pages(rates["worth"], scored) if same_corpus else None
    value["words"] = _words(rates, value["pages"], scored)
    return value


def worth_with_judge(pages: Sequence[Row], truth: Mapping[str, bool], worth: Mapping[str, float]) -> dict[str, Any]:
    """How much of the corpus is worth keeping, from the same labels beside the judge's word on every page it judged."""
    weight = weights([p["round"] or 0 for p in pages], [p["inclusion_probability"] for p in pages])
    names = [p["page_id"] for p in pages]
    labelled = np.array([name in truth for name in names])
    said = np.array([worth.get(name, np.nan) for name in names])
    there = (weight > 0) & (labelled | ~np.isnan(said))
    if not labelled[there].any() or np.isnan(said).all():
        return {}
    weight = _standing(weight, labelled, there)
    sample = sampled(
        np.array([float(truth[name]) if name in truth else np.nan for name in names])[there],
        np.where(np.isnan(said), np.nanmean(said), said)[there],
        weight=weight[there],
        group=np.array([p["group_id"] for p in pages])[there],
    )
    return powered_share(sample).as_dict()


def _pages(rate: Rate, scored: int) -> dict[str, int] | None:
    ends = {"value": rate.estimate.value, "low": rate.estimate.low, "high": rate.estimate.high}
    return None if any(np.isnan(x) for x in ends.values()) else {name: round(x * scored) for name, x in ends.items()}


def _words(rates: Mapping[str, Rate], pages: Mapping[str, int] | None, scored: int) -> list[str]:
    where = "of the pages that the sample was drawn from"
    if pages:
        where = f"of {scored:,} pages: {pages['value']:,} [{pages['low']:,}, {pages['high']:,}]"
    subjects = {
        "worth": f"worth keeping are {{}} {where}",
        "precision": "of what is kept, {} is worth keeping",
        "recall": "of what is worth keeping, {} is kept",
    }
    return [f"{subjects[name].format(rate.estimate.text())} ({_behind(rate)})" for name, rate in rates.items()]


def _behind(rate: Rate) -> str:
    said = f"{rate.labelled:,} labels"
    if rate.predicted > rate.labelled and rate.power > 0 and rate.narrower == rate.narrower:
        how = f"{abs(rate.narrower):.0%}".replace("%", " %") + (" narrower" if rate.narrower >= 0 else " wider")
        how = "as wide as with" if abs(rate.narrower) < 0.005 else f"{how} than with"
        return f"{said} and the classifier's word on {rate.predicted - rate.labelled:,} more pages: {how} labels alone"
    if rate.predicted == rate.labelled:
        return f"{said}; every page with a score is labelled, so predictions add nothing"
    return f"{said} alone: too few, or predictions that tell nothing of them"
