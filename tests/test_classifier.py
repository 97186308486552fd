"""The classifier: what it learns, what it refuses, and that what is saved is what was fitted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

import curate
from curate.classifier import (
    Calibration,
    LexicalBaseline,
    PageClassifier,
    calibration_of,
    choose,
    f1_threshold,
    folds_of,
    ranked_choices,
    threshold_at,
    threshold_for,
)
from curate.errors import BadInput
from curate.features import Features, features_of

DATA = Path(__file__).parents[2] / "shared" / "data" / "dclm_human.parquet"
GOOD = ["theorem", "proof", "energy", "cell", "integral", "matrix", "protein", "orbit"]
BAD = ["discount", "coupon", "login", "shipping", "casino", "horoscope", "cart", "celebrity"]


def pages(n: int, seed: int = 0) -> tuple[list[str], np.ndarray, np.ndarray, list[str]]:
    """Texts, vectors, truth and groups of pages whose words and vectors lean to their class, with noise."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    texts = []
    for keep in truth:
        own, other = (GOOD, BAD) if keep else (BAD, GOOD)
        texts.append(" ".join(rng.choice(own if rng.random() < 0.62 else other) for _ in range(30)) + ".")
    vectors = rng.normal(size=(n, 8)) + 0.5 * truth[:, None]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return texts, vectors.astype(np.float32), truth, [f"host{i // 3}" for i in range(n)]


TEXTS, VECTORS, TRUTH, GROUPS = pages(240)
FEATURES = features_of(TEXTS, VECTORS, ngram_bits=12)
SOFT = np.clip(TRUTH * 0.6 + 0.2 + np.random.default_rng(1).normal(0, 0.1, len(TRUTH)), 0, 1)


def classifier(**changed: object) -> PageClassifier:
    return PageClassifier(**{"embedder_id": "e", "ngram_bits": 12, **changed})  # type: ignore[arg-type]


def test_it_learns_soft_targets_and_ranks_unseen_pages() -> None:
    texts, vectors, truth, _ = pages(200, seed=9)
    fitted = classifier().fit(FEATURES, SOFT)
    scores = fitted.predict_score(features_of(texts, vectors, ngram_bits=12))
    assert scores.shape == (200,)
    assert 0 <= scores.min() < scores.max() <= 1
    assert roc_auc_score(truth, scores) > 0.9


def test_soft_targets_are_the_cross_entropy_of_repeated_pages() -> None:
    """A page of target .75 counts like the same page four times, three of them kept."""
    p = np.array([0.75, 0.25, 0.5, 1.0] * 10)
    some = FEATURES[:40]
    repeated = some[np.repeat(np.arange(40), 4)]
    hard = (np.tile([0, 1, 2, 3], 40) < np.repeat(p * 4, 4)).astype(float)
    made = {"features": ["embedding"], "heads": {"embedding": ("linear", 1.0)}}
    soft = classifier(**made).fit(some, p)
    other = classifier(**made).fit(repeated, hard, np.full(160, 0.25))
    assert soft.predict_score(some) == pytest.approx(other.predict_score(some), abs=1e-3)


def test_weight_moves_the_fit_and_weight_zero_is_absence() -> None:
    wrong = np.where(np.arange(240) < 120, TRUTH, ~TRUTH).astype(float)
    heavy = classifier().fit(FEATURES, wrong, np.where(np.arange(240) < 120, 10, 0.1))
    assert roc_auc_score(TRUTH, heavy.predict_score(FEATURES)) > 0.9
    light = classifier(features=["ngrams"]).fit(FEATURES, wrong, (np.arange(240) < 120) * 1.0)
    alone = classifier(features=["ngrams"]).fit(FEATURES[:120], wrong[:120])
    assert light.predict_score(FEATURES) == pytest.approx(alone.predict_score(FEATURES), abs=1e-3)


def test_making_one_does_nothing_and_the_same_fit_has_the_same_id() -> None:
    made = classifier(features=("nonsense",))
    assert made.features == ("nonsense",)
    with pytest.raises(BadInput, match="'nonsense'"):
        made.fit(FEATURES, SOFT)
    one, two = classifier().fit(FEATURES, SOFT), classifier().fit(FEATURES, SOFT)
    assert one.id == two.id
    assert one.id != classifier(c=2.0).fit(FEATURES, SOFT).id
    assert one.id != classifier().fit(FEATURES, 1 - SOFT).id


