"""What an aim says; which threshold it comes to is tested with the classifier."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import BadInput
from curate.thresholds import Aim, aim_of, threshold_for


@pytest.mark.parametrize(
    ("words", "what", "number"),
    [
        ("f1", "f1", 0),
        ("precision>=0.9", "precision>=", 0.9),
        ("recall >= 1.0", "recall>=", 1),
        ("threshold=0", "threshold=", 0),
        ("keep_rate=.3", "keep_rate=", 0.3),
        ("keep_rate<=0.3", "keep_rate<=", 0.3),
        ("keep_share=0.3", "keep_rate=", 0.3),
        ("tokens<=10B", "tokens<=", 1e10),
        ("tokens<=1.5k", "tokens<=", 1500),
        ("tokens<=2e9", "tokens<=", 2e9),
        ("chars<=40M", "chars<=", 4e7),
        ("chars<=7", "chars<=", 7),
    ],
)
def test_aims(words: str, what: str, number: float) -> None:
    assert aim_of(words) == (what, number)


@pytest.mark.parametrize("words", ["", "best", "precision>0.9", "recall>=90", "keep_rate=30", "tokens=5", "tokens<=5X"])
def test_what_is_no_aim_is_refused_with_those_that_are(words: str) -> None:
    with pytest.raises(BadInput, match="aim: must be f1, precision>="):
        aim_of(words)


def test_who_decides() -> None:
    assert [aim_of(a).rate for a in ("precision>=0.9", "recall>=0.9", "f1", "tokens<=1B")] == [True, True, False, False]
    assert [aim_of(a).of_corpus for a in ("keep_rate=0.1", "chars<=1", "f1")] == [True, True, False]


@given(st.sampled_from(["precision>=", "keep_rate<=", "threshold="]), st.integers(0, 1000))
def test_an_aim_is_read_back(what: str, thousandths: int) -> None:
    assert aim_of(f"{what}{thousandths / 1000:.3f}") == Aim(what, thousandths / 1000)


def test_a_keep_rate_is_never_passed() -> None:
    values = np.array([0.9, 0.8, 0.8, 0.8, 0.1])
    found = threshold_for(values, aim="keep_rate<=0.7")
    assert (found.kept, found.met) == (1, True)
    assert threshold_for(values, aim="keep_rate<=0.8").kept == 4
    none = threshold_for(values, aim="keep_rate<=0.1")
    assert none.met is False
    assert "equal values cannot be parted" in none.note
