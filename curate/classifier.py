"""A judge's scores made cheap: linear heads on page features, calibrated on human labels, saved without pickle.

Beside it the baseline that is never left out: TF-IDF and logistic regression on the human labels alone.
"""

import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from curate.errors import BadInput, did_you_mean
from curate.features import BLOCKS, READ_CHARS, SHAPE_NAMES, TOKEN, Features, features_of, plain
from curate.intervals import Estimate, wilson
from curate.schema import fingerprint
from curate.store import read_json, whole, write_json

Array = npt.NDArray[np.float64]
Metric = Literal["auc", "log_loss"]

FORMAT = 1
FEATURES_ID = fingerprint(SHAPE_NAMES, TOKEN, READ_CHARS)
"""Name of the way features are made: a classifier of another way is refused, not misread."""
SHAPE_CLIP = 5.0
"""Standard deviations beyond which a shape feature counts no more, so one odd page moves no score far."""
ISOTONIC_FROM = 500
"""Labels above which isotonic regression calibrates better than Platt's sigmoid (Niculescu-Mizil and Caruana 2005)."""
C_GRID = (0.1, 1.0, 10.0, 100.0)
FEATURE_SETS: tuple[tuple[str, ...], ...] = (
    ("ngrams",),
    ("ngrams", "shape"),
    ("embedding",),
    ("embedding", "shape"),
    ("embedding", "ngrams", "shape"),
)
AIM = re.compile(r"f1|(?P<what>precision>=|recall>=|keep_share=)(?P<number>0?\.\d+|0|1|1\.0+)")
LEAST_LABELS_FOR_SEARCH, LEAST_OF_A_CLASS = 100, 20


@dataclass(frozen=True)
class Threshold:
    """Pages with a value of at least `value` are kept. Counts are of the pages it was fitted on, so that intervals can
    be drawn; `met` is False, and `note` says why, where no threshold reaches the aim."""

    value: float
    aim: str
    met: bool
    n: int
    kept: int
    positives: int | None
    """Pages people would keep; None where the aim needed no labels."""
    right: int | None
    """Kept pages people would keep."""
    note: str = ""

    @property
    def precision(self) -> Estimate | None:
        """Share of the kept that people would keep; optimistic, since the threshold was chosen on these pages."""
        return None if self.right is None else wilson(self.right, self.kept)

    @property
    def recall(self) -> Estimate | None:
        """Share kept of what people would keep; optimistic too."""
        return None if self.right is None or self.positives is None else wilson(self.right, self.positives)

    @property
    def kept_share(self) -> float:
        """Share of pages kept."""
        return self.kept / self.n


@dataclass(frozen=True)
class Calibration:
    """From score to the probability that people would keep the page.

    `platt`: `x` is (slope, intercept) on the score's log-odds. `isotonic`: `x` scores, `y` probabilities, linear
    between them.
    """

    method: Literal["platt", "isotonic"]
    x: tuple[float, ...]
    y: tuple[float, ...]
    n: int
    note: str = ""

    def probability(self, score: npt.ArrayLike) -> Array:
        """Probabilities (n,) of scores (n,); they rise with the score."""
        values = np.asarray(score, dtype=np.float64)
        if self.method == "isotonic":
            return np.interp(values, self.x, self.y)
        return _sigmoid(self.x[0] * _log_odds(values) + self.x[1])


@dataclass(frozen=True)
class Choice:
    """One way to fit, and how well it predicted pages of unseen groups: means and standard errors over folds."""

    features: tuple[str, ...]
    c: float
    auc: float
    auc_error: float
    log_loss: float
    log_loss_error: float
    behind: float
    """How much worse than the best row, in the metric chosen by."""
    behind_error: float
    """Standard error of that difference over the folds, which pair the two."""
    chosen: bool = False


