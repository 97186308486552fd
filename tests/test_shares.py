import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from curate.intervals import clopper_pearson
from curate.promises.shares import Masses, by_group, estimate_of, lower_bound, masses, surprise


def counted(right: int, n: int, weight: float = 1.0, heaviest: float | None = None) -> Masses:
    flags = np.arange(n) < right
    return masses(flags, np.full(n, weight), np.arange(n), heaviest=weight if heaviest is None else heaviest)


@given(st.integers(1, 200), st.floats(0, 1), st.floats(0.05, 0.95), st.floats(0.1, 50))
def test_equal_weights_give_the_exact_binomial(n: int, part: float, aim: float, weight: float) -> None:
    right = round(part * n)
    found, exact = counted(right, n, weight), clopper_pearson(right, n)
    assert float(surprise(found, aim)) == pytest.approx(stats.binom.sf(right - 1, n, aim), rel=1e-6, abs=1e-12)
    told = estimate_of(found, n)
    assert (told.value, told.low, told.high) == pytest.approx((exact.value, exact.low, exact.high), abs=1e-9)


def test_published_clopper_pearson() -> None:
    """Agresti and Coull 1998: 10 of 10 right, lower end .692; Newcombe 1998, table I: 81 of 263, .2527 to .3676."""
    assert lower_bound(counted(10, 10), 0.025) == pytest.approx(0.692, abs=5e-4)
    found = estimate_of(counted(81, 263), 263)
    assert (found.low, found.high) == pytest.approx((0.2527, 0.3676), abs=5e-5)


def test_no_right_page_is_no_evidence() -> None:
    assert lower_bound(counted(0, 20), 0.05) == 0
    assert float(surprise(counted(0, 20), 0.5)) == 1
    assert float(surprise(counted(20, 20), 1.0)) == 1, "certainty is never shown by a sample"
    assert float(surprise(counted(0, 20), 0.0)) == 0
    none = np.zeros(2)
    assert np.isnan(Masses(none, none, none, none, np.ones(2)).share).all()
    assert np.isnan(estimate_of(Masses(none, none, none, none, np.ones(2)).at(0), 0).value)


def test_a_heavier_page_that_may_be_there_lowers_the_bound() -> None:
    bounds = [lower_bound(counted(40, 40, heaviest=heaviest), 0.05) for heaviest in (1, 3, 10)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[2] == pytest.approx(40 / (40 + 10 * -np.log(0.05)), abs=0.01)


def test_pages_of_one_group_count_as_one() -> None:
    flags, member = np.repeat([True] * 30 + [False] * 10, 5), np.repeat(np.arange(40), 5)
    grouped = masses(flags, np.ones(200), member, heaviest=5.0)
    assert lower_bound(grouped, 0.05) == pytest.approx(lower_bound(counted(30, 40), 0.05), abs=1e-9)
    assert by_group(np.array([1.0, 2.0, 4.0]), np.array([0, 1, 0])).tolist() == [5.0, 2.0]


def test_bounds_hold_where_right_and_wrong_weigh_unlike() -> None:
    """60 pages of which a tenth weighs 10; the heavy ones are more often wrong."""
    rng, missed, runs = np.random.default_rng(0), 0, 600
    truth = (54 * 0.9 + 6 * 10 * 0.6) / (54 + 60)
    for _ in range(runs):
        heavy = rng.random(60) < 0.1
        right = rng.random(60) < np.where(heavy, 0.6, 0.9)
        weight = np.where(heavy, 10.0, 1.0)
        missed += lower_bound(masses(right, weight, np.arange(60), heaviest=10.0), 0.05) > truth
    assert missed / runs < 0.05
