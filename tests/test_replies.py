import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.judge import replies
from curate.judge.replies import Heard, Unreadable
from curate.llm import Reply


def reply(text: str, *tops: dict[str, float], **other: Any) -> Reply:
    top = [{token: math.log(share) for token, share in each.items()} for each in tops]
    return Reply(**{"text": text, "finish_reason": "stop", "top": top, "prompt_tokens": 1, "cached_tokens": 0,
                    "completion_tokens": 10, "cost_usd": 0.0, "seconds": 0.0, **other})  # fmt: skip


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("4", "4"),
        (" 4 \n", " 4 \n"),
        ("<think>5? no</think>\n4", "4"),
        ("<think></think>4", "4"),
        ("<Thinking>5</Thinking>4", "4"),
        ("5, no </think>\n\n4", "4"),
        ("<think>one</think>x<think>two</think>4", "x4"),
        ("<think>never ends 5", ""),
        ("a </b> 4", "a </b> 4"),
    ],
)
def test_thinking_is_taken_off(text: str, left: str) -> None:
    assert replies.answer_text(reply(text)) == left


def test_thinking_tokens_are_the_providers_or_a_share_of_the_text() -> None:
    assert replies.thinking_tokens(reply("4")) == 0
    assert replies.thinking_tokens(reply("<think>12345678</think>4")) == 10
    assert replies.thinking_tokens(reply("<think>1</think>4", thinking_tokens=7)) == 7
    assert replies.thinking_tokens(reply("")) == 0


@given(st.lists(st.text(st.sampled_from("ab1 \n{}"), min_size=1, max_size=4), min_size=1, max_size=12), st.data())
def test_each_character_has_its_token(tokens: list[str], data: st.DataObject) -> None:
    text = "".join(tokens)
    place = data.draw(st.integers(0, len(text) - 1))
    spare = data.draw(st.integers(0, 2))
    before = data.draw(st.lists(st.just("thought"), max_size=3)) if spare == 0 else []
    tops = [{token: 1.0, f"n{i}": 0.5} for i, token in enumerate([*before, *tokens, *["<end>"] * spare])]
    found = replies.top_at(reply(text, *tops), place)
    number = next(i for i in range(len(tokens)) if place < len("".join(tokens[: i + 1])))
    assert found is not None
    assert f"n{number + len(before)}" in found


def test_tokens_that_are_not_the_text_have_no_place() -> None:
    assert replies.top_at(reply("abc"), 0) is None
    assert replies.top_at(reply("abc", {"x": 1.0}, {"y": 1.0}), 1) is None
    assert replies.top_at(reply("abc", {"ab": 1.0}), 2) is None
    assert replies.heard_at(reply("abc", {"abc": 1.0}), 0, ["1", "2"]) is None, "nothing falls on an answer"


def test_a_token_counts_for_each_answer_that_it_begins() -> None:
    heard = replies.masses(
        {" rec": math.log(0.5), "re": math.log(0.25), "menu": math.log(0.2)}, ["recipe", "review", "menu"]
    )
    assert heard.masses == pytest.approx([0.625, 0.125, 0.2])
    assert heard.outside == pytest.approx(0.05)
    assert sum(heard.shares) == pytest.approx(1)


def test_two_answers_in_a_text_are_none() -> None:
    with pytest.raises(Unreadable, match="no single answer of a/b in 'a or b'"):
        replies.heard_first(reply("a or b"), ["a", "b"])


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6))
def test_a_prior_of_the_same_reply_leaves_all_answers_alike(weights: list[float]) -> None:
    heard = Heard([weight / sum(weights) / 2 for weight in weights], 0.5)
    flat = replies.without_prior(heard, [math.log(share) for share in heard.shares])
    assert flat.shares == pytest.approx([1 / len(weights)] * len(weights))
    assert sum(flat.masses) == pytest.approx(sum(heard.masses))
    assert flat.outside == heard.outside
    assert replies.without_prior(heard, ()) is heard
