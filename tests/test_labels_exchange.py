"""Taking over: the same words once, corrected ones last, and nothing at all where rows are wrong."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from small_labels import STEM, levels, pages, put, refusal, sampled, take, text, url

from curate.errors import BadInput
from curate.labels.answers import Asked
from curate.labels.exchange import unknown
from curate.labels.words import current, label_row
from curate.schema import page_id
from curate.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return sampled(tmp_path)


def table(store: Store, rows: list[dict[str, Any]]) -> Path:
    return put(store.root.parent / "x.jsonl", [{"url": url(row.pop("n")), **row} for row in rows])


def test_the_same_file_twice_adds_nothing_and_one_import_is_one_part(store: Store) -> None:
    path = table(store, [{"n": n, "level": n % 6, "rater": rater} for n in range(5) for rater in "ab"])
    first, second = take(store, path), take(store, path)
    assert (first.read, first.new, first.known, first.raters) == (10, 10, 0, {"a": 5, "b": 5})
    assert (second.read, second.new, second.known) == (10, 0, 10)
    assert len(store.parts("labels")) == 1


def test_a_clock_that_was_set_back_does_not_matter(store: Store) -> None:
    path = table(store, [{"n": 0, "level": 1, "rater": "ann"}])
    ahead = (datetime.now(UTC) + timedelta(days=400)).isoformat(timespec="microseconds")
    store.append("labels", [label_row(STEM, page_id(text(0)), "ann", level=3, at=ahead)])
    assert take(store, path).new == 1
    assert levels(store) == {"ann 0": 1}, "what comes later stands, also where an earlier word is dated in the future"
    assert take(store, path).new == 0


def test_a_file_that_is_corrected_and_corrected_back_has_the_last_word(store: Store) -> None:
    for level in (5, 0, 5, 5, 0, 5):
        take(store, table(store, [{"n": 0, "level": level, "rater": "ann"}]))
        assert levels(store) == {"ann 0": level}
    rows = store.rows("labels")
    assert len(rows) == 5
    assert len({row["label_id"] for row in rows}) == 5


def test_what_a_person_says_after_an_import_stays(store: Store) -> None:
    path = table(store, [{"n": 0, "level": 1, "rater": "ann"}])
    take(store, path)
    later = (datetime.now(UTC) + timedelta(seconds=1)).isoformat(timespec="microseconds")
    store.append("labels", [label_row(STEM, page_id(text(0)), "ann", level=4, at=later, shown="text")])
    assert take(store, path).new == 0
    assert levels(store) == {"ann 0": 4}
    take(store, table(store, [{"n": 0, "level": 2, "rater": "ann"}]))
    assert levels(store) == {"ann 0": 2}


def test_another_note_is_another_word(store: Store) -> None:
    for note, new in (("a", 1), ("a", 0), ("b", 1)):
        assert take(store, table(store, [{"n": 0, "level": 1, "rater": "ann", "note": note}])).new == new
    assert [row["note"] for row in sorted(store.rows("labels"), key=lambda row: str(row["at"]))] == ["a", "b"]


def test_of_two_rows_without_a_time_the_later_counts_and_times_are_kept(store: Store) -> None:
    taken = take(store, table(store, [{"n": 0, "level": 1, "rater": "ann"}, {"n": 0, "level": 2, "rater": "ann"}]))
    assert (taken.read, taken.new, taken.known) == (2, 1, 1)
    rows = [
        {"n": 1, "level": level, "rater": "ann", "at": f"2026-01-0{day}"} for day, level in ((3, 3), (1, 1), (2, 2))
    ]
    assert take(store, table(store, rows)).new == 3
    assert levels(store) == {"ann 0": 2, "ann 1": 3}


def test_a_rater_is_one_person_however_a_file_spells_the_name(store: Store) -> None:
    names = ["José", "Jose\u0301 ", " José", None, "\x1b"]
    taken = take(store, table(store, [{"n": n, "level": 1, "rater": name} for n, name in enumerate(names)]))
    assert taken.raters == {"José": 3, "imported": 2}


def test_a_role_is_a_word_of_its_own() -> None:
    plain = label_row(STEM, "p", "ann", level=1, at="")
    settled = label_row(STEM, "p", "ann", level=3, at="", role="adjudication")
    new = unknown(STEM, [plain, settled], [])
    assert [row["level"] for row in new] == [1, 3]
    assert unknown(STEM, [plain, settled], new) == []


def test_all_wrong_rows_are_named_and_nothing_is_written(store: Store) -> None:
    lines = ["url,level,note", *(f'{url(n)},{"good" if n < 13 else 1},"two\nlines"' for n in range(15))]
    path = put(store.root.parent / "x.csv", "\n".join(lines) + "\n")
    message = refusal(store, path)
    assert message.startswith(f"{path}: column level: line 2: 'good', line 4: 'good', ")
    assert "line 20: 'good': each is no level (allowed: 0..5); and 3 more rows" in message
    assert "line 22" not in message


def test_rows_of_several_files_are_taken_together_or_not_at_all(store: Store) -> None:
    folder = store.root.parent
    good = put(folder / "good.csv", f"url,level\n{url(0)},1\n")
    bad = put(folder / "bad.csv", f"url,level\n{url(1)},9\n")
    with pytest.raises(BadInput, match=r"bad\.csv: column level: line 2: '9' is no level"):
        take(store, [good, bad])
    assert store.parts("labels") == []


def test_a_wrong_level_is_refused_also_where_its_page_is_not_sampled(store: Store) -> None:
    path = table(store, [{"n": 0, "level": 1}, {"n": 99, "level": "7"}])
    assert "line 2: '7' is no level" in refusal(store, path)


def test_rows_without_a_page_are_counted_and_shown(store: Store) -> None:
    taken = take(store, table(store, [{"n": n, "level": 1} for n in (0, 1, 95, 96, 97, 98)]))
    assert (taken.read, taken.new, taken.unmatched) == (6, 2, 4)
    assert taken.missed == [url(95), url(96), url(97)]


def test_none_matched_says_what_to_do(store: Store) -> None:
    path = table(store, [{"n": 99, "level": 1}])
    assert refusal(store, path) == (
        f"none of 1 labels in {path} matches a sampled page by url; match by text, url or page_id, or sample more pages "
        "(sample.pages=null: all)"
    )


def test_white_space_is_ignored_only_where_the_text_finds_no_page(store: Store) -> None:
    twins = [{"page_id": f"twin{n}", "text": "a twin" + " " * n, "url": "", "split": "train"} for n in range(2)]
    store.append("pages", twins, scope="s")
    rows = [
        {"text": text(0), "level": 0},
        {"text": " ".join(text(1).split()), "level": 1},
        {"text": "a\ntwin", "level": 2},
    ]
    taken = take(store, put(store.root.parent / "x.jsonl", [*rows, {"text": "a twin ", "level": 3}]))
    assert (taken.new, taken.loosely, taken.unmatched) == (3, 1, 1)
    assert {row["page_id"]: row["level"] for row in store.rows("labels")} == {
        page_id(text(0)): 0,
        page_id(text(1)): 1,
        "twin1": 3,
    }


def test_values_are_mapped_and_may_stand_for_no_label(store: Store) -> None:
    path = table(store, [{"n": n, "level": word} for n, word in enumerate(["keep", "drop", "unsure", None])])
    taken = take(store, path, Asked(map={"keep": "5", "drop": 0, "unsure": ""}))
    assert (taken.new, taken.empty) == (2, 2)
    assert levels(store) == {"imported 0": 5, "imported 1": 0}


def test_a_dry_run_writes_nothing(store: Store) -> None:
    path = table(store, [{"n": 0, "level": 1}])
    assert take(store, path, dry_run=True).new == 1
    assert store.parts("labels") == []


def test_assisted_labels_are_marked(store: Store) -> None:
    path = table(store, [{"n": 0, "level": 1}])
    take(store, path)
    assert [take(store, path, assisted=True).new for _ in range(2)] == [1, 0], (
        "also where they were taken unmarked before"
    )
    assert [row["assisted"] for row in current(store.rows("labels"))] == [True]


def test_ten_thousand_labels_are_taken_in_seconds(store: Store) -> None:
    rows = [{"n": n % len(pages()), "level": n % 6, "rater": f"r{n // 30}", "note": "x" * 200} for n in range(10_000)]
    path = table(store, rows)
    start = time.monotonic()
    assert take(store, path).new == 10_000
    assert take(store, path).new == 0
    assert time.monotonic() - start < 30
    assert len(store.parts("labels")) == 1
