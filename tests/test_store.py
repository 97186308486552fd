import json
import os
import re
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import BadInput, CurateError
from curate.schema import PAGES, TABLES, host_of
from curate.store import Expressions, Store, read_json, whole, write_json, write_parquet, write_text

PAGE = st.fixed_dictionaries(
    {
        "page_id": st.text(min_size=1),
        "url": st.none() | st.text(),
        "text": st.text(),
        "inclusion_probability": st.none() | st.floats(0, 1),
    }
)


def page(name: str, **given: Any) -> dict[str, Any]:
    return {"page_id": name, "text": f"text of {name}", **given}


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def ids(store: Store, scope: str = "") -> list[str]:
    return sorted(row["page_id"] for row in store.rows("pages", scope))


def python(code: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)


@settings(max_examples=30)
@given(parts=st.lists(st.lists(PAGE, max_size=4), max_size=4))
def test_what_is_appended_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, parts: list[list[dict[str, Any]]]
) -> None:
    store = Store(tmp_path_factory.mktemp("w"))
    for rows in parts:
        store.append("pages", rows)
    given_rows = sorted(json.dumps(row, sort_keys=True) for rows in parts for row in rows)
    for found in (store.rows("pages"), store.sql("SELECT * FROM pages").to_pylist()):
        assert all(list(row) == PAGES.names for row in found)
        kept = [{name: row[name] for name in ("page_id", "url", "text", "inclusion_probability")} for row in found]
        assert sorted(json.dumps(row, sort_keys=True) for row in kept) == given_rows


def test_a_table_without_parts_is_empty_and_has_its_columns(tmp_path: Path) -> None:
    store = Store(tmp_path / "none")
    for name, schema in TABLES.items():
        assert store.read(name).schema == schema
        assert store.sql(f"SELECT * FROM {name}").num_rows == 0
    assert not (tmp_path / "none").exists(), "reading makes nothing"


