import numpy as np
import pytest

from curate.errors import BadInput
from curate.learning import learning_curve

SIZES = np.array([125.0, 250.0, 500.0, 1000.0, 2000.0])


def curve(a, b, c, error, seed=0):
    rng = np.random.default_rng(seed)
    return learning_curve(SIZES, a - b * SIZES**-c + rng.normal(0, error, 5), [error] * 5)


def true_gain(b, c):
    return b * (2000**-c - 4000**-c)


@pytest.mark.parametrize(("a", "b", "c"), [(0.9, 1.0, 0.5), (0.9, 0.5, 0.3), (0.95, 2.0, 1.0)])
def test_gain_of_doubling_is_found(a, b, c):
    gain = curve(a, b, c, 0.0005).gain()
    assert gain.low <= true_gain(b, c) <= gain.high
    assert gain.value == pytest.approx(true_gain(b, c), abs=0.002)


def test_interval_covers_under_noise():
    found = [curve(0.9, 1.0, 0.5, 0.01, seed).gain() for seed in range(40)]
    assert np.mean([g.low <= true_gain(1.0, 0.5) <= g.high for g in found]) >= 0.9
    assert max(g.high - g.low for g in found) < 0.05


def test_a_flat_curve_has_no_gain_to_be_seen():
    found = curve(0.85, 0.0, 0.5, 0.001)
    assert found.gain().low == 0
    assert found.gain().high < 0.005
    assert found.words("labels") == "no more gain to be seen: 2,000 more labels would gain less than .005"


def test_noise_is_not_called_a_gain():
    found = curve(0.85, 0.0, 0.5, 0.01, seed=1)
    assert found.gain().low == 0
    assert found.words().startswith("no")


def test_a_steep_curve_says_what_more_would_bring():
    found = curve(0.9, 2.0, 0.5, 0.001)
    assert found.words().startswith("2,000 more judgments would gain about .01 [.01, .0")
    assert found.gain(4).value > found.gain(2).value > found.gain(1).value == 0


def test_what_is_gained_beyond_the_sizes_measured_is_less():
    found = curve(0.9, 1.0, 0.5, 0.0005)
    later = found.gain(size=4000)
    assert later.low <= 4000**-0.5 - 8000**-0.5 <= later.high
    assert later.value < found.gain().value == found.gain(size=2000).value


def test_no_curve_passes_the_ceiling():
    found = learning_curve(SIZES, 1 - 8 * SIZES**-0.7, [0.01] * 5)
    assert found.at(1e9).high <= 1
    assert found.at(2000).value == pytest.approx(1 - 8 * 2000**-0.7, abs=0.02)


def test_a_fall_is_noise_not_a_law():
    found = learning_curve(SIZES, [0.9, 0.89, 0.88, 0.87, 0.86], [0.001] * 5)
    assert found.gain().low == 0
    assert found.gain().high < 0.05


def test_points_that_scatter_more_than_their_errors_widen_the_interval():
    scores = 0.9 - SIZES**-0.5 + np.array([0.01, -0.012, 0.008, -0.01, 0.006])
    told = learning_curve(SIZES, scores, [0.001] * 5).gain()
    assert told.high - told.low > 0.003


def test_order_does_not_matter_and_json_holds_words():
    one = learning_curve([100, 200, 400], [0.7, 0.8, 0.85], [0.02] * 3)
    other = learning_curve([400, 100, 200], [0.85, 0.7, 0.8], [0.02] * 3)
    assert one.as_dict() == other.as_dict()
    assert one.as_dict()["words"] == one.words()
    assert set(one.as_dict()["gain_of_doubling"]) == {"value", "low", "high", "n"}


@pytest.mark.parametrize(
    ("sizes", "scores", "errors", "said"),
    [
        ([1, 2], [0.1, 0.2], [0.1, 0.1], "at least 3 sizes"),
        ([1, 2, 2], [0.1, 0.2, 0.2], [0.1] * 3, "at least 3 sizes"),
        ([1, 2, 3], [0.1, 0.2, np.nan], [0.1] * 3, "finite"),
        ([1, 2, 3], [0.1, 0.2, 0.3], [0.1, 0.1, 0], "above 0"),
        ([1, 2, 3], [0.1, 0.2, 3.0], [0.1] * 3, "ceiling"),
    ],
)
def test_bad_points_are_refused(sizes, scores, errors, said):
    with pytest.raises(BadInput, match=said):
        learning_curve(sizes, scores, errors)
