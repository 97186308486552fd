"""A pipeline file: which rubric, which pages, which model, and the settings of the seven stages."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

from curate import keys
from curate import rubric as rubrics
from curate.errors import BadInput, did_you_mean
from curate.rubric import Rubric
from curate.sources import Shard, Source, columns_of, no_column, shards
from curate.stages.distill import Settings as DistillSettings
from curate.stages.filter import Settings as FilterSettings
from curate.stages.label import LabelFile, allowed_levels, level_of
from curate.stages.label import Settings as LabelSettings
from curate.stages.report import Settings as ReportSettings
from curate.stages.sample import Settings as SampleSettings
from curate.stages.score import Settings as ScoreSettings
from curate.stages.tune import Settings as TuneSettings

PATHS = (
    "rubric",
    "workspace",
    "source.path",
    "filter.source.path",
    "label.labels_from.path",
    "judge.local.gguf",
    "tune.grader_rubric",
)
"""Keys whose values are paths."""
STAGES = ("sample", "label", "tune", "score", "distill", "filter", "report")


class Local(BaseModel):
    """An embedded model of the user's own."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    gguf: str = ""
    """Path of a GGUF file; empty: the weights that the model's name stands for."""
    context_tokens: int = Field(2048, gt=255)
    """Longest prompt and reply together, in tokens."""
    threads: int | None = Field(None, gt=0)
    """Threads; null: as many as there are cores."""


class JudgeSettings(BaseModel):
    """The model that judges, and the model that proposes instructions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str = "local/qwen2.5-coder-0.5b"
    """LiteLLM model string (`hosted_vllm/NAME`, `openai/NAME`, `anthropic/NAME`, ...) or `local/NAME`, embedded."""
    local: Local = Local()
    """Settings of an embedded model."""
    api_base: str = ""
    """URL of the model server, where the provider is not the default one."""
    api_key_env: str = ""
    """Environment variable that holds the key; empty: the provider's usual one."""
    page_chars: int = Field(3000, gt=50)
    """Characters of a page that the judge is shown."""
    page_tokens: int | None = Field(None, gt=20)
    """Instead, tokens of a page, counted by the judge's own tokenizer where it is known; null: characters count."""
    cut: Literal["head", "head_tail", "head_middle_tail"] = "head"
    """Which parts of a longer page are shown."""
    temperature: float = Field(0.0, ge=0, le=2)
    """Sampling temperature."""
    seed: int | None = None
    """Sent to the provider with each call; null: not sent."""
    max_tokens: int | None = Field(None, gt=0)
    """Longest reply in tokens; null: as long as the answer form needs (room for thinking with reasoning_effort)."""
    reasoning_effort: Literal["", "minimal", "low", "medium", "high"] = ""
    """For models that think first: how much; empty: not sent."""
    quantisation: str = ""
    """A note, such as fp8 or awq, that is frozen with the judge: the same model quantised otherwise is another judge."""
    logprobs: bool = True
    """Ask for the probabilities of the answer. Set to false where the provider has none."""
    concurrency: int = Field(16, gt=0)
    """Calls in flight."""
    timeout_seconds: float = Field(120, gt=0)
    """Longest wait for one reply."""
    retries: int = Field(5, ge=0)
    """Further tries of a call that failed for a passing reason."""
    input_usd_per_million: float | None = Field(None, ge=0)
    """Price of a million prompt tokens; null: LiteLLM's own table, 0 for local and own servers."""
    output_usd_per_million: float | None = Field(None, ge=0)
    """Price of a million reply tokens."""
    reflection_model: str = ""
    """LiteLLM model string for tune.reflection=model; empty: the judge's own model."""
    reflection_api_base: str = ""
    """Its server, where it is not the default one."""
    reflection_api_key_env: str = ""
    """Its key's environment variable."""


class Route(BaseModel):
    """Pages that a rubric of their own is for: drawn, labelled, tuned, scored, filtered and reported apart."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    where: str = Field(min_length=1)
    """SQL condition over a page's columns, as in sample.where: these pages take this route."""
    rubric: str = ""
    """Path of their rubric, relative to the pipeline file; empty: the pipeline's."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Settings that are other on this route, as in `{tune.forms: [ab], judge.page_chars: 6000}`."""


