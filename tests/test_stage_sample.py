import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import BadInput, CurateError
from curate.progress import Quiet
from curate.schema import PAGES, host_of, page_id
from curate.sources import Source, shards
from curate.stages.sample import Report, Settings, names, run
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
    with pytest.raises(CurateError, match=r"b\.jsonl: cannot be read after row \d+ \(line 1201 is not JSON"):
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


def many(folder: Path, count: int = 400, hosts: int = 60) -> None:
    """Pages in three languages: 70 %, 25 % and 5 %, with a number and a list of their own."""
    rows = [
        {
            "text": text_of(n),
            "url": f"http://h{n * 7 % hosts}.org/{n}",
            "lang": "en" if n % 20 < 14 else "de" if n % 20 < 19 else "fi",
            "score": n / count,
            "tags": [f"t{n % 3}"],
            "split": f"as it came {n}",
        }
        for n in range(count)
    ]
    put(folder, "many.jsonl", rows)


def sampled(
    folder: Path, name: str = "s", *, store: Store | None = None, **given: Any
) -> tuple[Report, list[dict[str, Any]]]:
    source = Source(path="many.jsonl", text="text", url="url", lang="lang")
    more = {key: given.pop(key) for key in ("prefixes", "embed", "informative") if key in given}
    store = store or Store(folder / f"w-{name}")
    found = shards(source, below=folder)
    design = Settings.model_validate({"similarity": 0.9, **given})
    report = run(store, design, source=source, shards=found, name=name, progress=Quiet(), **more)
    return report, store.rows("pages", report.name)


def test_strata_of_an_expression_have_the_shares_asked_for(tmp_path: Path) -> None:
    many(tmp_path)
    cases: list[tuple[dict[str, Any], dict[str, int]]] = [
        ({"by": "lang"}, {"en": 70, "de": 25, "fi": 5}),
        ({"by": "lang", "strata": "equal"}, {"en": 40, "de": 40, "fi": 20}),
        ({"by": "lang", "strata": {"de": 0.4, "*": 0.6}}, {"de": 40, "*": 60}),
        ({"by": "lang = 'de'"}, {"false": 75, "true": 25}),
    ]
    for number, (design, wanted) in enumerate(cases):
        report, rows = sampled(tmp_path, f"case{number}", pages=100, **design)
        assert Counter(row["stratum"] for row in rows) == wanted
        facts = {s["name"]: s for s in report.rounds[0]["strata"]}
        for row in rows:
            assert row["inclusion_probability"] == facts[row["stratum"]]["probability"]
        assert report.probability is None
        assert report.portrait
        shares = report.portrait["estimates"]["share_by_language"]
        assert shares["de"]["low"] <= 0.25 <= shares["de"]["high"], "the corpus' share, whatever the sample's is"


def test_a_share_that_cannot_be_met_says_by_how_much_unless_what_is_there_is_taken(tmp_path: Path) -> None:
    many(tmp_path)
    given: dict[str, Any] = {"pages": 100, "by": "lang", "strata": {"fi": 0.5, "en": 0.5}}
    with pytest.raises(CurateError) as caught:
        sampled(tmp_path, **given)
    assert str(caught.value) == (
        "sample.strata: lang=fi: 50 wanted, 20 there; lower its share, add pages, or set sample.on_short=take"
    )
    assert caught.value.exit_code == 1
    report, rows = sampled(tmp_path, **given, on_short="take")
    assert Counter(row["stratum"] for row in rows) == {"en": 50, "fi": 20}
    assert report.skipped == {"in no stratum asked for": 100}


def test_a_number_is_cut_into_bins_with_as_many_pages_each(tmp_path: Path) -> None:
    many(tmp_path)
    report, rows = sampled(tmp_path, pages=100, by="score", bins=4, strata="equal")
    counts = Counter(row["stratum"] for row in rows)
    assert list(counts.values()) == [25] * 4
    assert report.rounds[0]["bins"] == {"edges": pytest.approx([0.25, 0.5, 0.75], abs=0.01), "approximate": False}
    for row in rows:
        low, high = report.rounds[0]["bins"]["edges"][0], report.rounds[0]["bins"]["edges"][-1]
        assert (row["score"] < low) == row["stratum"].startswith("below")
        assert (row["score"] >= high) == row["stratum"].startswith("from")
    with pytest.raises(BadInput, match=r"sample\.by: .*Could not convert string 'en'"):
        sampled(tmp_path, by="lang", bins=3)
    with pytest.raises(BadInput, match="has no number on any page"):
        sampled(tmp_path, by="NULL", bins=3)


