import pyarrow as pa

from curate.schema import page_id
from curate.sources.batches import LOST, Batch, Shard, Skips

SHARD = Shard("a.parquet", "/x/a.parquet", "parquet", 10, 100)


def batch(own: list[str] | None = None) -> Batch:
    table = pa.table(
        {
            "text": ["x", "y", None],
            "link": ["http://www.a.org/1", None, ""],
            "n": [1, 2, 3],
            "kind": pa.array(["k", "k", None]).dictionary_encode(),
        }
    )
    return Batch(
        shard=SHARD,
        first_row=7,
        table=table,
        text=pa.array(["x", "y", ""]),
        url=pa.array(["http://www.a.org/1", "", ""]),
        lang=pa.array(["en", "", ""]),
        title=pa.array(["T", "", ""]),
        own_id=pa.array(own) if own else None,
        mapped=("text", "link"),
    )


def test_a_page_is_a_row_of_the_pages_table() -> None:
    assert batch().page(0) == {
        "page_id": page_id("x"),
        "url": "http://www.a.org/1",
        "host": "a.org",
        "title": "T",
        "text": "x",
        "lang": "en",
        "source": "a.parquet:7",
    }


def test_ids_are_own_ones_or_hashes_of_the_text() -> None:
    assert batch().page_ids() == [page_id("x"), page_id("y"), page_id("")]
    mixed = batch(["i", "", "k"])
    assert mixed.page_ids() == ["i", page_id("y"), "k"] == [mixed.page_id(i) for i in range(3)]
    assert mixed.page_ids() is mixed.page_ids()


def test_extras_are_the_other_columns_of_the_rows_asked_for() -> None:
    found = batch().extras([2, 0])
    assert found.to_pydict() == {"n": [3, 1], "kind": [None, "k"]}
    assert found.schema.field("kind").type == pa.string()
    assert batch().extra(1) == {"n": 2, "kind": "k"}
    assert batch().extras([]).num_rows == 0


def test_text_in_extras_is_utf8() -> None:
    bad = pa.array([b"a\xff", b"b", b"c"]).view(pa.string())
    made = batch()
    whole = Batch(SHARD, 0, made.table.append_column("bad", bad), made.text, made.url, made.lang, made.title, None)
    assert whole.extras([0, 1]).column("bad").to_pylist() == ["a�", "b"]


def test_of_columns_of_one_name_the_first_is_given() -> None:
    made = batch()
    double = made.table.append_column("n", pa.array([7, 8, 9]))
    whole = Batch(SHARD, 0, double, made.text, made.url, made.lang, made.title, None, ("text", "link"))
    assert whole.extras([0]).to_pydict() == {"n": [1], "kind": ["k"]}


def test_a_slice_keeps_all_columns_beside_each_other() -> None:
    cut = batch(["i", "j", "k"]).slice(1, 1)
    assert (len(cut), cut.first_row, cut.texts(), cut.page_ids()) == (1, 8, ["y"], ["j"])
    assert cut.page(0)["source"] == "a.parquet:8"
    assert cut.extra(0)["n"] == 2


def test_skips_count_only_what_was_skipped() -> None:
    skips = Skips()
    skips.add("no text", 0)
    assert skips.counts == {}
    skips.add("no text")
    skips.add("no text", 2)
    assert skips.counts == {"no text": 3}


def test_a_shard_that_is_left_out_twice_loses_its_rows_once() -> None:
    skips = Skips()
    skips.leave_out(SHARD, 4, "cut")
    skips.leave_out(SHARD, 4, "cut")
    assert (skips.counts, skips.shards) == ({LOST: 6}, {"a.parquet": "cut"})
    unknown = Shard("b.jsonl", "/x/b.jsonl", "jsonl", None, 1)
    skips.leave_out(unknown, 4, "cut")
    assert skips.counts == {LOST: 6}
