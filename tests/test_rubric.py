import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from curate import rubric as rubrics
from curate.errors import BadInput
from curate.rubric import Rubric, first_problem, load, parse_yaml

ROOT = Path(__file__).resolve().parents[1]
STEM = (ROOT / "rubrics" / "stem.md").read_text(encoding="utf-8")
SMALL = """---
name: small
asks: Is it good?
scale: binary
keep: 1
levels:
  0: Bad.
  1: Good words.
---
Say whether it is good.
"""
LINE = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="\x85"), min_size=1)


def put(folder: Path, text: str) -> Path:
    path = folder / "rubric.md"
    path.write_bytes(text.encode())
    return path


def refusal(folder: Path, text: str) -> str:
    path = put(folder, text)
    with pytest.raises(BadInput) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("path", sorted((ROOT / "rubrics").glob("*.md")), ids=lambda path: path.stem)
def test_the_shipped_rubrics_load_under_their_file_names(path: Path) -> None:
    rubric = load(path)
    assert rubric.name == path.stem
    assert set(rubric.questions.kinds.values()) <= set(rubric.levels)
    assert any(level >= rubric.keep for level in rubric.questions.kinds.values())
    assert any(level < rubric.keep for level in rubric.questions.kinds.values())
    assert len(rubric.instruction) > 100


def test_front_matter_and_prose_are_read() -> None:
    rubric = load(ROOT / "rubrics" / "stem.md")
    assert (rubric.name, rubric.scale, rubric.keep, rubric.top) == ("stem", "ordinal", 3, 5)
    assert rubric.instruction.startswith("Rate this web page from 0 to 5")
    assert rubric.instruction.endswith("The language of the page does not matter.")
    assert rubric.criteria["reasoning"].levels == {0: "none", 1: "some steps or reasons", 2: "reasoned step by step"}
    assert rubric.level_lines.splitlines()[3].startswith("3: Explains something in STEM")


@given(words=st.lists(LINE, min_size=2, max_size=10), asks=LINE, prose=LINE)
def test_any_words_survive(tmp_path_factory: pytest.TempPathFactory, words: list[str], asks: str, prose: str) -> None:
    quoted = [json.dumps(word, ensure_ascii=False) for word in (asks, *words)]
    levels = "\n".join(f"  {level}: {word}" for level, word in enumerate(quoted[1:]))
    text = f"---\nname: x\nasks: {quoted[0]}\nkeep: 1\nlevels:\n{levels}\n---\n{prose}\n\n---\n- {prose}\n"
    rubric = load(put(tmp_path_factory.mktemp("r"), text))
    assert (rubric.asks, list(rubric.levels.values())) == (asks, words)
    assert rubric.instruction == f"{prose}\n\n---\n- {prose}"


def test_line_ends_and_byte_order_marks_of_other_systems_change_nothing(tmp_path: Path) -> None:
    plain = load(put(tmp_path, SMALL))
    assert load(put(tmp_path, "\ufeff" + SMALL.replace("\n", "\r\n"))) == plain


def test_the_hash_changes_with_every_word_and_not_with_the_order_of_keys(tmp_path: Path) -> None:
    first = load(put(tmp_path, SMALL))
    turned = SMALL.replace("keep: 1\n", "").replace("name: small\n", "keep: 1\nname: small\n")
    assert load(put(tmp_path, turned)).hash == first.hash
    changed = [
        load(put(tmp_path, SMALL.replace(a, b))).hash
        for a, b in (("Bad.", "Bad"), ("Say", "Tell"), ("Is it", "Was it"), ("name: small", "name: other"))
    ]
    assert len({first.hash, *changed}) == 5


