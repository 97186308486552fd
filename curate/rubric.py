"""Rubrics: Markdown files whose front matter says what is asked and whose prose is the instruction."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, Self, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from curate.errors import BadInput, did_you_mean
from curate.schema import fingerprint


class Criterion(BaseModel):
    """One aspect of a rubric, with levels of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    asks: str
    """The question put to people and to judges that answer in JSON."""
    levels: dict[int, str]
    """Level to its description, from 0 upwards."""

    @field_validator("levels")
    @classmethod
    def _from_zero(cls, levels: dict[int, str]) -> dict[int, str]:
        return _checked_levels(levels)


class Questions(BaseModel):
    """The same question put shortly, one wording for each short answer form."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    yesno: str = ""
    """A question whose yes means a page worth keeping."""
    high: str = ""
    """What a page worth keeping is: option of the `ab` form."""
    low: str = ""
    """What a page not worth keeping is: the other option."""
    kinds: dict[str, int] = Field(default_factory=dict)
    """One-word kinds of text and the level each stands for: options of the `kind` form."""
    does: dict[str, int] = Field(default_factory=dict)
    """One-word verbs for what a text does and the level each stands for: options of the `does` form."""


class Rubric(BaseModel):
    """What is asked of a page. `instruction` is the prose below the front matter, the part that tuning rewrites."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """The rubric's name: lower-case letters, digits, - and _."""
    asks: str
    """The question in one sentence."""
    scale: Literal["ordinal", "binary"] = "ordinal"
    """`ordinal`: levels 0..k, each with a description. `binary`: levels 0 and 1."""
    keep: int = Field(ge=1)
    """Pages of this level and above are worth keeping."""
    levels: dict[int, str]
    """Level to its description, from 0 upwards, at most 9."""
    criteria: dict[str, Criterion] = Field(default_factory=dict)
    """Aspects with levels of their own, asked of people and of judges that answer in JSON."""
    questions: Questions = Questions()
    """Short wordings; those that are absent are made from `asks` and `levels`."""
    instruction: str = Field(min_length=1)
    """The prose of the file."""

    @field_validator("levels")
    @classmethod
    def _from_zero(cls, levels: dict[int, str]) -> dict[int, str]:
        return _checked_levels(levels)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        top = max(self.levels)
        if self.keep > top:
            raise ValueError(f"keep: must be one of the levels 1..{top} (got {self.keep})")
        if self.scale == "binary" and top != 1:
            raise ValueError(f"levels: must be 0 and 1 on a binary scale (got 0..{top})")
        for key, words in (("kinds", self.questions.kinds), ("does", self.questions.does)):
            wrong = {word: level for word, level in words.items() if level not in self.levels}
            if wrong:
                raise ValueError(f"questions.{key}: must name levels 0..{top} (got {wrong})")
        return self

    @property
    def top(self) -> int:
        """The highest level."""
        return max(self.levels)

    @property
    def hash(self) -> str:
        """The name of everything the rubric says: one edited word changes it."""
        return fingerprint(self.model_dump())

    @property
    def level_lines(self) -> str:
        """The levels as people and judges read them, a line each."""
        return "\n".join(f"{level}: {words}" for level, words in sorted(self.levels.items()))

    def asked(self) -> Questions:
        """The short wordings, the absent ones made from `asks` and the descriptions of the top and bottom level."""
        given = self.questions
        return Questions(
            yesno=given.yesno
            or f"{self.asks.rstrip('?')}? Is it good enough to be kept: {_lower(self.levels[self.top])}",
            high=given.high or _lower(self.levels[self.top]),
            low=given.low or _lower(self.levels[0]),
            kinds=given.kinds,
            does=given.does,
        )


