import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.config import STAGES, Opened, Pipeline, open_pipeline, open_routes, read, stage_between
from curate.errors import BadInput

ROOT = Path(__file__).resolve().parents[1]
PIPELINES = sorted((ROOT / "pipelines").glob("*.yaml"))
BASE: dict[str, Any] = {"name": "x", "rubric": "stem.md", "source": {"path": "pages.jsonl"}}
TEXT = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=("Cs",)), min_size=1)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stem.md").write_bytes((ROOT / "rubrics" / "stem.md").read_bytes())
    rows = [{"text": f"page {n}", "url": f"http://h{n}.org", "level": n, "kind": "a"} for n in range(5)]
    (tmp_path / "pages.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def put(folder: Path, values: dict[str, Any] | str = "", **more: Any) -> Path:
    path = folder / "x.yaml"
    path.write_text(values if isinstance(values, str) and values else yaml.safe_dump({**BASE, **more}))
    return path


def opened(folder: Path, *overrides: str, **more: Any) -> Opened:
    return open_pipeline(put(folder, **more), overrides)


def refusal(path: Path, overrides: Sequence[str] = ()) -> str:
    before = sorted(str(p) for p in path.parent.rglob("*"))
    with pytest.raises(BadInput) as caught:
        open_pipeline(path, overrides)
    assert sorted(str(p) for p in path.parent.rglob("*")) == before, "nothing is written"
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 2
    return re.sub(rf"{re.escape(str(path))}(:\d+)?: ", "x.yaml: ", message, count=1)


def test_an_opened_pipeline_has_everything_it_names(folder: Path) -> None:
    found = opened(folder)
    assert (found.rubric.name, found.workspace) == ("stem", folder / "runs" / "x")
    assert [shard.name for shard in found.shards] == ["pages.jsonl"]
    assert found.labels is None
    assert found.corpus == (found.pipeline.source, found.shards)
    assert not found.workspace.exists()


def test_the_workspace_stands_beside_the_pipelines_folder_or_where_it_is_said(folder: Path) -> None:
    (folder / "pipelines").mkdir()
    path = folder / "pipelines" / "x.yaml"
    path.write_text(yaml.safe_dump({**BASE, "rubric": "../stem.md", "source": {"path": "../pages.jsonl"}}))
    assert open_pipeline(path).workspace == folder / "runs" / "x"
    assert opened(folder, workspace="w").workspace == folder / "w"
    assert opened(folder, workspace=str(folder / "abs")).workspace == folder / "abs"


def test_paths_are_relative_to_the_pipeline_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder)
    monkeypatch.chdir(folder.parent)
    assert open_pipeline(Path(folder.name) / "x.yaml").shards == opened(folder).shards


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_the_shipped_pipelines_load_or_miss_nothing_but_their_pages(path: Path) -> None:
    pipeline = read(path)
    assert pipeline.name == path.stem
    if pipeline.source.path and (path.parent / str(pipeline.source.path)).exists():
        assert open_pipeline(path).pipeline == pipeline
        return
    if pipeline.source.hub:
        with pytest.raises(BadInput, match=r"source.hub: .*: cannot be opened"):
            open_pipeline(path)
        return
    with pytest.raises(BadInput) as caught:
        open_pipeline(path)
    assert str(caught.value) == (
        f"{path}: source.path: pages.parquet: no such file, and no file matches it "
        f"(looked for {path.parent / 'pages.parquet'})"
    )
    pages = path.parent / "demo" / "pages.jsonl"
    assert open_pipeline(path, [f"source.path={pages}"]).rubric.name == path.stem


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_the_settings_in_the_comments_of_shipped_pipelines_are_real(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    live, count = re.subn(r"^( *)# ( *)(\w+: )", r"\1\2\3", text, flags=re.MULTILINE)
    assert count >= (path.stem not in ("demo", "commonsenseqa"))
    (tmp_path / "live.yaml").write_text(live)
    overrides = [f"{key}={value}" for key, value in re.findall(r"--set ([\w.]+)=([^'\s]+)", text)]
    assert read(tmp_path / "live.yaml", [*overrides, "tune.reflection=model"]).name == path.stem


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"sampl": {}}, "x.yaml: sampl: no such key; did you mean sample? (allowed: budget_usd, distill, filter, "),
        ({"sample": {"page": 3}}, "x.yaml: sample.page: no such key; did you mean pages? (allowed: bins, by, "),
        ({"filter": {"source": {"pth": 3}}}, "x.yaml: filter.source.pth: no such key; did you mean path?"),
        ({"judge": {"local": {"ggf": 3}}}, "x.yaml: judge.local.ggf: no such key; did you mean gguf?"),
        ({"label": {"labels_from": {"levl": "a"}}}, "x.yaml: label.labels_from.levl: no such key; did you mean level?"),
        ({"sample": {"shares": {"tran": 1}}}, "x.yaml: sample.shares.tran: no such key; did you mean train?"),
        ({"sample": {"pages": "many"}}, "x.yaml: sample.pages: must be a valid integer (got 'many')"),
        ({"sample": {"pages": "20"}}, "x.yaml: sample.pages: must be a valid integer (got '20')"),
        ({"sample": {"pages": True}}, "x.yaml: sample.pages: must be a valid integer (got True)"),
        ({"sample": {"pages": 0}}, "x.yaml: sample.pages: must be greater than 0 (got 0)"),
        ({"sample": {"pages": 2.5}}, "x.yaml: sample.pages: must be a valid integer (got 2.5)"),
        ({"sample": {"seed": ""}}, "x.yaml: sample.seed: must have at least 1 character (got '')"),
        ({"sample": {"shares": {"test": 0}}}, "x.yaml: sample.shares.test: must be greater than 0 (got 0)"),
        ({"sample": {"group_by": "hosts"}}, "x.yaml: sample.group_by: must be 'host' or 'near_duplicate' (got 'hosts')"),
        ({"sample": 5}, "x.yaml: sample: must hold keys and values (got 5)"),
        ({"judge": None}, "x.yaml: judge: must hold keys and values (got None)"),
        ({"judge": {"logprobs": "no"}}, "x.yaml: judge.logprobs: must be a valid boolean (got 'no')"),
        ({"judge": {"model": ""}}, "x.yaml: judge.model: must be provider/name, such as hosted_vllm/NAME"),
        ({"judge": {"model": "gpt-4o"}}, "x.yaml: judge.model: must be provider/name, such as hosted_vllm/gpt-4o"),
        ({"judge": {"model": "openai/"}}, "x.yaml: judge.model: must be provider/name"),
        ({"judge": {"model": "local/qwen2.5"}}, "x.yaml: judge.model: no embedded model 'local/qwen2.5'; did you mean local/"),
        ({"judge": {"local": {"gguf": "m.gguf"}}}, "x.yaml: judge.local.gguf: no such file (got 'm.gguf')"),
        ({"judge": {"reflection_model": "openai/x"}}, "x.yaml: judge.reflection_model: is set, but tune.reflection is"),
        ({"tune": {"forms": ["levl"]}}, "x.yaml: tune.forms.0: must be 'level', 'yesno', 'ab', 'kind', "),
        ({"tune": {"forms": "level"}}, "x.yaml: tune.forms: must be a valid list (got 'level')"),
        ({"filter": {"aim": "recall"}}, "x.yaml: filter.aim: must be f1, precision>=0.9, recall>=0.9 or threshold=0.5"),
        ({"filter": {"by": ["knd"]}}, "x.yaml: filter.by: "),
        ({"filter": {"source": {"path": "no"}}}, "x.yaml: filter.source.path: no: no such file"),
        ({"filter": {"source": {"path": "pages.jsonl", "url": "link"}}}, "x.yaml: filter.source.url: "),
        ({"budget_usd": -1}, "x.yaml: budget_usd: must be greater than or equal to 0 (got -1)"),
        ({"name": "My filter"}, "x.yaml: name: must match pattern '^[a-z0-9][a-z0-9_-]*$' (got 'My filter')"),
        ({"rubric": "stm.md"}, "x.yaml: rubric: no such file (got 'stm.md'; "),
        ({"rubric": 5}, "x.yaml: rubric: must be a valid string (got 5)"),
        ({"source": {"path": 3}}, "x.yaml: source.path: must be a valid string or must be a valid list (got 3)"),
        ({"source": {"path": ["a", 3]}}, "x.yaml: source.path: must be a valid string (got ['a', 3])"),
        ({"source": {}}, "x.yaml: source: give either path or hub (got neither)"),
        ({"source": {"path": "no*.jsonl"}}, "x.yaml: source.path: no*.jsonl: no such file, and no file matches it"),
        ({"source": {"path": "pages.jsonl", "text": "txt"}}, "x.yaml: source.text: "),
        ({"source": {"path": "pages.jsonl", "text": "level"}}, "x.yaml: source.text: "),
        ({"source": {"path": "pages.jsonl", "batch_pages": 0}}, "x.yaml: source.batch_pages: must be greater than 0"),
        ({"label": {"labels_from": {"match": "urls"}}}, "x.yaml: label.labels_from.match: must be 'text', 'url' or 'page"),
        ({"label": {"labels_from": {"match": "url"}}}, "x.yaml: label.labels_from.match: url needs source.url"),
        ({"label": {"labels_from": {"path": "l.jsonl"}}}, "x.yaml: label.labels_from.path: l.jsonl: no such file"),
        ({"label": {"labels_from": {"level": "lvl"}}}, "x.yaml: label.labels_from.level: "),
        ({"label": {"labels_from": {"rater": "who"}}}, "x.yaml: label.labels_from.rater: "),
        ({"label": {"labels_from": {"path": "pages.jsonl", "column": "txt"}}}, "x.yaml: label.labels_from.column: "),
        ({"label": {"labels_from": {"map": {"k": 6}}}}, "x.yaml: label.labels_from.map: must name levels 0..5 (got {'k': 6})"),
        ({"label": {"labels_from": {"map": {True: 1}}}}, "x.yaml: label.labels_from.map: quote yes, no, true and false"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_one_line_before_any_work(folder: Path, more: dict[str, Any], says: str) -> None:
    assert refusal(put(folder, **more)).startswith(says)


def test_a_missing_column_offers_the_nearest(folder: Path) -> None:
    message = refusal(put(folder, source={"path": "pages.jsonl", "text": "txt"}))
    assert message.endswith(
        "has no column 'txt' in its first 1,000 rows; did you mean text? (allowed: kind, level, text, url)"
    )


def test_the_key_of_a_missing_part_is_named(folder: Path) -> None:
    for key in ("name", "rubric", "source"):
        path = folder / "x.yaml"
        path.write_text(yaml.safe_dump({name: value for name, value in BASE.items() if name != key}))
        assert refusal(path) == f"x.yaml: {key}: is missing"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("# nothing\n", "x.yaml: must hold keys and values (got NoneType)"),
        ("- a\n", "x.yaml: must hold keys and values (got list)"),
        ("name: [x\n", "x.yaml: is not YAML: while parsing a flow sequence in line 1"),
        ("name: x\n\tsource: y\n", "x.yaml: is not YAML: "),
        ("budget_usd: 2024-13-45\n", "x.yaml: is not YAML: month must be in 1..12"),
        ("name: x\nname: y\n", "x.yaml: is not YAML: the key name stands twice in line 2"),
        ("name: !!python/object/apply:os.system [true]\n", "x.yaml: is not YAML: could not determine a constructor"),
        ("name: \x00\n", "x.yaml: is not YAML: "),
    ],
)
def test_a_file_that_is_no_pipeline_is_one_line(folder: Path, text: str, says: str) -> None:
    assert refusal(put(folder, text)).startswith(says)


