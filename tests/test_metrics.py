import math
import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from curate import metrics as m
from curate.errors import BadInput

TRUTH = [0, 0, 1, 1]
SCORE = [0.1, 0.4, 0.35, 0.8]
BINARY = [m.kappa, m.accuracy, m.balanced_accuracy, m.f1, m.precision, m.recall]


def drawn(n=200, seed=0):
    """Levels 0..5 of people and of a judge, and the judge's score with ties."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 6, n)
    score = np.round(truth + rng.normal(0, 2, n), 1)
    return truth, score, np.clip(np.round(score), 0, 5).astype(int)


def test_auc_by_hand():
    assert m.auc(TRUTH, SCORE) == 3 / 4
    assert m.auc([True, False, True], [1, 1, 0]) == 0.25  # one tie of two pairs
    assert m.auc(TRUTH, [7, 7, 7, 7]) == 0.5
    assert m.auc([0, 1, 1], [-math.inf, -math.inf, math.inf]) == 0.75


def test_average_precision_by_hand():
    assert m.average_precision(TRUTH, SCORE) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert m.average_precision(TRUTH, [7, 7, 7, 7]) == 0.5  # tied pages enter together: the base rate


def test_decisions_by_hand():
    truth, kept = [1, 1, 1, 0, 0, 0, 0, 0, 0, 0], [1, 1, 0, 1, 1, 0, 0, 0, 0, 0]
    assert m.accuracy(truth, kept) == 0.7
    assert m.precision(truth, kept) == 2 / 4
    assert m.recall(truth, kept) == 2 / 3
    assert m.f1(truth, kept) == pytest.approx(4 / 7)
    assert m.balanced_accuracy(truth, kept) == pytest.approx((2 / 3 + 5 / 7) / 2)
    assert m.kappa(truth, kept) == pytest.approx((0.7 - 0.54) / (1 - 0.54))


def test_levels_by_hand():
    assert m.weighted_kappa([0, 1, 2], [0, 2, 2], 3) == pytest.approx(1 - (1 / 3) / (15 / 9))  # 15: all nine pairs
    assert m.mae([0.5, 3, 5], [1, 3, 2]) == pytest.approx(3.5 / 3)
    assert m.confusion([0, 1, 2, 2], [0, 2, 2, 2], 3) == [[1, 0, 0], [0, 0, 1], [0, 0, 2]]
    assert m.spearman([1, 2, 3, 4], [10, 20, 40, 30]) == pytest.approx(1 - 6 * 2 / (4 * 15))


@pytest.mark.parametrize("seed", range(5))
def test_same_as_scikit_learn_and_scipy(seed):
    truth, score, level = drawn(seed=seed)
    keeps, kept = truth >= 3, level >= 3
    probability = np.clip(score / 5, 0, 1)
    assert m.auc(keeps, score) == pytest.approx(sk.roc_auc_score(keeps, score))
    assert m.average_precision(keeps, score) == pytest.approx(sk.average_precision_score(keeps, score))
    assert m.spearman(truth, score) == pytest.approx(stats.spearmanr(truth, score).statistic)
    assert m.kappa(truth, level) == pytest.approx(sk.cohen_kappa_score(truth, level))
    assert m.weighted_kappa(truth, level, 6) == pytest.approx(sk.cohen_kappa_score(truth, level, weights="quadratic"))
    assert m.accuracy(keeps, kept) == sk.accuracy_score(keeps, kept)
    assert m.balanced_accuracy(keeps, kept) == pytest.approx(sk.balanced_accuracy_score(keeps, kept))
    assert m.f1(keeps, kept) == pytest.approx(sk.f1_score(keeps, kept))
    assert m.precision(keeps, kept) == pytest.approx(sk.precision_score(keeps, kept))
    assert m.recall(keeps, kept) == pytest.approx(sk.recall_score(keeps, kept))
    assert m.mae(truth, level) == pytest.approx(sk.mean_absolute_error(truth, level))
    assert m.brier(keeps, probability) == pytest.approx(sk.brier_score_loss(keeps, probability))
    assert m.confusion(truth, level, 6) == sk.confusion_matrix(truth, level, labels=range(6)).tolist()


labelled = st.lists(st.tuples(st.booleans(), st.integers(-50, 50)), min_size=2, max_size=40).filter(
    lambda rows: len({truth for truth, _ in rows}) == 2
)


@settings(deadline=None)
@given(labelled)
def test_auc_of_the_reverse_is_the_rest(rows):
    truth, score = map(np.array, zip(*rows, strict=True))
    assert m.auc(truth, -score) == pytest.approx(1 - m.auc(truth, score))
    assert m.auc(~truth, score) == pytest.approx(1 - m.auc(truth, score))


@settings(deadline=None)
@given(labelled)
def test_only_the_order_of_scores_matters(rows):
    truth, score = map(np.array, zip(*rows, strict=True))
    for monotone in (score * 3.0 + 7, np.exp(score / 10), m.ranked_last(score)):
        assert m.auc(truth, monotone) == m.auc(truth, score)
        assert m.average_precision(truth, monotone) == m.average_precision(truth, score)
        assert m.spearman(truth, monotone) == pytest.approx(m.spearman(truth, score), nan_ok=True)


@settings(deadline=None)
@given(labelled)
def test_auc_is_the_share_of_pairs_in_order(rows):
    pairs = [(a > b) + (a == b) / 2 for t, a in rows for u, b in rows if t and not u]
    assert m.auc(*zip(*rows, strict=True)) == pytest.approx(sum(pairs) / len(pairs))


@settings(deadline=None, max_examples=40)
@given(labelled, st.integers(0, 1000))
def test_all_resamples_at_once_equal_one_by_one(rows, seed):
    truth, score = map(np.array, zip(*rows, strict=True))
    kept, groups = score > 0, score % 7
    for statistic, arrays in [
        (m.auc, [truth, score]),
        (m.average_precision, [truth, score]),
        (m.spearman, [truth, score]),
        (partial(m.weighted_kappa, levels=6), [abs(score) % 6, abs(score * 7) % 6]),
        *[(statistic, [truth, kept]) for statistic in BINARY],
        (m.mae, [truth, score]),
        (m.expected_calibration_error, [truth, abs(score) / 50]),
    ]:
        fast = m.bootstrap(statistic, arrays, groups=groups, resamples=15, seed=seed)
        slow = m.bootstrap(lambda *xs, s=statistic: s(*xs), arrays, groups=groups, resamples=15, seed=seed)
        assert fast.value == pytest.approx(slow.value, nan_ok=True)
        if not math.isnan(slow.low):  # a share without spread has Wilson's interval only where it is known as a share
            assert (fast.low, fast.high) == (pytest.approx(slow.low), pytest.approx(slow.high))


def test_one_class_or_no_variation_is_undefined_not_an_error():
    ones, kept, none = [1, 1, 1], [1, 0, 1], [0, 0, 0]
    for statistic in (m.auc, m.average_precision, m.balanced_accuracy):
        assert math.isnan(statistic(ones, kept))
        assert math.isnan(statistic(none, kept))
    assert math.isnan(m.precision(kept, none))
    assert math.isnan(m.recall(none, kept))
    assert math.isnan(m.f1(none, none))
    assert m.f1(kept, none) == 0
    assert m.kappa(kept, ones) == 0
    assert math.isnan(m.kappa(ones, ones))
    assert math.isnan(m.weighted_kappa(ones, ones, 2))
    assert math.isnan(m.spearman(ones, kept))
    for statistic in (m.auc, m.spearman, m.mae, *BINARY):
        empty = m.bootstrap(statistic, [[], []])
        assert math.isnan(statistic([], []))
        assert (math.isnan(empty.value), math.isnan(empty.low), empty.n) == (True, True, 0)


def test_input_that_cannot_be_meant_is_refused():
    with pytest.raises(BadInput, match=r"1 of 2 are NaN; rank them with ranked_last"):
        m.auc([0, 1], [0.5, math.nan])
    with pytest.raises(BadInput, match=r"true or false \(got 3\)"):
        m.auc([0, 3], [0.5, 1])
    with pytest.raises(BadInput, match=r"must be one of 0\.\.5 \(got 7\)"):
        m.weighted_kappa([0, 7], [0, 1], 6)
    with pytest.raises(BadInput, match=r"lengths \[2, 3, 2\]"):
        m.auc([0, 1], [1, 2, 3])
    with pytest.raises(BadInput, match="a group of its own"):
        m.bootstrap(m.auc, [[0, 1], [1, 2]], groups=["a", None])
    with pytest.raises(BadInput, match=r"in 0\.\.1"):
        m.brier([0, 1], [0.5, math.nan])


def test_text_and_json():
    assert m.Estimate(0.87, 0.791, 0.934, 64).text() == ".87 [.79, .93]"
    assert str(m.Estimate(-0.001, -0.25, 1.0, 64)) == ".00 [-.25, 1.00]"
    assert str(m.Estimate(1.24, 1.1, 10.5, 3)) == "1.24 [1.10, 10.50]"
    assert str(m.Estimate(0.5, math.nan, math.nan, 3)) == ".50 [no interval]"
    assert str(m.Estimate(math.nan, math.nan, math.nan, 3)) == "undefined"
    assert m.Estimate(0.5, math.nan, 1, 3).as_dict() == {"value": 0.5, "low": None, "high": 1.0, "n": 3}


def test_bootstrap_is_repeatable_and_close_to_scipy():
    truth, score, _ = drawn(150)
    once, again = (m.bootstrap(m.auc, [truth >= 3, score]) for _ in range(2))
    assert once == again
    assert once != m.bootstrap(m.auc, [truth >= 3, score], seed=1)
    theirs = stats.bootstrap(
        (truth >= 3, score),
        m.auc,
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        rng=0,
    ).confidence_interval
    assert (once.low, once.high) == (pytest.approx(theirs.low, abs=0.012), pytest.approx(theirs.high, abs=0.012))
    assert once.low < m.bootstrap(m.auc, [truth >= 3, score], level=0.5).low


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_bootstrap_of_a_share_is_binomial(level):
    found = m.bootstrap(m.share, [np.arange(400) % 2 == 0], resamples=20_000, level=level)
    low, high = stats.binom.interval(level, 400, 0.5)
    assert (found.low, found.high) == (pytest.approx(low / 400, abs=0.003), pytest.approx(high / 400, abs=0.003))


def test_groups_that_hang_together_widen_the_interval():
    flags = np.repeat(np.random.default_rng(0).integers(0, 2, 40), 10)
    pages, hosts = m.bootstrap(m.share, [flags]), m.bootstrap(m.share, [flags], groups=np.repeat(np.arange(40), 10))
    assert pages.value == hosts.value
    assert (hosts.high - hosts.low) / (pages.high - pages.low) == pytest.approx(math.sqrt(10), rel=0.1)
    alone = m.bootstrap(m.share, [flags], groups=[f"host {i}" for i in range(400)])
    assert (alone.high - alone.low) == pytest.approx(pages.high - pages.low, rel=0.1)


def test_many_undefined_resamples_leave_the_value_without_interval():
    rare = [1, *[0] * 30]  # a third of the resamples have no page worth keeping
    found = m.bootstrap(m.auc, [rare, [5, *range(30)]])
    assert found.value == pytest.approx(5.5 / 30)
    assert (math.isnan(found.low), math.isnan(found.high), found.n) == (True, True, 31)
    enough = m.bootstrap(m.auc, [[1] * 4 + [0] * 30, range(34)])
    assert enough.low <= enough.value <= enough.high  # 1.6 % undefined: left out


def test_a_perfect_score_is_not_certain():
    truth, score = np.repeat([0, 1], [42, 12]), np.arange(54)
    perfect = m.bootstrap(m.auc, [truth, score])
    assert (perfect.value, perfect.high) == (1, 1)
    assert perfect.low == pytest.approx(m.wilson(12, 12).low)
    assert m.bootstrap(m.accuracy, [truth, truth]).low == pytest.approx(m.wilson(54, 54).low)
    assert m.bootstrap(m.recall, [truth, truth]).low == pytest.approx(m.wilson(12, 12).low)
    assert m.bootstrap(m.accuracy, [truth, truth], groups=truth).low == pytest.approx(m.wilson(2, 2).low)
    assert m.bootstrap(m.accuracy, [truth, truth], level=0.8).low == pytest.approx(m.wilson(54, 54, level=0.8).low)
    assert m.bootstrap(m.auc, [truth, np.zeros(54)]).low < 0.3
    assert str(m.bootstrap(m.kappa, [truth, truth])) == "1.00 [no interval]"


def test_one_group_says_nothing_about_others():
    truth, score, _ = drawn(50)
    one = m.bootstrap(m.spearman, [truth, score], groups=["same"] * 50)
    assert (math.isnan(one.low), one.n) == (True, 50)
    accuracy = m.bootstrap(m.share, [truth >= 3], groups=["same"] * 50)
    assert accuracy.high - accuracy.low > 0.6


def test_paired_difference_is_what_b_gains():
    truth, score, _ = drawn(300)
    worse = score + np.random.default_rng(1).normal(0, 0.7, 300)
    keeps = truth >= 3
    gain = m.paired_difference(m.auc, keeps, worse, score)
    assert gain.value == pytest.approx(m.auc(keeps, score) - m.auc(keeps, worse))
    assert gain.low < gain.value < gain.high
    assert gain.n == 300
    separate = m.bootstrap(m.auc, [keeps, score])
    assert gain.high - gain.low < 0.7 * (separate.high - separate.low)
    back = m.paired_difference(m.auc, keeps, score, worse)
    assert (back.value, back.low) == (pytest.approx(-gain.value), pytest.approx(-gain.high))
    assert m.paired_difference(m.auc, keeps, score, score) == m.Estimate(0, 0, 0, 300)
    both_perfect = m.paired_difference(m.auc, keeps, truth, truth * 2 + 1)
    assert (both_perfect.value, math.isnan(both_perfect.low)) == (0, True)
    grouped = m.paired_difference(m.auc, keeps, worse, score, groups=np.arange(300) // 50)
    assert grouped.value == gain.value
    assert (grouped.low, grouped.high) != (gain.low, gain.high)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (1, 1), (81, 263), (15, 148)])
def test_share_intervals_equal_scipy(k, n):
    test = stats.binomtest(k, n)
    for ours, method in ((m.wilson(k, n), "wilson"), (m.clopper_pearson(k, n), "exact")):
        theirs = test.proportion_ci(0.95, method)
        assert (ours.value, ours.n) == (k / n, n)
        assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=1e-9), pytest.approx(theirs.high, abs=1e-9))


def test_share_intervals_published():
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263.
    wilson, exact = m.wilson(81, 263), m.clopper_pearson(81, 263)
    assert (round(wilson.low, 4), round(wilson.high, 4)) == (0.2553, 0.3662)
    assert (round(exact.low, 4), round(exact.high, 4)) == (0.2527, 0.3676)
    assert math.isnan(m.wilson(0, 0).value)
    assert math.isnan(m.clopper_pearson(0, 0).low)


def test_reliability_rows():
    truth, probability = [0, 0, 1, 1, 1], [0.0, 0.1, 0.15, 0.9, 1.0]
    rows = m.reliability(truth, probability)
    assert [(row.low, row.n) for row in rows if row.n] == [(0.0, 1), (0.1, 2), (0.9, 2)]
    assert len(rows) == 10
    second = rows[1]
    assert (second.mean_probability, second.share_true.value) == (pytest.approx(0.125), 0.5)
    assert second.share_true == m.wilson(1, 2)
    assert rows[5].as_dict()["mean_probability"] is None
    assert rows[5].as_dict()["share_true"]["value"] is None
    assert m.expected_calibration_error(truth, probability) == pytest.approx((0 + 2 * 0.375 + 2 * 0.05) / 5)
    assert m.brier(truth, probability) == pytest.approx((0 + 0.01 + 0.85**2 + 0.01 + 0) / 5)
    assert m.expected_calibration_error(truth, probability, bins=1) == pytest.approx(abs(0.6 - 2.15 / 5))


def test_ranked_last():
    assert m.ranked_last([3.0, None, -2, 3.0, math.nan]).tolist() == [1, -1, 0, 1, -1]
    twice = m.ranked_last(m.ranked_last([3.0, math.nan, -2]))
    assert twice.tolist() == [2, 0, 1]


def test_where_a_mean_becomes_a_decision():
    means = [2.0, 2.5, 2.67, 3.0, 2 + 1 / 3, 0.5, 2 / 3]
    assert m.nearest_level(means).tolist() == [2, 2, 3, 3, 2, 0, 1]
    assert m.nearest_level([2.5 + 1e-9, 2.5 - 1e-9]).tolist() == [3, 2]
    assert m.worth_keeping(means, 3).tolist() == [False, False, True, True, False, False, False]
    assert m.worth_keeping([0.5, 2 / 3, 1 / 3], 1).tolist() == [False, True, False]


def test_evaluate_is_each_statistic():
    truth, score, level = drawn(120)
    means = np.clip(truth + np.random.default_rng(2).choice([0, 0.5, -1 / 3], 120), 0, 5)
    groups = np.arange(120) // 2
    found = m.evaluate(truth_level=means, score=score, level=level, keep=3, levels=6, groups=groups)
    keeps, kept = np.ceil(means - 0.5) >= 3, level >= 3
    expected = {statistic.__name__: (statistic, [keeps, kept]) for statistic in BINARY} | {
        "auc": (m.auc, [keeps, score]),
        "average_precision": (m.average_precision, [keeps, score]),
        "spearman": (m.spearman, [means, score]),
        "qwk": (partial(m.weighted_kappa, levels=6), [np.ceil(means - 0.5), level]),
        "mae": (m.mae, [means, level]),
    }
    assert set(found) == {*expected, "coverage"}
    for name, (statistic, arrays) in expected.items():
        assert found[name] == m.bootstrap(statistic, arrays, groups=groups), name
    assert found["coverage"] == m.Estimate(1, m.wilson(60, 60).low, 1, 120)


def test_evaluate_leaves_out_what_cannot_be_made():
    truth, score, level = drawn(60)
    binary = m.evaluate(truth_level=truth > 2, score=score, level=level > 2, keep=1, levels=2)
    assert "qwk" not in binary
    assert "mae" not in binary
    bare = m.evaluate(truth_level=truth, score=score, level=None, keep=3, levels=6)
    assert set(bare) == {"auc", "average_precision", "spearman", "coverage"}
    decided = m.evaluate(truth_level=truth, score=score, level=None, keep=3, levels=6, predicted_keep=score > 4)
    assert decided["precision"].value == m.precision(truth >= 3, score > 4)
    assert "qwk" not in decided


def test_unjudged_pages_count_as_the_lowest():
    truth, score, level = drawn(100)
    silent = np.random.default_rng(4).random(100) < 0.3
    gaps = np.where(silent, np.nan, score)
    levels = [None if s else int(x) for s, x in zip(silent, level, strict=True)]
    found = m.evaluate(truth_level=truth, score=gaps, level=levels, keep=3, levels=6)
    worst = m.evaluate(
        truth_level=truth, score=np.where(silent, -99, score), level=np.where(silent, 0, level), keep=3, levels=6
    )
    assert {k: v for k, v in found.items() if k != "coverage"} == {k: v for k, v in worst.items() if k != "coverage"}
    assert found["coverage"].value == np.mean(~silent)
    assert found["auc"].n == 100
    everything = m.evaluate(truth_level=truth, score=score, level=level, keep=3, levels=6)
    assert found["auc"].value < everything["auc"].value
    decided = m.evaluate(
        truth_level=truth, score=gaps, level=None, keep=3, levels=6, predicted_keep=np.ones(100, dtype=bool)
    )
    assert decided["recall"].value == np.mean(~silent[truth >= 3])


def test_a_judge_that_always_refuses_is_chance():
    truth, _, _ = drawn(50)
    found = m.evaluate(truth_level=truth, score=[None] * 50, level=[None] * 50, keep=3, levels=6)
    assert (found["auc"].value, found["coverage"].value, found["recall"].value, found["kappa"].value) == (0.5, 0, 0, 0)
    assert math.isnan(found["precision"].value)
    assert math.isnan(found["spearman"].value)


def test_evaluate_refuses_pages_without_labels_and_levels_off_the_scale():
    with pytest.raises(BadInput, match="1 of 2 pages have no label"):
        m.evaluate(truth_level=[1, math.nan], score=[1, 2], level=None, keep=3, levels=6)
    with pytest.raises(BadInput, match=r"must be one of 0\.\.5 \(got -1\)"):
        m.evaluate(truth_level=[1, 2], score=[1, 2], level=[1, -1], keep=3, levels=6)
    nothing = m.evaluate(truth_level=[], score=[], level=[], keep=3, levels=6)
    assert all(math.isnan(x.value) and x.n == 0 for x in nothing.values())


def test_one_true_class_is_reported_not_raised():
    _, score, level = drawn(40)
    found = m.evaluate(truth_level=np.full(40, 5), score=score, level=level, keep=3, levels=6)
    assert [k for k, v in found.items() if math.isnan(v.value)] == [
        "auc",
        "average_precision",
        "spearman",
        "balanced_accuracy",
    ]
    assert found["accuracy"].value == np.mean(level >= 3)


def test_two_thousand_resamples_of_500_pages_take_well_under_a_second():
    truth, score, level = drawn(500)
    start = time.process_time()
    m.evaluate(truth_level=truth, score=score, level=level, keep=3, levels=6)
    assert (time.process_time() - start) / 12 < 0.5


def test_many_pages_stay_within_memory():
    import tracemalloc

    truth, score, _ = drawn(50_000)
    tracemalloc.start()
    m.bootstrap(m.auc, [truth >= 3, score], resamples=200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # all 200 rows at once are 80 MB, several times over


def covered(draw, statistic, true, *, simulations=300, seed=0):
    """Share of simulations whose interval holds the true value; `draw(rng)` gives arrays and groups."""
    rng = np.random.default_rng(seed)
    found = [
        m.bootstrap(statistic, arrays, groups=groups, resamples=500)
        for arrays, groups in (draw(rng) for _ in range(simulations))
    ]
    return np.mean([x.low <= true <= x.high for x in found])


@pytest.mark.slow
def test_auc_intervals_cover():
    def draw(rng):
        truth = rng.random(150) < 0.4
        return [truth, truth * 1.2 + rng.normal(size=150)], None

    assert 0.92 < covered(draw, m.auc, stats.norm.cdf(1.2 / math.sqrt(2))) < 0.98


@pytest.mark.slow
def test_intervals_over_hosts_cover_where_those_over_pages_do_not():
    def draw(rng, grouped=True):
        hosts = np.repeat(np.arange(60), 8)
        right = rng.random(480) < rng.beta(1.4, 0.6, 60)[hosts]
        return [right], hosts if grouped else None

    assert 0.91 < covered(draw, m.share, 0.7) < 0.98
    assert covered(partial(draw, grouped=False), m.share, 0.7) < 0.8


@pytest.mark.slow
def test_perfect_auc_intervals_hold_the_true_auc():
    rng, true = np.random.default_rng(0), stats.norm.cdf(3 / math.sqrt(2))
    truth = np.repeat([0, 1], [30, 12])
    samples = (truth * 3 + rng.normal(size=42) for _ in range(200))
    found = [m.bootstrap(m.auc, [truth, score], resamples=200) for score in samples if m.auc(truth, score) == 1]
    assert len(found) > 20
    assert all(x.low < true for x in found)


@pytest.mark.slow
def test_gain_intervals_cover_no_gain():
    rng = np.random.default_rng(2)
    inside = []
    for _ in range(300):
        truth = rng.random(120) < 0.5
        shared = truth + rng.normal(size=120)
        a, b = (shared + rng.normal(size=120) for _ in range(2))
        gain = m.paired_difference(m.auc, truth, a, b, resamples=500)
        inside.append(gain.low <= 0 <= gain.high)
    assert 0.91 < np.mean(inside) < 0.985


def classes(n=300, k=4, seed=0):
    """Classes of people and of a judge that is right half the time, one class rare."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(k, n, p=[0.5, 0.3, 0.15, 0.05])
    return truth, np.where(rng.random(n) < 0.5, truth, rng.integers(0, k, n))