def test_pages_scored_in_parts_have_the_scores_of_the_whole() -> None:
    fitted = classifier().fit(FEATURES, SOFT)
    parts = fitted.predict_texts(TEXTS, VECTORS, batch_pages=50)
    assert parts == pytest.approx(fitted.predict_score(FEATURES), abs=1e-6)
    assert len(fitted.predict_texts([], VECTORS[:0])) == 0


@pytest.mark.parametrize(
    ("targets", "weight", "words"),
    [
        (np.ones(240), None, "all the same class"),
        (np.zeros(240), None, "all the same class"),
        (SOFT * 5, None, r"in \[0, 1\]"),
        (np.where(np.arange(240) == 3, np.nan, SOFT), None, "finite"),
        (SOFT[:10], None, "10 targets for 240 pages"),
        (SOFT, -np.ones(240), "weights at least 0"),
        (np.where(np.arange(240) < 9, 0.0, 1.0), np.arange(240) >= 9, "all the same class"),
    ],
)
def test_targets_that_teach_nothing_are_refused(targets: np.ndarray, weight: np.ndarray | None, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        classifier().fit(FEATURES, targets, weight)


def test_missing_or_other_features_are_refused() -> None:
    fitted = classifier().fit(FEATURES, SOFT)
    with pytest.raises(BadInput, match="no 'embedding' block"):
        fitted.predict_score(features_of(TEXTS, ngram_bits=12))
    with pytest.raises(BadInput, match="1024 columns, the classifier 4096"):
        fitted.predict_score(features_of(TEXTS, VECTORS, ngram_bits=10))
    with pytest.raises(BadInput, match="not fitted"):
        classifier().predict_score(FEATURES)
    with pytest.raises(BadInput, match="not calibrated"):
        fitted.predict_probability(FEATURES)


def test_one_odd_page_moves_no_score_far() -> None:
    fitted = classifier(features=["shape"], c=1.0).fit(FEATURES, SOFT)
    odd = Features({"shape": FEATURES.block("shape")[:1] * 0 + 1e9})
    assert 0.001 < fitted.predict_score(odd)[0] < 0.999


def test_a_group_is_never_on_both_sides() -> None:
    fold_of = folds_of(GROUPS, TRUTH, folds=5, random_state=0)
    assert set(fold_of) == set(range(5))
    for group in set(GROUPS):
        assert len({fold_of[i] for i, name in enumerate(GROUPS) if name == group}) == 1
    assert (fold_of == folds_of(GROUPS, TRUTH, folds=5, random_state=0)).all()
    assert set(folds_of(["a", "b", "b"], [1, 0, 0], folds=5, random_state=0)) == {0, 1}
    with pytest.raises(BadInput, match="at least 2 groups"):
        folds_of(["a", "a"], [1, 0], folds=2, random_state=0)


def test_out_of_fold_scores_have_not_seen_the_page() -> None:
    """Random targets can be learned by heart, not out of fold."""
    rng = np.random.default_rng(3)
    noise = (rng.random(240) < 0.5).astype(float)
    settings_ = {"features": ("ngrams",), "c": 1000.0}
    inside = classifier(**settings_).fit(FEATURES, noise).predict_score(FEATURES)
    outside = classifier(**settings_).out_of_fold(FEATURES, noise, GROUPS)
    assert roc_auc_score(noise, inside) > 0.95
    assert roc_auc_score(noise, outside) < 0.65
    assert roc_auc_score(TRUTH, classifier().out_of_fold(FEATURES, SOFT, GROUPS)) > 0.9


def test_copies_of_a_page_in_one_group_leak_only_when_groups_are_ignored() -> None:
    rng = np.random.default_rng(4)
    twice = FEATURES[np.repeat(np.arange(100), 2)]
    noise = np.repeat(rng.random(100) < 0.5, 2).astype(float)
    kept_together = [str(i // 2) for i in range(200)]
    torn = [str(i) for i in range(200)]
    made = classifier(features=["ngrams"], c=1000.0)
    assert roc_auc_score(noise, made.out_of_fold(twice, noise, torn)) > 0.8
    assert roc_auc_score(noise, made.out_of_fold(twice, noise, kept_together)) < 0.7


def true_probability(score: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-(0.5 * np.log(score / (1 - score)) - 1)))


@pytest.mark.parametrize(("n", "method"), [(300, "platt"), (3000, "isotonic")])
def test_calibrated_probabilities_are_the_true_ones(n: int, method: str) -> None:
    rng = np.random.default_rng(5)
    score = rng.uniform(0.01, 0.99, n)
    truth = rng.random(n) < true_probability(score)
    made = calibration_of(score, truth)
    grid = np.linspace(0.05, 0.95, 19)
    assert made.method == method
    assert made.probability(grid) == pytest.approx(true_probability(grid), abs=0.12)
    assert (np.diff(made.probability(grid)) >= 0).all()
    assert log_loss(truth, made.probability(score)) < log_loss(truth, score)


def test_few_labels_that_agree_do_not_make_certainty() -> None:
    made = calibration_of([0.1, 0.2, 0.8, 0.9], [False, False, True, True])
    assert 0.01 < made.probability([0.1])[0] < 0.5 < made.probability([0.9])[0] < 0.99


def test_scores_against_the_labels_give_the_base_rate_and_say_so() -> None:
    made = calibration_of(np.linspace(0.1, 0.9, 40), np.arange(40) < 10)
    assert "against the 40 labels" in made.note
    assert made.probability([0.1, 0.9]) == pytest.approx([11 / 42, 11 / 42])


def test_calibration_needs_both_kinds_of_label() -> None:
    with pytest.raises(BadInput, match=r"both kinds \(got 2 keep of 2\)"):
        calibration_of([0.1, 0.9], [True, True])
    with pytest.raises(BadInput, match="3 values for 2 pages"):
        calibration_of([0.1, 0.9, 0.3], [True, False])


SCORES = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05]
LABELS = [True, True, False, True, True, False, False, True, False, False]


@pytest.mark.parametrize(
    ("aim", "value", "kept", "right"),
    [
        ("f1", 0.45, 5, 4),
        ("precision>=0.8", 0.45, 5, 4),
        ("precision>=0.9", 0.75, 2, 2),
        ("recall>=0.8", 0.45, 5, 4),
        ("recall>=0.9", 0.15, 8, 5),
        ("recall >= 1", 0.15, 8, 5),
        ("keep_share=0.2", 0.75, 2, None),
    ],
)
def test_a_threshold_reaches_its_aim(aim: str, value: float, kept: int, right: int | None) -> None:
    got = threshold_for(SCORES, LABELS, aim=aim)
    assert got.value == pytest.approx(value)
    assert (got.met, got.n, got.kept, got.right) == (True, 10, kept, right)
    assert got.kept_share == kept / 10
    if right is not None:
        assert got.precision is not None
        assert got.recall is not None
        assert got.precision.value == pytest.approx(right / kept)
        assert got.recall.value == pytest.approx(right / 5)
        assert got.precision.low < got.precision.value


def test_the_expected_f1_is_highest_at_half_of_it() -> None:
    """By trying every cut on the probabilities themselves; what the few labels say of it moves nothing."""
    rng = np.random.default_rng(3)
    probability = rng.beta(0.4, 0.6, size=400)
    got = f1_threshold(probability, rng.random(400) < probability)
    expected = [
        2 * probability[probability >= t].sum() / ((probability >= t).sum() + probability.sum()) for t in probability
    ]
    best = probability[int(np.argmax(expected))]
    assert got.value == pytest.approx(max(expected) / 2)
    assert probability[probability < best].max() < got.value <= best
    assert got.value == f1_threshold(probability, rng.random(400) < 0.5).value
    assert (got.n, got.kept) == (400, int((probability >= got.value).sum()))
    with pytest.raises(BadInput, match="no pages"):
        f1_threshold([], [])


def test_a_given_threshold_counts_what_it_keeps() -> None:
    got = threshold_at(0.5, [0.9, 0.5, 0.2, 0.7], [True, False, True, True], aim="threshold=0.5")
    assert (got.value, got.kept, got.positives, got.right, got.aim) == (0.5, 3, 3, 2, "threshold=0.5")


def test_an_aim_out_of_reach_says_so() -> None:
    got = threshold_for([0.9, 0.8, 0.7, 0.6], [False, True, True, False], aim="precision>=0.9")
    assert not got.met
    assert got.note == "no threshold reaches a precision of 0.9; the best is 0.667"
    assert (got.kept, got.right) == (3, 2)
    tied = threshold_for([0.5] * 10, aim="keep_share=0.2")
    assert (tied.met, tied.kept_share) == (False, 1.0)
    assert "equal values" in tied.note


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=40).filter(
        lambda rows: len({truth for _, truth in rows}) == 2
    ),
    st.sampled_from(["f1", "precision>=0.7", "recall>=0.6", "keep_share=0.3"]),
)
def test_a_threshold_counts_what_it_keeps(rows: list[tuple[float, bool]], aim: str) -> None:
    values, truth = np.array([v for v, _ in rows]), np.array([t for _, t in rows])
    got = threshold_for(values, truth, aim=aim)
    keep = values >= got.value
    assert keep.sum() == got.kept
    if got.right is not None:
        assert (keep & truth).sum() == got.right
    if aim == "f1":
        f1 = [2 * (truth & (values >= v)).sum() / ((values >= v).sum() + truth.sum()) for v in values]
        assert 2 * got.right / (got.kept + got.positives) == pytest.approx(max(f1))


