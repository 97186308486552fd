import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate.errors import BadInput
from curate.sampling.draw import MOST_STRATA, Draw, Drawn, Plan, blank, keys_of

NAMES = st.lists(st.text(min_size=1, max_size=4), max_size=60)
Page = tuple[str, str, str]
"""Text, stratum, host."""


class Held:
    def __init__(self, rows: list[Page]) -> None:
        self.rows = rows

    def take(self, indices: Any) -> "Held":
        return Held([self.rows[i] for i in indices.to_pylist()])


def pages_of(drawn: Drawn[Held]) -> list[Page]:
    return [held.rows[i] for held, i in drawn.rows]


def texts_of(drawn: Drawn[Held]) -> list[str]:
    return [page[0] for page in pages_of(drawn)]


def run(
    plan: Plan, pages: Sequence[Page], *, seed: str = "s", batch: int = 7, exclude: Sequence[str] = ()
) -> Drawn[Held]:
    draw: Draw[Held] = Draw(plan, exclude=keys_of(pa.array(list(exclude), pa.string()), seed))
    largest = 0
    for start in range(0, len(pages), batch):
        part = list(pages[start : start + batch])
        draw.offer(
            keys_of(pa.array([p[0] for p in part], pa.string()), seed),
            [p[1] for p in part],
            lambda index, part=part: (Held([part[i] for i in index]), [part[i][2] for i in index]),
        )
        largest = max(largest, len(draw._pool.keys))
    found = draw.finish()
    if plan.size is not None and plan.most_per_host is None:
        assert largest <= 2 * (2 * plan.size + 130 * len(draw.names)) + 2 * batch, "memory is bounded"
    return found


def plain(names: Sequence[str]) -> list[Page]:
    return [(name, "", "") for name in names]


@given(texts=st.lists(st.text(st.characters(exclude_categories=("Cs",)))), seed=st.text(), start=st.integers(0, 5))
def test_a_key_is_of_the_text_alone_wherever_it_lies(texts: list[str], seed: str, start: int) -> None:
    keys = keys_of(pa.array(texts, pa.string()), seed)
    assert keys.dtype == np.uint64
    assert (keys_of(pa.array(texts, pa.large_string()), seed) == keys).all()
    assert (keys_of(pa.array(["x"] * start + texts, pa.string())[start:], seed) == keys).all()
    some = np.arange(0, len(texts), 2)
    assert (keys_of(pa.array(texts, pa.string()), seed, some) == keys[some]).all()
    assert [keys_of(pa.array([text], pa.string()), seed)[0] for text in texts] == keys.tolist()


def test_keys_never_change_and_are_uniform() -> None:
    assert keys_of(pa.array(["a page", ""]), "curate").tolist() == [17142512899567409564, 12933820887900691618]
    units = keys_of(pa.array([f"page {n}" for n in range(20_000)]), "s") / 2.0**64
    counts = np.histogram(units, bins=10, range=(0, 1))[0]
    assert (abs(counts - 2000) < 200).all()
    other = keys_of(pa.array([f"page {n}" for n in range(20_000)]), "t") / 2.0**64
    assert abs(np.corrcoef(units, other)[0, 1]) < 0.03, "another seed is another draw"


@given(
    texts=st.lists(
        st.text(st.sampled_from(list("a\u00e9\u3042\u4e00 \n\t\x1c\u00a0\u0085\u2003\u3000\u1680\u200b")), max_size=90)
    )
)
@example(texts=["\u3000" * 30 + "x", "\u3000" * 30, "", " ", "\u00e9", "\u200b"])
def test_blank_is_what_python_strips_to_nothing(texts: list[str]) -> None:
    wanted = [not text.strip() for text in texts]
    assert blank(pa.array(texts, pa.string())).tolist() == wanted
    assert blank(pa.array(["", "x", *texts], pa.large_string())[2:]).tolist() == wanted


@given(
    names=NAMES, size=st.none() | st.integers(1, 20), order=st.randoms(use_true_random=False), batch=st.integers(1, 30)
)
def test_a_draw_has_the_size_asked_for_whatever_the_order_and_the_copies(
    names: list[str], size: int | None, order: random.Random, batch: int
) -> None:
    first = run(Plan(size), plain(names))
    distinct = len(set(names))
    assert len(first.rows) == len(set(texts_of(first))) == min(size or distinct, distinct)
    shuffled = list(names)
    order.shuffle(shuffled)
    again = run(Plan(size), plain(shuffled), batch=batch)
    assert texts_of(again) == texts_of(first)
    assert again.probability.tolist() == first.probability.tolist()
    assert again.copies.tolist() == [names.count(text) for text in texts_of(first)], "all copies are counted"


