"""Keys and values that people write: YAML read strictly, and problems said with the key, what it got and the line."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from curate.errors import BadInput, did_you_mean


class NotYaml(ValueError):
    """A text is no YAML."""

    def __init__(self, why: str, line: int | None = None) -> None:
        super().__init__(why)
        self.line = line
        """Where, counted from 1; None where it is not known."""


def parse_yaml(text: str) -> Any:
    """The value of a YAML text, in which no key may stand twice and 1e-3 is a number. Raises NotYaml, a ValueError of
    one line."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        words = " ".join(str(error).replace('in "<unicode string>", ', "in ").split())
        raise NotYaml(words, mark.line + 1 if mark else None) from error


def line_of(text: str, key_path: str) -> int | None:
    """The line, counted from 1, of a key such as `levels.3` in a YAML text or in a rubric's front matter; of the
    innermost key above it where it is not there itself, None where none of them is."""
    if re.match(r"---[ \t]*$", text, re.MULTILINE):
        text = text.split("\n---", 1)[0]
    try:
        node = yaml.compose(text, _Loader)
    except yaml.YAMLError:
        return None
    line = None
    while key_path and (found := _below(node, key_path)):
        line, node, key_path = found
    return line


def _below(node: Any, path: str) -> tuple[int, Any, str] | None:
    """The line of the key that begins the path, what it holds, and the rest of the path."""
    if isinstance(node, yaml.MappingNode):
        pairs = [(key.value, key.start_mark.line, value) for key, value in node.value if isinstance(key.value, str)]
    elif isinstance(node, yaml.SequenceNode):
        pairs = [(str(i), value.start_mark.line, value) for i, value in enumerate(node.value)]
    else:
        return None
    for key, line, value in sorted(pairs, key=lambda pair: -len(pair[0])):
        if path == key or path.startswith(f"{key}."):
            return line + 1, value, path[len(key) + 1 :]
    return None


def located(path: Path, text: str, problem: str) -> str:
    """`file:line: key: what is wrong`, of a problem `key: what is wrong` in a file with this text."""
    line = line_of(text, problem.partition(": ")[0]) if text else None
    return f"{path}:{line}: {problem}" if line else f"{path}: {problem}"


def check_keys(
    path: Path,
    values: Mapping[Any, Any],
    model: type[BaseModel],
    where: str = "",
    *,
    hidden: Collection[str] = (),
    text: str = "",
) -> None:
    """Raises BadInput for a key that the model does not have, with the nearest that it has: pydantic names no other.
    With the file's `text` it names the line too."""
    known = [name for name in model.model_fields if name not in hidden]
    for key, value in values.items():
        if key not in known:
            raise BadInput(located(path, text, f"{where}{key}: no such key{did_you_mean(str(key), known)}"))
        annotation = model.model_fields[key].annotation
        inner = model_in(annotation)
        if inner is None or not isinstance(value, dict):
            continue
        named = value.items() if get_origin(annotation) is dict else [("", value)]
        for name, inside in named:
            if isinstance(inside, dict):
                below = f"{where}{key}.{name}{'.' if name != '' else ''}"
                check_keys(path, inside, inner, below, text=text)


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