@pytest.mark.parametrize("seed", range(5))
def test_classes_are_scored_as_scikit_learn_does(seed):
    truth, said = classes(seed=seed)
    assert m.macro_f1(truth, said, 4) == pytest.approx(sk.f1_score(truth, said, average="macro"))
    assert m.mean_recall(truth, said, 4) == pytest.approx(sk.balanced_accuracy_score(truth, said))
    assert m.macro_f1(truth[:3], said[:3], 4) == pytest.approx(sk.f1_score(truth[:3], said[:3], average="macro"))
    found = m.evaluate(truth_level=truth, score=said, level=said, keep={1, 3}, levels=4, scale="choice")
    keeps, kept = np.isin(truth, [1, 3]), np.isin(said, [1, 3])
    assert {name: estimate.value for name, estimate in found.items()} == {
        "accuracy": pytest.approx(sk.accuracy_score(truth, said)),
        "balanced_accuracy": pytest.approx(sk.balanced_accuracy_score(truth, said)),
        "macro_f1": pytest.approx(sk.f1_score(truth, said, average="macro")),
        "kappa": pytest.approx(sk.cohen_kappa_score(truth, said)),
        "auc": pytest.approx(sk.roc_auc_score(keeps, said)),
        "average_precision": pytest.approx(sk.average_precision_score(keeps, said)),
        "f1": pytest.approx(sk.f1_score(keeps, kept)),
        "precision": pytest.approx(sk.precision_score(keeps, kept)),
        "recall": pytest.approx(sk.recall_score(keeps, kept)),
        "keep_accuracy": pytest.approx(sk.accuracy_score(keeps, kept)),
        "keep_kappa": pytest.approx(sk.cohen_kappa_score(keeps, kept)),
        "coverage": 1.0,
    }
    assert all(estimate.low < estimate.value < estimate.high for name, estimate in found.items() if name != "coverage")


