"""Rubrics: Markdown files whose front matter says what is asked and whose prose is the instruction."""

from pathlib import Path
from typing import Any, Literal, Self

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
            raise ValueError(f"levels: a binary scale has levels 0 and 1 (got 0..{top})")
        wrong = {word: level for word, level in self.questions.kinds.items() if level not in self.levels}
        if wrong:
            raise ValueError(f"questions.kinds: {wrong} name levels that do not exist (0..{top})")
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
        )


def load(path: Path) -> Rubric:
    """Read a rubric file. Raises BadInput with the file, the key, what it got and what is allowed."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: rubric cannot be read ({error}); give the path of a rubrics/*.md file") from error
    front, prose = _split(path, text)
    known = set(Rubric.model_fields) - {"instruction"}
    for key in front:
        if key not in known:
            raise BadInput(f"{path}: {key}: no such key{did_you_mean(str(key), known)}")
    try:
        return Rubric.model_validate({**front, "instruction": prose})
    except ValidationError as error:
        raise BadInput(f"{path}: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """The first problem of a validation as `key: what is wrong (got value)`."""
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "value_error":
        return (f"{key}: " if key else "") + str(problem["msg"]).removeprefix("Value error, ")
    got = "nothing" if problem["type"] == "missing" else repr(problem["input"])[:80]
    return f"{key}: {_plain(str(problem['msg']))} (got {got})"


def _plain(message: str) -> str:
    return message[:1].lower() + message[1:]


def _split(path: Path, text: str) -> tuple[dict[str, Any], str]:
    pieces = text.split("\n---", 2) if text.startswith("---") else []
    if len(pieces) < 2:
        raise BadInput(f"{path}: a rubric starts with front matter between two lines of ---; see rubrics/stem.md")
    try:
        front = yaml.safe_load(pieces[0].removeprefix("---"))
    except yaml.YAMLError as error:
        raise BadInput(f"{path}: front matter is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(front, dict):
        raise BadInput(f"{path}: front matter must be keys and values (got {type(front).__name__})")
    return front, "\n---".join(pieces[1:]).lstrip("-").strip()


def _checked_levels(levels: dict[int, str]) -> dict[int, str]:
    if sorted(levels) != list(range(len(levels))) or not 2 <= len(levels) <= 10:
        raise ValueError(f"levels must be 0, 1, ... without gaps, 2 to 10 of them (got {sorted(levels)})")
    return dict(sorted(levels.items()))


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:].rstrip(".")
