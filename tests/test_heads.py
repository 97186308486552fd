"""A head on one block of features."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score

from curate.errors import BadInput
from curate.heads import fit_head, kinds_of, weighted
from curate.ngrams import word_counts

RNG = np.random.default_rng(2)
ONES = np.ones(300)


def test_a_kernel_learns_what_no_line_parts() -> None:
    x = RNG.normal(size=(300, 2)).astype(np.float32)
    truth = (x[:, 0] * x[:, 1] > 0).astype(float)
    line = fit_head("embedding", "linear", x, truth, ONES)
    curve = fit_head("embedding", "kernel", x, truth, ONES, c=10.0)
    unseen = RNG.normal(size=(300, 2)).astype(np.float32)
    right = unseen[:, 0] * unseen[:, 1] > 0
    assert roc_auc_score(right, line.log_odds("embedding", unseen)) < 0.65
    assert roc_auc_score(right, curve.log_odds("embedding", unseen)) > 0.9


def test_counts_become_tf_idf_of_unit_length_and_frequent_words_weigh_less() -> None:
    counts = word_counts(["common rare", "common words", "common again", ""], bits=10)
    head = fit_head("ngrams", "linear", counts, np.array([1.0, 0.0, 1.0, 0.0]), np.ones(4))
    rows = weighted(counts, head.arrays["idf"])
    lengths = np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
    assert lengths == pytest.approx([1, 1, 1, 0], abs=1e-5)
    common = word_counts(["common"], bits=10).indices[0]
    rare = word_counts(["rare"], bits=10).indices[0]
    assert head.arrays["idf"][common] < head.arrays["idf"][rare]


def test_a_page_without_words_is_scored_by_the_bias() -> None:
    counts = word_counts(["good proof", "cheap sale"] * 20, bits=10)
    head = fit_head("ngrams", "linear", counts, np.tile([1.0, 0.0], 20), np.ones(40))
    assert head.log_odds("ngrams", csr_matrix((1, 1024), dtype=np.float32)) == pytest.approx(head.arrays["bias"])


@pytest.mark.parametrize(("name", "kind"), [("ngrams", "kernel"), ("shape", "forest")])
def test_a_kind_that_a_block_has_not_is_refused(name: str, kind: str) -> None:
    with pytest.raises(BadInput, match=f"{name} takes {' or '.join(kinds_of(name))}"):
        fit_head(name, kind, word_counts(["a b"]), np.ones(1), np.ones(1))  # type: ignore[arg-type]


def test_the_same_pages_give_the_same_head_and_columns_that_never_vary_count_nothing() -> None:
    x = RNG.normal(size=(300, 3)).astype(np.float32)
    x[:, 2] = 5
    truth = (x[:, 0] > 0).astype(float)
    one, two = (fit_head("shape", "kernel", x, truth, ONES, random_state=3) for _ in range(2))
    assert all((one.arrays[key] == two.arrays[key]).all() for key in one.arrays)
    moved = x.copy()
    moved[:, 2] = 5.0
    assert np.isfinite(one.log_odds("shape", moved)).all()