@pytest.mark.parametrize(
    ("values", "truth", "aim", "words"),
    [
        (SCORES, LABELS, "precision>0.9", "got 'precision>0.9'; use f1"),
        (SCORES, LABELS, "recall>=90", "use f1"),
        (SCORES, None, "f1", "both kinds"),
        (SCORES, [True] * 10, "f1", "both kinds"),
        (SCORES, LABELS[:4], "f1", "10 values for 4 pages"),
        ([], None, "keep_share=0.2", "no pages"),
        ([np.nan, 1.0], [True, False], "f1", "finite"),
    ],
)
def test_thresholds_that_cannot_be_are_refused(values: list, truth: list | None, aim: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        threshold_for(values, truth, aim=aim)


def test_the_simplest_of_what_is_as_good_is_chosen() -> None:
    """Words tell the classes apart, vectors add nothing: the choice needs no embedding."""
    rng = np.random.default_rng(6)
    blank = features_of(TEXTS, rng.normal(size=(240, 8)).astype(np.float32), ngram_bits=12)
    truth = np.where(np.arange(240) % 2 == 0, TRUTH.astype(float), np.nan)
    rows = choose(
        blank,
        SOFT,
        GROUPS,
        truth=truth,
        cs=(0.1, 1.0),
        feature_sets=(("embedding",), ("ngrams",), ("embedding", "ngrams")),
    )
    assert len(rows) == 3
    (chosen,) = [row for row in rows if row.chosen]
    assert chosen.features == ("ngrams",)
    assert rows[0].behind == 0
    assert chosen.behind <= chosen.behind_error or chosen is rows[0]
    assert [row.behind for row in rows] == sorted(row.behind for row in rows)
    vectors = [row for row in rows if row.features == ("embedding",)]
    assert max(row.auc for row in vectors) < chosen.auc - 0.2


@pytest.mark.parametrize(
    ("cheap", "prefer", "features"),
    [
        ([0.79, 0.80, 0.81, 0.81], "speed", ("ngrams",)),
        ([0.79, 0.80, 0.81, 0.81], "quality", ("embedding", "ngrams")),
        ([0.799, 0.80, 0.801, 0.818], "quality", ("ngrams",)),
        ([0.70, 0.71, 0.70, 0.71], "speed", ("embedding", "ngrams")),
    ],
)
def test_the_cheaper_wins_within_one_standard_error_or_what_labels_cannot_tell(
    cheap: list[float], prefer: Any, features: tuple[str, ...]
) -> None:
    """Folds are hard or easy for both, so what counts is the error of their difference."""
    hard = np.array([0.0, 0.1, 0.0, 0.1])
    head = ("linear", 1.0)
    tried: Any = [
        ({"embedding": head, "ngrams": head}, np.array([0.8, 0.8, 0.8, 0.82]) + hard),
        ({"ngrams": head}, np.array(cheap) + hard),
    ]
    rows = ranked_choices(tried, prefer=prefer)
    assert [row.features for row in rows if row.chosen] == [features]
    assert {row.features for row in rows if row.front} >= {("ngrams",)}
    assert rows[0].pages_per_s < rows[1].pages_per_s or rows[0].features == ("ngrams",)


def test_a_speed_that_no_set_reaches_is_refused_and_one_that_some_reach_keeps_those() -> None:
    head = ("linear", 1.0)
    tried: Any = [({"embedding": head}, np.full(4, 0.9)), ({"ngrams": head}, np.full(4, 0.7))]
    assert [row.features for row in ranked_choices(tried, least_pages_per_s=1000)] == [("ngrams",)]
    with pytest.raises(BadInput, match="none of the features scores 1e\\+09 pages a second"):
        ranked_choices(tried, least_pages_per_s=1e9)


def test_what_is_better_by_more_than_noise_is_chosen_at_its_price() -> None:
    rng = np.random.default_rng(7)
    dull = ["the same words on every page"] * 240
    vectors = (rng.normal(size=(240, 8)) + 2 * TRUTH[:, None]).astype(np.float32)
    rows = choose(
        features_of(dull, vectors, ngram_bits=8),
        SOFT,
        GROUPS,
        cs=(1.0,),
        feature_sets=(("ngrams",), ("embedding",)),
    )
    assert [row.features for row in rows if row.chosen] == [("embedding",)]


def saved(folder: Path) -> PageClassifier:
    made = classifier().fit(FEATURES, SOFT)
    scores = made.out_of_fold(FEATURES, SOFT, GROUPS)
    made.calibrate(scores, TRUTH)
    made.threshold_ = threshold_for(made.probability_of(scores), TRUTH, aim="precision>=0.8")
    made.provenance = {"judge": "abc", "pages": 240}
    made.save(folder)
    return made


def test_what_is_loaded_is_what_was_saved(tmp_path: Path) -> None:
    made = saved(tmp_path / "c")
    loaded = PageClassifier.load(tmp_path / "c")
    assert loaded.id == made.id
    assert loaded.settings() == made.settings()
    assert loaded.provenance == made.provenance
    assert loaded.threshold_ == made.threshold_
    assert loaded.calibration_ == made.calibration_
    assert (loaded.predict_probability(FEATURES) == made.predict_probability(FEATURES)).all()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["README.md", "c", "classifier.json", "weights.npz"]
    assert loaded.save(tmp_path / "c") == tmp_path / "c"


def test_a_folder_is_loaded_by_one_name_and_scores_texts(tmp_path: Path) -> None:
    made = classifier(features=["ngrams", "shape"]).fit(FEATURES, SOFT)
    made.calibrate(made.out_of_fold(FEATURES, SOFT, GROUPS), TRUTH).save(tmp_path / "c")
    scores = curate.load_classifier(tmp_path / "c").score(TEXTS[:5])
    assert scores == pytest.approx(made.predict_probability(FEATURES)[:5], abs=1e-6)
    assert not hasattr(curate, "nonsense")


def test_an_isotonic_calibration_is_saved_too(tmp_path: Path) -> None:
    made = classifier(features=["shape"]).fit(FEATURES, SOFT)
    rng = np.random.default_rng(8)
    score = rng.random(600)
    made.calibrate(score, rng.random(600) < score).save(tmp_path / "c")
    loaded = PageClassifier.load(tmp_path / "c")
    assert isinstance(loaded.calibration_, Calibration)
    assert loaded.calibration_.method == "isotonic"
    assert (loaded.predict_probability(FEATURES) == made.predict_probability(FEATURES)).all()


def test_a_new_threshold_keeps_the_scores_valid(tmp_path: Path) -> None:
    made = saved(tmp_path / "c")
    before = made.id, made.score_id
    made.threshold_ = threshold_for(SCORES, LABELS, aim="f1")
    assert made.score_id == before[1]
    assert made.id != before[0]
    with pytest.raises(BadInput, match="holds another classifier"):
        made.save(tmp_path / "c")


def change(record: dict[str, object], key: str) -> dict[str, object]:
    return {**record, key: {**record[key], "c": 3.0}} if key == "settings" else {**record, key: 0}  # type: ignore[dict-item]


@pytest.mark.parametrize("key", ["settings", "id", "format", "features_id", "calibration", "threshold"])
def test_a_changed_record_is_refused(tmp_path: Path, key: str) -> None:
    saved(tmp_path / "c")
    path = tmp_path / "c" / "classifier.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()), key)))
    with pytest.raises(BadInput, match="distill it again"):
        PageClassifier.load(tmp_path / "c")


def test_damaged_or_foreign_weights_are_refused(tmp_path: Path) -> None:
    saved(tmp_path / "c")
    weights = tmp_path / "c" / "weights.npz"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"weights.npz: is missing or damaged"):
        PageClassifier.load(tmp_path / "c")
    classifier().fit(FEATURES, 1 - SOFT).save(tmp_path / "other")
    weights.write_bytes((tmp_path / "other" / "weights.npz").read_bytes())
    with pytest.raises(BadInput, match="does not hash to its id"):
        PageClassifier.load(tmp_path / "c")
    weights.unlink()
    with pytest.raises(BadInput, match="missing or damaged"):
        PageClassifier.load(tmp_path / "c")
    (tmp_path / "c" / "classifier.json").write_text("{")
    with pytest.raises(BadInput, match="not readable JSON"):
        PageClassifier.load(tmp_path / "c")
    with pytest.raises(BadInput, match="no classifier here"):
        PageClassifier.load(tmp_path / "none")


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def test_nothing_in_a_classifier_is_unpickled(tmp_path: Path) -> None:
    saved(tmp_path / "c")
    trap = tmp_path / "sprung"
    np.savez(tmp_path / "c" / "weights.npz", bias=np.array([Payload(trap)], dtype=object))
    with pytest.raises(BadInput, match="missing or damaged"):
        PageClassifier.load(tmp_path / "c")
    assert not trap.exists()


