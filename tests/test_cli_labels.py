"""`curate labels`, from files to a workspace and back."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from small_labels import ROOT

from curate import pipeline
from curate.cli import cli
from curate.config import open_pipeline
from curate.errors import BadInput
from curate.labels.words import current
from curate.progress import Quiet
from curate.stages import label as stage
from curate.store import Store

PIPELINE = """
name: small
rubric: {rubric}
source: {{path: {pages}, text: text, url: {url}}}
judge: {{model: openai/none}}
sample: {{pages: null}}
label: {{needed: 10}}
"""


def sampled(folder: Path, *, rubric: Path, pages: Path, url: str = '""') -> Path:
    """A pipeline file whose sample is drawn."""
    file = folder / "p.yaml"
    file.write_text(PIPELINE.format(rubric=rubric, pages=pages, url=url))
    pipeline.run(open_pipeline(file), progress=Quiet(), until="sample", on_line=lambda line: None)
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pages = [{"url": f"https://h{n}.example/", "text": " ".join(f"w{n}x{i}" for i in range(30))} for n in range(20)]
    (tmp_path / "pages.jsonl").write_text("".join(json.dumps(page) + "\n" for page in pages))
    return sampled(tmp_path, rubric=ROOT / "rubrics" / "stem.md", pages=tmp_path / "pages.jsonl", url="url")


def labels(*words: object, stdin: str = "") -> Result:
    return CliRunner().invoke(cli, ["labels", *map(str, words)], input=stdin)


def told(found: Result) -> str:
    assert found.exit_code == 0, found.exception
    return found.stdout


def refused(found: Result) -> str:
    assert isinstance(found.exception, BadInput), found.output
    return str(found.exception)


def rows(file: Path) -> list[dict[str, Any]]:
    return Store(file.parent / "runs" / "small").rows("labels")


def votes(file: Path, text: str = "") -> Path:
    path = file.parent / "votes.csv"
    lines = [f"https://h{n}.example/,{'keep' if n % 2 else 'drop'},{'ann' if n < 4 else 'ben'}" for n in range(6)]
    path.write_text(text or "\n".join(["url,vote,rater", *lines, "https://elsewhere.example/,keep,ann"]) + "\n")
    return path


def test_import_says_what_it_took(file: Path) -> None:
    words = ("import", file, votes(file), "--level", "vote", "--map", "keep=5", "--map", "drop=0")
    assert "7 labels read: 6 would be new, 0 known, 1 without a page" in told(labels(*words, "--dry-run"))
    assert rows(file) == []
    lines = told(labels(*words)).splitlines()
    assert lines[0] == f"{file.parent}/votes.csv: table: level from 'vote', rater from 'rater', pages by url"
    assert lines[1:] == [
        "7 labels read: 6 new, 0 known, 1 without a page in the sample",
        "not in the sample: https://elsewhere.example/",
        "raters: ann 4, ben 2",
        "levels: 0: 3, 1: 0, 2: 0, 3: 0, 4: 0, 5: 3",
    ]
    assert "7 labels read: 0 new, 6 known" in told(labels(*words))
    assert len(rows(file)) == 6


def test_what_a_file_says_moves_no_cursor(file: Path) -> None:
    path = votes(file, "url,level,rater\nhttps://h0.example/,1,ann\x1b[2J\nhttps://\x1b]0;owned\x07,1,ann")
    shown = told(labels("import", file, path))
    assert "not in the sample: https://]0;owned" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_imported_labels_count_in_the_next_run(file: Path) -> None:
    told(labels("import", file, votes(file), "--level", "vote", "--map", "keep=5", "--map", "drop=0"))
    result = pipeline.run(open_pipeline(file), progress=Quiet(), until="label", on_line=lambda line: None)
    found = stage.Report(**result.records["label"]["report"])
    assert (found.labels, found.raters, found.missing) == (6, {"ann": 4, "ben": 2}, 4)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--level", "vote"], "column vote: line 2: 'drop', line 3: 'keep',"),
        (["--level", "vote"], "with --map, as in --map good=1"),
        (["--map", "keep"], "--map: must be VALUE=LEVEL, as in --map keep=1 (got 'keep')"),
        (["--map", "keep=9"], "--map keep=9: '9' is no level (allowed: 0..5)"),
        (["--level", "votes"], "no column 'votes'; did you mean vote?"),
    ],
)
def test_import_refuses_in_a_line(file: Path, options: list[str], says: str) -> None:
    assert says in refused(labels("import", file, votes(file), *options))
    assert rows(file) == []


def test_a_sample_must_be_drawn(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "q.yaml"
    other.write_text(file.read_text().replace("small", "other"))
    for words in (("import", other, votes(file)), ("export", other, "x.csv"), ("add", other, "p", "1")):
        assert "no pages are drawn yet; run `curate run" in refused(labels(*words))


def test_export_and_import_in_a_fresh_workspace(file: Path, tmp_path: Path) -> None:
    told(labels("import", file, votes(file), "--level", "vote", "--map", "keep=5", "--map", "drop=0"))
    told(
        labels(
            "add", file, "https://h0.example/", 3, "--rater", "cid", "--note", 'so, "so"', "--criteria", "reasoning=1"
        )
    )
    before = current(rows(file))
    for name, form in (
        ("x.csv", ""),
        ("x.jsonl", ""),
        ("x.parquet", ""),
        ("ls.json", "label-studio"),
        ("a.json", "argilla"),
    ):
        out = tmp_path / name
        said = told(labels("export", file, out, *(["--form", form] if form else [])))
        assert said.startswith(f"wrote 7 labels of 6 pages by 3 raters to {out}\n")
        workspace = f"workspace={tmp_path / f'fresh-{name}'}"
        pipeline.run(open_pipeline(file, [workspace]), progress=Quiet(), until="sample", on_line=lambda line: None)
        assert "7 labels read: 7 new" in told(labels("import", file, out, "--set", workspace))
        found = Store(tmp_path / f"fresh-{name}").rows("labels")
        assert [{**row, "label_id": ""} for row in sorted(found, key=lambda row: (row["page_id"], row["rater"]))] == [
            {**row, "label_id": ""} for row in sorted(before, key=lambda row: (row["page_id"], row["rater"]))
        ]


def test_export_of_a_data_set_holds_the_sealed_test_back(file: Path, tmp_path: Path) -> None:
    words = [json.dumps({"page": f"https://h{n}.example/", "level": n % 6}) for n in range(20)]
    told(labels("add", file, "-", stdin="\n".join(words)))
    said = told(labels("export", file, tmp_path / "ds"))
    assert "the sealed test is held back" in said
    assert "the raters' names are in it" in said
    told(labels("export", file, tmp_path / "nameless", "--anonymous"))
    table = pq.read_table(tmp_path / "nameless" / "data" / "train-00000-of-00001.parquet")
    assert {name for names in table.column("raters").to_pylist() for name in names} == {"rater 1"}
    assert "exists already" in refused(labels("export", file, tmp_path / "ds"))
    assert "the sealed test is in it" in told(labels("export", file, tmp_path / "ds", "--with-test", "--force"))
    assert "only with --with-test" in refused(labels("export", file, tmp_path / "d2", "--split", "test"))
    assert "no split 'tran'; did you mean train?" in refused(labels("export", file, tmp_path / "d2", "--split", "tran"))
    only = told(labels("export", file, tmp_path / "t.jsonl", "--split", "test"))
    assert {json.loads(line)["split"] for line in (tmp_path / "t.jsonl").read_text().splitlines()} == {"test"}
    assert only.startswith("wrote ")


def test_words_that_no_longer_stand_are_written_to_tables(file: Path, tmp_path: Path) -> None:
    for words in (("https://h0.example/", 3), ("https://h1.example/", 3), ("https://h0.example/", "--undo")):
        told(labels("add", file, *words))
    assert "wrote 1 labels" in told(labels("export", file, tmp_path / "a.csv"))
    assert "wrote 3 labels" in told(labels("export", file, tmp_path / "b.csv", "--all-words"))
    assert "no longer stand" in refused(labels("export", file, tmp_path / "c", "--all-words"))


def test_add_prints_the_label_id(file: Path) -> None:
    name = told(labels("add", file, "https://h3.example/", "4", "--note", "good")).strip()
    (row,) = rows(file)
    assert (row["label_id"], row["level"], row["rater"], row["note"]) == (name, 4, "script", "good")
    assert told(labels("add", file, row["page_id"][:10], "4", "--note", "good")).strip() == name


def test_add_reads_words_from_standard_input(file: Path) -> None:
    words = [
        {"page": "https://h0.example/", "level": 4, "rater": "ann", "note": "x", "criteria": {"reasoning": 2}},
        {"page": "https://h1.example/", "level": "2"},
        {"page": "https://h1.example/", "undo": True},
    ]
    stdin = "\n".join(json.dumps(word) for word in words)
    assert len(told(labels("add", file, "-", "--rater", "ben", stdin=stdin)).split()) == 3
    assert [(row["rater"], row["level"]) for row in current(rows(file))] == [("ann", 4)]


@pytest.mark.parametrize(
    ("words", "stdin", "says"),
    [
        (["https://h0.example/"], "", "give either a LEVEL or --undo"),
        (["https://h0.example/", "1", "--undo"], "", "give either a LEVEL or --undo"),
        (["https://h0.example/", "7"], "", "is no level (allowed: 0..5)"),
        (["nowhere", "1"], "", "no sampled page 'nowhere'"),
        (["https://h0.example/", "1", "--criteria", "reasoning"], "", "--criteria: must be NAME=LEVEL"),
        (["https://h0.example/", "--undo"], "", "script has said nothing"),
        (["https://h0.example/", "1", "--rater", " "], "", "' ' is no name of a rater"),
        (["-", "3"], "", "the words come from standard input"),
        (["-"], "{bad", "line 1: is not JSON"),
        (["-"], "[1]", "line 1: must be an object with a page and a level"),
        (["-"], '{"page": "x", "levl": 1}', "line 1: no key 'levl'; did you mean level?"),
        (["-"], '{"page": 3, "level": 1}', "line 1: page: cannot be 3"),
        (
            ["-"],
            '{"page": "https://h0.example/", "level": 1}\n{"page": "x", "level": 1}',
            "line 2: no sampled page 'x'",
        ),
    ],
)
def test_add_refuses_in_a_line(file: Path, words: list[str], stdin: str, says: str) -> None:
    assert says in refused(labels("add", file, *words, stdin=stdin))
    assert rows(file) == []


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    return ROOT / "rubrics" / "quality.md"


def test_real_labels_of_web_pages(tmp_path: Path, binary: Path, shared_data: Path) -> None:
    source = shared_data / "dclm_human.parquet"
    file = sampled(tmp_path, rubric=binary, pages=source)
    words = ("import", file, source, "--level", "label", "--map", "keep=1", "--map", "drop=0")
    said = told(labels(*words))
    wanted = pq.read_table(source, columns=["text", "label"]).to_pylist()
    assert f"{len(wanted)} labels read: {len(wanted)} new, 0 known, 0 without a page in the sample" in said
    assert (
        f"levels: 0: {sum(r['label'] == 'drop' for r in wanted)}, 1: {sum(r['label'] == 'keep' for r in wanted)}"
        in said
    )
    assert f": 0 new, {len(wanted)} known" in told(labels(*words))


HEALTH = {
    "costs": "costs", "benefits": "quantify the benefits", "harms": "harms", "evidence": "quality of the evidence",
    "mongering": "disease-mongering", "funding": "funding sources", "alternatives": "existing alternatives",
    "availability": "availability", "novelty": "novelty", "language": "sensational language",
}  # fmt: skip


def test_real_labels_with_ten_criteria_and_reasons(tmp_path: Path, shared_data: Path) -> None:
    levels = "levels: {0: not satisfactory, 1: satisfactory}"
    criteria = "".join(f'  {name}: {{asks: "Is it right about its {name}?", {levels}}}\n' for name in HEALTH)
    front = (
        f"name: health\nasks: Is this release satisfactory?\nscale: binary\nkeep: 1\n{levels}\ncriteria:\n{criteria}"
    )
    (tmp_path / "health.md").write_text(f"---\n{front}---\nJudge the release.\n")
    source = shared_data / "health_expert.parquet"
    file = sampled(tmp_path, rubric=tmp_path / "health.md", pages=source, url="url")
    given, answers = [], 0
    for row in pq.read_table(source).to_pylist():
        asked = json.loads(row["meta"])["criteria"]
        says = {name: next(c for c in asked if words in c["q"]) for name, words in HEALTH.items()}
        found = {name: int(c["a"] == "Satisfactory") for name, c in says.items() if c["a"] != "Not Applicable"}
        answers += len(found)
        why = "\n".join(f"{name}: {c['why']}" for name, c in says.items())
        given.append({"text": row["text"], "verdict": row["label"], "criteria": found, "note": why, "rater": "expert"})
    (tmp_path / "reviews.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    words = ("import", file, tmp_path / "reviews.jsonl", "--level", "verdict", "--map", "satisfactory=1")
    assert "'unsatisfactory'" in refused(labels(*words))
    told(labels(*words, "--map", "unsatisfactory=0"))
    stored = rows(file)
    assert len(stored) == len({row["text"] for row in given})
    assert sum(len(json.loads(row["criteria"] or "{}")) for row in stored) <= answers
    assert {row["note"] for row in stored} <= {row["note"] for row in given}
    told(labels("export", file, tmp_path / "back.csv"))
    assert ": 0 new," in told(labels("import", file, tmp_path / "back.csv"))
