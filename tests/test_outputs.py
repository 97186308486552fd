"""What else a classifier says of a page."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from curate.features import Features
from curate.outputs import LEAST_TAUGHT, Output, Wanted, fit_output, values_of

RNG = np.random.default_rng(8)
N = 300
LEVEL = RNG.integers(0, 6, size=N).astype(float)
FEATURES = Features({"static": (LEVEL[:, None] / 5 + RNG.normal(size=(N, 5)) * 0.5).astype(np.float32)})
GROUPS = [str(i) for i in range(N)]
SILENT = np.full(N, np.nan)


def wanted(**changed: Any) -> Wanted:
    given: dict[str, Any] = {"name": "level", "what": "level", "top": 5.0, "people": SILENT}
    return Wanted(**{**given, "target": LEVEL / 5, "weight": np.ones(N), **changed})


def learned(one: Wanted) -> tuple[Output, np.ndarray]:
    found = fit_output(one, FEATURES, {"static": ("linear", 1.0)}, GROUPS, folds=5)
    assert found is not None
    return found


def test_levels_are_learned_in_order_and_on_their_scale() -> None:
    output, held = learned(wanted())
    assert spearmanr(held, LEVEL).statistic > 0.7
    values = output.value(FEATURES)
    assert values.min() >= 0
    assert values.max() <= 5
    assert abs(values.mean() - LEVEL.mean()) < 0.1


def test_a_judge_that_gives_too_much_is_brought_to_people_s_scale() -> None:
    generous = wanted(
        target=np.clip(LEVEL / 5 * 0.5 + 0.5, 0, 1), people=np.where(np.arange(N) % 3 == 0, LEVEL, np.nan)
    )
    output, held = learned(generous)
    assert abs(np.nanmean(held) - LEVEL.mean()) < 0.25
    assert abs(output.value(FEATURES).mean() - LEVEL.mean()) < 0.25
    assert np.nanmean(learned(wanted(target=generous.target))[1]) > LEVEL.mean() + 1


def test_people_who_say_the_opposite_do_not_turn_it_round() -> None:
    output, _ = learned(wanted(people=5 - LEVEL))
    assert (output.slope, output.offset) == (1.0, 0.0)


def test_pages_that_nobody_spoke_of_teach_nothing_and_have_no_held_out_value() -> None:
    some = np.where(np.arange(N) < 200, LEVEL / 5, np.nan)
    _, held = learned(wanted(target=some, weight=(np.arange(N) < 200).astype(float)))
    assert np.isnan(held).tolist() == (np.arange(N) >= 200).tolist()


@pytest.mark.parametrize("known", [0, LEAST_TAUGHT - 1])
def test_too_little_is_not_learned_from(known: int) -> None:
    target = np.where(np.arange(N) < known, LEVEL / 5, np.nan)
    assert fit_output(wanted(target=target), FEATURES, {"static": ("linear", 1.0)}, GROUPS, folds=5) is None
    assert fit_output(wanted(target=np.ones(N)), FEATURES, {"static": ("linear", 1.0)}, GROUPS, folds=5) is None


def test_classes_add_up_to_one_and_others_are_left_alone() -> None:
    outputs = {"level": learned(wanted())[0]}
    for place in range(3):
        of_class = (place == (LEVEL // 2)).astype(float)
        outputs[f"class {place}"] = learned(wanted(name=f"class {place}", what="class", top=1.0, target=of_class))[0]
    values = values_of(outputs, FEATURES)
    assert sum(values[f"class {place}"] for place in range(3)) == pytest.approx(np.ones(N))
    assert (values["level"] == outputs["level"].value(FEATURES)).all()
    likeliest = np.argmax([values[f"class {place}"] for place in range(3)], axis=0)
    assert (likeliest == LEVEL // 2).mean() > 0.5