def test_only_pages_that_meet_the_condition_are_drawn(tmp_path: Path) -> None:
    many(tmp_path)
    report, rows = sampled(
        tmp_path, pages=50, where="lang = 'de' AND score < 0.5 AND host LIKE 'h%' AND tags[1] = 't0'"
    )
    assert rows
    assert all(r["lang"] == "de" and r["score"] < 0.5 and r["tags"] == ["t0"] for r in rows)
    assert report.skipped == {"left out by where": 400 - len(rows)}
    with pytest.raises(BadInput) as caught:
        sampled(tmp_path, where="chars > 1000000")
    assert str(caught.value) == (
        "sample: where 'chars > 1000000' leaves no page of 400 with text (400 left out by where)"
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"where": "langg = 'de'"},
            r"sample\.where: .*\"langg\" not found in FROM clause; did you mean lang\? \(allowed: chars, ",
        ),
        ({"by": "score >"}, r"sample\.by: .*syntax error"),
        ({"by": "ntile(3) OVER (ORDER BY score)"}, "each page is seen by itself"),
        ({"by": "(SELECT max(score) FROM pages)"}, "must be one expression over the columns of a page"),
        ({"where": "sum(score) > 1"}, "aggregates"),
        ({"by": "url || score", "pages": 1}, None),
    ],
)
def test_a_bad_expression_is_one_line_before_anything_is_drawn(
    tmp_path: Path, given: dict[str, Any], says: str | None
) -> None:
    many(tmp_path)
    if says is None:
        assert sampled(tmp_path, **given)[0].drawn == 1
        return
    with pytest.raises(BadInput, match=says) as caught:
        sampled(tmp_path, **given)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "w-s").exists()


def test_a_host_gives_at_most_so_many_pages(tmp_path: Path) -> None:
    many(tmp_path)
    report, rows = sampled(tmp_path, pages=100, most_per_host=2)
    assert report.drawn == 100
    assert max(Counter(row["host"] for row in rows).values()) == 2
    assert len({row["inclusion_probability"] for row in rows}) > 1


def test_the_columns_of_the_source_come_along_and_can_be_asked_for(tmp_path: Path) -> None:
    many(tmp_path)
    store = Store(tmp_path / "w")
    report, rows = sampled(tmp_path, store=store, pages=30)
    assert list(rows[0]) == [*PAGES.names, "score", "tags", "source_split"]
    for row in rows:
        n = int(row["source"].removeprefix("many.jsonl:"))
        assert (row["score"], row["tags"], row["source_split"]) == (n / 400, [f"t{n % 3}"], f"as it came {n}")
        assert row["split"] in ("train", "val", "test")
    asked = store.sql("SELECT url, score, tags[1] AS tag FROM pages WHERE score > 0.5", scopes={"pages": report.name})
    assert asked.num_rows == sum(row["score"] > 0.5 for row in rows)


def test_a_diverse_sample_takes_of_every_cluster(tmp_path: Path) -> None:
    many(tmp_path)

    def is_rare(text: str) -> bool:
        return text.split()[1].endswith("0")

    def embed(texts: Any) -> Any:
        rare = np.array([is_rare(text) for text in texts], np.float32)
        return np.stack([rare, 1 - rare], axis=1)

    report, rows = sampled(tmp_path, pages=40, how="diverse", clusters=2, pool_pages=200, embed=embed)
    assert sum(is_rare(row["text"]) for row in rows) >= 12, "a tenth of the corpus, up to half of the sample"
    assert {row["how"] for row in rows} == {"diverse"}
    assert {row["stratum"] for row in rows} == {"cluster 0", "cluster 1"}
    assert report.portrait
    assert report.portrait["estimates"]["mean_chars"]["value"] > 0
    plain, _ = sampled(tmp_path, "plain", pages=40, how="diverse")
    assert plain.drawn == 40


