"""Words that scripts say."""

from pathlib import Path
from typing import Any

import pytest
from small_labels import STEM, levels, sampled, text, url

from curate.errors import BadInput
from curate.labels.saying import Named, Said, say
from curate.labels.words import label_row
from curate.schema import page_id
from curate.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return sampled(tmp_path)


def tell(store: Store, *words: Said) -> list[str]:
    return say(store, STEM, words, pages="s", places=[f"line {n}: " for n in range(1, len(words) + 1)])


def test_pages_by_id_by_its_beginning_and_by_url(store: Store) -> None:
    named, name = Named(store, "s"), page_id(text(3))
    assert [named.find(given) for given in (name, name[:8], url(3))] == [name] * 3


def test_a_page_that_is_not_there_or_not_the_only_one(store: Store) -> None:
    twins = [{"page_id": f"abcd{n}", "text": "t", "url": "https://twin.example/", "split": "train"} for n in range(2)]
    store.append("pages", twins, scope="s")
    named = Named(store, "s")
    assert named.find("abcd1") == "abcd1"
    for name in ("abcd", "https://twin.example/"):
        with pytest.raises(BadInput, match=r"may be any of 2 pages \(abcd0, abcd1\); give more of the page id"):
            named.find(name)
    for name in ("abc", "", "https://nowhere.example/", "zzzz"):
        with pytest.raises(BadInput, match="no sampled page"):
            named.find(name)


def test_a_word_is_written_once_and_named_by_its_content(store: Store) -> None:
    (first,) = tell(store, Said(url(0), "4", rater="ann", note="why", criteria={"reasoning": "2"}))
    assert tell(store, Said(url(0), 4, rater="ann", note="why", criteria={"reasoning": 2})) == [first]
    (row,) = store.rows("labels")
    assert (row["label_id"], row["level"], row["note"], row["criteria"]) == (first, 4, "why", '{"reasoning": 2}')
    given = {key: row[key] for key in ("level", "note", "at")}
    assert label_row(STEM, row["page_id"], "ann", criteria={"reasoning": 2}, **given)["label_id"] == first


def test_another_level_replaces_the_word_and_undo_takes_it_back(store: Store) -> None:
    for level in (1, 2, 1):
        tell(store, Said(url(0), level))
        assert levels(store) == {"script 0": level}
    tell(store, Said(url(0), undo=True))
    assert levels(store) == {}
    with pytest.raises(BadInput, match=r"line 1: script has said nothing of .* that can be taken back"):
        tell(store, Said(url(0), undo=True))
    tell(store, Said(url(0), 1))
    assert levels(store) == {"script 0": 1}


def test_many_words_are_one_part_in_their_order(store: Store) -> None:
    ids = tell(store, Said(url(0), 1), Said(url(1), 2), Said(url(0), 5), Said(url(1), undo=True))
    assert len(set(ids)) == 4
    assert len(store.parts("labels")) == 1
    assert levels(store) == {"script 0": 5}


def test_all_that_cannot_be_taken_is_named_and_nothing_written(store: Store) -> None:
    words: list[Any] = [Said(url(0), 9), Said("nowhere", 1), Said(url(1), 1), Said(url(2), 1, criteria={"reasonin": 1})]
    with pytest.raises(BadInput) as caught:
        tell(store, *words)
    assert "line 1: 9 is no level (allowed: 0..5)" in str(caught.value).replace("'", "")
    assert "line 2: no sampled page 'nowhere'" in str(caught.value)
    assert "line 4: the rubric has no criterion 'reasonin'; did you mean reasoning?" in str(caught.value)
    with pytest.raises(BadInput, match=r"and 2 more$"):
        tell(store, *[Said(url(0), 9)] * 12)
    assert store.parts("labels") == []


def test_assisted_words_are_marked(store: Store) -> None:
    tell(store, Said(url(0), 1, assisted=True))
    assert store.rows("labels")[0]["assisted"] is True