def test_a_pipeline_file_that_is_not_there_offers_the_nearest(folder: Path) -> None:
    put(folder)
    assert refusal(folder / "xx.yaml") == (
        "x.yaml: pipeline file cannot be read (No such file or directory); did you mean x? (allowed: x)"
    )
    assert refusal(folder / "none" / "x.yaml") == "x.yaml: pipeline file cannot be read (No such file or directory)"
    assert refusal(folder).startswith("x.yaml: pipeline file cannot be read (Is a directory)")


def test_a_bad_rubric_is_named_by_its_own_file(folder: Path) -> None:
    text = (folder / "stem.md").read_text()
    (folder / "stem.md").write_text(text.replace("keep: 3", "keep: 7"))
    assert refusal(put(folder)) == f"{folder / 'stem.md'}:6: keep: must be one of the levels 1..5 (got 7)"


def test_the_variable_of_a_key_must_be_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(folder, judge={"model": "openai/x", "api_key_env": "CURATE_TEST_KEY"})
    for value in (None, ""):
        monkeypatch.delenv("CURATE_TEST_KEY", raising=False)
        if value is not None:
            monkeypatch.setenv("CURATE_TEST_KEY", value)
        assert refusal(path) == "x.yaml: judge.api_key_env: the environment variable CURATE_TEST_KEY is not set"
    monkeypatch.setenv("CURATE_TEST_KEY", "sesame")
    assert open_pipeline(path).pipeline.judge.api_key_env == "CURATE_TEST_KEY"
    assert "reflection_api_key_env: the environment variable CURATE_NONE is not set" in refusal(
        path, ["judge.reflection_api_key_env=CURATE_NONE"]
    )