def part_bytes(store: Store, scope: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.parts("pages", scope)}


ROUNDS: list[dict[str, Any]] = [
    {"pages": 20},
    {"pages": 15, "by": "lang", "strata": "equal"},
    {"pages": 10, "how": "informative"},
    {"pages": 10, "how": "diverse", "where": "lang = 'de'"},
]


def longest(pages: Any) -> Any:
    assert all(page["text"] and page["url"] for page in pages)
    return np.array([len(page["text"]) for page in pages])


def test_rounds_add_pages_and_leave_those_before_byte_for_byte(tmp_path: Path) -> None:
    many(tmp_path)
    store = Store(tmp_path / "w")
    _, rows = sampled(tmp_path, "one", store=store, pages=40)
    first, before = part_bytes(store, "one"), rows
    for count in range(1, len(ROUNDS) + 1):
        known = ["one", *(f"after {n}" for n in range(2, count + 1))]
        report, rows = sampled(
            tmp_path,
            f"after {count + 1}",
            store=store,
            pages=40,
            rounds=ROUNDS[:count],
            prefixes=known,
            informative=longest,
        )
        assert (report.name, report.waiting, len(report.rounds)) == (f"after {count + 1}", "", count + 1)
        assert rows[: len(before)] == before
        assert len({row["page_id"] for row in rows}) == len(rows) == report.drawn
        assert first.items() <= part_bytes(store, report.name).items()
        new = rows[len(before) :]
        assert {row["round"] for row in new} == {count + 1}
        left_out = report.rounds[-1]["left_out"]
        if ROUNDS[count - 1].get("how") == "informative":
            assert all(row["inclusion_probability"] is None and row["split"] != "test" for row in new)
            assert len(new) == 10
        else:
            assert len(new) + left_out == ROUNDS[count - 1]["pages"]
        split = {}
        for row in rows:
            assert split.setdefault(row["host"], row["split"]) == row["split"]
        first, before = part_bytes(store, report.name), rows
    assert all(row["inclusion_probability"] is None for row in rows if row["round"] == 5), "one language is no corpus"
    assert Counter(row["how"] for row in rows)["informative"] == 10


def test_all_rounds_at_once_are_the_same_as_one_after_the_other(tmp_path: Path) -> None:
    many(tmp_path)
    step, at_once = Store(tmp_path / "step"), Store(tmp_path / "once")
    sampled(tmp_path, "one", store=step, pages=40)
    _, rows = sampled(tmp_path, "two", store=step, pages=40, rounds=ROUNDS[:1], prefixes=["one"])
    report, together = sampled(tmp_path, "two", store=at_once, pages=40, rounds=ROUNDS[:1], prefixes=["one"])
    assert rows == together
    assert [len(at_once.parts("pages", scope)) for scope in ("one", "two")] == [1, 2]
    assert report.rounds[1]["in_sample_already"] == 40


def test_an_informative_round_waits_for_a_classifier(tmp_path: Path) -> None:
    many(tmp_path)
    store, given = Store(tmp_path / "w"), {"pages": 40, "rounds": [ROUNDS[0], ROUNDS[2], ROUNDS[1]]}
    known = ["a", "b", "c"]
    report, before = sampled(tmp_path, "d", store=store, prefixes=known, **given)
    assert (report.name, len(report.rounds), report.drawn + report.rounds[1]["left_out"]) == ("b", 2, 60)
    assert report.waiting == "round 3 (informative) waits for a classifier: run to distill, then sample again"
    assert not store.parts("pages", "d")
    report, rows = sampled(tmp_path, "d", store=store, prefixes=known, informative=longest, **given)
    assert (report.name, report.waiting, len(report.rounds)) == ("d", "", 4)
    assert rows[: len(before)] == before