@given(names=NAMES, size=st.integers(1, 20))
def test_a_larger_draw_keeps_the_smaller_one_and_more_pages_only_push_out(names: list[str], size: int) -> None:
    small, large = set(texts_of(run(Plan(size), plain(names)))), set(texts_of(run(Plan(size + 5), plain(names))))
    assert small <= large
    more = set(texts_of(run(Plan(size), plain([*names, "another page"]))))
    assert more - small <= {"another page"}


def test_every_page_is_as_likely_as_any_other() -> None:
    names = [str(n) for n in range(40)]
    counts = Counter(t for seed in range(2000) for t in texts_of(run(Plan(10), plain(names), seed=str(seed), batch=40)))
    assert set(counts) == set(names)
    assert all(410 < count < 590 for count in counts.values()), "500 expected, standard deviation 19.4"


def test_the_inclusion_probability_is_one_until_pages_are_left_out_then_near_the_share() -> None:
    assert run(Plan(5), []).probability.tolist() == []
    assert run(Plan(2), plain(["a"] * 9 + ["b"])).probability.tolist() == [1, 1]
    shares = [run(Plan(400), plain([f"{s} {n}" for n in range(2000)]), batch=500).probability for s in range(40)]
    assert all(len(set(share)) == 1 for share in shares)
    assert np.mean([share[0] for share in shares]) == pytest.approx(0.2, abs=0.006)


def test_copies_are_one_page_and_the_first_is_kept() -> None:
    found = run(Plan(None), [("a", "", f"host {n}") for n in range(30)], batch=4)
    assert pages_of(found) == [("a", "", "host 0")]
    assert found.copies.tolist() == [30]
    assert (found.by_stratum[0].rows, found.by_stratum[0].pages) == (30, 1)


def test_pages_of_the_sample_are_passed_over_in_all_counts() -> None:
    names = [f"page {n}" for n in range(50)]
    found = run(Plan(10), plain([*names, *names]), exclude=names[:30])
    assert set(texts_of(found)) <= set(names[30:])
    assert (len(found.rows), found.by_stratum[0].rows) == (10, 40)


def uneven(copies: int = 1) -> list[Page]:
    """900 pages of a, 90 of b, 10 of c, 3 of d; sorted, so that the shares known on the way are far off."""
    sizes = {"a": 900, "b": 90, "c": 10, "d": 3}
    return [(f"{s} {n}", s, f"{s}{n % 7}") for s, size in sizes.items() for n in range(size)] * copies


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("order", ["sorted", "backwards", "mixed"])
def test_proportional_strata_have_their_share_to_the_page(order: str, copies: int) -> None:
    pages = uneven(copies)
    pages = (
        pages[::-1]
        if order == "backwards"
        else random.Random(1).sample(pages, len(pages))
        if order == "mixed"
        else pages
    )
    found = run(Plan(200), pages, batch=50)
    assert Counter(found.strata) == {"a": 179, "b": 18, "c": 2, "d": 1}
    assert {s.name: s.pages for s in found.by_stratum} == {"a": 900, "b": 90, "c": 10, "d": 3}
    for stratum in found.by_stratum:
        assert stratum.rows == stratum.pages * copies
        drawn = found.probability[[s == stratum.name for s in found.strata]]
        assert set(drawn) == {stratum.probability}


def test_equal_strata_give_the_same_and_what_one_lacks_the_others_give() -> None:
    found = run(Plan(100), uneven(), batch=50)
    assert sum(Counter(found.strata).values()) == 100
    found = run(Plan(100, "equal"), uneven(), batch=50)
    assert Counter(found.strata) == {"a": 44, "b": 43, "c": 10, "d": 3}
    chance = {s.name: s.probability for s in found.by_stratum}
    assert chance["c"] == chance["d"] == 1
    assert chance["a"] == pytest.approx(44 / 900, rel=0.5)


def test_chosen_shares_are_met_or_it_is_known_by_how_much_not() -> None:
    found = run(Plan(40, {"b": 3, "c": 0.5, "*": 0.5}), uneven(), batch=50)
    assert Counter(found.strata) == {"b": 30, "c": 5, "*": 5}
    assert {page[1] for page in pages_of(found)} - {"b", "c"} == {"a"}
    draw = run(Plan(40, {"b": 1, "d": 1}), uneven(), batch=50)
    assert Counter(draw.strata) == {"b": 20, "d": 3}
    assert [(s.name, s.wanted, s.there) for s in draw.by_stratum] == [("b", 20, 40), ("d", 20, 3)]
    assert {s.name: s.rows for s in draw.by_stratum} == {"b": 90, "d": 3}


