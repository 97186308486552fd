import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.errors import BadInput, CurateError, did_you_mean
from curate.schema import JUDGMENTS, TABLES, Judgment, fingerprint, host_of, now, page_id
from curate.store import Store

ANY_TEXT = st.text(st.characters())  # lone surrogates too: pages and replies hold them
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(a=ANY_TEXT, b=ANY_TEXT)
def test_the_same_text_has_the_same_page_id_and_another_text_another(a: str, b: str) -> None:
    assert (page_id(a) == page_id(b)) == (a == b)
    assert len(page_id(a)) == 20
    assert int(page_id(a), 16) >= 0


def test_page_ids_never_change() -> None:
    assert page_id("") == "e3b0c44298fc1c149afb"
    assert page_id("Wärmepumpe") == "7e19e40855a4beebcbd8"


@given(value=st.dictionaries(st.text(), JSON, max_size=5))
def test_a_fingerprint_is_of_the_content_not_of_the_order_of_keys(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))
    assert fingerprint(value) == fingerprint(turned) == fingerprint(json.loads(json.dumps(value)))


@given(a=JSON, b=JSON)
def test_fingerprints_of_different_content_differ(a: object, b: object) -> None:
    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (fingerprint(a) == fingerprint(b)) == same
    assert fingerprint(a, b) != fingerprint([a, b])


def test_a_fingerprint_is_the_same_in_another_process(tmp_path: Path) -> None:
    code = "from curate.schema import fingerprint; print(fingerprint('x', {'b': 1.5, 'a': [None, True, 'ü\\ud800']}))"
    others = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
        for _ in range(2)
    }
    assert others == {fingerprint("x", {"a": [None, True, "ü\ud800"], "b": 1.5}) + "\n"}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://www.Example.COM:8080/a?b#c", "example.com"),
        ("HTTP://Example.com./x", "example.com"),
        ("example.com/a", "example.com"),
        ("example.com/a//b", "example.com"),
        ("example.com/go?to=http://other.org/", "example.com"),
        (" https://example.com/ ", "example.com"),
        ("//cdn.example.com/x", "cdn.example.com"),
        ("http://user:secret@example.com/", "example.com"),
        ("http://[::1]:80/", "::1"),
        ("http://[broken", ""),
        ("file:///tmp/page.html", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_the_host_of_a_url(url: str | None, host: str) -> None:
    assert host_of(url) == host


@given(url=ANY_TEXT)
def test_any_url_has_a_host_or_none(url: str) -> None:
    host = host_of(url)
    assert host == host.lower()
    assert not host.endswith(".")


def test_now_is_utc_and_sorts_as_text() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    said = now()
    assert before <= datetime.fromisoformat(said) <= datetime.now(UTC)
    assert said.endswith("+00:00")
    assert len(said) == len("2026-01-01T00:00:00+00:00")


def test_every_table_names_a_page_or_a_candidate_and_no_column_twice() -> None:
    for name, schema in TABLES.items():
        assert len(set(schema.names)) == len(schema.names)
        assert ("candidate_id" if name == "candidates" else "page_id") in schema.names


@given(
    level=st.none() | st.integers(0, 9),
    probabilities=st.lists(st.floats(0, 1), max_size=6),
    criteria=st.dictionaries(st.text(min_size=1), st.integers(0, 9), max_size=3),
    raw=st.text(),
)
def test_a_judgment_survives_the_table(
    tmp_path_factory: pytest.TempPathFactory,
    level: int | None,
    probabilities: list[float],
    criteria: dict[str, int],
    raw: str,
) -> None:
    judgment = Judgment(
        "p",
        "j",
        "ok",
        level=level,
        expected=2.5,
        probabilities=probabilities,
        criteria=criteria,
        raw=raw,
        cost_usd=0.25,
    )
    store = Store(tmp_path_factory.mktemp("w"))
    store.append("judgments", [judgment.row()])
    (row,) = store.rows("judgments")
    assert set(row) == set(JUDGMENTS.names)
    assert json.loads(row["criteria"] or "{}") == criteria
    assert datetime.fromisoformat(row["at"]).tzinfo == UTC
    same = set(JUDGMENTS.names) - {"criteria", "at"}
    assert {name: row[name] for name in same} == {name: getattr(judgment, name) for name in same}


def test_a_page_without_a_level_carries_the_reason() -> None:
    judgment = Judgment.failed("p", "j", "refused", "the provider's filter", raw="no")
    assert (judgment.status, judgment.why, judgment.level, judgment.score) == (
        "refused",
        "the provider's filter",
        None,
        None,
    )
    row = pa.Table.from_pylist([judgment.row()], schema=JUDGMENTS).to_pylist()[0]
    assert (row["status"], row["why"], row["raw"], row["level"], row["criteria"]) == (
        "refused",
        "the provider's filter",
        "no",
        None,
        None,
    )


def test_errors_carry_their_exit_codes() -> None:
    assert (CurateError("x").exit_code, BadInput("x").exit_code) == (1, 2)
    assert issubclass(BadInput, CurateError)


def test_the_nearest_word_is_offered_then_all_in_order() -> None:
    assert did_you_mean("sampel", ["tune", "sample"]) == "; did you mean sample? (allowed: sample, tune)"
    assert did_you_mean("qqqq", ["tune", "sample"]) == " (allowed: sample, tune)"
    assert did_you_mean("x", []) == ""


def test_what_was_shown_and_thought_is_written_down(tmp_path: Path) -> None:
    store = Store(tmp_path)
    said = Judgment("p", "j", "ok", level=2, shown="head 10 of 20 characters", completion_tokens=9, thinking_tokens=7)
    store.append("judgments", [said.row()], scope="j", part="a")
    row = store.sql("SELECT shown, thinking_tokens FROM judgments").to_pylist()[0]
    assert row == {"shown": "head 10 of 20 characters", "thinking_tokens": 7}
    score = {
        "tune_id": "t",
        "candidate_id": "c",
        "page_id": "p",
        "split": "val",
        "score": 0.5,
        "judge_score": -1.0,
        "level": 3,
    }
    store.append("candidate_scores", [score], scope="t", part="a")
    assert store.sql("SELECT * FROM candidate_scores").to_pylist() == [score]
