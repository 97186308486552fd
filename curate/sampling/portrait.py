"""What a sample says of itself and of the corpus it was drawn from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.intervals import Estimate
from curate.sampling import weights

Row = Mapping[str, Any]
BANDS = (0, 200, 500, 1000, 2000, 5000, 10_000, 50_000)
"""Lower edges of the length bands, in characters."""
MOST_NAMED = 10
EXCERPT = 160
NORMAL_95 = 1.959964


def portrait(pages: Sequence[Row]) -> dict[str, Any]:
    """Counts by language, host, length and stratum, examples, and estimates of the corpus."""
    return {
        "languages": _top(page["lang"] or "" for page in pages),
        "hosts": {"different": len({page["host"] for page in pages}), "top": _top(page["host"] for page in pages)},
        "lengths": _lengths([len(page["text"]) for page in pages]),
        "by_stratum": _top((page["stratum"] or "" for page in pages), most=1000),
        "by_how": _top(page["how"] for page in pages),
        "examples": _examples(pages),
        "estimates": _estimates(pages),
    }


def largest_sets(pages: Sequence[Row], *, most: int = 5) -> list[dict[str, Any]]:
    """The largest sets of near-duplicates; the excerpt is of a page outside the sealed test, where there is one."""
    sets: dict[str, list[Row]] = {}
    for page in pages:
        sets.setdefault(page["duplicate_of"] or page["page_id"], []).append(page)
    largest = sorted((s for s in sets.values() if len(s) > 1), key=lambda s: (-len(s), s[0]["page_id"]))[:most]
    return [
        {
            "pages": len(members),
            "hosts": [host for host, _ in Counter(m["host"] for m in members).most_common(5)],
            "excerpt": next((_excerpt(m["text"]) for m in members if m["split"] != "test"), ""),
        }
        for members in largest
    ]


def estimate(values: ArrayLike, weight: ArrayLike, chance: ArrayLike) -> Estimate:
    """The corpus' mean of a value, with its 95 % interval: the ratio of weighted sums (Hajek 1971).

    The variance is that of independently drawn pages, the sum of (1 - p) (w (y - mean))^2 over (the sum of w)^2: pages
    of a bottom-k sample are drawn without correlation (Cohen and Kaplan 2007). It knows nothing of groups, so it says
    how well the sample stands for the corpus, not how far other hosts might differ.
    """
    y, w, p = (np.asarray(array, np.float64) for array in (values, weight, chance))
    if not len(y) or w.sum() <= 0:
        return Estimate(float("nan"), float("nan"), float("nan"), len(y))
    mean = float((w * y).sum() / w.sum())
    half = NORMAL_95 * float(np.sqrt(((1 - p) * (w * (y - mean)) ** 2).sum())) / float(w.sum())
    return Estimate(mean, mean - half, mean + half, len(y))


def _estimates(pages: Sequence[Row]) -> dict[str, Any]:
    """Of the corpus, each page weighed by how many it stands for; {} where no page has a probability."""
    chance = [page["inclusion_probability"] for page in pages]
    if all(p is None for p in chance):
        return {}
    weight = weights([page["round"] for page in pages], chance)
    p = np.array([0.0 if c is None else c for c in chance])

    languages = [page["lang"] or "" for page in pages]
    top = [name for name, _ in Counter(languages).most_common(MOST_NAMED)]
    shares = {name: estimate([one == name for one in languages], weight, p) for name in top}
    return {
        "mean_chars": estimate([len(page["text"]) for page in pages], weight, p).as_dict(),
        "share_by_language": {name: _within(share).as_dict() for name, share in shares.items()},
    }


def _within(found: Estimate) -> Estimate:
    """The interval of a share, inside 0 and 1."""
    return Estimate(found.value, max(found.low, 0.0), min(found.high, 1.0), found.n)


def _top(values: Any, *, most: int = MOST_NAMED) -> dict[str, int]:
    return dict(Counter(values).most_common(most))


def _lengths(chars: Sequence[int]) -> dict[str, Any]:
    array: NDArray[np.int64] = np.asarray(chars, np.int64)
    band = np.searchsorted(BANDS, array, side="right") - 1
    names = [f"{low:,} to {high - 1:,}" for low, high in pairwise(BANDS)] + [f"{BANDS[-1]:,} and more"]
    counts = np.bincount(band, minlength=len(BANDS))
    marks = (0.05, 0.25, 0.5, 0.75, 0.95)
    quantiles = {f"{q:.0%}": int(np.quantile(array, q)) for q in marks} if len(array) else {}
    return {"bands": dict(zip(names, counts.tolist(), strict=True)), "quantiles": quantiles}


def _examples(pages: Sequence[Row], *, each: int = 3) -> dict[str, list[dict[str, str]]]:
    """A few pages of each split; of the sealed test the ids alone."""
    found: dict[str, list[dict[str, str]]] = {}
    for split in ("train", "val", "test"):
        some = [page for page in pages if page["split"] == split][:each]
        found[split] = [
            {"page_id": page["page_id"]}
            if split == "test"
            else {"page_id": page["page_id"], "url": page["url"], "excerpt": _excerpt(page["text"])}
            for page in some
        ]
    return found


def _excerpt(text: str) -> str:
    return " ".join(text[: 4 * EXCERPT].split())[:EXCERPT]