def test_a_part_can_be_named_and_written_twice_without_doubling(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.append("pages", [page("a")], scope="s", part="00000")
    assert store.append("pages", [page("a")], scope="s", part="00000") == first
    assert first == tmp_path / "pages" / "s" / "part-00000.parquet"
    assert ids(store) == ["a"]


def test_unnamed_parts_never_replace_each_other(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert len({store.append("pages", [page("a")]) for _ in range(5)}) == 5
    assert ids(store) == ["a"] * 5


def test_half_a_character_is_written_as_a_question_mark(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append("pages", [page("a", text="cut \ud83d"), page("b")])
    assert [row["text"] for row in store.rows("pages")] == ["cut ?", "text of b"]


@pytest.mark.parametrize("new", ["0-first", "z-last", ""])
def test_parts_of_older_versions_with_fewer_columns_are_read_beside_new_ones(tmp_path: Path, new: str) -> None:
    store = Store(tmp_path)
    older = pa.table({"level": pa.array([3], pa.int64()), "page_id": ["old"], "more": [1]})
    write_parquet(tmp_path / "judgments" / "part-old.parquet", older)
    if new:
        store.append("judgments", [{"page_id": "new", "level": 4, "probabilities": [0.5, 0.5]}], part=new)
    found = store.sql("SELECT * FROM judgments ORDER BY page_id DESC")
    assert found.schema.names == TABLES["judgments"].names
    assert found.schema.field("level").type == pa.int32()
    assert found.select(["page_id", "level", "probabilities"]).to_pylist() == [
        {"page_id": "old", "level": 3, "probabilities": None},
        *([{"page_id": "new", "level": 4, "probabilities": [0.5, 0.5]}] if new else []),
    ]
    assert store.sql("SELECT page_id FROM judgments WHERE raw IS NULL AND level = 3").num_rows == 1
    assert sorted(store.read("judgments").column("page_id").to_pylist()) == (["new", "old"] if new else ["old"])


def test_a_scope_selects_one_folder_and_no_scope_all(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append("pages", [page("a")], scope="one")
    store.append("pages", [page("b")], scope="two")
    assert (ids(store, "one"), ids(store, "two"), ids(store)) == (["a"], ["b"], ["a", "b"])
    query = "SELECT page_id FROM pages ORDER BY page_id"
    assert store.sql(query, scopes={"pages": "two"}).column(0).to_pylist() == ["b"]
    assert store.sql(query, scopes={"pages": "none such"}).column(0).to_pylist() == []
    assert store.sql(query, scopes={"labels": "two"}).column(0).to_pylist() == ["a", "b"]


@pytest.mark.parametrize("name", ["it's", 'a "b"', "run=3", "[ab]", "st*r", "wh?t", "ü ñ", "x'; DROP TABLE pages; --"])
def test_a_workspace_may_have_any_name(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / name)
    store.append("pages", [page("a")], scope=name)
    table = store.sql("SELECT * FROM pages", scopes={"pages": name})
    assert table.column_names == PAGES.names, "a folder named a=b is not a column"
    assert table.column("page_id").to_pylist() == store.read("pages", name).column("page_id").to_pylist() == ["a"]


def test_values_are_bound_never_spliced(tmp_path: Path) -> None:
    store = Store(tmp_path)
    evil = "'; DROP TABLE pages; --"
    store.append("pages", [page(evil), page("b")])
    assert store.sql("SELECT text FROM pages WHERE page_id = ?", [evil]).to_pylist() == [{"text": f"text of {evil}"}]
    assert len(ids(store)) == 2


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT * FROM pagess", 'pagess does not exist! Did you mean "pages"?'),
        ("SELECT txt FROM pages", 'Referenced column "txt" not found in FROM clause! Candidate bindings: .*"text"'),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT CAST('x' AS INT)", "Could not convert string 'x' to INT32"),
        ("SELECT ?", "Values were not provided"),
        ("DELETE FROM pages", "."),
        ("SELECT * FROM query", "query does not exist"),
        ("SELECT * FROM 'none.parquet'", "none.parquet"),
    ],
)
def test_a_question_that_cannot_be_answered_is_one_line(tmp_path: Path, query: str, says: str) -> None:
    store = Store(tmp_path)
    store.append("pages", [page("a")])
    with pytest.raises(BadInput, match=says) as caught:
        store.sql(query)
    assert str(caught.value).startswith("sql: ")
    assert str(caught.value).endswith(f"(tables: {', '.join(TABLES)})")
    assert "\n" not in str(caught.value)
    assert ids(store) == ["a"]


def test_an_unknown_table_offers_the_nearest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for use in (store.read, store.parts, store.folder, lambda name: store.append(name, [])):
        with pytest.raises(BadInput, match=r"no table 'page'; did you mean pages\?"):
            use("page")
    assert files(tmp_path) == []


def test_what_a_killed_writer_left_is_not_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    part = store.append("pages", [page("a")])
    (part.parent / f".{part.name}.1234abcd.tmp").write_bytes(part.read_bytes()[:40])
    (part.parent / "part-x.parquet.tmp").write_bytes(b"PAR1")
    assert len(store.parts("pages")) == 1
    assert ids(store) == ["a"]
    assert store.sql("SELECT count(*) AS n FROM pages").to_pylist() == [{"n": 1}]


def test_a_damaged_part_is_named_in_one_line(tmp_path: Path) -> None:
    store = Store(tmp_path)
    _, part, _ = [store.append("pages", [page(name)], scope="it's", part=name) for name in "abc"]
    part.write_bytes(part.read_bytes()[:-9])
    for use in (
        lambda: store.rows("pages"),
        lambda: store.sql("SELECT count(*) FROM pages"),
        lambda: store.sql("SELECT text FROM pages WHERE url IS NULL"),
    ):
        with pytest.raises(CurateError, match=r"is damaged .*; put the part back from a copy") as caught:
            use()
        assert str(caught.value).startswith(f"{part}: ")
        assert caught.value.exit_code == 1
        assert "\n" not in str(caught.value)
    assert store.sql("SELECT 1 AS one FROM labels").num_rows == 0, "the other tables can still be asked"


KILLED = """
import os, signal, sys
from pathlib import Path
from curate.store import whole
with whole(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_writer_killed_before_the_end_leaves_the_old_file_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    assert python(KILLED, tmp_path / "a.txt").returncode == -signal.SIGKILL
    assert (tmp_path / "a.txt").read_text() == "old"
    assert python(KILLED, tmp_path / "pages" / "part-0.parquet").returncode == -signal.SIGKILL
    assert Store(tmp_path).parts("pages") == []
    assert any(name.endswith(".tmp") for name in files(tmp_path)), "the test did kill it in the middle"


def test_an_error_while_writing_leaves_nothing(tmp_path: Path) -> None:
    def fail(make: Callable[[Path], None]) -> None:
        with whole(tmp_path / "x") as temporary:
            make(temporary)
            raise ZeroDivisionError

    for make in (Path.mkdir, Path.touch):
        with pytest.raises(ZeroDivisionError):
            fail(make)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_becomes_whole_in_one_step_too(tmp_path: Path) -> None:
    with whole(tmp_path / "deep" / "folder") as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("1")
    assert files(tmp_path) == ["deep/folder/a"]


TOO_LARGE = """
import resource, signal, sys
from pathlib import Path
from curate.errors import CurateError
from curate.store import Store
import pyarrow.parquet
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
store = Store(Path(sys.argv[1]))
store.append("pages", [{"page_id": "small"}], part="small")
try:
    store.append("pages", [{"page_id": str(n), "text": str(n**99)} for n in range(9000)], part="large")
except CurateError as error:
    print(error.exit_code, error)
"""


def test_a_file_that_may_not_grow_is_one_line_and_leaves_no_half(tmp_path: Path) -> None:
    done = python(TOO_LARGE, tmp_path)
    assert done.stderr == ""
    assert done.stdout.startswith(f"1 {tmp_path}/pages/part-large.parquet: could not be written (")
    assert done.stdout.count("\n") == 1
    assert files(tmp_path) == ["pages/part-small.parquet"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount a small file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a tmpfs")
def test_a_full_disk_is_one_line_and_leaves_no_half(small_disk: Path) -> None:
    store = Store(small_disk)
    store.append("pages", [page("a")], part="a")
    noise = os.urandom(1 << 20).hex()
    writes = {
        "pages/part-b.parquet": lambda: store.append("pages", [page("b", text=noise)], part="b"),
        "report.txt": lambda: write_text(small_disk / "report.txt", noise),
        "report.json": lambda: write_json(small_disk / "report.json", noise),
    }
    for name, write in writes.items():
        with pytest.raises(CurateError, match="No space left on device") as caught:
            write()
        assert str(caught.value).startswith(f"{small_disk / name}: could not be written (")
        assert "\n" not in str(caught.value)
    assert files(small_disk) == ["pages/part-a.parquet"]
    store.append("pages", [page("c")])
    assert ids(store) == ["a", "c"]


def test_a_file_in_the_place_of_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file")
    with pytest.raises(CurateError, match=r"could not be written \(Not a directory\)"):
        store.append("pages", [page("a")])
    with pytest.raises(BadInput, match="the workspace cannot be written to"), store.lock():
        pass


HOLDER = """
import sys, time
from pathlib import Path
from curate.store import Store
with Store(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_until_the_first_is_gone_even_when_it_was_killed(tmp_path: Path) -> None:
    store = Store(tmp_path / "w")
    with subprocess.Popen([sys.executable, "-c", HOLDER, store.root], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(CurateError, match="another run is at work on this workspace") as caught, store.lock():
            pass
        assert str(caught.value).startswith(str(store.root))
        assert caught.value.exit_code == 1
        store.append("pages", [page("a")])
        assert ids(store) == ["a"], "labels and readers need no lock"
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with store.lock(), pytest.raises(CurateError, match="another run"), store.lock():
            pass
    with store.lock():
        pass


def test_a_record_is_there_once_it_is_written(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.record("sample", "abc") is None
    assert store.records("sample") == []
    store.write_record("sample", "abc", {"drawn": 3})
    store.write_record("score", "abc", {"drawn": 4})
    record = store.record("sample", "abc")
    assert record is not None
    assert record["drawn"] == 3
    assert [r["drawn"] for r in store.records("sample")] == [3]


def test_records_come_oldest_first(tmp_path: Path) -> None:
    for name, at in (("b", "2026-01-02"), ("c", "2026-01-01"), ("a", "2026-01-03")):
        write_json(tmp_path / "stages" / f"tune-{name}.json", {"at": at})
    assert [r["at"] for r in Store(tmp_path).records("tune")] == ["2026-01-01", "2026-01-02", "2026-01-03"]


def test_a_damaged_record_says_how_to_go_on(tmp_path: Path) -> None:
    path = Store(tmp_path).write_record("sample", "abc", {"drawn": 3})
    path.write_text(path.read_text()[:9])
    with pytest.raises(BadInput, match=r"is not readable JSON .*; delete it to make it again") as caught:
        Store(tmp_path).record("sample", "abc")
    assert str(caught.value).startswith(str(path))


@given(value=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text(), max_size=5))
def test_json_survives(tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any]) -> None:
    path = write_json(tmp_path_factory.mktemp("j") / "a.json", value)
    assert read_json(path) == value


def test_a_number_that_is_none_is_not_written_as_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"value": float("nan")})
    assert files(tmp_path) == []


def test_a_parquet_file_is_what_was_given(tmp_path: Path) -> None:
    table = pa.table({"a": [1, None], "b": [["x"], []]})
    assert pq.read_table(write_parquet(tmp_path / "deep" / "a.parquet", table)).equals(table)


ROWS = pa.table(
    {
        "text": ["a b", "cc", "d"],
        "url": ["http://www.x.org/", "http://y.de:8/", ""],
        "score": [1.5, 2.0, None],
        "Meta": [{"k": 1}, {"k": 2}, {"k": 3}],
    }
)


def test_expressions_give_the_rows_that_meet_a_condition_and_values_of_them() -> None:
    ask = Expressions({"by": "host || chars", "n": "meta.k"}, where="score > 1 -- and no more")
    assert ask.columns == {"host", "chars", "score", "meta", "k"}
    assert ask(ROWS).to_pylist() == [{"row": 0, "by": "x.org3", "n": 1}, {"row": 1, "by": "y.de2", "n": 2}]
    assert ask(ROWS.slice(1)).column("row").to_pylist() == [0]
    assert Expressions({}, where="score IS NULL")(ROWS).to_pylist() == [{"row": 2}]
    large = pa.table({"n": list(range(50_000))})
    assert Expressions({"m": "n * 2"}, where="n % 2 = 1")(large).column("m").to_pylist() == list(range(2, 100_000, 4))


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("scor > 1", r"sample\.where: .*did you mean score\? \(allowed: Meta, chars, host, score, text, url\)"),
        ("score >", "syntax error"),
        ("1; SELECT 2", "syntax error"),
        ("1) FROM x; SELECT (2", "must be one expression"),
        ("1) FROM range(3) WHERE (true", "must be one expression"),
        ("(SELECT count(*) FROM rows) > 1", "must be one expression"),
        ("row_number() OVER () = 1", "each page is seen by itself"),
        ("sum(score) > 1", "aggregates"),
        ("read_text('/etc/passwd') = ''", "table function"),
        ("getvariable('x') = 1; COPY rows TO '/tmp/x'", "syntax error"),
        ("text", "Could not convert string"),
    ],
)
def test_an_expression_that_is_none_over_a_page_is_one_line(where: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        Expressions({}, where=where).check(ROWS)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("sample.where: ")


def test_an_expression_reads_no_file(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    for sql in (f"(FROM '{tmp_path}/secret.csv')", f"(SELECT a FROM read_csv('{tmp_path}/secret.csv')) = 1"):
        with pytest.raises(BadInput, match="must be one expression"):
            Expressions({}, where=sql)


URLS = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(
            ["", " ", "http://", "HTTPS://", "//", "ftp://", "mailto:", "x:", "http:///", "/", "\u00a0http://"]
        ),
        st.sampled_from(["", "user@", "user:pass@", "a@b@"]),
        st.sampled_from(["", "www.", "WWW."]),
        st.sampled_from(
            [
                "Example.com",
                "a.b.co.uk.",
                "localhost",
                "1.2.3.4",
                "[::1]",
                "[2001:db8::1]",
                "münchen.de",
                "",
                "-",
                "..",
                "ex\tample.org",
            ]
        ),
        st.sampled_from(["", ":80", ":", ":port"]),
        st.sampled_from(["", "/", "/a?b=http://other.org/#c", "?q@r", "#f", "/x y", " ", "\n"]),
    ),
)


