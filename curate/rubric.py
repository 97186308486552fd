"""Rubrics: Markdown files whose front matter says what is asked and whose prose is the instruction."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from curate.errors import BadInput, did_you_mean
from curate.keys import NotYaml, check_keys, first_problem, line_of, located, model_in, parse_yaml
from curate.schema import fingerprint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Criterion",
    "NotYaml",
    "Questions",
    "Rubric",
    "Scale",
    "check_keys",
    "first_problem",
    "letters_of",
    "line_of",
    "load",
    "located",
    "model_in",
    "parse_yaml",
]

Scale = Literal["ordinal", "binary", "choice"]
MOST_CLASSES = len(ascii_uppercase)


class Criterion(BaseModel):
    """One aspect of a rubric, with levels of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    asks: str
    """The question put to people and to judges that answer in JSON."""
    levels: dict[int, str]
    """Level to its description, from 0 upwards."""
    weight: float = Field(1.0, gt=0)
    """How much the criterion counts beside the others."""

    @field_validator("levels")
    @classmethod
    def _from_zero(cls, levels: dict[int, str]) -> dict[int, str]:
        return _checked_levels(levels)

    @model_serializer(mode="wrap")
    def _plainly(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A weight of 1 goes unsaid: rubrics and judges that never named one keep their hash."""
        return {key: value for key, value in dump(self).items() if (key, value) != ("weight", 1.0)}


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
    scale: Scale = "ordinal"
    """`ordinal`: levels 0..k, each with a description. `binary`: levels 0 and 1. `choice`: named classes."""
    keep: int | list[str]
    """Pages of this level and above are worth keeping. On a `choice` scale: the classes worth keeping, none for a quiz."""
    classes: dict[str, str] = Field(default_factory=dict)
    """Class to its description, 2 to 26 of them: the `choice` scale. A class counts as a level by its place here, from 0."""
    levels: dict[int, str]
    """Level to its description, from 0 upwards, at most 9; made from `classes` on a `choice` scale."""
    criteria: dict[str, Criterion] = Field(default_factory=dict)
    """Aspects with levels of their own, asked of people and of judges that answer in JSON."""
    questions: Questions = Questions()
    """Short wordings; those that are absent are made from `asks` and `levels`."""
    instruction: str = Field(min_length=1)
    """The prose of the file."""

    @model_validator(mode="before")
    @classmethod
    def _of_classes(cls, values: Any) -> Any:
        return _with_levels(values) if isinstance(values, dict) else values

    @field_validator("keep", mode="before")
    @classmethod
    def _one_kind_of_keep(cls, keep: Any, info: ValidationInfo) -> Any:
        if info.data.get("scale") == "choice":
            if not isinstance(keep, list) or not all(isinstance(name, str) for name in keep):
                raise ValueError(f"must be a list of classes, [] for none (got {keep!r})")
            return keep
        if not isinstance(keep, int) or isinstance(keep, bool):
            raise PydanticCustomError("int_type", "Input should be a valid integer")
        if keep < 1:
            raise PydanticCustomError("greater_than_equal", "Input should be greater than or equal to 1")
        return keep

    @field_validator("levels")
    @classmethod
    def _from_zero(cls, levels: dict[int, str], info: ValidationInfo) -> dict[int, str]:
        return levels if info.data.get("scale") == "choice" else _checked_levels(levels)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_keep(self)
        if self.scale == "binary" and self.top != 1:
            raise ValueError(f"levels: must be 0 and 1 on a binary scale (got 0..{self.top})")
        for key, words in (("kinds", self.questions.kinds), ("does", self.questions.does)):
            wrong = {word: level for word, level in words.items() if level not in self.levels}
            if wrong:
                raise ValueError(f"questions.{key}: must name levels 0..{self.top} (got {wrong})")
        return self

    @property
    def top(self) -> int:
        """The highest level."""
        return max(self.levels)

    @property
    def kept(self) -> frozenset[int]:
        """The levels (or places of the classes) that are worth keeping."""
        if isinstance(self.keep, int):
            return frozenset(level for level in self.levels if level >= self.keep)
        return frozenset(level for level, name in enumerate(self.classes) if name in self.keep)

    @property
    def names(self) -> dict[int, str]:
        """What people and judges call each level: its digit, or the name of the class."""
        return {level: str(level) for level in self.levels} if not self.classes else dict(enumerate(self.classes))

    @property
    def letters(self) -> dict[int, str]:
        """The key that each level is answered with: its digit, or A, B, C, ... (a class's own name where all names are
        of one character)."""
        return letters_of(self.names, by_place=bool(self.classes))

    @property
    def hash(self) -> str:
        """The name of everything the rubric says: one edited word changes it."""
        said = self.model_dump()
        return fingerprint(said if said["classes"] else {key: said[key] for key in said if key != "classes"})

    @property
    def level_lines(self) -> str:
        """The levels as people and judges read them, a line each."""
        return "\n".join(f"{self.names[level]}: {words}" for level, words in sorted(self.levels.items()))

    def consensus(self, said: Sequence[int]) -> float:
        """What several people say together: the mean level, or the class most of them name (the first of those in a
        tie). Raises ValueError where nobody said anything."""
        if not said:
            raise ValueError("consensus: nobody has said anything")
        if self.scale != "choice":
            return sum(said) / len(said)
        counts = Counter(said)
        return float(min(counts, key=lambda level: (-counts[level], level)))

    def worth(self, truth: Sequence[float]) -> "NDArray[np.bool_]":
        """Whether pages of this consensus, (n,), are worth keeping. Between two levels the lower one counts: on a binary
        scale that is the majority, and a tie drops."""
        import numpy as np

        levels = np.ceil(np.asarray(truth, dtype=np.float64) - 0.5)
        return np.isin(levels, sorted(self.kept))

    def asked(self) -> Questions:
        """The short wordings, the absent ones made from `asks` and the descriptions of the top and bottom level, or of
        the classes that are worth keeping and the others."""
        given = self.questions
        high, low = _ends(self)
        one_word = self.classes and all(re.fullmatch(r"[\w-]{2,}", name) for name in self.classes)
        return Questions(
            yesno=given.yesno or f"{self.asks.rstrip('?')}? Is it good enough to be kept: {high}",
            high=given.high or high,
            low=given.low or low,
            kinds=given.kinds or ({name.lower(): level for level, name in self.names.items()} if one_word else {}),
            does=given.does,
        )


def letters_of(names: Mapping[int, str], *, by_place: bool) -> dict[int, str]:
    """The key each level is answered with: its name where all are of one character, else A, B, C, ... `by_place`."""
    if not by_place or all(len(name) == 1 for name in names.values()):
        return dict(names)
    return {level: ascii_uppercase[level] for level in names}


def load(path: Path) -> Rubric:
    """Read a rubric file. Raises BadInput with the file, the key, what it got and what is allowed."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise BadInput(f"{path}: rubric cannot be read ({why}); give the path of a rubrics/*.md file") from error
    front, prose = _split(path, text)
    check_keys(path, front, Rubric, hidden=("instruction",), text=text)
    if not prose:
        raise BadInput(f"{path}: instruction: the prose below the front matter is missing; see rubrics/stem.md")
    try:
        return Rubric.model_validate({**front, "instruction": prose})
    except ValidationError as error:
        raise BadInput(located(path, text, first_problem(error))) from error


def _split(path: Path, text: str) -> tuple[dict[str, Any], str]:
    pieces = text.split("\n---", 2) if text.startswith("---") else []
    if len(pieces) < 2:
        raise BadInput(f"{path}: a rubric starts with front matter between two lines of ---; see rubrics/stem.md")
    try:
        front = parse_yaml(pieces[0].removeprefix("---"))
    except NotYaml as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise BadInput(f"{where}: front matter is not YAML: {error}") from error
    if not isinstance(front, dict):
        raise BadInput(f"{path}: front matter must be keys and values (got {type(front).__name__})")
    return front, "\n---".join(pieces[1:]).lstrip("-").strip()


def _checked_levels(levels: dict[int, str]) -> dict[int, str]:
    if sorted(levels) != list(range(len(levels))) or not 2 <= len(levels) <= 10:
        raise ValueError(f"must be 0, 1, ... without gaps, 2 to 10 of them (got {sorted(levels)})")
    return dict(sorted(levels.items()))


def _with_levels(values: dict[Any, Any]) -> dict[Any, Any]:
    """The values of a rubric with the levels that its classes make. Raises ValueError where scale and keys part."""
    classes, given = values.get("classes"), values.get("levels")
    if values.get("scale") != "choice":
        if classes:
            raise ValueError("classes: are for `scale: choice`; give `levels`, or set the scale")
        return values
    if not isinstance(classes, dict) or not all(isinstance(name, str) for name in classes):
        raise ValueError("classes: a choice scale needs names and a description of each (quote names like 1 and no)")
    levels = dict(enumerate(classes.values()))
    if given is not None and given != levels:
        raise ValueError("levels: a choice scale has `classes`, a name and a description each, and no levels")
    _check_classes(list(classes))
    return {**values, "levels": levels, "questions": _by_place(values.get("questions") or {}, list(classes))}


def _check_classes(names: list[str]) -> None:
    if not 2 <= len(names) <= MOST_CLASSES:
        raise ValueError(f"classes: must be 2 to {MOST_CLASSES} (got {len(names)})")
    for name in names:
        if not re.fullmatch(r"\w(?:[\w .&/+-]{0,38}\w)?", name):
            raise ValueError(f"classes.{name}: a name is 1 to 40 letters, digits, spaces and . & / + - (got {name!r})")
    if len({name.lower() for name in names}) < len(names):
        raise ValueError(f"classes: two names differ only in capitals (got {names})")


def _by_place(questions: Any, names: list[str]) -> Any:
    """Questions whose words stand for classes by name, by the place of the class."""
    if not isinstance(questions, dict):
        return questions
    made = dict(questions)
    for key in ("kinds", "does"):
        words = questions.get(key)
        if isinstance(words, dict):
            made[key] = {word: names.index(name) if name in names else name for word, name in words.items()}
    return made


def _check_keep(rubric: Rubric) -> None:
    if isinstance(rubric.keep, int):
        if rubric.keep > rubric.top:
            raise ValueError(f"keep: must be one of the levels 1..{rubric.top} (got {rubric.keep})")
        return
    wrong = [name for name in rubric.keep if name not in rubric.classes]
    if wrong:
        raise ValueError(f"keep: no class {wrong[0]!r}{did_you_mean(wrong[0], rubric.classes)}")
    if rubric.kept == set(rubric.levels):
        raise ValueError("keep: names all classes, so nothing would ever be dropped; leave some out")


def _ends(rubric: Rubric) -> tuple[str, str]:
    """What a page worth keeping is, and what the others are."""
    if rubric.scale != "choice":
        return _lower(rubric.levels[rubric.top]), _lower(rubric.levels[0])
    kept = [_lower(words) for level, words in rubric.levels.items() if level in rubric.kept]
    others = [_lower(words) for level, words in rubric.levels.items() if level not in rubric.kept]
    return " or ".join(kept), " or ".join(others)


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:].rstrip(".")
