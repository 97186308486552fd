from hypothesis import given
from hypothesis import strategies as st

from curate.stages.tune.family import changed, summary, units


def test_sentences_and_list_lines_are_rules_of_their_own() -> None:
    text = "Rate the page. Steps\ncount.\n- No shops.\n2. No news! Ever.\n\nword: 3\nother: 4"
    assert units(text) == [
        "Rate the page.",
        "Steps count.",
        "- No shops.",
        "2. No news!",
        "Ever.",
        "word: 3",
        "other: 4",
    ]


@given(st.text(), st.text())
def test_what_changed_is_what_one_has_and_the_other_has_not(one: str, other: str) -> None:
    added, removed = changed(one, other)
    assert changed(other, one) == (removed, added)
    assert changed(one, one) == ([], [])
    assert len(summary(one, other)) <= 160