def test_a_quiz_is_scored_by_its_classes_alone():
    truth, said = classes()
    found = m.evaluate(truth_level=truth, score=said, level=said, keep=frozenset(), levels=4, scale="choice")
    assert set(found) == {"accuracy", "balanced_accuracy", "macro_f1", "kappa", "coverage"}


def test_no_answer_is_a_wrong_class_and_no_class_of_its_own():
    truth, said = [0, 0, 1, 1], [0, None, 1, 1]
    found = m.evaluate(truth_level=truth, score=said, level=said, keep={0}, levels=2, scale="choice")
    assert (found["accuracy"].value, found["coverage"].value) == (0.75, 0.75)
    assert found["balanced_accuracy"].value == pytest.approx((1 / 2 + 1) / 2)
    assert found["macro_f1"].value == pytest.approx((2 / 3 + 1) / 2)
    assert found["recall"].value == 0.5


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=30), st.integers(0, 1000))
def test_resamples_of_classes_at_once_equal_one_by_one(rows, seed):
    truth, said = map(np.array, zip(*rows, strict=True))
    for statistic in (partial(m.macro_f1, levels=4), partial(m.mean_recall, levels=4)):
        at_once = m.bootstrap(statistic, [truth, said], resamples=50, seed=seed)
        one_by_one = m.bootstrap(lambda a, b, s=statistic: s(a, b), [truth, said], resamples=50, seed=seed)
        assert at_once.value == pytest.approx(one_by_one.value, nan_ok=True)
        assert [at_once.low, at_once.high] == pytest.approx([one_by_one.low, one_by_one.high], nan_ok=True)


def test_levels_to_keep_may_be_a_list():
    truth, score, level = drawn()
    plain = m.evaluate(truth_level=truth, score=score, level=level, keep=3, levels=6)
    listed = m.evaluate(truth_level=truth, score=score, level=level, keep={3, 4, 5}, levels=6)
    assert plain == listed
    assert m.worth_keeping([0, 1, 2], {0, 2}).tolist() == [True, False, True]
    unjudged = m.evaluate(truth_level=[0, 1], score=[None, 1], level=[None, 1], keep={0}, levels=2)
    assert unjudged["recall"].value == 0, "an unjudged page is dropped, also where level 0 is kept"
