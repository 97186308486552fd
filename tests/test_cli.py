"""The command line as its user meets it: what is printed, where, and with which exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from openai_server import OpenAIServer
from test_pipeline import PAGES, folder, server  # noqa: F401  fixtures

from curate import cli


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["curate", *map(str, words)])
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rum", "p.yaml"], "no command 'rum'; did you mean run?"),
        (["run", "nowhere.yaml"], "nowhere.yaml: pipeline file cannot be read (No such file or directory)"),
        (["run", "p.yaml", "--until", "tone"], "--until: no stage 'tone'; did you mean tune?"),
        (["run", "p.yaml", "--from", "x"], "--from: no stage 'x'"),
        (["run", "p.yaml", "--set", "tune.forms=[levle]"], "tune.forms"),
        (["run", "p.yaml", "--set", "judge.modle=x"], "judge.modle: no such key; did you mean model?"),
        (
            ["run", "p.yaml", "--set", "source.text=txt"],
            "has no column 'txt' in its first 1,000 rows; did you mean text?",
        ),
        (
            ["run", "p.yaml", "--set", "filter.by=[kin]"],
            "has no column 'kin' in its first 1,000 rows; did you mean kind?",
        ),
        (["run", "p.yaml", "--set", "judge.page_chars=0"], "judge.page_chars"),
        (["run", "p.yaml", "--set", "judge.model=gpt"], "must be provider/name"),
        (["run", "p.yaml", "--set", "nonsense"], "must be key=value"),
        (["tune", "p.yaml"], "stage sample comes before"),
        (["sql", "SELECT 1", "p.yaml"], "no workspace yet"),
        (["judge", "try", "p.yaml"], "there is no tuned judge yet"),
        (["judge", "show", "p.yaml"], "there is no tuned judge yet"),
        (["run", "p.yaml", "--route", "x"], "p.yaml has no such route; it has none"),
        (["pages", "p.yaml"], "no pages are drawn yet"),
        (["new", "Bad Name"], "NAME must be lower-case"),
        (["settings", "tun"], "did you mean tune?"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_before_any_work(
    words: list[str],
    says: str,
    folder: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    code, out, err = run(capsys, *words)
    assert code == 2
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("curate: ")
    assert says in err
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("words", [["run"], ["run", "p.yaml", "--nope"], ["label", "p.yaml", "--port", "x"]])
def test_wrong_usage_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert "Error:" in err


def test_help_names_every_command_in_the_order_of_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    listed = [line.split()[0] for line in out.split("Commands:")[1].splitlines() if line.strip()]
    assert listed == [
        "new",
        "settings",
        "run",
        "status",
        *cli.STAGES,
        "labels",
        "judge",
        "classifier",
        "pages",
        "read",
        "sql",
    ]


def test_a_dry_run_says_calls_and_cost_and_writes_nothing(
    folder: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, err = run(capsys, "run", folder / "p.yaml", "--dry-run")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "sample   must run"
    assert "in all at most" in out.splitlines()[-1]
    assert "about $0." in out
    assert not (folder / "runs").exists()


def test_missing_labels_exit_with_3_and_the_next_command(
    folder: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "labels.jsonl").write_text(
        json.dumps({"url": "https://site1.example/1", "rater": "ann", "level": 3, "note": ""}) + "\n"
    )
    code, out, _ = run(capsys, "run", folder / "p.yaml")
    assert code == cli.WAITING == 3
    assert out.splitlines()[-1].startswith("Stopped before tune: 59 more labelled pages are needed")
    assert f"curate label {folder / 'p.yaml'}" in out
    code, out, _ = run(capsys, "status", folder / "p.yaml")
    assert code == 0
    assert "labels: 1 pages (ann 1)" in out
    code, out, _ = run(capsys, "run", folder / "p.yaml", "--until", "label")
    assert code == 0, "the asked stages are done"


@pytest.mark.slow
def test_a_run_ends_with_the_table_the_report_and_what_was_kept(
    folder: Path,  # noqa: F811
    server: OpenAIServer,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [folder / "p.yaml", "--set", f"judge.api_base={server.url}"]
    code, out, err = run(capsys, "run", *words)
    assert code == 0
    for who in ("human ceiling", "untuned judge", "tuned judge", "classifier", "lexical baseline"):
        assert sum(line.startswith(who) for line in out.splitlines()) == 1, who
    assert f"of {PAGES} pages; the rest:" in out
    assert "kept by kind:" in out
    path = next(line.split(maxsplit=1)[1] for line in reversed(out.splitlines()) if line.startswith("report "))
    assert Path(path).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "score:" in err, "progress goes to standard error"
    assert " spent" in err

    code, out, _ = run(capsys, "run", *words)
    assert "nothing to do: every stage is fresh" in out
    calls = server.calls

    code, out, _ = run(capsys, "sql", "SELECT count(*) AS n FROM pages", folder / "p.yaml", "--format", "csv")
    assert (code, out) == (0, f"n\n{PAGES}\n")
    code, out, _ = run(
        capsys, "sql", "SELECT count(*) AS n FROM decisions WHERE keep", folder / "p.yaml", "--format", "json"
    )
    assert json.loads(out)[0]["n"] > 0
    code, out, err = run(capsys, "sql", "SELECT * FROM nothing", folder / "p.yaml")
    assert (code, out) == (2, "")
    assert "sql: " in err

    code, out, _ = run(capsys, "status", *words, "--json")
    assert {s["state"] for s in json.loads(out)["stages"]} == {"fresh"}
    code, out, _ = run(capsys, "report", *words, "--again")
    assert "report   done" in out
    assert server.calls == calls

    page = folder / "page.txt"
    page.write_text("a proof of the theorem, because of the equation", encoding="utf-8")
    code, out, _ = run(capsys, "judge", "try", *words, page)
    said = json.loads(out)
    assert (code, said["status"], said["file"]) == (0, "ok", str(page))
    code, out, _ = run(capsys, "judge", "try", *words, page, "--show-prompt")
    assert "a proof of the theorem" in json.loads(out)[0][1]["content"]
    code, out, _ = run(capsys, "judge", "show", *words)
    assert (code, out.splitlines()[0].split()[0]) == (0, "judge:")
    tuned = out.split()[1]
    code, out, _ = run(capsys, "judge", "show", *words, "--which", tuned[:6], "--json")
    assert json.loads(out)["model"] == "openai/stub"
    code, out, _ = run(capsys, "judge", "diff", *words)
    assert code == 0
    assert "\n" in out
    code, out, _ = run(capsys, "judge", "diff", *words, "tuned", tuned)
    assert out == "the same judge\n"
    code, out, err = run(capsys, "judge", "show", *words, "--which", "zz")
    assert (code, out) == (2, "")
    assert "zz: no such judge" in err

    code, out, _ = run(capsys, "pages", *words, "--where", "judge <> round(human)", "--limit", "2", "--format", "json")
    assert code == 0
    assert all(row["judge"] is not None and row["score"] is not None for row in json.loads(out))
    code, out, _ = run(capsys, "pages", *words, "--limit", "2")
    assert out.endswith("\n\n2 pages\n")


def test_new_copies_a_pair_that_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, _ = run(capsys, "new", "mine", "--like", "code")
    assert code == 0
    assert (tmp_path / "pipelines" / "mine.yaml").exists()
    assert (tmp_path / "rubrics" / "mine.md").exists()
    code, _, err = run(capsys, "run", "pipelines/mine.yaml")
    assert code == 2, "its pages are not there yet"
    assert "pages.parquet" in err


def test_the_module_and_the_command_are_one_and_a_closed_pipe_is_no_error(folder: Path) -> None:  # noqa: F811
    command = f"{sys.executable} -m curate settings | head -1"
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    assert (done.stdout, done.stderr) == ("name: (must be given)\n", "")
