"""`curate classifier`, on a small classifier of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import curate
from curate.classifier import PageClassifier
from curate.cli import cli
from curate.embed import Embedder
from curate.errors import BadInput
from curate.features import features_of
from curate.outputs import Wanted, fit_output
from curate.thresholds import f1_threshold

GOOD, BAD = "a proof of the theorem about prime numbers {}", "cheap watches for sale, order now {}"
TEXTS = [(GOOD if i % 2 else BAD).format(f"w{i} x{i}") for i in range(60)]
KEEP = (np.arange(60) % 2).astype(float)


def fitted(blocks: tuple[str, ...] = ("ngrams",), embedder: Embedder | None = None) -> PageClassifier:
    """A classifier with a threshold and an expected level beside it."""
    made = PageClassifier(embedder_id=embedder.id if embedder else "none", features=blocks, ngram_bits=12)
    features = features_of(TEXTS, embedder.embed(TEXTS) if embedder else None, ngram_bits=12, blocks=blocks)
    scores = made.fit(features, KEEP).predict_score(features)
    made.calibrate(scores, KEEP > 0.5)
    made.threshold_ = f1_threshold(made.probability_of(scores), KEEP > 0.5)
    level = Wanted("level", "level", 3.0, KEEP * 2 / 3, np.ones(60), KEEP * 2)
    learned = fit_output(level, features, made.kinds, [str(i) for i in range(60)], folds=3)
    assert learned
    made.outputs_["level"] = learned[0]
    if embedder:
        made.provenance = {"embedder": embedder.model, "embedder_settings": {"max_tokens": embedder.max_tokens}}
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fitted().save(tmp_path / "made")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["classifier", *map(str, arguments)])


def rows(found: Result) -> list[dict[str, Any]]:
    assert found.exit_code == 0, found.exception
    return [json.loads(line) for line in found.stdout.splitlines()]


def pages(folder: Path, texts: list[str]) -> Path:
    pq.write_table(pa.table({"body": texts, "n": list(range(len(texts)))}), folder / "pages.parquet")
    return folder / "pages.parquet"


def test_pages_of_a_file_are_scored_with_all_that_was_learned(folder: Path, tmp_path: Path) -> None:
    path = pages(tmp_path, [GOOD.format(""), "  ", BAD.format("")])
    good, empty, bad = rows(run("score", folder, path, "--text", "body"))
    assert (good["shard"], good["row"], bad["row"]) == ("pages.parquet", 0, 2)
    assert good["keep"] is True
    assert bad["keep"] is False
    assert good["probability"] > 0.8 > 0.2 > bad["probability"]
    assert 3 >= good["level"] > bad["level"] >= 0
    assert "probability" not in empty, "a page without text has no numbers"


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.jsonl"])
def test_scores_go_to_a_file_whole(folder: Path, tmp_path: Path, name: str) -> None:
    path = pages(tmp_path, TEXTS)
    done = run("score", folder, path, "--text", "body", "--out", tmp_path / name)
    assert done.exit_code == 0
    assert "60 pages scored" in done.stderr
    read = {"parquet": pq.read_table, "csv": pc.read_csv}.get(name.split(".")[1])
    lines = (tmp_path / name).read_text().splitlines() if read is None else []
    found = read(tmp_path / name).to_pylist() if read else [json.loads(line) for line in lines]
    assert [row["probability"] for row in found] == pytest.approx(PageClassifier.load(folder).score(TEXTS))
    with pytest.raises(BadInput, match="is there already; nothing is overwritten"):
        cli.main(["classifier", "score", str(folder), str(path), "--out", str(tmp_path / name)], standalone_mode=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["score", "{folder}", "{pages}"], "has no column 'text'"),
        (["score", "{folder}", "{pages}", "--out", "x.txt"], r"--out: must end in .parquet, .jsonl, .csv"),
        (["score", "{folder}", "nothing-*.parquet"], "FILES.path"),
        (["show", "{tmp}"], "no classifier here"),
    ],
)
def test_what_cannot_be_used_is_named(folder: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    names = {"folder": folder, "pages": pages(tmp_path, TEXTS), "tmp": tmp_path}
    with pytest.raises(BadInput, match=said):
        cli.main(["classifier", *(a.format(**names) for a in arguments)], standalone_mode=False)


def test_the_card_says_what_it_is(folder: Path) -> None:
    done = run("show", folder)
    assert "Page classifier" in done.stdout
    assert "| also says | level (0 to 3) |" in done.stdout


ELSEWHERE = """
import json, sys
import curate
made = curate.load_classifier(sys.argv[1])
print(json.dumps(made.score(json.loads(sys.argv[2])).tolist()))
"""


@pytest.mark.slow
def test_an_exported_folder_loads_in_another_place_with_its_own_embedder(tmp_path: Path) -> None:
    embedder = Embedder(max_tokens=32)
    made = fitted(("embedding", "ngrams"), embedder)
    made.save(tmp_path / "made")
    done = run("export", tmp_path / "made", tmp_path / "out" / "mine", "--with-embedder")
    assert done.exit_code == 0, done.exception
    moved = (tmp_path / "out" / "mine").rename(tmp_path / "moved")
    assert curate.load_classifier(moved).embedder().folder == moved / "embedder"
    said = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(moved), json.dumps(TEXTS[:3])],
        capture_output=True, text=True, check=True, cwd="/", env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert json.loads(said.stdout) == pytest.approx(made.score(TEXTS[:3]), abs=1e-4)


def test_an_export_does_not_overwrite_another(folder: Path, tmp_path: Path) -> None:
    fitted(("ngrams", "shape")).save(tmp_path / "other")
    with pytest.raises(BadInput, match="holds another classifier"):
        cli.main(["classifier", "export", str(folder), str(tmp_path / "other")], standalone_mode=False)
    assert run("export", folder, folder).exit_code == 0, "the same again is nothing to do"