class PageClassifier:
    """Logistic regression on blocks of page features. Scores are probabilities by the judge until `calibrate`.

    `embedder_id` names the embedder whose vectors it reads; `features` the blocks; `c` is the inverse strength of the
    L2 penalty; `ngram_bits` the logarithm of the hashed columns. Every block is brought to a mean squared row length
    of 1, so none outweighs another by its units.
    """

    def __init__(
        self,
        *,
        embedder_id: str,
        features: Sequence[str] = BLOCKS,
        c: float = 1.0,
        ngram_bits: int = 18,
        random_state: int = 0,
    ) -> None:
        self.embedder_id = embedder_id
        self.features = features
        self.c = c
        self.ngram_bits = ngram_bits
        self.random_state = random_state
        self.calibration_: Calibration | None = None
        self.threshold_: Threshold | None = None
        self.provenance: dict[str, Any] = {}

    def fit(
        self, features: Features, targets: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> "PageClassifier":
        """Fit to targets (n,) in [0, 1]: a judge's expected share of "keep", or a person's 0 or 1 at more weight.

        A target p counts as one row "keep" of weight p and one row "drop" of weight 1 - p, which makes the loss the
        cross-entropy to p. Raises BadInput when the targets are all 0 or all 1, or are no probabilities.
        """
        p, weight = _targets(features, targets, sample_weight)
        self.scaling_ = {name: _scaling(name, features.block(name)) for name in self._blocks()}
        rows, y, w = _doubled(p, weight)
        coefficients, bias = _logistic(self._matrix(features)[rows], y, w, c=self.c, random_state=self.random_state)
        widths = [features.block(name).shape[1] for name in self._blocks()]
        parts = np.split(coefficients[None, :].astype(np.float32), np.cumsum(widths)[:-1], axis=1)
        self.weights_ = dict(zip(self._blocks(), parts, strict=True))
        self.bias_ = np.array([bias])
        self.calibration_ = self.threshold_ = None
        return self

    def predict_score(self, features: Features) -> Array:
        """Scores (n,) in [0, 1], not calibrated."""
        total = np.full(len(features), self._fitted().bias_[0], dtype=np.float64)
        for name in self._blocks():
            block, weights = features.block(name), self.weights_[name]
            if block.shape[1] != weights.shape[1]:
                raise BadInput(f"features: {name!r} has {block.shape[1]} columns, the classifier {weights.shape[1]}")
            total += _scaled(name, block, self.scaling_[name]) @ weights[0]
        return _sigmoid(total)

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
            made = features_of(texts[part], vectors, ngram_bits=self.ngram_bits, blocks=self._blocks())
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
        """Scores (n,) of each page by a classifier of these settings that saw no page of its group."""
        p, weight = _targets(features, targets, sample_weight)
        fold_of = folds_of(groups, p, folds=folds, random_state=self.random_state)
        scores = np.zeros(len(p))
        for fold in np.unique(fold_of):
            held = fold_of == fold
            other = PageClassifier(**self.settings()).fit(features[~held], p[~held], weight[~held])
            scores[held] = other.predict_score(features[held])
        return scores

    def settings(self) -> dict[str, Any]:
        """The arguments it was made with."""
        return {
            "embedder_id": self.embedder_id,
            "features": list(self.features),
            "c": self.c,
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
        return fingerprint("classifier", FORMAT, FEATURES_ID, self.settings(), arrays, calibration)

    @property
    def id(self) -> str:
        """Name of its decisions: the hash of all it learned, the threshold included; provenance is no part of it."""
        return fingerprint(self.score_id, asdict(self.threshold_) if self.threshold_ else None)

    def save(self, folder: Path) -> Path:
        """Write `classifier.json` and `weights.npz`, both or neither. Raises BadInput when another one is there."""
        if folder.exists():
            if PageClassifier.load(folder).id == self.id:
                return folder
            raise BadInput(f"{folder}: holds another classifier; nothing is overwritten, choose another folder")
        with whole(folder) as temporary:
            temporary.mkdir()
            np.savez_compressed(temporary / "weights.npz", allow_pickle=False, **self._arrays())
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
            return cls._restored(record, arrays)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"{folder}: is damaged ({type(error).__name__}: {error}); distill it again") from error
        except BadInput as error:
            raise BadInput(f"{folder}: {error}") from error

    @classmethod
    def _restored(cls, record: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> "PageClassifier":
        if record["format"] != FORMAT or record["features_id"] != FEATURES_ID:
            raise BadInput("was made by another version of the features; distill it again")
        made = cls(**record["settings"])
        made.weights_ = {name: arrays[f"weights/{name}"] for name in made._blocks()}
        made.scaling_ = {name: (arrays[f"offset/{name}"], arrays[f"scale/{name}"]) for name in made._blocks()}
        made.bias_ = arrays["bias"]
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
        arrays: dict[str, npt.NDArray[Any]] = {"bias": self._fitted().bias_}
        for name in self._blocks():
            arrays[f"weights/{name}"] = self.weights_[name]
            arrays[f"offset/{name}"], arrays[f"scale/{name}"] = self.scaling_[name]
        return arrays

    def _blocks(self) -> tuple[str, ...]:
        """The blocks in their fixed order. Raises BadInput for an unknown one."""
        for name in self.features:
            if name not in BLOCKS:
                raise BadInput(f"classifier: no features {name!r}{did_you_mean(name, BLOCKS)}")
        if not self.features:
            raise BadInput(f"classifier: no features given (allowed: {', '.join(BLOCKS)})")
        return tuple(name for name in BLOCKS if name in self.features)

    def _matrix(self, features: Features) -> Any:
        from scipy.sparse import csr_matrix, hstack

        parts = [_scaled(name, features.block(name), self.scaling_[name]) for name in self._blocks()]
        if "ngrams" not in self._blocks():
            return np.hstack(parts)
        return hstack([csr_matrix(part) for part in parts], format="csr")

    def _fitted(self) -> "PageClassifier":
        if not hasattr(self, "bias_"):
            raise BadInput("classifier: not fitted; call fit first")
        return self


class LexicalBaseline:
    """TF-IDF of words and word pairs, logistic regression, fitted on the human labels: what a classifier must beat. `c` is
    the inverse strength of regularisation; None: chosen at `fit`."""

    def __init__(self, *, c: float | None = None, random_state: int = 0) -> None:
        self.c = c
        self.random_state = random_state

    def fit(self, texts: Sequence[str], truth: npt.ArrayLike, groups: Sequence[str] | None = None) -> "LexicalBaseline":
        """Fit to labels (n,) of bool. With enough of them `c_` is chosen over inner folds (by group, if given), as in
        `choose`.

        Raises BadInput when the labels are all the same or no text has a word.
        """
        from sklearn.feature_extraction.text import TfidfVectorizer

        labels = _both_classes(truth, "baseline")
        self.vectorizer_ = TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, preprocessor=plain, token_pattern=TOKEN
        )
        try:
            matrix = self.vectorizer_.fit_transform(texts)
        except ValueError as error:
            raise BadInput(f"baseline: {len(texts)} texts hold no words") from error
        self.c_ = self._chosen_c(matrix, labels, groups) if self.c is None else self.c
        self.weights_, self.bias_ = self._fit(matrix, labels, self.c_)
        return self

    def predict_score(self, texts: Sequence[str]) -> Array:
        """Scores (n,) in [0, 1]."""
        return _sigmoid(self.vectorizer_.transform(texts) @ self.weights_ + self.bias_)

    def _fit(self, matrix: Any, labels: npt.NDArray[np.bool_], c: float) -> tuple[Array, float]:
        return _logistic(matrix, labels, np.ones(len(labels)), c=c, random_state=self.random_state)

    def _chosen_c(self, matrix: Any, labels: npt.NDArray[np.bool_], groups: Sequence[str] | None) -> float:
        if len(labels) < LEAST_LABELS_FOR_SEARCH or min(labels.sum(), (~labels).sum()) < LEAST_OF_A_CLASS:
            return 1.0
        names = groups if groups is not None else [str(row) for row in range(len(labels))]
        fold_of = folds_of(names, labels, folds=5, random_state=self.random_state)
        found = {c: np.zeros(len(labels)) for c in C_GRID}
        for fold in np.unique(fold_of):
            held = fold_of == fold
            if not 0 < labels[~held].sum() < (~held).sum():
                continue
            for c, scores in found.items():
                weights, bias = self._fit(matrix[~held], labels[~held], c)
                scores[held] = matrix[held] @ weights + bias
        truth = labels.astype(np.float64)
        tried = [(("words",), c, *_by_fold(_sigmoid(scores), truth, fold_of)) for c, scores in found.items()]
        return next(row.c for row in ranked_choices(tried, "auc") if row.chosen)


def calibration_of(score: npt.ArrayLike, truth: npt.ArrayLike) -> Calibration:
    """Platt's sigmoid on log-odds, with his prior-smoothed targets (Platt 1999, eq. 4); isotonic above 500 labels.

    Where the scores run against the labels, every page gets the labels' base rate and `note` says so. Raises BadInput
    when the labels are all the same.
    """
    values, labels = _finite(score, "calibrate"), _both_classes(truth, "calibrate")
    _same_length(values, labels, "calibrate")
    n, positives = len(labels), int(labels.sum())
    high, low = (positives + 1) / (positives + 2), 1 / (n - positives + 2)
    rows, y, w = _doubled(np.where(labels, high, low), np.ones(n))
    slope, intercept = _logistic(_log_odds(values)[rows, None], y, w, c=1e6, random_state=0)
    if slope[0] <= 0:
        base = float(_log_odds(np.array([(positives + 1) / (n + 2)]))[0])
        return Calibration("platt", (0.0, base), (), n, f"scores run against the {n} labels (slope {slope[0]:.2g})")
    if n > ISOTONIC_FROM:
        return _isotonic(values, labels)
    return Calibration("platt", (float(slope[0]), float(intercept)), (), n)


def _isotonic(values: Array, labels: npt.NDArray[np.bool_]) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0, y_max=1).fit(values, labels)
    x, y = fitted.X_thresholds_, fitted.y_thresholds_
    return Calibration("isotonic", tuple(x.tolist()), tuple(y.tolist()), len(labels))


