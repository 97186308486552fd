import csv
import io
import json
from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.sources import lines
from curate.sources.columns import NOT_UTF8
from curate.sources.lines import csv_tables, json_list, json_tables


def rows_of(data: bytes, **given: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    counts: Counter[str] = Counter()
    tables = json_tables(io.BytesIO(data), lambda reason, n: counts.update({reason: n}), **given)
    return [row for table in tables for row in table.to_pylist()], dict(counts)


def by_arrow_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AssertionError("Python parsed what Arrow can")

    monkeypatch.setattr(lines, "_row", refuse)


def test_plain_lines_are_parsed_by_arrow_and_times_stay_as_they_came(monkeypatch: pytest.MonkeyPatch) -> None:
    by_arrow_alone(monkeypatch)
    rows = [
        {"text": "2020-01-01", "at": "2020-01-01T00:00:00Z", "meta": {"day": "2021-02-03", "n": [1, 2]}, "n": n}
        for n in range(50)
    ]
    data = b"\xef\xbb\xbf" + b"\r\n\n".join(json.dumps(row).encode() for row in rows)
    assert rows_of(data) == (rows, {})


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
OBJECTS = st.dictionaries(st.sampled_from(["text", "a", "b"]), VALUES | st.lists(st.integers(0, 9)), min_size=1)


@given(st.lists(OBJECTS, min_size=1, max_size=6), st.booleans())
def test_no_value_is_lost_whoever_parses(rows: list[dict[str, Any]], plain: bool) -> None:
    data = b"".join(json.dumps(row, ensure_ascii=plain).encode("utf-8", "surrogatepass") + b"\n" for row in rows)
    found, _ = rows_of(data)
    assert len(found) == len(rows)
    for row, kept in zip(rows, found, strict=True):
        for name, value in row.items():
            held = kept.get(name)
            same = held == value or (isinstance(held, str) and not isinstance(value, str) and json.loads(held) == value)
            assert same or isinstance(value, int | float), (value, held)
            if isinstance(value, int | float) and not isinstance(value, bool):
                assert float(held) == pytest.approx(float(value))


@pytest.mark.parametrize("value", [2**63, 2**64 - 1, 10**30])
def test_whole_numbers_beyond_64_bits_are_not_rounded(value: int) -> None:
    found, _ = rows_of(json.dumps({"text": "x", "simhash": value}).encode())
    assert int(found[0]["simhash"]) == value


def test_columns_may_come_and_go_between_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "PIECE_BYTES", 64)
    rows = [{"text": "x" * 50, **({"at": "2020-01-01"} if n % 2 else {"n": n})} for n in range(20)]
    found, _ = rows_of(b"".join(json.dumps(row).encode() + b"\n" for row in rows), rows=1)
    assert [{k: v for k, v in row.items() if v is not None} for row in found] == rows


def test_a_row_longer_than_a_block_is_whole() -> None:
    long = {"text": "wörter " * 1_000_000}
    assert rows_of(b"".join(json.dumps(row).encode() + b"\n" for row in ({"text": "a"}, long))) == (
        [{"text": "a"}, long],
        {},
    )


def test_bytes_that_are_no_utf8_are_counted_once_a_line() -> None:
    found, counts = rows_of(b'{"text": "a\xff\xfe", "u": "\xff"}\n{"text": "b"}\n')
    assert [row["text"] for row in found] == ["a��", "b"]
    assert counts == {NOT_UTF8: 1}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"[1]", "line 3 is not a JSON object (got list)"),
        (b"7", "line 3 is not a JSON object (got int)"),
        (b'{"a": 1} {"a": 2}', "line 3 is not JSON: Extra data"),
        (b'{"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", "line 3 is not JSON: maximum recursion depth exceeded"),
        (b'{"a": "cut', "line 3 is not JSON"),
    ],
)
def test_a_line_that_is_none_is_named_after_the_rows_before_it(line: bytes, says: str) -> None:
    tables = json_tables(io.BytesIO(b'{"a": 1}\n\n' + line + b"\n"), lambda *_: None)
    assert next(tables).num_rows == 1
    with pytest.raises(ValueError) as caught:
        next(tables)
    assert says in str(caught.value)


def test_objects_without_keys_are_rows() -> None:
    assert len(rows_of(b"{}\n{}\n")[0]) == 2


def test_a_list_of_objects_is_read_and_another_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = json_list(io.BytesIO(b' \n[{"text": "a"},\n {"text": "b"}]'), lambda *_: None)
    assert found is not None
    assert [row for table in found for row in table.to_pylist()] == [{"text": "a"}, {"text": "b"}]
    assert json_list(io.BytesIO(b'{"text": "a"}'), lambda *_: None) is None
    for data, says in ((b'[{"a": 1}, 5]', "must hold objects (got int)"), (b"[null]", "(got NoneType)"), (b"[", "")):
        with pytest.raises(ValueError) as caught:
            json_list(io.BytesIO(data), lambda *_: None)
        assert says in str(caught.value)
    monkeypatch.setattr(lines, "LIST_BYTES", 10)
    with pytest.raises(ValueError, match="jq -c"):
        json_list(io.BytesIO(b'[{"text": "a"}, {"text": "b"}]'), lambda *_: None)


def csv_rows(data: bytes, delimiter: str = ",", **given: Any) -> list[dict[str, Any]]:
    tables = csv_tables(io.BytesIO(data), delimiter, as_text=given.get("as_text", ()))
    return [row for table in tables for row in table.to_pylist()]


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_characters="\r\x00", exclude_categories=["Cs"]), min_size=1), st.just("x")
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([",", "\t"]),
)
def test_what_python_writes_as_csv_is_read_back(rows: list[tuple[str, str]], delimiter: str) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([("text", "b"), *rows])
    found = csv_rows(b"\xef\xbb\xbf" + out.getvalue().encode(), delimiter, as_text=["text"])
    assert [(row["text"], row["b"]) for row in found] == rows


def test_columns_of_numbers_are_numbers_and_codes_stay_text() -> None:
    data = b"id,n,x,code,day,none\n1,2,1.5,007,2020-01-01,\n2,,-3e2,8,x,\n"
    assert csv_rows(data, as_text=["id"]) == [
        {"id": "1", "n": 2, "x": 1.5, "code": "007", "day": "2020-01-01", "none": ""},
        {"id": "2", "n": None, "x": -300.0, "code": "8", "day": "x", "none": ""},
    ]


def test_a_later_value_that_is_no_number_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", 1000)
    data = b"text,n\n" + b"".join(b"%s,%d\n" % (b"t" * 90, n) for n in range(40)) + b"last,many\n"
    found = [row["n"] for row in csv_rows(data)]
    assert [str(n) for n in found] == [*map(str, range(40)), "many"]
    assert found[0] == 0


def test_csv_that_is_none_is_said() -> None:
    assert csv_rows(b"") == csv_rows(b"text,url\n") == []
    with pytest.raises(ValueError, match="names a column twice"):
        csv_rows(b"a,a\n1,2\n")
    with pytest.raises(pa.ArrowInvalid, match="Expected 2 columns, got 3"):
        csv_rows(b"a,b\n1,2\n1,2,3\n")