class Pipeline(BaseModel):
    """One pipeline file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """The pipeline's name: lower-case letters, digits, - and _."""
    rubric: str
    """Path of the rubric, relative to the pipeline file."""
    workspace: str = ""
    """Folder of everything that is made, relative to the pipeline file; empty: runs/<name> beside the pipelines folder."""
    budget_usd: float | None = Field(None, ge=0)
    """Hard stop: no call is made that could spend more than this in the workspace; null: no limit."""
    source: Source
    """Where pages come from."""
    judge: JudgeSettings = JudgeSettings()
    """The model."""
    sample: SampleSettings = SampleSettings()
    """Stage 1."""
    label: LabelSettings = LabelSettings()
    """Stage 2."""
    tune: TuneSettings = TuneSettings()
    """Stage 3."""
    score: ScoreSettings = ScoreSettings()
    """Stage 4."""
    distill: DistillSettings = DistillSettings()
    """Stage 5."""
    filter: FilterSettings = FilterSettings()
    """Stage 6."""
    report: ReportSettings = ReportSettings()
    """Stage 7."""
    routes: dict[str, Route] = Field(default_factory=dict)
    """Several rubrics in one pipeline: name of a route to the pages it is for. Each has a workspace of its own."""

    @field_validator("routes")
    @classmethod
    def _named(cls, routes: dict[str, Route]) -> dict[str, Route]:
        for name in routes:
            if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
                raise ValueError(f"routes: names are of lower-case letters, digits, - and _ (got {name!r})")
        return routes

    @model_validator(mode="after")
    def _reflection(self) -> Self:
        if self.tune.reflection == "notes" and self.judge.reflection_model:
            raise ValueError(
                "judge.reflection_model: is set, but tune.reflection is notes; set tune.reflection: model, or leave the model out"
            )
        return self


