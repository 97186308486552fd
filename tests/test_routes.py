"""Several rubrics in one pipeline, each for the pages of its route."""

import json
from pathlib import Path

import pytest
import yaml
from openai_server import OpenAIServer
from test_cli import run
from test_pipeline import FILE, folder, server  # noqa: F401  fixtures

ROUTES = {
    "ab": {"where": "kind <> 'c'"},
    "c": {"where": "kind = 'c'", "rubric": "second.md", "set": {"label.needed": 20, "tune.forms": ["yesno"]}},
}


@pytest.fixture
def routed(folder: Path) -> Path:  # noqa: F811
    values = yaml.safe_load(FILE)
    values |= {"routes": ROUTES, "label": {**values["label"], "needed": 30, "needed_a_class": 1}}
    (folder / "p.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    text = (folder / "rubric.md").read_text(encoding="utf-8")
    (folder / "second.md").write_text(text.replace("name: stem", "name: second"), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_each_route_is_tuned_filtered_and_reported_apart(
    routed: Path,
    server: OpenAIServer,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [routed / "p.yaml", "--set", f"judge.api_base={server.url}"]
    code, out, err = run(capsys, "run", *words)
    assert (code, "small, route ab:" in out, "small, route c:" in out) == (0, True, True), err
    assert out.count("report   done") == 2
    for route, kinds in (("ab", {"a", "b"}), ("c", {"c"})):
        code, out, _ = run(
            capsys, "sql", "SELECT DISTINCT kind FROM pages", routed / "p.yaml", "--route", route, "--format", "json"
        )
        assert {row["kind"] for row in json.loads(out)} == kinds
        code, out, _ = run(
            capsys,
            "sql",
            "SELECT reason, count(*) AS n FROM decisions GROUP BY ALL",
            routed / "p.yaml",
            "--route",
            route,
            "--format",
            "json",
        )
        counts = {row["reason"]: row["n"] for row in json.loads(out)}
        assert counts["left out by where"] == 120 - 40 * len(kinds)
        assert sum(counts.values()) == 120
        reports = list((routed / "runs" / "small" / "routes" / route / "reports").glob("*/report.json"))
        assert len(reports) == 1
        assert json.loads(reports[0].read_text())["rubric"]["name"] == ("stem" if route == "ab" else "second")
    code, out, _ = run(capsys, "status", *words, "--json")
    assert {s["state"] for one in json.loads(out)["routes"].values() for s in one["stages"]} == {"fresh"}
    query = "SELECT DISTINCT form FROM candidates WHERE phase = 'form'"
    code, out, _ = run(capsys, "sql", query, routed / "p.yaml", "--route", "c", "--format", "json")
    assert json.loads(out) == [{"form": "yesno"}], "the route's own settings"


def test_what_is_missing_is_said_for_each_route_and_the_run_waits(
    routed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (routed / "labels.jsonl").write_text(
        json.dumps({"url": "https://site2.example/2", "rater": "ann", "level": 3, "note": ""})
        + "\n"
        + json.dumps({"url": "https://site1.example/1", "rater": "ann", "level": 3, "note": ""})
        + "\n"
    )
    code, out, _ = run(capsys, "run", routed / "p.yaml")
    assert code == 3
    for route in ROUTES:
        assert f"curate label {routed / 'p.yaml'} --route {route}" in out
    code, out, err = run(capsys, "label", routed / "p.yaml", "--count")
    assert (code, out) == (2, "")
    assert "has the routes ab, c; name one, as in --route ab" in err
    code, out, _ = run(capsys, "run", routed / "p.yaml", "--route", "c", "--until", "sample")
    assert code == 0
    assert "route ab" not in out