def threshold_for(values: npt.ArrayLike, truth: npt.ArrayLike | None = None, *, aim: str = "f1") -> Threshold:
    """The threshold on scores or probabilities (n,) that reaches `aim` on labels (n,).

    Aims: `f1` (the highest), `precision>=P` (keeps the most pages that way), `recall>=R` (keeps the fewest),
    `keep_share=S` (nearest to S; needs no labels). It lies midway between the last page kept and the first dropped;
    equal values are never parted. Raises BadInput for another aim, or labels that are all the same.
    """
    what, number = _aim(aim)
    numbers = _finite(values, "threshold")
    if what == "keep_share=":
        labels = None
    else:
        labels = _both_classes([] if truth is None else truth, "threshold")
        _same_length(numbers, labels, "threshold")
    if not len(numbers):
        raise BadInput("threshold: no pages given")
    cuts, kept, right = _cuts(numbers, labels)
    index, note = _best_cut(what, number, kept, right, len(numbers))
    return Threshold(
        value=float(cuts[index]),
        aim=aim,
        met=not note,
        n=len(numbers),
        kept=int(kept[index]),
        positives=None if labels is None else int(labels.sum()),
        right=None if labels is None else int(right[index]),
        note=note,
    )


def threshold_at(value: float, probability: npt.ArrayLike, truth: npt.ArrayLike, *, aim: str) -> Threshold:
    """The threshold `value`, with what it keeps of the labelled pages (n,)."""
    values, labels = np.asarray(probability, dtype=np.float64), np.asarray(truth, dtype=bool)
    above = values >= value
    return Threshold(value, aim, True, len(values), int(above.sum()), int(labels.sum()), int((above & labels).sum()))


