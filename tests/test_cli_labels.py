"""`curate labels`, on the small desk's pipeline."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from small_desk import level, opened, pages

from curate.cli import cli
from curate.config import Opened
from curate.errors import BadInput
from curate.labels.words import current
from curate.store import Store
from curate.web.desk import PipelineDesk


@pytest.fixture
def pipeline(tmp_path: Path) -> Opened:
    return opened(tmp_path, rows=pages(20), overlap=1)


def run(*arguments: object, input: str | None = None) -> Result:
    done = CliRunner().invoke(cli, ["labels", *map(str, arguments)], input=input, catch_exceptions=False)
    assert done.exit_code == 0
    return done


def refused(*arguments: object) -> str:
    with pytest.raises(BadInput) as caught:
        cli.main(["labels", *map(str, arguments)], standalone_mode=False)
    return str(caught.value)


def rows(of: Opened) -> list[dict[str, Any]]:
    return Store(of.workspace).rows("labels")


def drawn(of: Opened) -> list[dict[str, Any]]:
    return sorted(Store(of.workspace).rows("pages"), key=lambda page: str(page["url"]))


def test_labels_come_in_and_go_out(pipeline: Opened, tmp_path: Path) -> None:
    file = tmp_path / "l.csv"
    file.write_text(
        "url,verdict,who\n"
        + "".join(f"{p['url']},{'good' if i % 2 else 'bad'},dan\n" for i, p in enumerate(drawn(pipeline)))
    )
    given = ["import", pipeline.file, file, "--level", "verdict", "--rater", "who", "--map", "good=2", "--map", "bad=0"]
    assert "20 would be new, 0 known" in run(*given, "--dry-run").output
    assert rows(pipeline) == []
    assert "(table, 20 records): 20 new, 0 known; raters: dan 20; levels: 0 10, 2 10" in run(*given).output
    assert "0 new, 20 known" in run(*given).output
    out = tmp_path / "out.jsonl"
    assert "20 labels" in run("export", pipeline.file, out, "--with-text").output
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert {line["rater"] for line in lines} == {"dan"}
    assert all(line["text"] for line in lines)
    assert "is there already; give --force" in refused("export", pipeline.file, out)
    run("export", pipeline.file, out, "--force", "--split", "train")
    assert {json.loads(line)["split"] for line in out.read_text().splitlines()} == {"train"}


def test_a_bad_row_is_named_with_its_file(pipeline: Opened, tmp_path: Path) -> None:
    file = tmp_path / "l.jsonl"
    file.write_text(json.dumps({"url": "https://host1.example/1", "level": 9}))
    said = refused("import", pipeline.file, file)
    assert "l.jsonl: 1 labels cannot be understood, nothing was written: row 1: 9 is no level (allowed: 0..2)" in said
    assert "--map: must be VALUE=LEVEL" in refused("import", pipeline.file, file, "--map", "x")
    assert "--column: say with --match" in refused("import", pipeline.file, file, "--column", "body")


def test_labels_are_added_by_scripts_one_or_many(pipeline: Opened) -> None:
    first, second, third = drawn(pipeline)[:3]
    one = run(
        "add", pipeline.file, first["page_id"][:12], 2, "--rater", "anna", "--criteria", "layout=1", "--note", "n"
    )
    (row,) = rows(pipeline)
    assert one.output.strip() == row["label_id"]
    assert (row["page_id"], row["level"], row["rater"], row["criteria"]) == (
        first["page_id"],
        2,
        "anna",
        '{"layout": 1}',
    )
    lines = [{"page": second["url"], "level": 0}, {"page": third["page_id"], "level": 1, "rater": "ben"}]
    many = run("add", pipeline.file, "-", input="\n".join(map(json.dumps, lines)))
    assert len(many.output.split()) == 2
    assert {row["rater"] for row in rows(pipeline)} == {"anna", "script", "ben"}
    run("add", pipeline.file, first["page_id"], "--rater", "anna", "--undo")
    assert {row["rater"] for row in current(rows(pipeline))} == {"script", "ben"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["nowhere", "1"], "nowhere: no such page in the sample"),
        (["PAGE", "7"], "7' is no level (allowed: 0..2)"),
        (["PAGE", "1", "--criteria", "layuot=1"], "no criterion 'layuot'; did you mean layout"),
        (["PAGE", "1", "--rater", ""], "rater: must be a name"),
    ],
)
def test_what_cannot_be_added_is_named(pipeline: Opened, given: list[str], said: str) -> None:
    given = [drawn(pipeline)[0]["page_id"] if one == "PAGE" else one for one in given]
    assert said in refused("add", pipeline.file, *given)
    assert rows(pipeline) == []


def test_agreement_suspects_and_curve_are_printed_and_are_json(pipeline: Opened) -> None:
    at = PipelineDesk(pipeline)
    for i, page in enumerate(at.ahead("anna", count=20)):
        for rater in ("anna", "ben"):
            at.save(rater, level(page, 2 if i % 2 or (rater == "ben" and i == 4) else 0))
    said = run("agreement", pipeline.file).output
    assert "40 labels of 20 pages by 2 raters; 20 pages have two or more" in said
    assert "two raters say the same           .95" in said
    assert "anna and ben: keep kappa" in said
    assert json.loads(run("agreement", pipeline.file, "--json").output)["shared"] == 20
    assert "0 suspects" in run("suspects", pipeline.file).output
    assert json.loads(run("suspects", pipeline.file, "--json").output) == []
    assert "too few to tell" in run("curve", pipeline.file).output
    assert json.loads(run("curve", pipeline.file, "--json").output)["stop"] is None


def test_without_pages_there_are_no_labels(tmp_path: Path) -> None:
    found = opened(tmp_path)
    other = tmp_path / "other.yaml"
    other.write_text(found.file.read_text().replace("workspace: work", "workspace: elsewhere"))
    assert "no pages are drawn yet" in refused("agreement", other)
