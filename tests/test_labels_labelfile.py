"""How a label file is to be read."""

import pytest
from pydantic import ValidationError

from curate.labels.labelfile import LabelFile


def test_the_key_is_the_column_or_the_match() -> None:
    assert (LabelFile(match="url").key, LabelFile(match="url", column="link").key) == ("url", "link")


def test_values_of_the_map_are_text_and_booleans_must_be_quoted() -> None:
    assert LabelFile.model_validate({"map": {1: 5, 0.5: 2, "x": 1}}).map == {"1": 5, "0.5": 2, "x": 1}
    with pytest.raises(ValidationError, match="quote yes, no, true and false"):
        LabelFile.model_validate({"map": {True: 1}})