def test_the_baseline_learns_from_words_alone() -> None:
    texts, _, truth, _ = pages(200, seed=9)
    fitted = LexicalBaseline().fit(TEXTS, TRUTH, GROUPS)
    scores = fitted.predict_score(texts)
    assert 0 <= scores.min() < scores.max() <= 1
    assert roc_auc_score(truth, scores) > 0.9
    assert LexicalBaseline().fit(TEXTS[:30], TRUTH[:30]).c_ == 1.0
    assert (LexicalBaseline().fit(TEXTS, TRUTH, GROUPS).predict_score(texts) == scores).all()


def test_the_baseline_says_what_it_cannot_learn_from() -> None:
    with pytest.raises(BadInput, match="both kinds"):
        LexicalBaseline().fit(["a b", "c d"], [True, True])
    with pytest.raises(BadInput, match="hold no words"):
        LexicalBaseline().fit(["", "?"], [True, False])


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="needs the shared set of human-labelled web pages")
def test_on_people_s_labels_of_real_pages_it_is_far_above_chance() -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(DATA)
    texts = [text[:2000] for text in table["text"].to_pylist()]
    truth = np.array(table["label"].to_pylist()) == "keep"
    groups = [str(i) for i in range(len(texts))]
    made = PageClassifier(embedder_id="", features=("ngrams", "shape"))
    scores = made.out_of_fold(features_of(texts), truth, groups)
    assert roc_auc_score(truth, scores) > 0.8
    half = len(texts) // 2
    baseline = LexicalBaseline().fit(texts[:half], truth[:half])
    assert roc_auc_score(truth[half:], baseline.predict_score(texts[half:])) > 0.7


def test_a_lexical_baseline_keeps_a_given_strength() -> None:
    texts, truth = (
        [f"good proof {n}" if n % 2 else f"cheap sale {n}" for n in range(60)],
        [bool(n % 2) for n in range(60)],
    )
    assert LexicalBaseline(c=0.5).fit(texts, truth).c_ == 0.5
    assert LexicalBaseline().fit(texts, truth).c_ > 0