def load(path: Path) -> Rubric:
    """Read a rubric file. Raises BadInput with the file, the key, what it got and what is allowed."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadInput(f"{path}: rubric cannot be read ({why}); give the path of a rubrics/*.md file") from error
    front, prose = _split(path, text)
    check_keys(path, front, Rubric, hidden=("instruction",))
    if not prose:
        raise BadInput(f"{path}: instruction: the prose below the front matter is missing; see rubrics/stem.md")
    try:
        return Rubric.model_validate({**front, "instruction": prose})
    except ValidationError as error:
        raise BadInput(f"{path}: {first_problem(error)}") from error


def parse_yaml(text: str) -> Any:
    """The value of a YAML text, in which no key may stand twice and 1e-3 is a number. Raises ValueError in one line."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(" ".join(str(error).replace('in "<unicode string>", ', "in ").split())) from error


def check_keys(
    path: Path, values: Mapping[Any, Any], model: type[BaseModel], where: str = "", *, hidden: Collection[str] = ()
) -> None:
    """Raises BadInput for a key that the model does not have, with the nearest that it has: pydantic names no other."""
    known = [name for name in model.model_fields if name not in hidden]
    for key, value in values.items():
        if key not in known:
            raise BadInput(f"{path}: {where}{key}: no such key{did_you_mean(str(key), known)}")
        annotation = model.model_fields[key].annotation
        inner = model_in(annotation)
        if inner is None or not isinstance(value, dict):
            continue
        named = value.items() if get_origin(annotation) is dict else [("", value)]
        for name, inside in named:
            if isinstance(inside, dict):
                check_keys(path, inside, inner, f"{where}{key}.{name}{'.' if name != '' else ''}")


def first_problem(error: ValidationError) -> str:
    """The first problem of a validation as `key: what is wrong (got value)`."""
    problems = error.errors(include_url=False)
    first, key = problems[0], _key(problems[0]["loc"])
    if first["type"] == "value_error":
        words = str(first["msg"]).removeprefix("Value error, ")
        last = key.rpartition(".")[2]
        return (f"{key}: " if key else "") + words.removeprefix(f"{last}: ").removeprefix(f"{last} ")
    if first["type"] == "missing":
        return f"{key}: is missing"
    if first["loc"][-1:] == ("[key]",):
        return f"{key}: key {_plain(first)} (got key {repr(first['input'])[:80]})"
    words = " or ".join(dict.fromkeys(_plain(p) for p in problems if _key(p["loc"]) == key))
    return f"{key}: {words} (got {repr(first['input'])[:80]})"


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value} stands twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d[\d_]*(\.[\d_]*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The settings class in an annotation such as `Source | None`, if there is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for part in getattr(annotation, "__args__", ()) if (m := model_in(part)) is not None), None)


def _key(place: tuple[int | str, ...]) -> str:
    """The key as it is written in the file: pydantic adds which branch of a union it tried, and `[key]`."""
    return ".".join(
        str(part) for part in place if not re.fullmatch(r"str|int|float|bool|list\[.*\]|\[key\]", str(part))
    )


def _plain(problem: Any) -> str:
    if problem["type"] in ("model_type", "dict_type"):
        return "must hold keys and values"
    return re.sub(r"^[A-Z]\w+ should ", "must ", str(problem["msg"]))


def _split(path: Path, text: str) -> tuple[dict[str, Any], str]:
    pieces = text.split("\n---", 2) if text.startswith("---") else []
    if len(pieces) < 2:
        raise BadInput(f"{path}: a rubric starts with front matter between two lines of ---; see rubrics/stem.md")
    try:
        front = parse_yaml(pieces[0].removeprefix("---"))
    except ValueError as error:
        raise BadInput(f"{path}: front matter is not YAML: {error}") from error
    if not isinstance(front, dict):
        raise BadInput(f"{path}: front matter must be keys and values (got {type(front).__name__})")
    return front, "\n---".join(pieces[1:]).lstrip("-").strip()


def _checked_levels(levels: dict[int, str]) -> dict[int, str]:
    if sorted(levels) != list(range(len(levels))) or not 2 <= len(levels) <= 10:
        raise ValueError(f"must be 0, 1, ... without gaps, 2 to 10 of them (got {sorted(levels)})")
    return dict(sorted(levels.items()))


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:].rstrip(".")
