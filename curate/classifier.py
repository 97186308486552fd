"""A judge's scores made cheap: a head on each block of page features, blended, calibrated on human labels, saved without pickle.

Beside it the baseline that is never left out: TF-IDF and logistic regression on the human labels alone.
"""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.baseline import LexicalBaseline
from curate.blend import Blend, fit_blend
from curate.calibration import Calibration, calibration_of
from curate.card import card
from curate.checked import Array, targets_of
from curate.choosing import Choice, Heads, blended, choose, held_out_log_odds, ranked_choices
from curate.errors import BadInput
from curate.features import SHAPE_NAMES, Features, features_of, in_order
from curate.folds import folds_of
from curate.heads import KINDS_OF, Head, fit_head
from curate.logistic import sigmoid
from curate.ngrams import CHAR_BITS, LONGEST_RUN, READ_CHARS
from curate.schema import fingerprint
from curate.static import StaticVectors
from curate.store import read_json, whole, write_json, write_text
from curate.thresholds import Threshold, f1_threshold, threshold_at, threshold_for

__all__ = [
    "Calibration", "Choice", "LexicalBaseline", "PageClassifier", "Threshold", "calibration_of", "choose", "f1_threshold",
    "folds_of", "ranked_choices", "threshold_at", "threshold_for",
]  # fmt: skip

FORMAT = 2
FEATURES_ID = fingerprint("hashed in numpy", SHAPE_NAMES, READ_CHARS, LONGEST_RUN, CHAR_BITS)
"""Name of the way features are made: a classifier of another way is refused, not misread."""
INNER_FOLDS = 5
"""Folds within the training pages on which the blend's weights are learned."""