class Opened(BaseModel):
    """A pipeline with everything it names found and checked."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    file: Path
    pipeline: Pipeline
    rubric: Rubric
    workspace: Path
    shards: list[Shard]
    labels: tuple[Source, list[Shard]] | None
    corpus: tuple[Source, list[Shard]]
    route: str = ""


def read(file: Path, overrides: Sequence[str] = (), *, route: str = "") -> Pipeline:
    """Read a pipeline file and apply `a.b=c` overrides, whose paths are meant from the working folder; with `route`, as
    it is for the pages of that route.

    Raises BadInput with file, key, value and what is allowed.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        near = did_you_mean(file.stem, [p.stem for p in file.parent.glob("*.yaml")]) if file.parent.is_dir() else ""
        raise BadInput(
            f"{file}: pipeline file cannot be read ({getattr(error, 'strerror', None) or error}){near}"
        ) from error
    try:
        values = keys.parse_yaml(text)
    except keys.NotYaml as error:
        raise BadInput(f"{file}{f':{error.line}' if error.line else ''}: is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise BadInput(f"{file}: must hold keys and values (got {type(values).__name__})")
    keys.check_keys(file, values, Pipeline, text=text)
    if route:
        _take_route(file, values, route)
    for item in overrides:
        _override(values, item)
    keys.check_keys(file, values, Pipeline)
    if route:
        _narrow(values, values.pop("routes")[route]["where"])
    try:
        return Pipeline.model_validate(values, strict=True)
    except ValidationError as error:
        problem = keys.first_problem(error)
        elsewhere = route or any(problem.startswith(item.partition("=")[0].strip()) for item in overrides)
        raise BadInput(keys.located(file, "" if elsewhere else text, problem)) from error


def open_routes(file: Path, overrides: Sequence[str] = (), *, route: str = "") -> list[Opened]:
    """The pipeline as it is for each of its routes, or for the one that is named; itself where it has none."""
    names = list(read(file, overrides).routes)
    if route and route not in names:
        raise BadInput(
            f"--route {route}: {file} has no such route{did_you_mean(route, names)}{'' if names else '; it has none'}"
        )
    return [open_pipeline(file, overrides, route=name) for name in ([route] if route else names or [""])]


def open_pipeline(file: Path, overrides: Sequence[str] = (), *, route: str = "") -> Opened:
    """Read a pipeline file and check all that it names: rubric, model, keys, sources, columns. Nothing is written.

    Raises BadInput where it has routes and none is named.
    """
    pipeline = read(file, overrides, route=route)
    if pipeline.routes:
        raise BadInput(
            f"{file}: has the routes {', '.join(pipeline.routes)}; name one, as in --route {min(pipeline.routes)}"
        )
    below = file.absolute().parent
    if not _path(below, pipeline.rubric).is_file():
        raise BadInput(
            f"{file}: rubric: no such file (got {pipeline.rubric!r}; looked for it beside the pipeline file)"
        )
    rubric = rubrics.load(_path(below, pipeline.rubric))
    if grader := pipeline.tune.grader_rubric:
        rubrics.load(_path(below, grader))
    _check_model(file, pipeline)
    try:
        own = shards(pipeline.source, below=below)
        labels = _labels(pipeline, rubric, below, own)
        corpus = (pipeline.source, own)
        if pipeline.filter.source:
            corpus = (pipeline.filter.source, shards(pipeline.filter.source, below=below, key="filter.source"))
        for name in pipeline.filter.by:
            _check_column("filter.by", name, *corpus)
    except BadInput as error:
        raise BadInput(f"{file}: {error}") from error
    root = below.parent if below.name == "pipelines" else below
    workspace = _path(below, pipeline.workspace) if pipeline.workspace else root / "runs" / pipeline.name
    return Opened(
        file=file,
        pipeline=pipeline,
        rubric=rubric,
        workspace=workspace / "routes" / route if route else workspace,
        shards=own,
        labels=labels,
        corpus=corpus,
        route=route,
    )


def _take_route(file: Path, values: dict[str, Any], route: str) -> None:
    """Put a route's own rubric and settings in the place of the pipeline's."""
    routes = values.get("routes")
    taken = routes.get(route) if isinstance(routes, dict) else None
    if not isinstance(taken, dict) or not isinstance(taken.get("set", {}), dict):
        return  # the check of all keys and values says what is wrong
    if taken.get("rubric"):
        values["rubric"] = taken["rubric"]
    for key, value in taken.get("set", {}).items():
        if str(key).split(".")[0] in ("name", "workspace", "routes"):
            raise BadInput(f"{file}: routes.{route}.set: {key} cannot be other on a route")
        _put(values, str(key), value, f"{file}: routes.{route}.set")


def _narrow(values: dict[str, Any], where: str) -> None:
    """Only the pages of the route are drawn and filtered."""
    for stage in ("sample", "filter"):
        found = values.setdefault(stage, {}) or {}
        values[stage] = {**found, "where": f"({where}) AND ({found['where']})" if found.get("where") else where}


def _path(below: Path, given: str) -> Path:
    return below / os.path.expanduser(given)


def _labels(pipeline: Pipeline, rubric: Rubric, below: Path, own: list[Shard]) -> tuple[Source, list[Shard]] | None:
    wanted = pipeline.label.labels_from
    if wanted is None:
        return None
    wrong = {value: level for value, level in wanted.map.items() if level_of(rubric, level) is None}
    if wrong:
        what = "classes" if rubric.scale == "choice" else "levels"
        raise BadInput(f"label.labels_from.map: must name {what} {allowed_levels(rubric)} (got {wrong})")
    if wanted.match == "url" and not pipeline.source.url:
        raise BadInput("label.labels_from.match: url needs source.url, the column of the URL")
    source, found = _label_file(wanted, below) if wanted.path else (pipeline.source, own)
    for key in ("level", "rater", "note", "criteria"):
        name = getattr(wanted, key)
        if name:
            _check_column(f"label.labels_from.{key}", name, source, found)
    return source, found


def _label_file(wanted: LabelFile, below: Path) -> tuple[Source, list[Shard]]:
    column = wanted.column or wanted.match
    found = shards(Source(path=wanted.path, text=""), below=below, key="label.labels_from")
    text, url, own = (column if wanted.match == match else "" for match in ("text", "url", "page_id"))
    source = Source(path=wanted.path, text=text, url=url, id=own)
    _check_column("label.labels_from.column", column, source, found)
    return source, found


def _check_column(key: str, name: str, source: Source, found: Sequence[Shard]) -> None:
    """Raises BadInput when no shard has the column."""
    known: set[str] = set()
    for shard in found:
        known.update(columns_of(source, shard))
        if name in known:
            return
    raise BadInput(f"{key}: {no_column(found[0], name, known)}")


def _check_model(file: Path, pipeline: Pipeline) -> None:
    from curate.local_llm import CATALOGUE

    judge = pipeline.judge
    for key, model in (("judge.model", judge.model), ("judge.reflection_model", judge.reflection_model)):
        if model.startswith("local/") and not judge.local.gguf and model.removeprefix("local/") not in CATALOGUE:
            known = [f"local/{name}" for name in CATALOGUE]
            raise BadInput(
                f"{file}: {key}: no embedded model {model!r}{did_you_mean(model, known)}; for a file of your own set judge.local.gguf"
            )
        provider, _, name = model.partition("/")
        if (model or key == "judge.model") and not (provider and name):
            raise BadInput(
                f"{file}: {key}: must be provider/name, such as hosted_vllm/{model or 'NAME'} or openai/{model or 'NAME'} (got {model!r})"
            )
    if judge.local.gguf and not _path(file.absolute().parent, judge.local.gguf).is_file():
        raise BadInput(f"{file}: judge.local.gguf: no such file (got {judge.local.gguf!r})")
    for key in ("api_key_env", "reflection_api_key_env"):
        name = getattr(judge, key)
        if name and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise BadInput(f"{file}: judge.{key}: must be the name of an environment variable, never the key itself")
        if name and not os.environ.get(name):
            raise BadInput(f"{file}: judge.{key}: the environment variable {name} is not set")


def _override(values: dict[str, Any], item: str) -> None:
    key, equals, text = item.partition("=")
    if not equals or not all(part.strip() for part in key.split(".")):
        raise BadInput(f"--set {item}: must be key=value, such as --set judge.page_chars=2000")
    if text.startswith("*"):  # a glob such as *.parquet, which YAML would read as an alias
        text = f"'{text}'"
    try:
        _put(values, key.strip(), _from_here(key.strip(), keys.parse_yaml(text) if text else ""), f"--set {item}")
    except ValueError as error:
        raise BadInput(
            f"--set {item}: the value is not YAML ({str(error)[:80]}); quote it, as in a.b='\"text\"'"
        ) from error


def _put(values: dict[str, Any], key: str, value: Any, where: str) -> None:
    at: Any = values
    *parents, last = key.split(".")
    for i, part in enumerate(parents):
        if at.get(part) is None:
            at[part] = {}
        at = at[part]
        if not isinstance(at, dict):
            raise BadInput(f"{where}: {'.'.join(parents[: i + 1])} is a value, it has no key {last!r} below it")
    at[last] = value


def _from_here(key: str, value: Any) -> Any:
    """Paths on the command line are meant from where it is typed, those in a pipeline file from where it lies."""
    if isinstance(value, dict):
        return {name: _from_here(f"{key}.{name}", inner) for name, inner in value.items()}
    if isinstance(value, list) and key in PATHS:
        return [_from_here(key, each) for each in value]
    here = key in PATHS and isinstance(value, str) and value and "://" not in value
    return os.path.abspath(os.path.expanduser(value)) if here else value


@dataclass(frozen=True)
class Setting:
    """One key of a pipeline file."""

    key: str
    default: str
    """As YAML; empty where it must be given."""
    meaning: str


def settings(model: type[BaseModel] = Pipeline, prefix: str = "") -> list[Setting]:
    """Every key of a pipeline file, in the order of the file."""
    found: list[Setting] = []
    for name, field in model.model_fields.items():
        inner = keys.model_in(field.annotation)
        meaning = " ".join((field.description or "").split())
        origin = get_origin(field.annotation)
        several = "[]" if origin is list else ".NAME" if origin is dict else ""
        if inner is None or field.default is None or several or name == "source":
            found.append(Setting(f"{prefix}{name}", _as_yaml(field), meaning))
        if inner is not None:
            found += settings(inner, f"{prefix}{name}{several}.")
    return found


def _as_yaml(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    default = field.get_default(call_default_factory=True)
    return yaml.safe_dump(default, default_flow_style=True, width=10**6).strip().removesuffix("...").strip()


def stage_between(first: str, last: str) -> tuple[str, ...]:
    """The stages from `first` to `last`."""
    return STAGES[STAGES.index(first) : STAGES.index(last) + 1]


Stage = Literal["sample", "label", "tune", "score", "distill", "filter", "report"]