def f1_threshold(probability: npt.ArrayLike, truth: npt.ArrayLike) -> Threshold:
    """The threshold for the highest F1 to be expected from calibrated probabilities (n,): half of that F1 (Lipton et al.
    2014, theorem 1). The cut that is best on a hundred labels follows their noise; this one follows the calibration.

    `truth` (n,) only counts what it keeps. Raises BadInput when there are no pages.
    """
    ranked = np.sort(_finite(probability, "threshold"))[::-1]
    if not len(ranked):
        raise BadInput("threshold: no pages given")
    expected = 2 * np.cumsum(ranked) / (np.arange(1, len(ranked) + 1) + max(ranked.sum(), 1e-9))
    return threshold_at(float(expected.max()) / 2, probability, truth, aim="f1")


def _aim(aim: str) -> tuple[str, float]:
    found = AIM.fullmatch(aim.replace(" ", ""))
    if not found:
        raise BadInput(f"threshold: aim: got {aim!r}; use f1, precision>=0.9, recall>=0.9 or keep_share=0.2")
    return found["what"] or "f1", float(found["number"] or 0)


def _cuts(values: Array, labels: npt.NDArray[np.bool_] | None) -> tuple[Array, npt.NDArray[Any], npt.NDArray[Any]]:
    """Every place to cut, from high to low: the threshold, the pages kept, and of those the ones people would keep."""
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    below = np.append(ranked, ranked[-1])[last + 1]
    right = np.cumsum(labels[order])[last] if labels is not None else np.zeros(len(last), dtype=np.int64)
    middle = (ranked[last] + below) / 2
    return np.where(middle > below, middle, ranked[last]), last + 1, right


