"""What a classifier must beat: words, counted, and the human labels alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.checked import Array, both_classes
from curate.errors import BadInput
from curate.folds import aucs_by_fold, folds_of, mean_and_error
from curate.logistic import logistic, sigmoid
from curate.ngrams import TOKEN, plain

C_GRID = (0.1, 1.0, 10.0, 100.0)
LEAST_LABELS_FOR_SEARCH, LEAST_OF_A_CLASS = 100, 20


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

        labels = both_classes(truth, "baseline")
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
        return sigmoid(self.vectorizer_.transform(texts) @ self.weights_ + self.bias_)

    def _fit(self, matrix: Any, labels: npt.NDArray[np.bool_], c: float) -> tuple[Array, float]:
        return logistic(matrix, labels.astype(np.float64), np.ones(len(labels)), c=c)

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
        return _simplest({c: aucs_by_fold(scores, labels.astype(np.float64), fold_of) for c, scores in found.items()})


def _simplest(aucs: dict[float, Array]) -> float:
    """The strongest penalty whose AUC is within one standard error of the best, by the difference over folds."""
    best = max(aucs.values(), key=lambda values: mean_and_error(values)[0])
    behind = {c: mean_and_error(best - values) for c, values in aucs.items()}
    return min(c for c, (gap, error) in behind.items() if gap <= error)
