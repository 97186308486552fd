"""Minibatches of train pages for GEPA."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from curate.stages.tune.labelled import Labelled

RARE = 0.5
"""A level with less than this share of its even part is rare, and minibatches are balanced."""


class Batches:
    """Which train pages a proposal is tried on: all in turn, shuffled anew each time round; where a level is rare, one
    level after the other. A function of the iteration alone, so that a resumed search goes on where it was."""

    def __init__(self, train: Sequence[Labelled], size: int, *, seed: int) -> None:
        self.levels = [page.level if page.labelled else -1 for page in train]
        self.size, self.seed = size, seed
        counts = Counter(self.levels)
        self.balanced = len(counts) > 1 and min(counts.values()) < RARE * len(train) / len(counts)

    def next_minibatch_ids(self, loader: Any, state: Any) -> list[int]:
        """Places of the pages, by GEPA's protocol."""
        start = state.i * self.size
        if not self.balanced:
            return [self._shuffled(range(len(self.levels)), n) for n in range(start, start + self.size)]
        levels = sorted(set(self.levels))
        places = {level: [i for i, other in enumerate(self.levels) if other == level] for level in levels}
        turns = [divmod(n, len(levels)) for n in range(start, start + self.size)]
        return [self._shuffled(places[levels[turn]], round_) for round_, turn in turns]

    def _shuffled(self, places: Sequence[int], n: int) -> int:
        """The n-th of the places, in an order that is another one each time all have been."""
        epoch, at = divmod(n, len(places))
        order = list(places)
        random.Random(f"{self.seed} {epoch} {order[0]}").shuffle(order)
        return order[at]
