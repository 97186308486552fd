from typing import Any

import pytest
from pydantic import ValidationError

from curate.sampling.designs import Round, Settings


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"bins": 3}, "bins and strata need by"),
        ({"strata": "equal"}, "bins and strata need by"),
        ({"strata": {"de": 1}}, "bins and strata need by"),
        ({"by": "lang", "strata": {}}, "there must be one"),
        ({"by": "lang", "strata": {"de": 0}}, "greater than 0"),
        ({"by": "score", "bins": 3, "strata": {"low": 1}}, "bins have no names"),
        ({"by": "score", "bins": 1}, "greater than 1"),
        ({"how": "informative"}, "'uniform' or 'diverse'"),
        ({"how": "diverse", "pages": None}, "needs a number of pages"),
        ({"rounds": [{"how": "uniform"}]}, "Field required"),
        ({"rounds": [{"pages": 5, "seed": "x"}]}, "Extra inputs are not permitted"),
        ({"most_per_host": 0}, "greater than 0"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Settings.model_validate(given)


def test_settings_are_frozen_and_say_what_each_means() -> None:
    for kind in (Settings, Round):
        assert all(field.description for field in kind.model_fields.values())
        assert kind.model_config["frozen"]
    assert Settings().rounds == []
    assert Round(pages=3).how == "uniform"