def test_absent_questions_are_made_of_what_is_asked_and_the_levels(tmp_path: Path) -> None:
    asked = load(put(tmp_path, SMALL)).asked()
    assert asked.yesno == "Is it good? Is it good enough to be kept: good words"
    assert (asked.high, asked.low, asked.kinds) == ("good words", "bad", {})
    given_one = load(put(tmp_path, SMALL.replace("levels:", "questions: {high: a gem}\nlevels:"))).asked()
    assert (given_one.high, given_one.low) == ("a gem", "bad")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("levels:\n  0: Nothing", "levls:\n  0: Nothing", "levls: no such key; did you mean levels? (allowed: asks, "),
        ("name: stem\n", "", "name: is missing"),
        ("keep: 3", "keep: 9", "keep: must be one of the levels 1..5 (got 9)"),
        ("keep: 3", "keep: 0", "keep: must be greater than or equal to 1 (got 0)"),
        ("keep: 3", "keep: three", "keep: must be a valid integer (got 'three')"),
        ("keep: 3", "keep: true", "keep: must be a valid integer (got True)"),
        ("name: stem", "name: STEM filter", "name: must match pattern '^[a-z0-9][a-z0-9_-]*$' (got 'STEM filter')"),
        ("scale: ordinal", "scale: ordnal", "scale: must be 'ordinal' or 'binary' (got 'ordnal')"),
        ("scale: ordinal", "scale: binary", "levels: must be 0 and 1 on a binary scale (got 0..5)"),
        (
            "  2: States",
            "  7: States",
            "levels: must be 0, 1, ... without gaps, 2 to 10 of them (got [0, 1, 3, 4, 5, 7])",
        ),
        ("  0: Nothing", "  '0': Nothing", "levels.0: key must be a valid integer (got key '0')"),
        ("  0: Nothing", "  0: [Nothing", "front matter is not YAML: while parsing a flow sequence in line"),
        ("{0: none,", "{0: no,", "criteria.reasoning.levels.0: must be a valid string (got False)"),
        (
            "{0: none,",
            "{0: none, or nearly,",
            "criteria.reasoning.levels.or nearly: key must be a valid integer (got key",
        ),
        ("{0: none,", "{5: none,", "criteria.reasoning.levels: must be 0, 1, ... without gaps"),
        (
            "    asks: Does",
            "    ask: Does",
            "criteria.reasoning.ask: no such key; did you mean asks? (allowed: asks, levels)",
        ),
        ("    asks: Does the text give reasons, not only facts?\n", "", "criteria.reasoning.asks: is missing"),
        ("science: 5,", "science: 6,", "questions.kinds: must name levels 0..5 (got {'science': 6})"),
        ("science: 5,", "science: much,", "questions.kinds.science: must be a valid integer (got 'much')"),
        (
            "  yesno: Does",
            "  yesnо: Does",
            "questions.yesnо: no such key; did you mean yesno? (allowed: ",
        ),
        ("  high: a", "  yesno: a", "front matter is not YAML: the key yesno stands twice in line"),
        ("asks: How good", "instruction: x\nasks: How good", "instruction: no such key (allowed: asks, criteria"),
        ("criteria:   ", "criteria: 5\nlow:", "low: no such key"),
    ],
)
def test_a_wrong_key_or_value_is_one_line_with_what_is_allowed(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert STEM.count(old) == 1
    assert refusal(tmp_path, STEM.replace(old, new)).startswith(says)


def test_a_rubric_without_levels_is_told_so(tmp_path: Path) -> None:
    head, _, rest = SMALL.partition("levels:\n")
    assert refusal(tmp_path, head + rest.replace("  0: Bad.\n  1: Good words.\n", "")) == "levels: is missing"
    one = SMALL.replace("  1: Good words.\n", "")
    assert refusal(tmp_path, one) == "levels: must be 0, 1, ... without gaps, 2 to 10 of them (got [0])"
    many = SMALL.replace("scale: binary\n", "").replace("  0: Bad.", "\n".join(f"  {n}: l" for n in (0, *range(2, 12))))
    assert refusal(tmp_path, many).startswith("levels: must be 0, 1, ... without gaps, 2 to 10 of them (got [0, 1, 2,")
    assert refusal(tmp_path, head + "levels: many\n" + rest[rest.index("---") :]) == (
        "levels: must hold keys and values (got 'many')"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a rubric starts with front matter between two lines of ---; see rubrics/stem.md"),
        ("Rate this page.", "a rubric starts with front matter"),
        ("---\nname: x\n", "a rubric starts with front matter"),
        ("---\n---\nRate", "front matter must be keys and values (got NoneType)"),
        ("---\n- a\n---\nRate", "front matter must be keys and values (got list)"),
        ("---\nname: 2024-13-45\n---\nRate", "front matter is not YAML: month must be in 1..12"),
        (SMALL.replace("Say whether it is good.\n", " \n"), "instruction: the prose below the front matter is missing"),
        (SMALL.replace("Say whether it is good.\n", ""), "instruction: the prose below the front matter is missing"),
    ],
)
def test_bad_front_matter_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    assert refusal(tmp_path, text).startswith(says)


def test_a_rubric_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    for path, says in ((tmp_path / "none.md", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(BadInput) as caught:
            load(path)
        assert str(caught.value) == f"{path}: rubric cannot be read ({says}); give the path of a rubrics/*.md file"
    (tmp_path / "latin.md").write_bytes(SMALL.replace("Bad", "B\xe4d").encode("latin-1"))
    with pytest.raises(BadInput, match=r"latin\.md: rubric cannot be read \('utf-8' codec can't decode"):
        load(tmp_path / "latin.md")


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
        rubrics.check_keys(Path("f"), values, Outer)
    assert str(caught.value).startswith(says)
    rubrics.check_keys(Path("f"), {"inner": 5, "named": {"a": 1, "b": {"count": 1}}, "maybe": None}, Outer)


def test_a_rubric_cannot_be_changed() -> None:
    rubric = load(ROOT / "rubrics" / "stem.md")
    with pytest.raises(ValidationError, match="frozen"):
        rubric.keep = 1  # type: ignore[misc]
    assert Rubric.model_validate(rubric.model_dump()) == rubric
