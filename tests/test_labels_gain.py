"""Whether more labels would help."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_desk import RUBRIC

from curate import rubric as rubrics
from curate.labels.gain import BATCH, gain_of_labels, judge_curve
from curate.labels.words import label_row


def rubric(folder: Path) -> rubrics.Rubric:
    (folder / "r.md").write_text(RUBRIC)
    return rubrics.load(folder / "r.md")


def pages(n: int, *, telling: int, words: int = 12) -> list[dict[str, Any]]:
    """Pages of two kinds; of each page's words some are of `telling` that only one kind has."""
    rng = np.random.default_rng(0)
    return [
        {"page_id": str(i), "group_id": str(i), "split": "test" if i % 5 == 0 else "train",
         "text": " ".join([*(f"{'g' if i % 2 else 'b'}{k}" for k in rng.integers(0, telling, 2)),
                           *(f"n{k}" for k in rng.integers(0, 300, words))])}
        for i in range(n)
    ]  # fmt: skip


def truth(n: int) -> dict[str, float]:
    return {str(i): 2.0 * (i % 2) for i in range(n)}


def test_where_all_is_learned_more_labels_no_longer_help(tmp_path: Path) -> None:
    found = gain_of_labels(truth(400), pages(400, telling=2), rubric(tmp_path), worthwhile=0.01)
    assert found.stop is True
    assert found.words.endswith("so more labels no longer help")
    assert found.points[-1].auc > 0.98
    json.dumps(found.as_dict(), allow_nan=False)


def test_where_each_label_teaches_a_word_they_help(tmp_path: Path) -> None:
    found = gain_of_labels(truth(240), pages(240, telling=200), rubric(tmp_path), worthwhile=0.01)
    assert found.gain is not None
    assert found.gain.value > 0.01
    assert found.stop is not True
    assert [p.labels for p in found.points] == sorted(p.labels for p in found.points)
    assert "as many labels again (192)" in found.words, "the sealed test does not count"


@pytest.mark.parametrize("n", [0, 1, 30])
def test_too_few_labels_tell_nothing(tmp_path: Path, n: int) -> None:
    found = gain_of_labels(truth(n), pages(n, telling=2), rubric(tmp_path), worthwhile=0.01)
    assert (found.gain, found.stop) == (None, None)
    assert "too few to tell" in found.words


def test_the_judge_is_measured_anew_after_each_batch_in_the_order_of_labels(tmp_path: Path) -> None:
    of, drawn = rubric(tmp_path), pages(200, telling=2)
    rows = [
        label_row(of, str(i), "anna", level=2 * (i % 2), at=f"2026-01-01T00:{n // 60:02}:{n % 60:02}+00:00")
        for n, i in enumerate(reversed(range(200)))
    ]
    judged = {str(i): float(i % 2 if i >= 100 else 1 - i % 2) for i in range(200)}
    steps = judge_curve(rows, drawn, judged, of).steps
    assert [n for n, _ in steps] == [*range(BATCH, 160, BATCH), 160]
    assert steps[0][1].value == 1.0, "the last pages were labelled first, and on those the judge is right"
    assert steps[-1][1].value == pytest.approx(0.5)
    assert judge_curve([], drawn, judged, of).steps == []
