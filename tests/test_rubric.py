import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from curate.errors import BadInput
from curate.rubric import Rubric, load

ROOT = Path(__file__).resolve().parents[1]
STEM = (ROOT / "rubrics" / "stem.md").read_text(encoding="utf-8")
STEM_HASH = "10eb8e0556c958b0"
"""Of rubrics/stem.md: labels and judges are kept under it, so a change of the code must not change it."""
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
    assert message.startswith(f"{path}:")
    assert "\n" not in message
    return re.sub(r"^(\d+:)? ", "", message.removeprefix(f"{path}:"))


@pytest.mark.parametrize("path", sorted((ROOT / "rubrics").glob("*.md")), ids=lambda path: path.stem)
def test_the_shipped_rubrics_load_under_their_file_names(path: Path) -> None:
    rubric = load(path)
    assert rubric.name == path.stem
    assert set(rubric.questions.kinds.values()) <= set(rubric.levels)
    if rubric.kept:
        assert any(level in rubric.kept for level in rubric.questions.kinds.values())
        assert any(level not in rubric.kept for level in rubric.questions.kinds.values())
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
        ("scale: ordinal", "scale: ordnal", "scale: must be 'ordinal', 'binary' or 'choice' (got 'ordnal')"),
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
            "criteria.reasoning.ask: no such key; did you mean asks? (allowed: asks, levels, weight)",
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
        (
            "asks: How good",
            "instruction: x\nasks: How good",
            "instruction: no such key (allowed: asks, classes, criteria",
        ),
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


def test_a_rubric_cannot_be_changed() -> None:
    rubric = load(ROOT / "rubrics" / "stem.md")
    with pytest.raises(ValidationError, match="frozen"):
        rubric.keep = 1  # type: ignore[misc]
    assert Rubric.model_validate(rubric.model_dump()) == rubric


# Where it is wrong ----------------------------------------------------------------------------------------------------


def line(text: str, beginning: str) -> int:
    return next(i for i, each in enumerate(text.splitlines(), 1) if each.lstrip().startswith(beginning))


@pytest.mark.parametrize(
    ("old", "new", "begins", "key"),
    [
        ("keep: 3", "keep: 9", "keep:", "keep: must be one of"),
        ("  3: Explains", "  3: [Explains]\n  9: x", "3:", "levels.3: must be a valid string"),
        ("  2: States", "  7: States", "levels:", "levels: must be 0, 1, ..."),
        ("{0: none,", "{0: no,", "levels: {0: no,", "criteria.reasoning.levels.0: must be a valid string"),
        ("    asks: Does", "    ask: Does", "ask: Does", "criteria.reasoning.ask: no such key"),
        (
            "    asks: Does the text give reasons, not only facts?\n",
            "",
            "reasoning:",
            "criteria.reasoning.asks: is missing",
        ),
        ("science: 5,", "science: 6,", "kinds:", "questions.kinds: must name levels"),
        ("  high: a", "  yesno: a", "yesno: a", "front matter is not YAML: the key yesno stands twice"),
        ("asks: How good", "\tasks: How good", "\tasks:".strip(), "front matter is not YAML"),
    ],
)
def test_a_problem_names_its_line(tmp_path: Path, old: str, new: str, begins: str, key: str) -> None:
    text = STEM.replace(old, new)
    with pytest.raises(BadInput) as caught:
        load(put(tmp_path, text))
    assert str(caught.value).startswith(f"{tmp_path / 'rubric.md'}:{line(text, begins)}: {key}")


# Classes --------------------------------------------------------------------------------------------------------------

CHOICE = """---
name: kinds
asks: What kind of page is it?
scale: choice
keep: [guide, talk]
classes:
  guide: Teaches step by step.
  shop: Sells something.
  talk: People discuss.
  other: All else.
criteria:
  depth:
    asks: How deep?
    levels: {0: shallow, 1: deep}
    weight: 2.5
questions:
  does: {teach: guide, sell: shop, chat: talk}
---
Say what kind of page it is.
"""


def test_classes_are_levels_by_their_place(tmp_path: Path) -> None:
    rubric = load(put(tmp_path, CHOICE))
    assert rubric.levels == {0: "Teaches step by step.", 1: "Sells something.", 2: "People discuss.", 3: "All else."}
    assert (rubric.top, rubric.kept) == (3, {0, 2})
    assert rubric.names == {0: "guide", 1: "shop", 2: "talk", 3: "other"}
    assert rubric.letters == {0: "A", 1: "B", 2: "C", 3: "D"}
    assert rubric.level_lines.splitlines()[1] == "shop: Sells something."
    assert rubric.criteria["depth"].weight == 2.5
    asked = rubric.asked()
    assert asked.does == {"teach": 0, "sell": 1, "chat": 2}
    assert asked.kinds == {"guide": 0, "shop": 1, "talk": 2, "other": 3}
    assert (asked.high, asked.low) == ("teaches step by step or people discuss", "sells something or all else")
    assert Rubric.model_validate(rubric.model_dump()) == rubric