@settings(max_examples=300)
@given(
    urls=st.lists(
        URLS | st.text(st.characters(codec="utf-8", exclude_characters="[]"), max_size=20), min_size=1, max_size=20
    )
)
def test_the_host_of_a_url_is_the_same_in_sql(urls: list[str]) -> None:
    found = Expressions({"host": "host"})(pa.table({"url": urls})).column("host").to_pylist()
    for url, host in zip(urls, found, strict=True):
        misplaced = re.search(r"[^/@]\[", url)
        if not misplaced and "\x85" not in url and url.isprintable() and unicodedata.normalize("NFKC", url) == url:
            assert host == host_of(url), url


def test_the_other_columns_of_pages_are_seen_whatever_part_they_come_from(tmp_path: Path) -> None:
    store, base = Store(tmp_path), pa.Table.from_pylist([page("a")], schema=PAGES)
    store.append("pages", base.append_column("score", pa.array([1])).append_column("it's", pa.array(["x"])), part="1")
    store.append(
        "pages", base.append_column("score", pa.array([0.5])).append_column("tags", pa.array([["t"]])), part="2"
    )
    store.append("pages", base.append_column("tags", pa.array(["plain"])), part="3")
    found = store.sql('SELECT score, tags, "it\'s" FROM pages ORDER BY score NULLS LAST').to_pylist()
    assert [row["score"] for row in found] == [0.5, 1.0, None]
    assert [row["it's"] for row in found] == [None, "x", None]
    assert found[2]["tags"] == "plain"
    assert store.read("pages").column_names == [*PAGES.names, "score", "it's", "tags"]
    assert store.read("pages").column("tags").to_pylist() == [None, '["t"]', "plain"]


def test_a_linked_file_is_the_same_file_and_outlives_the_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    part = store.append("pages", [page("a")], scope="one")
    other = store.link(part, tmp_path / "pages" / "two" / part.name)
    assert other.read_bytes() == part.read_bytes()
    part.unlink()
    assert ids(store, "two") == ["a"]
    assert not [name for name in files(tmp_path) if name.endswith(".tmp")]
