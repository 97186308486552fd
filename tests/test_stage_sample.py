import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import BadInput, CurateError
from curate.progress import Quiet
from curate.schema import PAGES, host_of, page_id
from curate.sources import Source, shards
from curate.stages.sample import Report, Settings, run
from curate.store import Store

WORDS = [
    "water",
    "energy",
    "carbon",
    "light",
    "magnet",
    "number",
    "proof",
    "orbit",
    "cell",
    "enzyme",
    "rock",
    "cloud",
    "river",
    "motor",
]


def text_of(n: int) -> str:
    return " ".join(f"{WORDS[(n * 7 + k * k) % len(WORDS)]}{n * k}" for k in range(30))


def put(folder: Path, name: str, rows: list[Any]) -> None:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def draw(
    folder: Path, *, path: Any = "*.jsonl", store: Store | None = None, **given: Any
) -> tuple[Report, list[dict[str, Any]]]:
    store = store or Store(folder / "w")
    source = Source(path=path, text="text", url="url")
    report = run(
        store,
        Settings.model_validate(given),
        source=source,
        shards=shards(source, below=folder),
        name="s",
        progress=Quiet(),
    )
    return report, store.rows("pages", "s")


def corpus(folder: Path, count: int = 60, hosts: int = 30) -> None:
    put(folder, "a.jsonl", [{"text": text_of(n), "url": f"http://h{n % hosts}.org/{n}"} for n in range(count)])


def test_the_drawn_pages_are_a_table_with_host_group_split_and_source(tmp_path: Path) -> None:
    corpus(tmp_path)
    report, rows = draw(tmp_path, pages=40)
    assert (report.seen, report.drawn, report.exact_duplicates, report.skipped) == (60, 40, 0, {})
    assert len(rows) == len({row["page_id"] for row in rows}) == 40
    for row in rows:
        assert list(row) == PAGES.names
        n = int(row["source"].removeprefix("a.jsonl:"))
        assert (row["text"], row["page_id"], row["host"]) == (text_of(n), page_id(text_of(n)), f"h{n % 30}.org")
        assert row["inclusion_probability"] == report.probability
    assert 0.4 < report.probability < 0.95
    assert report.splits == {name: sum(row["split"] == name for row in rows) for name in ("train", "val", "test")}
    assert report.groups == len({row["group_id"] for row in rows})
    assert report.as_dict()["drawn"] == 40


def test_all_pages_are_drawn_when_none_is_left_out(tmp_path: Path) -> None:
    corpus(tmp_path)
    for pages in (None, 60, 1000):
        report, rows = draw(tmp_path, pages=pages)
        assert (report.drawn, report.probability, len(rows)) == (60, 1.0, 60)


def test_the_same_seed_draws_the_same_pages_from_shards_in_any_order(tmp_path: Path) -> None:
    rows = [{"text": text_of(n), "url": f"http://h{n}.org/"} for n in range(60)]
    for folder, order in (("x", rows), ("y", rows[::-1])):
        (tmp_path / folder).mkdir()
        put(tmp_path / folder, "a.jsonl", order[:20])
        put(tmp_path / folder, "b.jsonl", order[20:])
    drawn = [
        draw(tmp_path / folder, pages=25, **more)[1]
        for folder, more in (("x", {}), ("y", {}), ("x", {"seed": "other"}))
    ]
    marks = [[(row["page_id"], row["group_id"], row["split"]) for row in rows] for rows in drawn]
    assert marks[0] == marks[1]
    assert marks[0] != marks[2]


def test_running_again_writes_the_same_part_and_doubles_nothing(tmp_path: Path) -> None:
    corpus(tmp_path)
    store = Store(tmp_path / "w")
    first, second = draw(tmp_path, store=store), draw(tmp_path, store=store)
    assert first == second
    assert len(store.parts("pages")) == 1


def test_copies_blank_pages_and_pages_without_text_are_counted(tmp_path: Path) -> None:
    corpus(tmp_path, count=30)
    odd: list[Any] = [
        {"text": text_of(3)},
        {"text": text_of(3)},
        {"text": ""},
        {"text": " \n"},
        {"text": None},
        {"url": "u"},
    ]
    put(tmp_path, "b.jsonl", odd)
    (tmp_path / "c.jsonl").write_bytes(b'{"url": "u", "text": "caf\xe9 ' + text_of(77).encode() + b'"}\n')
    report, rows = draw(tmp_path)
    assert (report.seen, report.drawn, report.exact_duplicates) == (33, 31, 2)
    assert report.skipped == {"no text": 4, "not UTF-8 (bytes replaced)": 1}
    (late,) = [row for row in rows if row["source"].startswith("c.jsonl")]
    assert late["text"].startswith("caf� ")


