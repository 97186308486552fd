import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bench.measure import Case, Result, cannot_run, rows, short

ROOT = Path(__file__).parents[1]


def bench(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "tests/bench/run.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_rows_compare_each_case_with_a_baseline_of_the_same_run(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    ran = bench("--quick", "--only", "store", "--out", str(out))
    assert ran.returncode == 0, ran.stderr
    found: list[dict[str, Any]] = json.loads(out.read_text())
    assert len(found) == 7
    values = {row["case"]: row["value"] for row in found}
    for row in found:
        assert list(row) == list(Result.__dataclass_fields__)
        assert (row["bench"], row["unit"], row["runs"]) == ("store", "s", 2)
        assert row["value"] > 0
        assert row["ratio"] == pytest.approx(row["value"] / values[row["baseline"]], rel=0.01)
        assert "cores" in row["note"]
        assert f"Python {sys.version.split()[0]}" in row["note"]
        assert row["case"] in ran.stdout
    assert {row["ratio"] for row in found if row["case"] == row["baseline"]} == {1.0}


def test_what_cannot_run_is_a_row_that_says_why(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    ran = bench("--quick", "--only", "judge", "--out", str(out))
    assert ran.returncode == 0, ran.stderr
    assert json.loads(out.read_text()) == cannot_run("judge", "skipped with --quick")
    assert "skipped with --quick" in ran.stdout


def test_an_unknown_bench_is_refused_with_the_known_ones() -> None:
    ran = bench("--only", "stor")
    assert ran.returncode == 2
    assert "'store'" in ran.stderr


def test_cases_run_in_turn_and_the_first_is_the_baseline() -> None:
    order: list[str] = []
    given = {"a": iter([9.0, 2.0, 1.0, 4.0]), "b": iter([9.0, 6.0, 5.0, 7.0])}

    def case(name: str, note: str = "") -> Case:
        return Case(name, lambda: order.append(name) or next(given[name]), note)

    one, other = rows("made", [case("a"), case("b", "twice the work")], unit="s", runs=3, warm=True)
    assert order == ["a", "b"] * 4
    assert (one["value"], one["ratio"], one["baseline"], one["runs"]) == (2.0, 1.0, "a", 3)
    assert (other["value"], other["ratio"], other["baseline"], other["runs"]) == (6.0, 3.0, "a", 3)
    assert other["note"].startswith("5-7; ")
    assert other["note"].endswith("; twice the work")


@pytest.mark.parametrize(("value", "words"), [(None, "-"), (0.001234, "0.00123"), (12.34, "12.3"), (4321.0, "4,321")])
def test_numbers_keep_three_digits_that_count(value: float | None, words: str) -> None:
    assert short(value) == words
