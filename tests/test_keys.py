from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from curate import keys
from curate.errors import BadInput
from curate.keys import first_problem, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-3", 0.001), ("[1e3, -2E+5, 1.5e2]", [1000.0, -200000.0, 150.0]), ("5", 5), ("0.5", 0.5), ("x1e3", "x1e3")],
)
def test_numbers_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    assert parse_yaml(text) == value
    assert type(parse_yaml(text)) is type(value)


def test_a_key_twice_is_an_error_also_deep_inside() -> None:
    assert parse_yaml("{a: {x: 1}, b: {x: 1}}") == {"a": {"x": 1}, "b": {"x": 1}}
    for text in ("{a: 1, a: 2}", "a:\n  - {x: 1, x: 1}", "a: &n {x: 1}\nb:\n  <<: *n\n  y: 1\n  y: 2"):
        with pytest.raises(ValueError, match="stands twice"):
            parse_yaml(text)
    assert parse_yaml("a: &n {x: 1, y: 1}\nb: {<<: *n, y: 2}")["b"] == {"x": 1, "y": 2}


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    count: int = 0


class Outer(BaseModel):
    path: str | list[str] = ""
    inner: Inner = Inner()
    named: dict[str, Inner] = {}
    maybe: Inner | None = None


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"path": 3}, "path: must be a valid string or must be a valid list (got 3)"),
        ({"inner": None}, "inner: must hold keys and values (got None)"),
        ({"inner": {"count": "x" * 500}}, "inner.count: must be a valid integer, unable to parse string as an integer"),
        ({"named": {"a": {"count": None}}}, "named.a.count: must be a valid integer (got None)"),
        ({"named": {1: {}}}, "named.1: key must be a valid string (got key 1)"),
    ],
)
def test_the_first_problem_names_the_key_as_it_is_written(values: Any, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(values)
    message = first_problem(caught.value)
    assert message.startswith(says)
    assert len(message) < 200


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"pth": 1}, "f: pth: no such key; did you mean path?"),
        ({"inner": {"cont": 1}}, "f: inner.cont: no such key; did you mean count?"),
        ({"named": {"a": {}, "b": {"cont": 1}}}, "f: named.b.cont: no such key; did you mean count?"),
        ({"maybe": {"cont": 1}}, "f: maybe.cont: no such key; did you mean count?"),
        ({7: 1}, "f: 7: no such key (allowed: inner, maybe, named, path)"),
    ],
)
def test_unknown_keys_are_found_at_every_depth(values: Any, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        keys.check_keys(Path("f"), values, Outer)
    assert str(caught.value).startswith(says)
    keys.check_keys(Path("f"), {"inner": 5, "named": {"a": 1, "b": {"count": 1}}, "maybe": None}, Outer)


@pytest.mark.parametrize(
    ("key", "number"),
    [
        ("a", 1),
        ("b.c", 3),
        ("b.d.1.e", 5),
        ("b.d.0", 4),
        ("x.y", 6),
        ("x.y.z", 7),
        ("b.none", 2),
        ("b.c.none", 3),
        ("none", None),
        ("", None),
    ],
)
def test_the_line_of_a_key(key: str, number: int | None) -> None:
    text = "a: 1\nb:\n  c: 2\n  d: [1,\n    {e: 1}]\nx.y:\n  z: 1\n"
    assert keys.line_of(text, key) == number
    assert keys.line_of(f"---\n{text}---\nb: prose\n", key) == (number + 1 if number else None)
    assert keys.line_of("{a: [", "a") is None


def test_a_problem_without_a_place_names_the_file_alone() -> None:
    assert keys.located(Path("f.md"), "a: 1", "a: is wrong") == "f.md:1: a: is wrong"
    assert keys.located(Path("f.md"), "a: 1", "b: is missing") == "f.md: b: is missing"
    assert keys.located(Path("f.md"), "", "a: is wrong") == "f.md: a: is wrong"


def test_a_text_that_is_no_yaml_says_where() -> None:
    with pytest.raises(keys.NotYaml) as caught:
        parse_yaml("a: 1\nb: [1\n")
    assert caught.value.line == 3
