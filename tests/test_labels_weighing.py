"""How steady raters are, and what they say together by that."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.labels.weighing import LEAST_SHARED, weighed


def said(
    noise: list[float], bias: list[float], *, pages: int = 300, per: int = 3, seed: int = 0
) -> tuple[list[tuple[str, str, int]], np.ndarray]:
    """Levels 0 to 5 by raters of these errors, `per` a page, and what is true."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(6, pages, p=[0.35, 0.2, 0.15, 0.12, 0.1, 0.08])
    rows = []
    for i, true in enumerate(truth):
        for r in rng.choice(len(noise), per, replace=False):
            rows.append((f"{i:04}", f"r{r}", int(np.clip(round(true + bias[r] + rng.normal(0, noise[r])), 0, 5))))
    return rows, truth


def sides(rows: list[tuple[str, str, int]], truth: np.ndarray) -> tuple[float, float]:
    """How often a page's side of 3 is right by weight, and by the mean."""
    found = weighed(rows)
    assert found is not None
    means = [np.mean([level for page, _, level in rows if page == name]) for name in found.levels]
    right = [np.mean((np.ceil(np.array(x) - 0.5) >= 3) == (truth >= 3)) for x in (list(found.levels.values()), means)]
    return float(right[0]), float(right[1])


@pytest.mark.parametrize("per", [2, 3])
def test_a_careless_rater_counts_less_and_pages_come_out_better(per: int) -> None:
    rows, truth = said([0.7, 0.7, 0.7, 0.7, 4.0], [0.0] * 5, per=per)
    found = weighed(rows)
    assert found is not None
    careful = [found.raters[f"r{i}"].weight for i in range(4)]
    assert found.raters["r4"].weight < 0.4 * min(careful)
    by_weight, by_mean = sides(rows, truth)
    assert by_weight > by_mean + 0.02


def test_raters_who_are_alike_lose_nothing() -> None:
    gains = []
    for seed in range(8):
        by_weight, by_mean = sides(*said([0.9] * 5, [0.0] * 5, seed=seed))
        gains.append(by_weight - by_mean)
    assert abs(np.mean(gains)) < 0.01


def test_a_bias_is_found_and_taken_off() -> None:
    rows, _ = said([0.5] * 4, [0.0, 0.0, 0.0, 1.0])
    found = weighed(rows)
    assert found is not None
    apart = found.raters["r3"].bias - np.mean([found.raters[f"r{i}"].bias for i in range(3)])
    assert 0.6 < apart < 1.1


def test_too_few_raters_or_shared_pages_tell_nothing() -> None:
    rows, _ = said([0.7] * 3, [0.0] * 3, pages=LEAST_SHARED - 1)
    assert weighed(rows) is None
    assert weighed([row for row in said([0.7] * 3, [0.0] * 3)[0] if row[1] != "r2"]) is None
    assert weighed([]) is None


def test_a_rater_of_few_pages_is_taken_to_be_like_the_others() -> None:
    rows, _ = said([0.7] * 4, [0.0] * 4)
    rows += [("0000", "new", 5), ("0001", "new", 0)]
    found = weighed(rows)
    assert found is not None
    assert 0.3 < found.raters["new"].weight < 1.5


@given(st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), min_size=LEAST_SHARED, max_size=60))
def test_what_is_said_together_stays_on_the_scale_whatever_the_order(levels: list[list[int]]) -> None:
    rows = [(f"{i:03}", f"r{r}", level) for i, three in enumerate(levels) for r, level in enumerate(three)]
    found, turned = weighed(rows), weighed(rows[::-1])
    assert found is not None
    assert found == turned
    assert all(0 <= level <= 5 for level in found.levels.values())
    assert all(0 < one.weight < 100 and abs(one.bias) <= 5 for one in found.raters.values())


def test_raters_who_say_the_same_are_taken_at_their_word() -> None:
    found = weighed([(f"{i:03}", rater, i % 6) for i in range(60) for rater in ("anna", "ben", "cleo")])
    assert found is not None
    assert list(found.levels.values()) == pytest.approx([i % 6 for i in range(60)])
