"""The card beside a saved classifier."""

from typing import Any

import yaml

from curate.card import card

RECORD: dict[str, Any] = {
    "id": "0123456789abcdef",
    "provenance": {"judge_id": "abc", "rubric": "a|b", "embedder": "package:x"},
    "settings": {"features": ["ngrams", "shape"]},
    "calibration": {"method": "platt", "n": 85},
    "threshold": None,
}


def test_a_card_says_what_made_it_and_how_to_use_it() -> None:
    text = card(RECORD)
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "curate"
    assert "# Page classifier 01234567" in body
    assert "| rubric | a\\|b |" in body
    assert "| calibration | platt, on 85 human labels |" in body
    assert "needs no other model" in body


def test_a_card_names_the_embedder_that_is_needed() -> None:
    text = card({**RECORD, "settings": {"features": ["embedding"]}, "calibration": None})
    assert "It embeds pages with `package:x`" in text
    assert "none: scores only" in text