def test_a_key_in_the_place_of_its_variable_is_never_printed(folder: Path) -> None:
    path = put(folder, judge={"model": "openai/x", "api_key_env": "sk-secret-1234"})
    assert (
        refusal(path) == "x.yaml: judge.api_key_env: must be the name of an environment variable, never the key itself"
    )


def test_cheap_checks_come_before_the_pages_are_looked_at(folder: Path) -> None:
    path = put(folder, source={"path": "none"}, judge={"model": "gpt"})
    assert refusal(path).startswith("x.yaml: judge.model: ")


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("sample.pages=20", ("sample", "pages"), 20),
        ("sample.pages=null", ("sample", "pages"), None),
        ("sample.shares.test=2", ("sample", "shares", "test"), 2.0),
        ("judge.model=hosted_vllm/org/name", ("judge", "model"), "hosted_vllm/org/name"),
        ("judge.api_base=http://localhost:8000/v1", ("judge", "api_base"), "http://localhost:8000/v1"),
        ("judge.logprobs=false", ("judge", "logprobs"), False),
        ("judge.timeout_seconds=1e2", ("judge", "timeout_seconds"), 100.0),
        ("source.path=*.jsonl", ("source", "path"), str(Path.cwd() / "*.jsonl")),
        ("source.path=[a, b.jsonl]", ("source", "path"), [str(Path.cwd() / "a"), str(Path.cwd() / "b.jsonl")]),
        ("tune.forms=[level, ab]", ("tune", "forms"), ["level", "ab"]),
        ("filter.aim=precision>=0.9", ("filter", "aim"), "precision>=0.9"),
        ("filter.aim=threshold=0.5", ("filter", "aim"), "threshold=0.5"),
        ("filter.source.path=s3://c.jsonl", ("filter", "source", "path"), "s3://c.jsonl"),
        ("label.labels_from.map={keep: 1, 0: 0}", ("label", "labels_from", "map"), {"keep": 1, "0": 0}),
        ("workspace=", ("workspace",), ""),
        ("sample.seed='7'", ("sample", "seed"), "7"),
    ],
)
def test_an_override_sets_one_value(folder: Path, override: str, key: tuple[str, ...], value: Any) -> None:
    found: Any = read(put(folder), [override])
    for name in key:
        found = getattr(found, name)
    assert found == value
    assert type(found) is type(value)


