"""`curate labels agreement | suspects | curve`, on the small desk's pipeline."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from small_desk import level, opened, pages

from curate.cli import cli
from curate.config import Opened
from curate.errors import BadInput
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
    apart = json.loads(run("agreement", pipeline.file, "--json", "--by", "split").output)
    assert sum(part["shared"] for part in apart.values()) == 20
    assert set(apart) <= {"train", "val", "test"}
    assert f"split {next(iter(apart))}\n" in run("agreement", pipeline.file, "--by", "split").output
    assert "0 suspects" in run("suspects", pipeline.file).output
    assert json.loads(run("suspects", pipeline.file, "--json").output) == []
    assert "too few to tell" in run("curve", pipeline.file).output
    assert json.loads(run("curve", pipeline.file, "--json").output)["stop"] is None


def test_without_pages_there_are_no_labels(tmp_path: Path) -> None:
    found = opened(tmp_path)
    other = tmp_path / "other.yaml"
    other.write_text(found.file.read_text().replace("workspace: work", "workspace: elsewhere"))
    assert "no pages are drawn yet" in refused("agreement", other)
