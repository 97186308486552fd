from hypothesis import given
from hypothesis import strategies as st

from curate.tokens import TokenEnds, ends_of


@given(st.text(st.sampled_from([*"ab ", "é", "日", "🎉"])), st.integers(1, 5))
def test_a_token_ends_after_the_characters_that_it_completes(text: str, size: int) -> None:
    data = text.encode()
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    ends = ends_of(text, pieces)
    assert len(ends) == len(pieces)
    assert ends == sorted(ends)
    for i, end in enumerate(ends):
        whole = b"".join(pieces[: i + 1])
        assert text[:end] == whole.decode("utf-8", "ignore")


def test_a_space_that_the_tokenizer_puts_first_is_seen_through() -> None:
    assert ends_of("one two", [b" one", b" two"]) == [3, 7]


def test_a_tokenizer_that_changes_the_text_is_taken_in_proportion() -> None:
    ends = ends_of("ﬁne ﬁsh", [b"fine", b" fish"])
    assert ends[-1] == 7
    assert 2 <= ends[0] <= 4
    assert ends_of("", [b"<s>"]) == [0]
    assert ends_of("abc", []) == []


def test_a_tokenizer_is_called_with_a_text() -> None:
    halves = TokenEnds("halves", True, lambda text: [text[:2].encode(), text[2:].encode()])
    assert halves("abcd") == [2, 4]