class PageClassifier:
    """A head on each block of page features, and a blend of their log-odds. Scores are probabilities by the judge until
    `calibrate`.

    `embedder_id` names the embedder whose vectors it reads; `features` the blocks; `heads` the kind of each block's head
    and the factor of its inverse strength of penalty (default: the block's own kind and `c`); `static` the static vectors,
    where `static` is among the blocks; `ngram_bits` the logarithm of the hashed columns.
    """

    def __init__(
        self,
        *,
        embedder_id: str,
        features: Sequence[str] = ("embedding", "ngrams", "shape"),
        c: float = 1.0,
        heads: Heads | None = None,
        static: StaticVectors | None = None,
        ngram_bits: int = 18,
        random_state: int = 0,
    ) -> None:
        self.embedder_id = embedder_id
        self.features = features
        self.c = c
        self.heads = heads
        self.static = static
        self.ngram_bits = ngram_bits
        self.random_state = random_state
        self.calibration_: Calibration | None = None
        self.threshold_: Threshold | None = None
        self.provenance: dict[str, Any] = {}

    def fit(
        self,
        features: Features,
        targets: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        groups: Sequence[str] | None = None,
    ) -> "PageClassifier":
        """Fit to targets (n,) in [0, 1]: a judge's expected share of "keep", or a person's 0 or 1 at more weight.

        The loss is the cross-entropy to the target. The blend's weights are learned on held-out scores over folds, which
        part none of `groups` (None: each page is its own). Raises BadInput when the targets are all 0 or all 1, or are
        no probabilities.
        """
        p, weight = targets_of(len(features), targets, sample_weight)
        self.heads_ = {
            name: fit_head(name, kind, features.block(name), p, weight, c=c, random_state=self.random_state)
            for name, (kind, c) in self._heads().items()
        }
        self.blend_ = self._blend(features, p, weight, groups)
        self.calibration_ = self.threshold_ = None
        return self

    def predict_score(self, features: Features) -> Array:
        """Scores (n,) in [0, 1], not calibrated."""
        heads = self._fitted().heads_
        scores = [head.log_odds(name, features.block(name)) for name, head in heads.items()]
        return sigmoid(self.blend_.log_odds(np.column_stack(scores)))

    def score(self, texts: Sequence[str], embeddings: npt.NDArray[np.float32] | None = None) -> Array:
        """Probabilities (n,) that people would keep these texts; scores, where nothing was calibrated. Texts are embedded
        by its own embedder where it needs that and no `embeddings` are given."""
        if self.needs_embedding and embeddings is None:
            embeddings = self.embedder().embed(texts)
        scores = self.predict_texts(texts, embeddings)
        return self.probability_of(scores) if self.calibration_ else scores

    def embedder(self) -> Any:
        """The embedder whose vectors it reads. Raises BadInput where this machine has another one by that name."""
        from curate.embed import Embedder

        given = {"embedder": "", **self.provenance}
        found = Embedder(given["embedder"], **given.get("embedder_settings", {}))
        if found.id != self.embedder_id:
            raise BadInput(f"classifier: embedder {given['embedder']!r} is not the one it was trained on")
        return found

    def predict_probability(self, features: Features) -> Array:
        """Probabilities (n,) that people would keep the page. Raises BadInput before `calibrate`."""
        return self.probability_of(self.predict_score(features))

    def probability_of(self, score: npt.ArrayLike) -> Array:
        """The same from scores that were already made."""
        if self.calibration_ is None:
            raise BadInput(
                "classifier: not calibrated; call calibrate with scores and labels of pages it was not fitted on"
            )
        return self.calibration_.probability(score)

    def predict_texts(
        self, texts: Sequence[str], embeddings: npt.NDArray[np.float32] | None = None, *, batch_pages: int = 1024
    ) -> Array:
        """Scores (n,) of pages of any number, with the features of `batch_pages` in memory at a time."""
        scores = [np.zeros(0)]
        for start in range(0, len(texts), batch_pages):
            part = slice(start, start + batch_pages)
            vectors = None if embeddings is None else embeddings[part]
            made = features_of(
                texts[part], vectors, static=self.static, ngram_bits=self.ngram_bits, blocks=self._blocks()
            )
            scores.append(self.predict_score(made))
        return np.concatenate(scores)

    def calibrate(self, score: npt.ArrayLike, truth: npt.ArrayLike) -> "PageClassifier":
        """Learn what the scores of labelled pages mean; they must be out of fold, or of pages it was not fitted on."""
        self.calibration_ = calibration_of(score, truth)
        return self

    def out_of_fold(
        self,
        features: Features,
        targets: npt.ArrayLike,
        groups: Sequence[str],
        *,
        folds: int = 5,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Array:
        """Scores (n,) of each page by heads of these settings that saw no page of its group, blended by weights that were
        learned on the other folds."""
        p, weight = targets_of(len(features), targets, sample_weight)
        fold_of = folds_of(groups, p, folds=folds, random_state=self.random_state)
        scores = held_out_log_odds(features, self._heads(), p, weight, fold_of, random_state=self.random_state)
        return blended(scores, p, weight, fold_of)

    def settings(self) -> dict[str, Any]:
        """What names it beside what it learned."""
        return {
            "embedder_id": self.embedder_id,
            "features": list(self.features),
            "c": self.c,
            "heads": {name: list(head) for name, head in self.heads.items()} if self.heads else None,
            "ngram_bits": self.ngram_bits,
            "random_state": self.random_state,
        }

    @property
    def needs_embedding(self) -> bool:
        """Whether pages must be embedded before they are scored."""
        return "embedding" in self.features

    @property
    def score_id(self) -> str:
        """Name of its scores and probabilities: they stay valid when only the threshold changes."""
        calibration = asdict(self.calibration_) if self.calibration_ else None
        arrays = {name: _array_hash(array) for name, array in sorted(self._arrays().items())}
        static = self.static.id if self.static and "static" in self.features else None
        return fingerprint("classifier", FORMAT, FEATURES_ID, self.settings(), static, arrays, calibration)

    @property
    def id(self) -> str:
        """Name of its decisions: the hash of all it learned, the threshold included; provenance is no part of it."""
        return fingerprint(self.score_id, asdict(self.threshold_) if self.threshold_ else None)

    def save(self, folder: Path) -> Path:
        """Write `classifier.json`, `weights.npz`, a README.md and, where it reads them, the static vectors: all or none. The
        folder can be loaded anywhere. Raises BadInput when another classifier is there."""
        if folder.exists():
            if PageClassifier.load(folder).id == self.id:
                return folder
            raise BadInput(f"{folder}: holds another classifier; nothing is overwritten, choose another folder")
        with whole(folder) as temporary:
            temporary.mkdir()
            np.savez_compressed(temporary / "weights.npz", allow_pickle=False, **self._arrays())
            if self.static and "static" in self.features:
                self.static.save(temporary / "static")
            write_text(temporary / "README.md", card(self._record()))
            write_json(temporary / "classifier.json", self._record())
        return folder

    @classmethod
    def load(cls, folder: Path) -> "PageClassifier":
        """Read what `save` wrote. Raises BadInput when a file is missing, damaged, or not of the other one."""
        if not (folder / "classifier.json").exists():
            raise BadInput(f"{folder}: no classifier here (classifier.json is missing)")
        record = read_json(folder / "classifier.json")
        arrays = _read_arrays(folder / "weights.npz")
        try:
            static = StaticVectors.load(folder / "static") if (folder / "static").exists() else None
            return cls._restored(record, arrays, static)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"{folder}: is damaged ({type(error).__name__}: {error}); distill it again") from error
        except BadInput as error:
            raise BadInput(f"{folder}: {error}") from error

    @classmethod
    def _restored(
        cls, record: dict[str, Any], arrays: dict[str, npt.NDArray[Any]], static: StaticVectors | None
    ) -> "PageClassifier":
        if record["format"] != FORMAT or record["features_id"] != FEATURES_ID:
            raise BadInput("was made by another version of the features; distill it again")
        heads = record["settings"]["heads"]
        made = cls(**{**record["settings"], "heads": heads and {name: tuple(head) for name, head in heads.items()}})
        made.static = static
        made.heads_ = {
            name: Head(kind, {key.split("/")[1]: array for key, array in arrays.items() if key.startswith(f"{name}/")})
            for name, (kind, _) in made._heads().items()
        }
        made.blend_ = Blend(
            arrays["blend/offset"], arrays["blend/scale"], arrays["blend/weights"], arrays["blend/bias"][0]
        )
        if record["calibration"]:
            made.calibration_ = Calibration(**{**record["calibration"], **_tuples(record["calibration"])})
        if record["threshold"]:
            made.threshold_ = Threshold(**record["threshold"])
        made.provenance = record["provenance"]
        if made.id != record["id"]:
            raise BadInput("is damaged (what it holds does not hash to its id); distill it again")
        return made

    def _record(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "id": self.id,
            "score_id": self.score_id,
            "settings": self.settings(),
            "features_id": FEATURES_ID,
            "shape_names": list(SHAPE_NAMES),
            "calibration": asdict(self.calibration_) if self.calibration_ else None,
            "threshold": asdict(self.threshold_) if self.threshold_ else None,
            "provenance": self.provenance,
        }

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        blend = self._fitted().blend_
        arrays = {f"{name}/{key}": array for name, head in self.heads_.items() for key, array in head.arrays.items()}
        return {
            **arrays,
            "blend/offset": blend.offset,
            "blend/scale": blend.scale,
            "blend/weights": blend.weights,
            "blend/bias": np.array([blend.bias]),
        }

    def _blend(self, features: Features, p: Array, weight: Array, groups: Sequence[str] | None) -> Blend:
        heads = self._heads()
        if len(heads) == 1:
            return fit_blend(np.zeros((1, 1)), p[:1], weight[:1])
        names = groups if groups is not None else [str(row) for row in range(len(p))]
        fold_of = folds_of(names, p, folds=INNER_FOLDS, random_state=self.random_state)
        scores = held_out_log_odds(features, heads, p, weight, fold_of, random_state=self.random_state)
        return fit_blend(scores, p, weight)

    def _heads(self) -> Heads:
        given = self.heads or {}
        return {name: given.get(name, (KINDS_OF[name][0], self.c)) for name in self._blocks()}

    def _blocks(self) -> tuple[str, ...]:
        blocks = in_order(self.features)
        if "static" in blocks and self.static is None and hasattr(self, "heads_"):
            raise BadInput("classifier: its static vectors are missing; give them as `static`, or distill it again")
        return blocks

    def _fitted(self) -> "PageClassifier":
        if not hasattr(self, "heads_"):
            raise BadInput("classifier: not fitted; call fit first")
        return self


def load_classifier(path: str | Path) -> PageClassifier:
    """The classifier of a folder, or of a workspace's `classifiers/ID`; `.score(texts)` scores pages with it."""
    return PageClassifier.load(Path(path))


def _array_hash(array: npt.NDArray[Any]) -> str:
    return sha256(f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()).hexdigest()


def _read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInput(
            f"{path}: is missing or damaged ({type(error).__name__}); distill the classifier again"
        ) from error


def _tuples(record: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    return {name: tuple(record[name]) for name in ("x", "y")}
