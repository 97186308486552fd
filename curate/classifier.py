"""A judge's scores made cheap: a head on each block of page features, blended, calibrated on human labels, saved without pickle.

Beside it the baseline that is never left out: TF-IDF and logistic regression on the human labels alone.
"""

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.baseline import LexicalBaseline
from curate.calibration import Calibration, calibration_of
from curate.card import card
from curate.checked import Array, targets_of
from curate.choosing import Choice, choose, ranked_choices
from curate.errors import BadInput, did_you_mean
from curate.features import SHAPE_NAMES, Features, features_of, in_order
from curate.folds import folds_of
from curate.heads import KINDS_OF
from curate.ngrams import CHAR_BITS, LONGEST_RUN, READ_CHARS
from curate.outputs import Output, values_of
from curate.schema import fingerprint
from curate.scorer import Heads, Scorer, fit_scorer, held_out_scores
from curate.static import StaticVectors
from curate.store import read_json, whole, write_json, write_text
from curate.thresholds import Threshold, f1_threshold, threshold_at, threshold_for

__all__ = [
    "Calibration", "Choice", "LexicalBaseline", "PageClassifier", "Threshold", "calibration_of", "choose", "f1_threshold",
    "folds_of", "ranked_choices", "threshold_at", "threshold_for",
]  # fmt: skip

FORMAT = 3
FEATURES_ID = fingerprint("hashed in numpy", SHAPE_NAMES, READ_CHARS, LONGEST_RUN, CHAR_BITS)
"""Name of the way features are made: a classifier of another way is refused, not misread."""