@settings(max_examples=60)
@given(
    pages=st.lists(
        st.tuples(st.integers(0, 30).map(str), st.sampled_from("xy"), st.sampled_from(["", "h", "i"])), max_size=80
    ),
    size=st.integers(1, 25),
    strata=st.sampled_from(["proportional", "equal"]),
    most=st.none() | st.integers(1, 4),
    batch=st.integers(1, 40),
)
def test_the_size_is_exact_even_when_a_text_is_in_two_strata(
    pages: list[Page], size: int, strata: Any, most: int | None, batch: int
) -> None:
    found = run(Plan(size, strata, most), pages, batch=batch)
    texts = texts_of(found)
    assert len(texts) == len(set(texts))
    if most is None:
        assert len(texts) == min(size, len({page[0] for page in pages}))
    else:
        hosts = Counter((page[1], page[2]) for page in pages_of(found) if page[2])
        assert all(count <= most for count in hosts.values())
    assert ((found.probability > 0) & (found.probability <= 1)).all()


def test_a_host_gives_no_more_than_its_limit_and_pages_without_host_are_free() -> None:
    pages = [(f"p{n}", "", "big" if n % 10 else f"small{n}") for n in range(1000)] + [
        (f"q{n}", "", "") for n in range(50)
    ]
    found = run(Plan(120, most_per_host=3), pages, batch=64)
    hosts = Counter(page[2] for page in pages_of(found))
    assert hosts["big"] == 3
    assert len(found.rows) == 120
    big = found.probability[[page[2] == "big" for page in pages_of(found)]]
    small = found.probability[[page[2] != "big" for page in pages_of(found)]]
    assert set(big) == {big[0]}
    assert big[0] < 0.02 < small[0] == small[-1]


def corpus(rng: random.Random) -> tuple[list[Page], dict[str, float]]:
    """Hosts of 1 to 200 pages in three strata; the value is high on the big host and in the small stratum."""
    pages, value = [], {}
    for host, (count, stratum) in enumerate([(200, "a"), (60, "a"), (40, "b"), (5, "b"), (8, "c")] + [(1, "a")] * 40):
        for n in range(count):
            page = (f"{host} {n}", stratum, f"host{host}")
            pages.append(page)
            value[page[0]] = (10 if host == 0 else 1) + (50 if stratum == "c" else 0) + rng.random()
    rng.shuffle(pages)
    return pages, value


@pytest.mark.slow
@pytest.mark.parametrize("most", [None, 2, 10])
@pytest.mark.parametrize("strata", ["one", "proportional", "equal", {"a": 1.0, "c": 1.0, "*": 2.0}])
def test_weighted_by_their_probability_the_drawn_pages_say_the_total_without_bias(
    strata: Any, most: int | None
) -> None:
    pages, value = corpus(random.Random(5))
    if strata == "one":
        pages, strata = [(text, "", host) for text, _, host in pages], "proportional"
    truth, runs = sum(value.values()), 600
    weighted, counts, naive = [], [], []
    for seed in range(runs):
        found = run(Plan(40, strata, most), pages, seed=str(seed), batch=100)
        values = np.array([value[text] for text in texts_of(found)])
        weighted.append(float((values / found.probability).sum()))
        counts.append(float((1 / found.probability).sum()))
        naive.append(float(values.mean() * len(pages)))
    for estimates, right in ((weighted, truth), (counts, len(pages))):
        error = np.std(estimates) / np.sqrt(runs)
        assert abs(np.mean(estimates) - right) < 4 * error + 1e-9 * right
    if most is not None or strata == "equal":
        assert abs(np.mean(naive) - truth) > 8 * np.std(naive) / np.sqrt(runs), "one probability for all would not do"


def test_too_many_strata_are_one_line_that_says_what_to_do() -> None:
    pages = [(f"p{n}", f"s{n}", "") for n in range(MOST_STRATA + 1)]
    with pytest.raises(BadInput, match=r"more than 1,000 different values .*bins"):
        run(Plan(10), pages)
    found = run(Plan(1500, "equal"), [(f"p{n}", f"s{n % MOST_STRATA}", "") for n in range(3000)], batch=500)
    assert len(found.rows) == 1500
    assert set(Counter(found.strata).values()) == {1, 2}