def test_informative_pages_are_the_best_of_their_near_duplicates_and_never_sealed(tmp_path: Path) -> None:
    rows = [{"text": text_of(n), "url": f"http://h{n}.org/"} for n in range(60)]
    rows += [
        {"text": f"{text_of(n)} {'more ' * (k + 1)}", "url": f"http://m{n}-{k}.org/"}
        for n in range(60, 70)
        for k in range(4)
    ]
    put(tmp_path, "many.jsonl", rows)

    def more(pages: Any) -> Any:
        return np.array([page["text"].count("more") for page in pages], float)

    source = Source(path="many.jsonl", url="url")
    report = run(
        Store(tmp_path / "w"),
        Settings.model_validate({"pages": 10, "similarity": 0.5, "rounds": [{"pages": 8, "how": "informative"}]}),
        source=source,
        shards=shards(source, below=tmp_path),
        name="n",
        progress=Quiet(),
        informative=more,
    )
    new = [row for row in Store(tmp_path / "w").rows("pages", "n") if row["round"] == 2]
    assert len(new) == 8
    assert {row["split"] for row in new} <= {"train", "val"}
    assert all(row["duplicate_of"] is None for row in new)
    assert report.rounds[1]["how"] == "informative"


def test_near_duplicates_name_the_page_that_stands_for_them(tmp_path: Path) -> None:
    rows = [{"text": text_of(n), "url": f"http://h{n}.org/"} for n in range(30)]
    rows += [{"text": f"{text_of(7)} reprint {k}", "url": f"http://mirror{k}.org/"} for k in range(5)]
    rows += [{"text": text_of(9).upper(), "url": "http://loud.org/"}]
    put(tmp_path, "a.jsonl", rows)
    report, drawn = draw(tmp_path)
    twins = [row for row in drawn if row["duplicate_of"]]
    assert len(twins) == 6
    assert all(next(r for r in drawn if r["page_id"] == t["duplicate_of"])["duplicate_of"] is None for t in twins)
    assert report.duplicates
    assert report.duplicates["near_duplicates"] == 6
    assert report.duplicates["folded"] == 1
    assert [found["pages"] for found in report.duplicates["largest"]] == [6, 2]


def test_names_are_of_the_settings_up_to_each_round_and_of_the_source() -> None:
    base = {"pages": 10, "rounds": [{"pages": 5}, {"pages": 6}]}
    found = names(Settings.model_validate(base), "source")
    assert len(found) == len(set(found)) == 3
    assert found[:2] == names(Settings.model_validate({**base, "rounds": [{"pages": 5}]}), "source")
    assert found[:2] == names(Settings.model_validate({**base, "rounds": [{"pages": 5}, {"pages": 7}]}), "source")[:2]
    assert found[2] != names(Settings.model_validate({**base, "rounds": [{"pages": 5}, {"pages": 7}]}), "source")[2]
    assert not set(found) & set(names(Settings.model_validate(base), "another source"))


def test_the_report_is_json_and_shows_nothing_sealed(tmp_path: Path) -> None:
    many(tmp_path)
    report, rows = sampled(tmp_path, pages=60)
    said = json.dumps(report.as_dict())
    assert all(row["text"][:60] not in said for row in rows if row["split"] == "test")
    assert json.loads(said)["portrait"]["examples"]["train"][0]["excerpt"]


def test_a_shard_that_cannot_be_read_is_left_out_and_named_when_that_was_asked_for(tmp_path: Path) -> None:
    corpus(tmp_path)
    (tmp_path / "b.jsonl").write_text("{broken\n")
    source = Source(path="*.jsonl", url="url", on_error="skip")
    found = shards(source, below=tmp_path)
    report = run(Store(tmp_path / "w"), Settings(), source=source, shards=found, name="s", progress=Quiet())
    assert report.drawn == 60
    assert report.unreadable_shards
    assert "line 1 is not JSON" in report.unreadable_shards["b.jsonl"]


def test_an_id_of_the_sources_own_that_is_not_unique_names_one_page(tmp_path: Path) -> None:
    put(
        tmp_path,
        "a.jsonl",
        [{"text": text_of(n), "url": f"http://h{n}.org", "name": f"page {n % 40}"} for n in range(60)],
    )
    source = Source(path="a.jsonl", url="url", id="name")
    store, found = Store(tmp_path / "w"), shards(source, below=tmp_path)
    report = run(store, Settings(), source=source, shards=found, name="s", progress=Quiet())
    assert sorted(row["page_id"] for row in store.rows("pages", "s")) == sorted(f"page {n}" for n in range(40))
    assert report.skipped == {"id of another page": 20}
