"""The heads of page classifiers as scikit-learn estimators, for arrays of one's own: they go into its pipelines, searches and
cross-validation."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from curate.heads import Kind, fit_head
from curate.logistic import sigmoid


class HeadClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A head on dense rows (n, d), of two classes. `kind`: linear, ridge, kernel, boosted or network; `c`: inverse strength
    of the penalty. Columns get the same spread, values far out are clipped at five standard deviations."""

    def __init__(self, *, kind: Kind = "kernel", c: float = 1.0, random_state: int = 0) -> None:
        self.kind = kind
        self.c = c
        self.random_state = random_state

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "HeadClassifier":
        """Fit to classes `y` (n,), of which there must be two. Raises ValueError otherwise."""
        X, y = validate_data(self, X, y, dtype=np.float32, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, places = np.unique(y, return_inverse=True)
        if len(self.classes_) != 2:
            raise ValueError(
                f"HeadClassifier: Only binary classification is supported, got {len(self.classes_)} class(es)"
            )
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64)
        self.head_ = fit_head(
            "shape", self.kind, X, places.astype(np.float64), weight, c=self.c, random_state=self.random_state
        )
        return self

    def decision_function(self, X: Any) -> npt.NDArray[np.float64]:
        """Log-odds (n,) of the second class."""
        check_is_fitted(self)
        return self.head_.log_odds("shape", validate_data(self, X, dtype=np.float32, reset=False))

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probabilities (n, 2) of the classes, not calibrated."""
        second = sigmoid(self.decision_function(X))
        return np.column_stack([1 - second, second])

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The likelier class (n,) of each row."""
        second = self.decision_function(X) > 0
        found: npt.NDArray[Any] = self.classes_[second.astype(int)]
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