def test_names_of_one_letter_are_the_letters(tmp_path: Path) -> None:
    text = CHOICE.replace("keep: [guide, talk]", "keep: []").replace(
        "  does: {teach: guide, sell: shop, chat: talk}", "  high: x"
    )
    for old, new in (("guide", "A"), ("shop", "B"), ("talk", "C"), ("other", "E")):
        text = text.replace(f"  {old}:", f"  {new}:")
    rubric = load(put(tmp_path, text))
    assert rubric.letters == rubric.names == {0: "A", 1: "B", 2: "C", 3: "E"}
    assert (rubric.kept, rubric.asked().kinds) == (frozenset(), {})
    assert rubric.worth([0.0, 1.0]).tolist() == [False, False]


def test_levels_have_their_digits_for_names() -> None:
    rubric = load(ROOT / "rubrics" / "stem.md")
    assert rubric.names == rubric.letters == {level: str(level) for level in range(6)}
    assert rubric.kept == {3, 4, 5}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("scale: choice", "scale: ordinal", "classes: are for `scale: choice`; give `levels`, or set the scale"),
        ("classes:", "levels:", "classes: a choice scale needs names and a description of each"),
        ("keep: [guide, talk]", "keep: 2", "keep: must be a list of classes, [] for none (got 2)"),
        (
            "keep: [guide, talk]",
            "keep: [guides]",
            "keep: no class 'guides'; did you mean guide? (allowed: guide, other, shop,",
        ),
        ("keep: [guide, talk]", "keep: [guide, talk, shop, other]", "keep: names all classes"),
        ("keep: [guide, talk]", "keep: guide", "keep: must be a list of classes, [] for none (got 'guide')"),
        ("  shop: Sells", "  no: Sells", "classes: a choice scale needs names"),
        ("  shop: Sells", "  Guide: Sells", "classes: two names differ only in capitals"),
        (
            "  shop: Sells something.\n  talk: People discuss.\n  other: All else.\n",
            "",
            "classes: must be 2 to 26 (got 1)",
        ),
        ("  shop: Sells", "  'a, b': Sells", "classes.a, b: a name is 1 to 40 letters"),
        ("  shop: Sells something.", "  shop: [1]", "classes.shop: must be a valid string"),
        ("sell: shop", "sell: shops", "questions.does.sell: must be a valid integer"),
        ("weight: 2.5", "weight: 0", "criteria.depth.weight: must be greater than 0 (got 0)"),
        ("classes:\n", "levels: {0: x, 1: y}\nclasses:\n", "levels: a choice scale has `classes`"),
    ],
)
def test_wrong_classes_are_one_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert CHOICE.count(old) == 1
    assert refusal(tmp_path, CHOICE.replace(old, new)).startswith(says)


def test_an_ordinal_scale_keeps_a_level(tmp_path: Path) -> None:
    assert refusal(tmp_path, STEM.replace("keep: 3", "keep: [3]")) == "keep: must be a valid integer (got [3])"


def test_what_people_say_together() -> None:
    stem, kinds = (
        load(ROOT / "rubrics" / "stem.md"),
        Rubric.model_validate(
            {
                "name": "k",
                "asks": "?",
                "scale": "choice",
                "keep": ["b"],
                "classes": dict.fromkeys("abc", "x"),
                "instruction": "x",
            }
        ),
    )
    assert stem.consensus([3, 4]) == 3.5
    assert kinds.consensus([2, 1, 2]) == 2.0
    assert kinds.consensus([2, 1]) == 1.0, "the first of those in a tie"
    assert stem.worth([2.4, 2.5, 2.6, 3.0]).tolist() == [False, False, True, True]
    assert kinds.worth([0, 1, 2]).tolist() == [False, True, False]
    with pytest.raises(ValueError, match="nobody"):
        stem.consensus([])


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_worth_is_what_metrics_call_worth_keeping(said: list[int]) -> None:
    from curate.metrics import worth_keeping

    stem = load(ROOT / "rubrics" / "stem.md")
    mean = stem.consensus(said)
    assert stem.worth([mean]).tolist() == worth_keeping([mean], 3).tolist() == worth_keeping([mean], stem.kept).tolist()


def test_a_weight_of_one_goes_unsaid(tmp_path: Path) -> None:
    plain = load(put(tmp_path, CHOICE.replace("    weight: 2.5\n", "")))
    one = load(put(tmp_path, CHOICE.replace("2.5", "1")))
    assert plain.hash == one.hash != load(put(tmp_path, CHOICE)).hash
    assert load(ROOT / "rubrics" / "stem.md").hash == STEM_HASH
