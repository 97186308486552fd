import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.sampling import Draw, group_ids, near_duplicates, signature, split_of, unit_hash

SHARES = {"train": 0.4, "val": 0.2, "test": 0.4}
NAMES = st.lists(st.text(min_size=1, max_size=8), max_size=60)
LOREM = "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz      ", k=60_000)).split()


def page(name: str, text: str = "", host: str = "") -> dict[str, Any]:
    return {"page_id": name, "text": text or f"text of {name}", "host": host}


def drawn(names: list[str], size: int | None, seed: str = "s") -> Draw:
    draw = Draw(size, seed)
    for name in names:
        draw.offer(page(name))
    return draw


def names_of(draw: Draw) -> list[str]:
    return [row["page_id"] for row in draw.pages()]


def words(seed: int, count: int = 200) -> list[str]:
    return random.Random(seed).choices(LOREM, k=count)


def changed(base: list[str], amount: int, seed: int) -> list[str]:
    rng, out = random.Random(seed), list(base)
    for place in rng.sample(range(len(out)), amount):
        out[place] = f"new{rng.random()}"
    return out


@given(a=st.text(st.characters()), b=st.text(st.characters()))
def test_the_unit_hash_is_a_number_of_the_parts_alone(a: str, b: str) -> None:
    assert 0 <= unit_hash(a, b) < 1
    assert unit_hash(a, b) == unit_hash(a, b)
    assert unit_hash(a, b, "") != unit_hash(a, b)


def test_the_unit_hash_never_changes_and_is_uniform() -> None:
    assert unit_hash("curate", "a") == 0.9508734781823239
    tenths = Counter(int(unit_hash("x", str(n)) * 10) for n in range(10_000))
    assert all(850 < tenths[tenth] < 1150 for tenth in range(10))


@given(names=NAMES, size=st.none() | st.integers(1, 20), order=st.randoms(use_true_random=False))
def test_a_draw_has_the_size_asked_for_whatever_the_order_and_the_copies(
    names: list[str], size: int | None, order: random.Random
) -> None:
    draw = drawn(names, size)
    distinct = len(set(names))
    assert len(names_of(draw)) == len(set(names_of(draw))) == min(size or distinct, distinct)
    assert draw.seen == len(names)
    shuffled = [*names, *names[::2]]
    order.shuffle(shuffled)
    assert names_of(drawn(shuffled, size)) == names_of(draw)
    assert drawn(shuffled, size).probability == draw.probability


@given(names=NAMES, size=st.integers(1, 20))
def test_a_larger_draw_keeps_the_smaller_one_and_more_pages_only_push_out(names: list[str], size: int) -> None:
    small, large = set(names_of(drawn(names, size))), set(names_of(drawn(names, size + 5)))
    assert small <= large
    more = set(names_of(drawn([*names, "another page"], size)))
    assert more - small <= {"another page"}


def test_every_page_is_as_likely_as_any_other() -> None:
    names = [str(n) for n in range(40)]
    counts = Counter(name for seed in range(2000) for name in names_of(drawn(names, 10, seed=str(seed))))
    assert set(counts) == set(names)
    assert all(410 < count < 590 for count in counts.values()), "500 expected, standard deviation 19.4"


def test_the_draw_comes_in_a_random_order() -> None:
    firsts = Counter(names_of(drawn(["a", "b", "c", "d"], None, seed=str(seed)))[0] for seed in range(800))
    assert all(140 < firsts[name] < 260 for name in "abcd")


def test_the_inclusion_probability_is_one_until_pages_are_left_out_then_near_the_share() -> None:
    assert drawn([], 5).probability == 1
    assert drawn(["a"] * 9 + ["b"], 2).probability == 1
    shares = [drawn([f"{seed} {n}" for n in range(2000)], 400, seed=str(seed)).probability for seed in range(40)]
    assert sum(shares) / 40 == pytest.approx(0.2, abs=0.006)
    assert all(abs(share - 0.2) < 0.05 for share in shares)


def test_copies_are_counted_and_the_first_is_kept() -> None:
    draw = Draw(None, "s")
    for url in ("first", "second", "third"):
        draw.offer({**page("a"), "url": url})
    assert (draw.seen, draw.duplicates) == (3, 2)
    assert [row["url"] for row in draw.pages()] == ["first"]


