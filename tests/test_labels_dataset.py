"""The folder that is published: loaded by the real `datasets` library."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_labels import COUNT, QUIZ, STEM, pages, text

from curate.errors import BadInput
from curate.keys import parse_yaml
from curate.labels.export import choose, write
from curate.labels.words import label_row
from curate.rubric import Rubric
from curate.schema import page_id


def label(n: int, rater: str, level: int, rubric: Rubric = STEM, **more: Any) -> dict[str, Any]:
    at = f"2026-01-01T00:00:{n:02d}.000000+00:00"
    return label_row(rubric, page_id(text(n)), rater, level=level, at=at, **more)


def folder_of(out: Path, rows: list[dict[str, Any]], *, rubric: Rubric = STEM, **how: Any) -> Path:
    splits = how.pop("splits", ("train", "val"))
    return write(choose(rubric, pages(), rows, splits=splits), out, "datasets", **how)[0]


def test_the_datasets_library_loads_it(tmp_path: Path) -> None:
    import datasets

    rows = [
        label(n, rater, (n + add) % 6, note=f'{rater} says "{n}"\n')
        for n in range(COUNT)
        for add, rater in enumerate("ab")
    ]
    out = folder_of(tmp_path / "ds", [*rows, label(0, "judge of both", 5, role="adjudication")])
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    assert {name: split.num_rows for name, split in loaded.items()} == {"train": 10, "validation": 10}
    found = {row["page_id"]: row for split in loaded.values() for row in split}
    settled, plain = found[page_id(text(0))], found[page_id(text(3))]
    assert (settled["level"], settled["keep"], settled["levels"]) == (5.0, True, [0, 1, 5])
    assert settled["roles"] == ["", "", "adjudication"]
    assert (plain["level"], plain["keep"], plain["raters"]) == (3.5, True, ["a", "b"])
    assert (plain["text"], plain["notes"]) == (text(3), ['a says "3"\n', 'b says "3"\n'])


def test_the_sealed_test_is_there_only_when_it_is_wanted(tmp_path: Path) -> None:
    rows = [label(n, "a", n % 6) for n in range(COUNT)]
    held = folder_of(tmp_path / "held", rows)
    assert sorted(path.name for path in (held / "data").iterdir()) == [
        "train-00000-of-00001.parquet",
        "validation-00000-of-00001.parquet",
    ]
    assert not any(text(2).encode() in path.read_bytes() for path in held.rglob("*") if path.is_file())
    assert "sealed test is held back" in (held / "README.md").read_text()
    whole = folder_of(tmp_path / "whole", rows, splits=("train", "val", "test"))
    assert (whole / "data" / "test-00000-of-00001.parquet").exists()
    assert "once it is public" in (whole / "README.md").read_text()


def test_a_label_given_with_a_judge_s_help_is_no_truth_of_the_sealed_test(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    out = folder_of(tmp_path / "ds", [label(2, "a", 5, assisted=True), label(0, "a", 5, assisted=True)], splits=())
    test = pq.read_table(out / "data" / "test-00000-of-00001.parquet").to_pylist()
    assert [(row["level"], row["keep"], row["assisted"]) for row in test] == [(None, None, [True])]
    train = pq.read_table(out / "data" / "train-00000-of-00001.parquet").to_pylist()
    assert [row["level"] for row in train] == [5.0]


def test_the_card_says_what_is_in_it(tmp_path: Path) -> None:
    card = (folder_of(tmp_path / "ds", [label(n, "a", 5) for n in (0, 3)]) / "README.md").read_text()
    front, prose = card.removeprefix("---\n").split("\n---\n", 1)
    files = parse_yaml(front)["configs"][0]["data_files"]
    assert files == [{"split": "train", "path": "data/train-*.parquet"}]
    assert "2 pages with 2 labels by 1 people, 2 of them worth keeping" in prose
    assert STEM.asks in prose
    assert f"| 5 | {STEM.levels[5]} | 2 |" in prose


def test_classes_are_named(tmp_path: Path) -> None:
    rows = [label(n, "a", n % 2, QUIZ) for n in (0, 1, 3)]
    card = (folder_of(tmp_path / "ds", rows, rubric=QUIZ) / "README.md").read_text()
    assert "the class that most raters name" in card
    assert f"| {QUIZ.names[1]} |" in card


def test_no_folder_is_written_over_but_an_earlier_data_set(tmp_path: Path) -> None:
    rows = [label(n, "a", 5) for n in range(3)]
    out = folder_of(tmp_path / "ds", rows, splits=())
    with pytest.raises(BadInput, match="exists already; name another folder, or add --force"):
        folder_of(out, rows)
    folder_of(out, rows[:1], force=True)
    assert [path.name for path in (out / "data").iterdir()] == ["train-00000-of-00001.parquet"], "nothing old stays"
    (out / "thesis.tex").write_text("mine")
    with pytest.raises(BadInput, match=r"holds thesis\.tex, which is no part of a data set"):
        folder_of(out, rows, force=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="is a file; a data set is a folder"):
        folder_of(tmp_path / "file", rows, force=True)
    (tmp_path / "empty").mkdir()
    folder_of(tmp_path / "empty", rows)
    assert json.dumps((tmp_path / "empty" / "README.md").read_text())