def test_a_page_of_five_megabytes_is_drawn_whole(tmp_path: Path) -> None:
    corpus(tmp_path, count=5)
    long = " ".join(text_of(n) for n in range(24_000))
    assert len(long) > 5_000_000
    put(tmp_path, "b.jsonl", [{"text": long, "url": ""}])
    _, rows = draw(tmp_path)
    assert long in [row["text"] for row in rows]


def test_pages_without_a_url_are_groups_of_their_own(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", [{"text": text_of(n), "url": None} for n in range(30)])
    report, rows = draw(tmp_path)
    assert report.groups == 30
    assert {row["url"] for row in rows} == {row["host"] for row in rows} == {""}


@settings(max_examples=25)
@given(data=st.data())
def test_hosts_and_near_duplicates_stay_on_one_side(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("s")
    hosts = data.draw(st.lists(st.integers(0, 9), min_size=3, max_size=20))
    copies = data.draw(st.lists(st.integers(0, len(hosts) - 1), max_size=5))
    rows = [{"text": text_of(n), "url": f"https://www.h{host}.org/{n}"} for n, host in enumerate(hosts)]
    rows += [{"text": f"{text_of(n)} reprint {k}", "url": f"http://mirror{k}.net"} for k, n in enumerate(copies)]
    put(folder, "a.jsonl", rows)
    report, drawn = draw(folder)
    split = {row["text"]: row["split"] for row in drawn}
    for a in rows:
        for b in rows:
            if host_of(a["url"]) == host_of(b["url"]) or b["text"].startswith(f"{a['text']} reprint"):
                assert split[a["text"]] == split[b["text"]]
    assert report.near_duplicate_pairs >= len(set(copies))


def test_pages_that_come_later_move_no_page_of_before(tmp_path: Path) -> None:
    corpus(tmp_path, count=40)
    before = {row["page_id"]: row["split"] for row in draw(tmp_path)[1]}
    put(tmp_path, "later.jsonl", [{"text": text_of(n), "url": f"http://h{n % 50}.org/{n}"} for n in range(100, 140)])
    after = {row["page_id"]: row["split"] for row in draw(tmp_path)[1]}
    assert len(after) == 80
    assert {name: after[name] for name in before} == before


def test_one_host_that_is_nearly_everything_is_one_line_unless_hosts_may_be_split(tmp_path: Path) -> None:
    corpus(tmp_path, count=30, hosts=1)
    with pytest.raises(BadInput) as caught:
        draw(tmp_path)
    assert str(caught.value).startswith("sample.group_by: 30 of 30 pages are one group")
    assert "set sample.group_by=near_duplicate" in str(caught.value)
    assert not (tmp_path / "w").exists()
    report, _ = draw(tmp_path, group_by="near_duplicate")
    assert report.groups == 30


def test_a_source_without_any_text_is_one_line_and_writes_nothing(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", [{"text": None, "url": "u"}, {"text": " "}])
    with pytest.raises(BadInput) as caught:
        draw(tmp_path)
    assert str(caught.value) == "source.text: none of 2 pages has text in column 'text'"
    assert not (tmp_path / "w").exists()


def test_damage_in_the_last_shard_writes_nothing(tmp_path: Path) -> None:
    corpus(tmp_path)
    (tmp_path / "b.jsonl").write_text('{"text": "fine", "url": ""}\n' * 1200 + "{broken\n")
    with pytest.raises(CurateError, match=r"b\.jsonl: cannot be read after row 1000 \(line 1201 is not JSON"):
        draw(tmp_path)
    assert not (tmp_path / "w").exists()


def test_shares_decide_how_many_groups_fall_where(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", [{"text": text_of(n), "url": f"http://h{n}.org"} for n in range(400)])
    report, _ = draw(tmp_path, shares={"train": 8, "val": 1, "test": 1})
    assert 290 < report.splits["train"] < 350
    assert sum(report.splits.values()) == 400


def test_a_sample_of_real_pages_in_many_languages(tmp_path: Path, shared_data: Path) -> None:
    table = pq.read_table(shared_data / "web_excerpts.parquet")
    pq.write_table(table.slice(0, 4000), tmp_path / "a.parquet")
    store, source = Store(tmp_path / "w"), Source(path="a.parquet", lang="lang")
    report = run(
        store,
        Settings(pages=1500),
        source=source,
        shards=shards(source, below=tmp_path),
        name="s",
        progress=Quiet(),
    )
    rows = store.rows("pages")
    assert (report.drawn, len(rows)) == (1500, 1500)
    assert report.largest_group < 150
    everywhere = Counter(table.slice(0, 4000).column("lang").to_pylist())
    here = Counter(row["lang"] for row in rows)
    for lang, count in everywhere.most_common(3):
        assert here[lang] / 1500 == pytest.approx(count / 4000, abs=0.04)