def test_the_last_override_wins_and_the_rest_of_the_file_stays(folder: Path) -> None:
    path = put(folder, sample={"pages": 5, "seed": "a"})
    found = read(path, ["sample.pages=6", "sample.pages=7"])
    assert (found.sample.pages, found.sample.seed) == (7, "a")
    assert read(path, ["label.labels_from.level=l"]).label.labels_from is not None
    assert read(path).sample.pages == 5, "the file is not touched"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("sample", "--set sample: must be key=value, such as --set judge.page_chars=2000"),
        ("=5", "--set =5: must be key=value"),
        ("sample..pages=5", "--set sample..pages=5: must be key=value"),
        (".=5", "--set .=5: must be key=value"),
        ("sample.page=5", "x.yaml: sample.page: no such key; did you mean pages?"),
        ("smple.pages=5", "x.yaml: smple: no such key; did you mean sample?"),
        ("sample.pages=abc", "x.yaml: sample.pages: must be a valid integer (got 'abc')"),
        ("sample.pages=", "x.yaml: sample.pages: must be a valid integer (got '')"),
        ("sample=5", "x.yaml: sample: must hold keys and values (got 5)"),
        ("source.path.x=5", "--set source.path.x=5: source.path is a value, it has no key 'x' below it"),
        ("source.path=[a", "--set source.path=[a: the value is not YAML (while parsing a flow sequence"),
        ("judge.model=@x", "--set judge.model=@x: the value is not YAML"),
        ("name=2024-13-45", "--set name=2024-13-45: the value is not YAML (month must be in 1..12)"),
    ],
)
def test_a_bad_override_is_one_line(folder: Path, override: str, says: str) -> None:
    assert refusal(put(folder), [override]).startswith(says)


