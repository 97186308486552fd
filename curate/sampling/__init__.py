"""On which side of the sealed test pages fall, how rounds fit together, and what a page counts for in an estimate."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.sampling.duplicates import GroupBy, Ints, group_ids, signature
from curate.schema import Split

__all__ = ["Settled", "settle", "signature", "split_of", "unit_hash", "weights"]


def unit_hash(*parts: str) -> float:
    """A number in [0, 1) that depends on the parts alone: the same page falls on the same side for ever."""
    digest = hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_of(group: str, shares: Mapping[str, float], *, salt: str) -> Split:
    """Train, val or test, by the hash of the group: labels that come later move no page."""
    value, total = unit_hash(salt, group), sum(shares.values())
    if value < shares["train"] / total:
        return "train"
    return "val" if value < (shares["train"] + shares["val"]) / total else "test"


def weights(rounds: Sequence[int], probability: Sequence[float | None]) -> NDArray[np.float64]:
    """How many pages of the corpus each page of a sample of several rounds stands for.

    A page's `inclusion_probability` is its chance to be drawn in its own round, given the rounds before; it is never
    rewritten. For any y, what round r drew estimates the corpus' total of y without bias, given the earlier rounds, by
    the sum of y over their pages (they are known) plus the sum of y / probability over its own (Des Raj 1956, ordered
    estimators). So does every average of these estimates; here each round counts by its number of pages. A page of
    round q weighs lambda_q / probability + the lambdas of all later rounds, which needs these two columns alone.

    Pages without a probability (`informative` rounds, or rounds over a part of the corpus) are known to later rounds
    and count nothing of their own. Where no page has one, all weigh the same.
    """
    of, chance = np.asarray(rounds, np.int64), np.array([np.nan if p is None else p for p in probability], np.float64)
    drawn = ~np.isnan(chance)
    if not drawn.any():
        return np.ones(len(of))
    share = np.bincount(of[drawn], minlength=int(of.max()) + 1) / drawn.sum()
    later = share[::-1].cumsum()[::-1] - share
    own = np.divide(share[of], chance, out=np.zeros(len(of)), where=drawn)
    result: NDArray[np.float64] = own + later[of]
    return result


@dataclass(frozen=True)
class Settled:
    """Where each of some new pages belongs; None, None for a page that may not be added."""

    groups: list[str | None]
    splits: list[Split | None]

    @property
    def left_out(self) -> int:
        """Pages that would have joined groups of different splits."""
        return self.groups.count(None)


def settle(
    pages: Sequence[Mapping[str, Any]],
    earlier: Sequence[Mapping[str, Any]],
    sets: Sequence[int] | Ints,
    *,
    by: GroupBy,
    split: Callable[[str], Split],
) -> Settled:
    """Group and split of new pages; `sets` are the near-duplicate sets of the earlier pages, then the new ones.

    A new page joins the group of an earlier page that is its near-duplicate or of its host, and so its split. Pages that
    hang together with earlier ones of two splits are settled one after the other: a page that itself would join the two
    is left out, the others take the side on which they lie.
    """
    everything = [*earlier, *pages]
    names = group_ids(everything, sets, by=by)
    found: dict[str, dict[str, Split]] = {}
    for page, name in zip(earlier, names, strict=False):
        found.setdefault(name, {})[page["group_id"]] = page["split"]
    groups: list[str | None] = []
    sides = _Sides(earlier, sets, by)
    for i, page in enumerate(pages, len(earlier)):
        before = found.get(names[i], {})
        if len(set(before.values())) > 1:
            group, side = sides.join(page, int(sets[i]), split)
        elif before:
            group = min(before)
            side = before[group]
        else:
            group, side = names[i], split(names[i])
        groups.append(group)
        sides.splits.append(side)
    return Settled(groups, sides.splits)


class _Sides:
    """Which group and split each near-duplicate set and host has, as pages are added one by one."""

    def __init__(self, earlier: Sequence[Mapping[str, Any]], sets: Sequence[int] | Ints, by: GroupBy) -> None:
        self.by = by
        self.splits: list[Split | None] = []
        self._known: dict[Any, dict[str, Split]] = {}
        for page, number in zip(earlier, sets, strict=False):
            for key in self._keys(page, int(number)):
                self._known.setdefault(key, {})[page["group_id"]] = page["split"]

    def join(
        self, page: Mapping[str, Any], number: int, split: Callable[[str], Split]
    ) -> tuple[str, Split] | tuple[None, None]:
        keys = self._keys(page, number)
        before = {group: side for key in keys for group, side in self._known.get(key, {}).items()}
        if len(set(before.values())) > 1:
            return None, None
        group = min(before) if before else group_ids([page], [0], by=self.by)[0]
        side = before[group] if before else split(group)
        for key in keys:
            self._known.setdefault(key, {})[group] = side
        return group, side

    def _keys(self, page: Mapping[str, Any], number: int) -> list[Any]:
        return [number, page["host"]] if self.by == "host" and page["host"] else [number]
