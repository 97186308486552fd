"""The whole chain on real web pages with people's labels, judged by the embedded model. Small, so that it ends in minutes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from curate.errors import CurateError
from curate.local_llm import fetch

ROOT = Path(__file__).parents[1]
PAGES, CORPUS = 70, 10_355


@pytest.fixture(scope="module")
def weights() -> Path:
    try:
        return fetch("qwen2.5-coder-0.5b")
    except CurateError as error:
        pytest.skip(f"no embedded model: {error}")


@pytest.mark.slow
@pytest.mark.model
def test_quality_yaml_runs_on_real_pages_with_real_labels(shared_data: Path, weights: Path, tmp_path: Path) -> None:
    settings = {
        "workspace": tmp_path / "work",
        "source.path": shared_data / "dclm_human.parquet",
        "filter.source": f"{{path: {shared_data / 'web_excerpts.parquet'}, text: text, lang: lang}}",
        "filter.by": "[lang]",
        "label.labels_from": "{match: text, level: label, map: {keep: 1, drop: 0}}",
        "label.needed": 60,
        "sample.pages": PAGES,
        "judge.page_chars": 300,
        "tune.forms": "[yesno, does]",
        "tune.screen_pages": 12,
        "tune.max_metric_calls": 30,
        "tune.minibatch": 3,
        "tune.anchors": 4,
        "tune.finalists": 1,
        "score.injections": 6,
        "distill.features": "[[ngrams], [ngrams, shape]]",
        "distill.human_weight": "[3.0]",
    }
    command = [sys.executable, "-m", "curate", "run", str(ROOT / "pipelines" / "quality.yaml")]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"of {CORPUS:,} pages" in done.stdout

    report = json.loads(next((tmp_path / "work" / "reports").rglob("report.json")).read_text(encoding="utf-8"))
    judged = {who: found["auc"] for who, found in report["sealed"].items() if who != "human_ceiling"}
    assert set(judged) == {"judge_untuned", "judge_tuned", "classifier", "lexical"}
    assert len({auc["n"] for auc in judged.values()}) == 1
    assert all(auc["low"] <= auc["value"] <= auc["high"] for auc in judged.values() if auc["low"] is not None)
    assert any("rater" in note for note in report["notes"]), "one label a page gives no human ceiling, and it says so"

    again = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert "nothing to do: every stage is fresh" in again.stdout
    kept: dict[str, Any] = report["stages"]["filter"]["report"]
    assert kept["pages"] == CORPUS
    assert sum(kept["reasons"].values()) == CORPUS
    assert len(kept["by"]["lang"]) == 22