@settings(max_examples=60)
@given(value=SCALAR | st.lists(SCALAR, max_size=3), seed=TEXT)
def test_any_value_written_as_yaml_is_the_value_that_is_set(
    tmp_path_factory: pytest.TempPathFactory, value: Any, seed: str
) -> None:
    path = put(tmp_path_factory.mktemp("c"))
    assert read(path, [f"sample.seed={json.dumps(seed)}"]).sample.seed == seed
    with pytest.raises(BadInput) as caught:
        read(path, [f"sample.group_by={json.dumps(value)}"])
    assert str(caught.value) == (
        f"{path}: sample.group_by: must be 'host' or 'near_duplicate' (got {repr(value)[:80]})"
    )


@given(key=st.text(st.characters(exclude_characters="=."), min_size=1).filter(lambda key: key.strip()))
def test_any_unknown_key_is_one_line(tmp_path_factory: pytest.TempPathFactory, key: str) -> None:
    path = put(tmp_path_factory.mktemp("c"))
    if key.strip() in Pipeline.model_fields:
        return
    with pytest.raises(BadInput, match="no such key"):
        read(path, [f"{key}=1"])


def test_labels_are_found_in_the_source_or_in_a_file_of_their_own(folder: Path) -> None:
    (folder / "labels.jsonl").write_text('{"link": "http://h1.org", "level": 3, "who": "ann"}\n')
    own = opened(folder, label={"labels_from": {}}).labels
    assert own is not None
    assert own[0].path == "pages.jsonl"
    source = {"path": "pages.jsonl", "url": "url"}
    other = opened(
        folder,
        source=source,
        label={"labels_from": {"path": "labels.jsonl", "match": "url", "column": "link", "rater": "who"}},
    ).labels
    assert other is not None
    assert (other[0].url, other[0].text, other[0].id, other[1][0].name) == ("link", "", "", "labels.jsonl")


def test_a_corpus_of_its_own_is_found(folder: Path) -> None:
    (folder / "corpus").mkdir()
    (folder / "corpus" / "a.jsonl").write_text('{"body": "x", "lang": "en"}\n')
    found = opened(folder, filter={"source": {"path": "corpus", "text": "body"}, "by": ["lang"]})
    assert [shard.name for shard in found.corpus[1]] == ["a.jsonl"]
    assert [shard.name for shard in found.shards] == ["pages.jsonl"]


def test_stages_between_two() -> None:
    assert stage_between("sample", "report") == STAGES
    assert stage_between("tune", "score") == ("tune", "score")
    assert stage_between("label", "label") == ("label",)


def test_every_setting_says_what_it_means() -> None:
    def fields(model: Any) -> list[tuple[Any, str]]:
        inner = [m for f in model.model_fields.values() for m in _models(f.annotation)]
        return [(model, name) for name in model.model_fields] + [pair for m in inner for pair in fields(m)]

    undocumented = {f"{model.__qualname__}.{name}" for model, name in fields(Pipeline) if not _words(model, name)}
    assert undocumented == set()


def _models(annotation: Any) -> list[Any]:
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [m for part in getattr(annotation, "__args__", ()) for m in _models(part)]


def _words(model: Any, name: str) -> bool:
    return bool(model.model_fields[name].description)


ROUTES: dict[str, Any] = {
    "prose": {"where": "lang = 'en'"},
    "code": {
        "where": "contains(text, 'def ')",
        "rubric": "code.md",
        "set": {"judge.page_chars": 900, "tune.forms": ["ab"], "sample": {"pages": 3, "where": "length(text) > 9"}},
    },
}


@pytest.fixture
def routed(folder: Path) -> Path:
    (folder / "code.md").write_bytes((ROOT / "rubrics" / "code.md").read_bytes())
    return put(folder, routes=ROUTES)


def test_each_route_has_its_pages_its_rubric_its_settings_and_a_workspace(routed: Path) -> None:
    code, prose = open_routes(routed)
    assert (prose.route, prose.rubric.name, prose.workspace) == (
        "prose",
        "stem",
        routed.parent / "runs" / "x" / "routes" / "prose",
    )
    assert (code.route, code.rubric.name, code.pipeline.judge.page_chars) == ("code", "code", 900)
    assert prose.pipeline.sample.where == prose.pipeline.filter.where == "lang = 'en'"
    assert code.pipeline.sample.where == "(contains(text, 'def ')) AND (length(text) > 9)"
    assert (code.pipeline.sample.pages, code.pipeline.tune.forms, prose.pipeline.tune.forms[0]) == (3, ["ab"], "level")
    assert not prose.pipeline.routes


