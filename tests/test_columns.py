import json
from collections import Counter
from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.sources.columns import NO_STRING, NOT_UTF8, as_type, column_of, strings, unified, wider

KINDS = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
    pa.dictionary(pa.int32(), pa.string()),
    pa.dictionary(pa.int8(), pa.large_string()),
]


def counted(values: pa.ChunkedArray, **given: Any) -> tuple[list[str], dict[str, int]]:
    counts: Counter[str] = Counter()
    found = strings(values, lambda reason, amount: counts.update({reason: amount}), **given)
    assert found.type in (pa.string(), pa.large_string())
    assert found.null_count == 0
    found.validate(full=True)
    return found.to_pylist(), dict(counts)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_text_in_every_type_is_text_without_nulls(kind: pa.DataType) -> None:
    values = pa.chunked_array([["ä", None], [], [""]], pa.string()).cast(kind)
    assert counted(values) == (["ä", "", ""], {})
    assert counted(values.slice(1)) == (["", ""], {})
    assert counted(values.slice(3)) == ([], {})


def test_what_is_no_text_is_taken_as_it_prints_and_counted_in_the_text_only() -> None:
    for values, wanted in (
        ([1, None, 25], ["1", "", "25"]),
        ([1.5, 2.0], ["1.5", "2.0"]),
        ([True, None], ["true", ""]),
        ([{"a": "ü"}], ['{"a": "\\u00fc"}']),
        ([datetime(2026, 1, 2)], ["2026-01-02 00:00:00"]),
    ):
        column = pa.chunked_array([values])
        assert counted(column) == (wanted, {})
        assert counted(column, text=True) == (wanted, {NO_STRING: len(values) - values.count(None)})
    assert counted(pa.chunked_array([[None, None]]), text=True) == (["", ""], {})


@given(st.lists(st.binary(max_size=6) | st.text(max_size=3).map(str.encode), max_size=8))
def test_bytes_are_decoded_as_python_does_and_counted(values: list[bytes]) -> None:
    wanted = [value.decode("utf-8", "replace") for value in values]
    bad = sum(text.encode() != value for text, value in zip(wanted, values, strict=True))
    for kind in (pa.binary(), pa.large_binary()):
        found, counts = counted(pa.chunked_array([pa.array(values, kind)]))
        assert found == wanted
        assert counts == ({NOT_UTF8: bad} if bad else {})


def test_lone_surrogates_and_numbers_too_large_lose_no_row() -> None:
    assert column_of(["\ud83d half", "x"]).to_pylist() == ["? half", "x"]
    assert column_of([10**30, 1]).to_pylist() == [str(10**30), "1"]


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (pa.int8(), pa.int64(), pa.int64()),
        (pa.int64(), pa.float32(), pa.float64()),
        (pa.null(), pa.list_(pa.int64()), pa.list_(pa.int64())),
        (pa.string(), pa.large_string(), pa.large_string()),
        (pa.dictionary(pa.int32(), pa.string()), pa.string(), pa.string()),
        (pa.int64(), pa.string(), pa.string()),
        (pa.timestamp("s"), pa.timestamp("us"), pa.timestamp("us")),
        (pa.struct([("a", pa.int64())]), pa.struct([("b", pa.string())]), None),
        (pa.struct([("a", pa.int64())]), pa.list_(pa.string()), pa.string()),
    ],
    ids=str,
)
def test_two_types_have_one_that_holds_both(one: pa.DataType, other: pa.DataType, both: pa.DataType | None) -> None:
    assert wider(one, other) == (both or pa.struct([("a", pa.int64()), ("b", pa.string())]))
    assert wider(one, one) == wider(one, pa.null())


def test_tables_of_other_shards_are_joined_and_nothing_is_lost() -> None:
    tables = [
        pa.table({"n": [1, 2], "meta": [{"a": 1}, None], "d": pa.array(["x", "x"]).dictionary_encode()}),
        pa.table({"n": [1.5], "meta": ["text"], "only": [True]}),
        pa.table({"meta": [[1, 2]], "d": ["y"]}),
    ]
    found = unified(tables)
    assert found.column("n").to_pylist() == [1.0, 2.0, 1.5, None]
    assert found.column("only").to_pylist() == [None, None, True, None]
    assert found.column("d").to_pylist() == ["x", "x", None, "y"]
    meta = found.column("meta").to_pylist()
    assert [json.loads(meta[0]), *meta[1:3], json.loads(meta[3])] == [{"a": 1}, None, "text", [1, 2]]
    assert unified([]).num_rows == 0


ROWS = st.dictionaries(
    st.sampled_from("abc"), st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3), min_size=1
)


@given(st.lists(st.lists(ROWS, min_size=1, max_size=3), min_size=1, max_size=4))
def test_any_rows_can_be_unified(groups: list[list[dict[str, Any]]]) -> None:
    tables = [pa.table({name: column_of([row.get(name) for row in rows]) for name in rows[0]}) for rows in groups]
    found = unified(tables)
    assert found.num_rows == sum(len(rows) for rows in groups)
    for name in found.column_names:
        given = [row.get(name) if name in rows[0] else None for rows in groups for row in rows]
        kept = found.column(name).to_pylist()
        assert [value is None for value in kept] == [value is None for value in given]


def test_text_holds_what_it_is_asked_to_hold() -> None:
    assert as_type(pa.chunked_array([[1, None]]), pa.string()).to_pylist() == ["1", None]
    assert as_type(pa.chunked_array([["a"]]), pa.large_string()).type == pa.large_string()