PARAMETERS = ("embedder_id", "features", "c", "heads", "static", "ngram_bits", "random_state")


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
        self.outputs_: dict[str, Output] = {}
        self.provenance: dict[str, Any] = {}
        self.beside: Path | None = None
        self._embedder: Any = None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """What it was made with, as scikit-learn's `clone` asks."""
        return {name: getattr(self, name) for name in PARAMETERS}

    def set_params(self, **params: Any) -> "PageClassifier":
        """Change what it was made with. Raises BadInput for a name that is none of its parameters."""
        for name, value in params.items():
            if name not in PARAMETERS:
                raise BadInput(f"classifier: no parameter {name!r}{did_you_mean(name, PARAMETERS)}")
            setattr(self, name, value)
        return self

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
        self.scorer_ = fit_scorer(features, self.kinds, p, weight, groups=groups, random_state=self.random_state)
        self.calibration_ = self.threshold_ = None
        self.outputs_ = {}
        return self

    def predict_score(self, features: Features) -> Array:
        """Scores (n,) in [0, 1], not calibrated."""
        return self._fitted().scorer_.score(features)

    def predict_outputs(self, features: Features) -> dict[str, Array]:
        """Values (n,) of what else it learned, by name: `level`, `class NAME`, `criterion NAME`."""
        return values_of(self.outputs_, features)

    def score(self, texts: Sequence[str], embeddings: npt.NDArray[np.float32] | None = None) -> Array:
        """Probabilities (n,) that people would keep these texts; scores, where nothing was calibrated. Texts are embedded
        by its own embedder where it needs that and no `embeddings` are given."""
        scores = self.predict_texts(texts, embeddings)
        return self.probability_of(scores) if self.calibration_ else scores

    def embedder(self) -> Any:
        """The embedder whose vectors it reads. Raises BadInput where this machine has another one by that name."""
        from curate.embed import Embedder

        if self._embedder is not None:
            return self._embedder
        given = {"embedder": "", **self.provenance}
        found = Embedder(str(self.beside or given["embedder"]), **given.get("embedder_settings", {}))
        if found.id != self.embedder_id:
            raise BadInput(f"classifier: embedder {given['embedder']!r} is not the one it was trained on")
        self._embedder = found
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
        parts = self.features_in_parts(texts, embeddings, batch_pages=batch_pages)
        return np.concatenate([np.zeros(0), *(self.predict_score(made) for made in parts)])

    def predict_all(
        self, texts: Sequence[str], embeddings: npt.NDArray[np.float32] | None = None, *, batch_pages: int = 1024
    ) -> dict[str, Array]:
        """`score` (n,) and every other output (n,) by name, from one look at each page."""
        found: list[dict[str, Array]] = []
        for made in self.features_in_parts(texts, embeddings, batch_pages=batch_pages):
            found.append({"score": self.predict_score(made), **self.predict_outputs(made)})
        return {
            name: np.concatenate([np.zeros(0), *(part[name] for part in found)]) for name in ("score", *self.outputs_)
        }

    def features_in_parts(
        self, texts: Sequence[str], embeddings: npt.NDArray[np.float32] | None = None, *, batch_pages: int = 1024
    ) -> Iterator[Features]:
        """The features of the pages, `batch_pages` at a time. Texts are embedded by its own embedder where it needs that and
        no `embeddings` (n, d) are given."""
        embedder = self.embedder() if self.needs_embedding and embeddings is None and texts else None
        for start in range(0, len(texts), batch_pages):
            part = slice(start, start + batch_pages)
            vectors = embedder.embed(texts[part]) if embedder else None if embeddings is None else embeddings[part]
            yield features_of(
                texts[part], vectors, static=self.static, ngram_bits=self.ngram_bits, blocks=self._blocks()
            )

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
        return held_out_scores(features, self.kinds, p, weight, fold_of, random_state=self.random_state)

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
        outputs = [_words(output) for output in self.outputs_.values()]
        return fingerprint("classifier", FORMAT, FEATURES_ID, self.settings(), static, arrays, calibration, outputs)

    @property
    def id(self) -> str:
        """Name of its decisions: the hash of all it learned, the threshold included; provenance is no part of it."""
        return fingerprint(self.score_id, asdict(self.threshold_) if self.threshold_ else None)

    def save(self, folder: Path, *, with_embedder: bool = False) -> Path:
        """Write `classifier.json`, `weights.npz`, a README.md and, where it reads them, the static vectors: all or none. The
        folder can be loaded anywhere; `with_embedder` puts the files of the embedder into it. Raises BadInput when another
        classifier is there."""
        if folder.exists():
            if PageClassifier.load(folder).id == self.id:
                return folder
            raise BadInput(f"{folder}: holds another classifier; nothing is overwritten, choose another folder")
        with whole(folder) as temporary:
            temporary.mkdir()
            np.savez_compressed(temporary / "weights.npz", allow_pickle=False, **self._arrays())
            if self.static and "static" in self.features:
                self.static.save(temporary / "static")
            if with_embedder:
                copytree(self.embedder().folder, temporary / "embedder")
            write_text(temporary / "README.md", card(self.record()))
            write_json(temporary / "classifier.json", self.record())
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
            made = cls._restored(record, arrays, static)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"{folder}: is damaged ({type(error).__name__}: {error}); distill it again") from error
        except BadInput as error:
            raise BadInput(f"{folder}: {error}") from error
        made.beside = folder / "embedder" if (folder / "embedder").is_dir() else None
        return made

    @classmethod
    def _restored(
        cls, record: dict[str, Any], arrays: dict[str, npt.NDArray[Any]], static: StaticVectors | None
    ) -> "PageClassifier":
        if record["format"] != FORMAT or record["features_id"] != FEATURES_ID:
            raise BadInput("was made by another version of the features; distill it again")
        heads = record["settings"]["heads"]
        made = cls(**{**record["settings"], "heads": heads and {name: tuple(head) for name, head in heads.items()}})
        made.static = static
        made.scorer_ = Scorer.of_arrays(arrays, made.kinds)
        made.outputs_ = {
            said["name"]: Output(**said, scorer=Scorer.of_arrays(_below(arrays, f"output/{place}/"), made.kinds))
            for place, said in enumerate(record["outputs"])
        }
        if record["calibration"]:
            made.calibration_ = Calibration(**{**record["calibration"], **_tuples(record["calibration"])})
        if record["threshold"]:
            made.threshold_ = Threshold(**record["threshold"])
        made.provenance = record["provenance"]
        if made.id != record["id"]:
            raise BadInput("is damaged (what it holds does not hash to its id); distill it again")
        return made

    def record(self) -> dict[str, Any]:
        """All that names and describes it, beside its arrays: what `classifier.json` holds."""
        return {
            "format": FORMAT,
            "id": self.id,
            "score_id": self.score_id,
            "settings": self.settings(),
            "features_id": FEATURES_ID,
            "shape_names": list(SHAPE_NAMES),
            "calibration": asdict(self.calibration_) if self.calibration_ else None,
            "threshold": asdict(self.threshold_) if self.threshold_ else None,
            "outputs": [_words(output) for output in self.outputs_.values()],
            "provenance": self.provenance,
        }

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        more = {
            f"output/{place}/{key}": array
            for place, output in enumerate(self.outputs_.values())
            for key, array in output.scorer.arrays().items()
        }
        return {**self._fitted().scorer_.arrays(), **more}

    @property
    def kinds(self) -> Heads:
        """The kind and strength of each block's head."""
        given = self.heads or {}
        return {name: given.get(name, (KINDS_OF[name][0], self.c)) for name in self._blocks()}

    def _blocks(self) -> tuple[str, ...]:
        blocks = in_order(self.features)
        if "static" in blocks and self.static is None and hasattr(self, "scorer_"):
            raise BadInput("classifier: its static vectors are missing; give them as `static`, or distill it again")
        return blocks

    def _fitted(self) -> "PageClassifier":
        if not hasattr(self, "scorer_"):
            raise BadInput("classifier: not fitted; call fit first")
        return self


def load_classifier(path: str | Path) -> PageClassifier:
    """The classifier of a folder, or of a workspace's `classifiers/ID`; `.score(texts)` scores pages with it."""
    return PageClassifier.load(Path(path))


def _words(output: Output) -> dict[str, Any]:
    """An output without its arrays."""
    return {key: getattr(output, key) for key in ("name", "what", "top", "slope", "offset")}


def _below(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}


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