def _best_cut(what: str, number: float, kept: Any, right: Any, n: int) -> tuple[int, str]:
    positives, precision = right[-1], right / kept
    if what == "f1":
        return int(np.argmax(2 * right / (kept + positives))), ""
    if what == "recall>=":
        return int(np.argmax(right / positives >= number)), ""
    if what == "keep_share=":
        index = int(np.argmin(np.abs(kept / n - number)))
        tied = abs(kept[index] - number * n) >= 1
        return index, f"equal values cannot be parted: the nearest share is {kept[index] / n:.3f}" if tied else ""
    reached = np.flatnonzero(precision >= number)
    if len(reached):
        return int(reached[-1]), ""
    best = np.flatnonzero(precision == precision.max())[-1]
    return int(best), f"no threshold reaches a precision of {number:g}; the best is {precision[best]:.3f}"


def folds_of(groups: Sequence[str], targets: npt.ArrayLike, *, folds: int, random_state: int) -> npt.NDArray[np.int64]:
    """Fold (n,) of each page: no group in two, and the share of targets of .5 and above alike where groups allow it."""
    import warnings

    from sklearn.model_selection import StratifiedGroupKFold

    y = np.asarray(targets, dtype=np.float64) >= 0.5
    distinct = len(set(groups))
    if distinct < 2:
        raise BadInput(f"folds: needs pages of at least 2 groups (got {distinct})")
    folds = min(folds, distinct, max(int(y.sum()), int((~y).sum())))
    result = np.zeros(len(y), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        splitter = StratifiedGroupKFold(max(folds, 2), shuffle=True, random_state=random_state)
        for fold, (_, held) in enumerate(splitter.split(np.zeros(len(y)), y, list(groups))):
            result[held] = fold
    return result


def choose(
    features: Features,
    targets: npt.ArrayLike,
    groups: Sequence[str],
    *,
    truth: npt.ArrayLike | None = None,
    sample_weight: npt.ArrayLike | None = None,
    cs: Sequence[float] = C_GRID,
    feature_sets: Sequence[Sequence[str]] = FEATURE_SETS,
    folds: int = 5,
    metric: Metric = "auc",
    random_state: int = 0,
) -> list[Choice]:
    """All settings tried by grouped cross-validation, best first, one of them `chosen`.

    `truth` (n,) is 1 or 0 where a person labelled the page and NaN elsewhere; only labelled pages are measured.
    Without it the measure is agreement with the judge. Chosen is the simplest row whose mean is within one standard
    error of the best (Breiman et al. 1984; here of the paired difference over folds): without embedding, then fewer
    blocks, then the smaller `c`.
    """
    p, weight = _targets(features, targets, sample_weight)
    measured = np.where(p >= 0.5, 1.0, 0.0) if truth is None else np.asarray(truth, dtype=np.float64)
    _both_classes(measured[~np.isnan(measured)] > 0.5, "choose")
    fold_of = folds_of(groups, p, folds=folds, random_state=random_state)
    tried: list[tuple[tuple[str, ...], float, Array, Array]] = []
    for names in feature_sets:
        for c in cs:
            classifier = PageClassifier(embedder_id="", features=names, c=c, random_state=random_state)
            scores = classifier.out_of_fold(features, p, groups, folds=folds, sample_weight=weight)
            tried.append((tuple(names), c, *_by_fold(scores, measured, fold_of)))
    return ranked_choices(tried, metric)


def _by_fold(scores: Array, measured: Array, fold_of: npt.NDArray[np.int64]) -> tuple[Array, Array]:
    """AUC and log loss of each fold, over its measured pages; NaN where the fold has but one class."""
    from sklearn.metrics import log_loss, roc_auc_score

    aucs, losses = [], []
    for fold in np.unique(fold_of):
        rows = (fold_of == fold) & ~np.isnan(measured)
        y = measured[rows] > 0.5
        both = 0 < y.sum() < len(y)
        aucs.append(roc_auc_score(y, scores[rows]) if both else np.nan)
        losses.append(log_loss(y, np.clip(scores[rows], 1e-6, 1 - 1e-6), labels=[False, True]) if len(y) else np.nan)
    return np.array(aucs, dtype=np.float64), np.array(losses, dtype=np.float64)


def ranked_choices(tried: Sequence[tuple[tuple[str, ...], float, Array, Array]], metric: Metric) -> list[Choice]:
    """The rows of settings with their AUCs and log losses by fold, best first; see `choose` for which one is chosen."""
    values = [aucs if metric == "auc" else -losses for _, _, aucs, losses in tried]
    if all(np.isnan(value).all() for value in values):
        raise BadInput("choose: no fold has pages of both classes; label more pages or use fewer folds")
    best = values[int(np.argmax([np.nanmean(value) for value in values]))]
    rows = []
    for (names, c, aucs, losses), value in zip(tried, values, strict=True):
        (auc, auc_error), (loss, loss_error), behind = _mean(aucs), _mean(losses), _mean(best - value)
        rows.append(Choice(names, c, auc, auc_error, loss, loss_error, *behind))
    good = [row for row in rows if row.behind <= row.behind_error]
    simplest = min(good, key=lambda row: ("embedding" in row.features, len(row.features), row.c))
    marked = [Choice(**{**asdict(row), "chosen": row is simplest}) for row in rows]
    return sorted(marked, key=lambda row: row.behind)


def _mean(values: Array) -> tuple[float, float]:
    """Mean and standard error over the folds that have a value."""
    seen = values[~np.isnan(values)]
    error = float(seen.std(ddof=1) / np.sqrt(len(seen))) if len(seen) > 1 else 0.0
    return (float(seen.mean()) if len(seen) else float("nan")), error


def _logistic(x: Any, y: Any, weight: Array, *, c: float, random_state: int) -> tuple[Array, float]:
    """Coefficients (d,) and intercept of a logistic regression; columns that no row uses get 0 and cost nothing."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    used = np.unique(x.indices) if hasattr(x, "indices") else np.arange(x.shape[1])
    model = LogisticRegression(C=c, max_iter=5000, random_state=random_state)
    # The products are small: on a busy machine BLAS threads that wait for each other made this 30 times slower.
    with threadpool_limits(1):
        model.fit(x[:, used].astype(np.float64), y, sample_weight=weight)
    coefficients = np.zeros(x.shape[1])
    coefficients[used] = model.coef_[0]
    return coefficients, float(model.intercept_[0])


def _doubled(p: Array, weight: Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], Array]:
    """Row numbers, classes and weights of the soft targets `p`, without rows that weigh nothing."""
    n = len(p)
    rows, y = np.tile(np.arange(n), 2), np.repeat([True, False], n)
    w = np.concatenate([p, 1 - p]) * np.tile(weight, 2)
    return rows[w > 0], y[w > 0], w[w > 0]


def _targets(features: Features, targets: Any, sample_weight: Any) -> tuple[Array, Array]:
    p = _finite(targets, "fit")
    weight = np.ones(len(p)) if sample_weight is None else _finite(sample_weight, "fit")
    _same_length(p, weight, "fit")
    if len(p) != len(features):
        raise BadInput(f"classifier: got {len(p)} targets for {len(features)} pages")
    if len(p) == 0 or p.min() < 0 or p.max() > 1 or weight.min() < 0:
        raise BadInput("classifier: targets must be in [0, 1], weights at least 0, and there must be pages")
    seen = p[weight > 0]
    if not len(seen) or seen.max() == 0 or seen.min() == 1:
        raise BadInput("classifier: the targets are all the same class; there is nothing to learn, score other pages")
    return p, weight


def _scaling(name: str, block: Any) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Offset and scale (columns or 1) that bring a block to a mean squared row length of about 1."""
    if name == "ngrams":
        return np.zeros(1, dtype=np.float32), np.ones(1, dtype=np.float32)
    offset = block.mean(axis=0)
    spread = block.std(axis=0)
    if name == "shape":
        scale = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0)
    else:
        scale = np.array([1 / max(float(np.sqrt((spread**2).sum())), 1e-6)])
    return offset.astype(np.float32), scale.astype(np.float32)


