import random
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.sampling.duplicates import (
    folded,
    folded_duplicates,
    group_ids,
    marks_of,
    near_duplicates,
    representatives,
    sets_of,
    signature,
)

LOREM = "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz      ", k=60_000)).split()


def words(seed: int, count: int = 200) -> list[str]:
    return random.Random(seed).choices(LOREM, k=count)


def changed(base: list[str], amount: int, seed: int) -> list[str]:
    rng, out = random.Random(seed), list(base)
    for place in rng.sample(range(len(out)), amount):
        out[place] = f"new{rng.random()}"
    return out


def sets(texts: list[str], similarity: float = 0.7) -> set[frozenset[int]]:
    """The sets of more than one page."""
    numbers = sets_of(len(texts), near_duplicates(marks_of(texts), similarity=similarity))
    found = [frozenset(np.flatnonzero(numbers == number).tolist()) for number in set(numbers.tolist())]
    return {one for one in found if len(one) > 1}


@pytest.mark.parametrize("similarity", [0.01, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_no_pair_above_the_similarity_is_missed_and_none_below_is_found(similarity: float) -> None:
    base = words(1)
    texts = [" ".join(changed(words(n) if m == 9 else base, m, 100 * n + m)) for n in range(3) for m in range(10)]
    texts += [texts[0], texts[0], texts[13]]
    marks = marks_of(texts)
    wanted = {(a, b) for a, b in combinations(range(len(texts)), 2) if np.mean(marks[a] == marks[b]) >= similarity}
    found = near_duplicates(marks, similarity=similarity)
    assert found.pairs == len(wanted)
    links = {(min(a, b), max(a, b)) for a, b in zip(found.left.tolist(), found.right.tolist(), strict=True)}
    assert links <= wanted
    assert len(links) == len(found.left), "no pair twice"
    first: dict[bytes, int] = {}
    names = [first.setdefault(mark.tobytes(), i) for i, mark in enumerate(marks)]
    different = {(names[a], names[b]) for a, b in wanted if names[a] != names[b]}
    assert {(min(p), max(p)) for p in different} <= {(names[a], names[b]) for a, b in links} | {
        (names[b], names[a]) for a, b in links
    }
    if similarity >= 0.3:
        assert len(wanted) < len(texts) * (len(texts) - 1) / 2


def test_the_signature_estimates_the_share_of_common_word_runs() -> None:
    base = words(5, 400)
    half = base[:200] + words(6, 200)
    assert signature(" ".join(base)).jaccard(signature(" ".join(base).upper())) == 1
    assert signature(" ".join(base)).jaccard(signature(" ".join(base[::-1]))) < 0.05
    assert signature(" ".join(base)).jaccard(signature(" ".join(words(7, 400)))) < 0.05
    assert signature(" ".join(base)).jaccard(signature(" ".join(half))) == pytest.approx(1 / 3, abs=0.2)


def test_on_average_the_estimate_is_the_jaccard_similarity() -> None:
    def runs(text: list[str]) -> set[tuple[str, ...]]:
        return {tuple(text[i : i + 4]) for i in range(len(text) - 3)}

    errors = []
    for seed in range(60):
        base = [f"{word}{seed}" for word in words(seed, 300)]
        other = changed(base, 1 + seed % 30, seed)
        a, b = runs(base), runs(other)
        errors.append(signature(" ".join(base)).jaccard(signature(" ".join(other))) - len(a & b) / len(a | b))
    assert abs(np.mean(errors)) < 0.02
    assert np.std(errors) < 0.09, "64 places: about .06"


def test_short_and_empty_texts_have_signatures() -> None:
    assert sets(["", " \n", "word", "Word ", "two words", "words two", "one two three", "one two three four"]) == {
        frozenset({0, 1}),
        frozenset({2, 3}),
    }
    assert sets([]) == set()
    assert near_duplicates(marks_of([]), similarity=0.7).pairs == 0


@pytest.mark.parametrize(
    "script", ["一二三四五六七八九十天地人你我他", "กขคงจฉชซญดตถทนบปผ", "あいうえおかきくけこさしすせそ"]
)
def test_near_duplicates_are_found_in_scripts_without_spaces(script: str) -> None:
    rng = random.Random(3)
    text = "".join(rng.choices(script, k=400))
    assert sets([text, text[:395] + "!", "".join(rng.choices(script, k=400))]) == {frozenset({0, 1})}


def test_a_thousand_copies_of_a_template_are_counted_in_full_without_making_all_their_pairs() -> None:
    base = words(2, 300)
    texts = [" ".join(base)] * 3000 + [" ".join(changed(base, 3, n)) for n in range(200)]
    start = time.perf_counter()
    found = near_duplicates(marks_of(texts), similarity=0.7)
    assert time.perf_counter() - start < 20
    assert found.pairs > 3000 * 2999 // 2 + 3000 * 150
    assert len(found.left) < 40_000
    assert len(sets(texts)) == 1


def test_half_a_character_is_no_obstacle() -> None:
    assert sets(["cut \ud83d off here and there", "cut \ud83d off here and there"]) == {frozenset({0, 1})}


def test_folded_texts_are_equal_but_for_case_space_width_and_punctuation() -> None:
    same = ["Hello,  World! ﬁne", "hello world\nfine", "ＨＥＬＬＯ—world... fine", "«hello» world_fine"]
    assert len({folded(text) for text in same}) == 1
    assert folded("hello world") != folded("helloworld")
    assert folded_duplicates([*same, "another", "Another", "third"]) == 4


def page(name: str, host: str = "", **more: Any) -> dict[str, Any]:
    return {"page_id": name, "host": host, "round": 1, **more}


PAGES = st.lists(st.sampled_from(["", "h1", "h2", "h3", "h4"]), min_size=1, max_size=14).map(
    lambda hosts: [page(f"p{n}", host) for n, host in enumerate(hosts)]
)


@given(pages=PAGES, data=st.data())
def test_groups_are_as_large_as_they_must_be_and_no_larger(pages: list[dict[str, Any]], data: st.DataObject) -> None:
    ids = [p["page_id"] for p in pages]
    numbers = data.draw(st.lists(st.integers(0, 9), min_size=len(ids), max_size=len(ids)))
    reach = {name: {name} for name in ids}
    links = [(a, b) for a, b in combinations(range(len(ids)), 2) if numbers[a] == numbers[b]]
    links += [
        (a, b) for a, b in combinations(range(len(ids)), 2) if pages[a]["host"] and pages[a]["host"] == pages[b]["host"]
    ]
    for _ in ids:
        for a, b in links:
            joined = reach[ids[a]] | reach[ids[b]]
            for name in joined:
                reach[name] = joined
    groups = dict(zip(ids, group_ids(pages, numbers, by="host"), strict=True))
    assert {name: {other for other in ids if groups[other] == groups[name]} for name in ids} == reach
    alone = group_ids(pages, numbers, by="near_duplicate")
    assert len(set(alone)) == len(set(numbers))


def test_the_page_of_the_earliest_round_with_the_smallest_id_stands_for_its_set() -> None:
    pages = [page("c"), page("b"), page("d"), page("a", round=2), page("e", round=2), page("f", round=2)]
    assert representatives(pages, [0, 0, 1, 0, 2, 2]) == ["b", None, None, "b", None, "e"]
    kept = [page("c", duplicate_of="b"), page("a", round=2)]
    assert representatives(kept, [0, 0]) == ["b", "b"], "what joins a page follows the one that stands for it"


def test_real_pages_meet_their_reprints_and_no_other_page(shared_data: Path) -> None:
    texts = pq.read_table(shared_data / "dclm_human.parquet", columns=["text"]).column("text").to_pylist()
    texts = [text for text in texts if len(text.split()) > 200][:150]
    reprints = [f"Home | News | Contact\n{text}\n© all rights reserved, read more on our site" for text in texts]
    assert sets([*texts, *reprints]) == {frozenset({n, n + len(texts)}) for n in range(len(texts))}
