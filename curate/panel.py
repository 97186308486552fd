"""Several classifiers on one look at a page: each block of features is made once for all that read it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.checked import Array
from curate.classifier import PageClassifier
from curate.features import Features, features_of, in_order

Embed = Callable[[PageClassifier, Sequence[str]], npt.NDArray[np.float32]]
"""Vectors (n, d) of texts by the embedder that a classifier reads."""
BATCH_PAGES = 1024


@dataclass(frozen=True)
class Panel:
    """The classifier that decides, and others by name that only speak."""

    first: PageClassifier
    others: Mapping[str, PageClassifier]

    def said(self, texts: Sequence[str], embed: Embed) -> dict[str, Array]:
        """Values (n,) by name: `probability` of the first classifier and its other outputs under their names, then of each
        other one its probability under its own name and its outputs as `NAME output`."""
        found: dict[str, list[Array]] = {name: [] for name in self.names}
        for start in range(0, len(texts), BATCH_PAGES):
            for name, values in self._of(texts[start : start + BATCH_PAGES], embed):
                found[name].append(values)
        return {name: np.concatenate([np.zeros(0), *parts]) for name, parts in found.items()}

    @property
    def names(self) -> list[str]:
        """Names of all that is said of a page, in order."""
        more = [part for name, one in self.others.items() for part in (name, *(f"{name} {o}" for o in one.outputs_))]
        return ["probability", *self.first.outputs_, *more]

    def _of(self, texts: Sequence[str], embed: Embed) -> Iterator[tuple[str, Array]]:
        made: dict[tuple[str, Any], Any] = {}
        for name, one in {"": self.first, **self.others}.items():
            features = Features({block: _block(made, block, one, texts, embed) for block in in_order(one.features)})
            score = one.predict_score(features)
            yield name or "probability", one.probability_of(score) if one.calibration_ else score
            for output, values in one.predict_outputs(features).items():
                yield f"{name} {output}".strip(), values


def _block(
    made: dict[tuple[str, Any], Any], block: str, one: PageClassifier, texts: Sequence[str], embed: Embed
) -> Any:
    """A block as `one` reads it, from `made` where another has read it so."""
    by = {"embedding": one.embedder_id, "static": one.static.id if one.static else None}
    key = block, by.get(block, one.ngram_bits)
    if key not in made:
        vectors = embed(one, texts) if block == "embedding" else None
        found = features_of(texts, vectors, static=one.static, ngram_bits=one.ngram_bits, blocks=[block])
        made[key] = found.block(block)
    return made[key]