def test_one_route_is_opened_by_name_and_overrides_go_above_its_settings(routed: Path) -> None:
    (code,) = open_routes(routed, ["judge.page_chars=1200"], route="code")
    assert (code.route, code.pipeline.judge.page_chars) == ("code", 1200)
    assert code.pipeline == open_pipeline(routed, ["judge.page_chars=1200"], route="code").pipeline


def test_a_pipeline_without_routes_is_its_own_only_one(folder: Path) -> None:
    (only,) = open_routes(put(folder))
    assert (only.route, only.workspace) == ("", folder / "runs" / "x")


def test_a_pipeline_with_routes_is_opened_by_none_but_a_name(routed: Path) -> None:
    assert refusal(routed) == "x.yaml: has the routes code, prose; name one, as in --route code"
    with pytest.raises(BadInput, match="has no such route; did you mean code"):
        open_routes(routed, route="coed")
    with pytest.raises(BadInput, match="has no such route; it has none"):
        open_routes(put(routed.parent), route="code")


@pytest.mark.parametrize(
    ("route", "says"),
    [
        ({"rubric": "code.md"}, "routes.code.where: is missing"),
        ({"where": ""}, "routes.code.where: "),
        ({"where": "true", "rubirc": "code.md"}, "routes.code.rubirc: no such key; did you mean rubric?"),
        ({"where": "true", "rubric": "none.md"}, "rubric: no such file (got 'none.md'"),
        ({"where": "true", "set": {"judge.page_char": 9}}, "judge.page_char: no such key; did you mean page_chars?"),
        ({"where": "true", "set": {"workspace": "w"}}, "routes.code.set: workspace cannot be other on a route"),
        ({"where": "true", "set": {"name.x": 1}}, "routes.code.set: name.x cannot be other on a route"),
        ({"where": "true", "set": ["a"]}, "routes.code.set: must hold keys and values"),
        ("true", "routes.code: must hold keys and values"),
    ],
)
def test_a_wrong_route_is_named(folder: Path, route: Any, says: str) -> None:
    path = put(folder, routes={"code": route})
    with pytest.raises(BadInput) as caught:
        open_routes(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_routes_name_is_one_that_a_folder_can_have(folder: Path) -> None:
    path = put(folder, routes={"My route": {"where": "true"}})
    with pytest.raises(BadInput, match="names are of lower-case letters"):
        open_routes(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "name: x\nrubric: stem.md\nsource: {path: pages.jsonl}\ntune:\n  seed: 1\n  finalists: 0\n",
            ":6: tune.finalists: ",
        ),
        ("name: x\nrubric: stem.md\nsource:\n  path: pages.jsonl\n  txt: body\n", ":5: source.txt: no such key"),
        ("name: x\nrubric: [stem.md\n", ":3: is not YAML"),
        ("name: X y\nrubric: stem.md\nsource: {path: pages.jsonl}\n", ":1: name: "),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_line(folder: Path, text: str, says: str) -> None:
    path = put(folder, text)
    with pytest.raises(BadInput) as caught:
        open_pipeline(path)
    assert f"{path}{says}" in str(caught.value)


def test_what_stands_on_the_command_line_has_no_line_in_the_file(folder: Path) -> None:
    path = put(folder, "name: x\nrubric: stem.md\nsource: {path: pages.jsonl}\ntune: {finalists: 2}\n")
    with pytest.raises(BadInput) as caught:
        open_pipeline(path, ["tune.finalists=0"])
    assert str(caught.value).startswith(f"{path}: tune.finalists: ")


def test_the_graders_rubric_is_found_beside_the_pipeline_and_checked_before_any_work(folder: Path) -> None:
    given = {"graders": {"human": 0.5, "rubric": 0.5}, "grader_rubric": "stem.md"}
    assert opened(folder, tune=given).pipeline.tune.grader_rubric == "stem.md"
    with pytest.raises(BadInput, match="rubric cannot be read"):
        opened(folder, tune={**given, "grader_rubric": "none.md"})
    with pytest.raises(BadInput, match="grader_rubric: is missing"):
        opened(folder, tune={"graders": {"rubric": 1.0}})