def _scaled(name: str, block: Any, scaling: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]) -> Any:
    offset, scale = scaling
    if name == "ngrams":
        return block
    moved = (block - offset) * scale
    return np.clip(moved, -SHAPE_CLIP, SHAPE_CLIP) / np.sqrt(block.shape[1]) if name == "shape" else moved


def _sigmoid(log_odds: Any) -> Array:
    from scipy.special import expit

    return np.asarray(expit(log_odds), dtype=np.float64)


def _log_odds(probability: Array) -> Array:
    from scipy.special import logit

    return np.asarray(logit(np.clip(probability, 1e-9, 1 - 1e-9)), dtype=np.float64)


def _finite(values: Any, where: str) -> Array:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not np.isfinite(numbers).all():
        raise BadInput(f"{where}: needs one finite number per page (got shape {numbers.shape})")
    return numbers


def _both_classes(truth: Any, where: str) -> npt.NDArray[np.bool_]:
    labels = np.asarray(truth, dtype=np.bool_)
    if not 0 < labels.sum() < len(labels):
        raise BadInput(
            f"{where}: needs labels of both kinds (got {int(labels.sum())} keep of {len(labels)}); label more"
        )
    return labels


def _same_length(first: Any, second: Any, where: str) -> None:
    if len(first) != len(second):
        raise BadInput(f"{where}: got {len(first)} values for {len(second)} pages")


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
