"""How far raters can be trusted."""

import numpy as np
import pytest

from curate.labels.reliability import LEAST_SHARED, reliability

RNG = np.random.default_rng(4)


def said(pages: int, skills: dict[str, float], *, per: int = 3) -> tuple[list[tuple[str, str, int]], np.ndarray]:
    """Two classes; each rater is right with the chance of their skill."""
    truth = (RNG.random(pages) < 0.4).astype(int)
    rows = []
    for i, true in enumerate(truth):
        for rater in RNG.choice(list(skills), per, replace=False):
            rows.append((f"{i:04}", str(rater), int(true if RNG.random() < skills[str(rater)] else 1 - true)))
    return rows, truth


def test_raters_are_known_by_their_skill_and_the_good_ones_count_more() -> None:
    skills = {"anna": 0.95, "ben": 0.9, "cleo": 0.55, "dan": 0.7, "eve": 0.8}
    rows, truth = said(400, skills)
    found = reliability(rows, levels=2)
    assert found is not None
    pages, confused = found
    told = {rater: float((table[0, 0] + table[1, 1]) / 2) for rater, table in confused.items()}
    assert told == pytest.approx(skills, abs=0.08)
    weighed = np.array([chance[1] > 0.5 for chance in pages.values()])
    mean = np.array([np.mean([level for page, _, level in rows if page == name]) > 0.5 for name in pages])
    assert (weighed == truth).mean() > (mean == truth).mean() + 0.01
    assert all(chance.sum() == pytest.approx(1) for chance in pages.values())


def test_too_few_shared_pages_tell_nothing() -> None:
    rows, _ = said(LEAST_SHARED - 1, {"anna": 0.9, "ben": 0.9}, per=2)
    assert reliability(rows, levels=2) is None
    assert reliability([], levels=2) is None
    assert reliability([(str(i), "anna", 1) for i in range(200)], levels=2) is None


def test_a_rater_with_three_labels_is_not_taken_for_an_oracle() -> None:
    rows, _ = said(100, {"anna": 0.85, "ben": 0.85}, per=2)
    rows += [(f"{i:04}", "new", 1) for i in range(3)]
    found = reliability(rows, levels=2)
    assert found is not None
    assert 0.3 < found[1]["new"][1, 1] < 0.95


def test_levels_are_told_in_order_of_what_was_said() -> None:
    rows = [(f"{i:03}", rater, i % 6) for i in range(60) for rater in ("anna", "ben")]
    found = reliability(rows, levels=6)
    assert found is not None
    assert [int(np.argmax(chance)) for chance in found[0].values()] == [i % 6 for i in range(60)]