@pytest.mark.parametrize("similarity", [0.01, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_no_pair_above_the_similarity_is_missed_and_none_below_is_found(similarity: float) -> None:
    base = words(1)
    pages = [
        page(f"{n}-{m}", " ".join(changed(words(n) if m == 9 else base, m, 100 * n + m)))
        for n in range(3)
        for m in range(10)
    ]
    pages.append(page("copy", pages[0]["text"]))
    marks = {p["page_id"]: signature(p["text"]) for p in pages}
    wanted = {frozenset((a, b)) for a in marks for b in marks if a < b and marks[a].jaccard(marks[b]) >= similarity}
    found = near_duplicates(pages, similarity=similarity)
    assert {frozenset(pair) for pair in found} == wanted
    assert len(found) == len(wanted)
    assert frozenset(("copy", pages[0]["page_id"])) in wanted
    if similarity >= 0.3:
        assert len(wanted) < len(pages) * (len(pages) - 1) / 2


def test_the_signature_estimates_the_share_of_common_word_runs() -> None:
    base = words(5, 400)
    half = base[:200] + words(6, 200)
    assert signature(" ".join(base)).jaccard(signature(" ".join(base).upper())) == 1
    assert signature(" ".join(base)).jaccard(signature(" ".join(half))) == pytest.approx(1 / 3, abs=0.2)
    assert signature(" ".join(base)).jaccard(signature(" ".join(words(7, 400)))) < 0.05


def test_short_and_empty_texts_have_signatures() -> None:
    pages = [page("empty", " "), page("blank", "\n\t"), page("one", "word"), page("same", "Word ")]
    assert near_duplicates(pages, similarity=0.7) == [("empty", "blank"), ("one", "same")]
    assert near_duplicates([], similarity=0.7) == []


@pytest.mark.parametrize(
    "script", ["一二三四五六七八九十天地人你我他", "กขคงจฉชซญดตถทนบปผ", "あいうえおかきくけこさしすせそ"]
)
def test_near_duplicates_are_found_in_scripts_without_spaces(script: str) -> None:
    rng = random.Random(3)
    text = "".join(rng.choices(script, k=400))
    other = "".join(rng.choices(script, k=400))
    pages = [page("a", text), page("b", text[:395] + "!"), page("c", other)]
    assert near_duplicates(pages, similarity=0.7) == [("a", "b")]


PAGES = st.lists(st.sampled_from(["", "h1", "h2", "h3", "h4"]), min_size=1, max_size=14).map(
    lambda hosts: [page(f"p{n}", host=host) for n, host in enumerate(hosts)]
)


@given(data=st.data(), pages=PAGES, by=st.sampled_from(["host", "near_duplicate"]))
def test_hosts_and_near_duplicates_never_meet_across_splits(
    data: st.DataObject, pages: list[dict[str, Any]], by: Any
) -> None:
    ids = [p["page_id"] for p in pages]
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(ids), st.sampled_from(ids)), max_size=6))
    groups = dict(zip(ids, group_ids(pages, pairs, by=by), strict=True))
    splits = {name: split_of(group, SHARES, salt="s") for name, group in groups.items()}
    host = {p["page_id"]: p["host"] for p in pages}
    for a, b in pairs:
        assert groups[a] == groups[b]
        assert splits[a] == splits[b]
    for a in ids:
        for b in ids:
            if by == "host" and host[a] and host[a] == host[b]:
                assert groups[a] == groups[b]


@given(pages=PAGES, pairs=st.lists(st.tuples(st.integers(0, 13), st.integers(0, 13)), max_size=6))
def test_groups_are_no_larger_than_they_must_be(pages: list[dict[str, Any]], pairs: list[tuple[int, int]]) -> None:
    ids = [p["page_id"] for p in pages]
    named = [(ids[a % len(ids)], ids[b % len(ids)]) for a, b in pairs]
    reach = {name: {name} for name in ids}
    links = named + [(a["page_id"], b["page_id"]) for a in pages for b in pages if a["host"] and a["host"] == b["host"]]
    for _ in ids:
        for a, b in links:
            joined = reach[a] | reach[b]
            for name in joined:
                reach[name] = joined
    groups = dict(zip(ids, group_ids(pages, named, by="host"), strict=True))
    assert {name: {other for other in ids if groups[other] == groups[name]} for name in ids} == reach


@settings(max_examples=50)
@given(pages=PAGES, more=PAGES, order=st.randoms(use_true_random=False))
def test_pages_that_come_later_move_no_page_of_before(
    pages: list[dict[str, Any]], more: list[dict[str, Any]], order: random.Random
) -> None:
    later = [*pages, *({**p, "page_id": f"later {p['page_id']}"} for p in more)]
    order.shuffle(later)

    def splits(some: list[dict[str, Any]]) -> dict[str, str]:
        groups = group_ids(some, [], by="host")
        return {p["page_id"]: split_of(g, SHARES, salt="s") for p, g in zip(some, groups, strict=True)}

    before, after = splits(pages), splits(later)
    assert {name: after[name] for name in before} == before


def test_splits_have_their_shares_and_depend_on_the_salt() -> None:
    groups = [f"group {n}" for n in range(6000)]
    counts = Counter(split_of(group, {"train": 4, "val": 2, "test": 4}, salt="s") for group in groups)
    assert {name: round(count / 6000, 1) for name, count in counts.items()} == SHARES
    same = sum(split_of(g, SHARES, salt="a") == split_of(g, SHARES, salt="b") for g in groups)
    assert same / 6000 == pytest.approx(0.36, abs=0.04)


@given(group=st.text(), shares=st.tuples(*[st.floats(0.01, 10)] * 3), factor=st.floats(0.1, 10))
def test_shares_need_not_sum_to_one(group: str, shares: tuple[float, float, float], factor: float) -> None:
    first = dict(zip(("train", "val", "test"), shares, strict=True))
    value, edges = unit_hash("s", group), [shares[0] / sum(shares), (shares[0] + shares[1]) / sum(shares)]
    if min(abs(value - edge) for edge in edges) > 1e-9:
        assert split_of(group, first, salt="s") == split_of(
            group, {name: share * factor for name, share in first.items()}, salt="s"
        )


def test_real_pages_meet_their_reprints_and_no_other_page(shared_data: Path) -> None:
    texts = pq.read_table(shared_data / "dclm_human.parquet", columns=["text"]).column("text").to_pylist()
    texts = [text for text in texts if len(text.split()) > 200][:150]
    reprints = [f"Home | News | Contact\n{text}\n© all rights reserved, read more on our site" for text in texts]
    pages = [page(f"{n}", text) for n, text in enumerate(texts)]
    pages += [page(f"{n} again", text) for n, text in enumerate(reprints)]
    pairs = {frozenset(pair) for pair in near_duplicates(pages, similarity=0.7)}
    assert pairs == {frozenset((f"{n}", f"{n} again")) for n in range(len(texts))}
