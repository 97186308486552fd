import random
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.sampling import Settled, settle, split_of, unit_hash, weights
from curate.sampling.draw import Draw, Plan, keys_of

SHARES = {"train": 0.4, "val": 0.2, "test": 0.4}


def page(name: str, host: str = "", **more: Any) -> dict[str, Any]:
    return {"page_id": name, "host": host, **more}


def split(group: str) -> Any:
    return split_of(group, SHARES, salt="s")


def add(earlier: list[dict[str, Any]], pages: list[dict[str, Any]], sets: list[int], by: Any = "host") -> Settled:
    return settle(pages, earlier, sets, by=by, split=split)


def settled(
    pages: list[dict[str, Any]], sets: list[int], earlier: list[dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    found = add(earlier or [], pages, sets)
    return [
        {**p, "group_id": group, "split": side}
        for p, group, side in zip(pages, found.groups, found.splits, strict=True)
        if group is not None
    ]


@given(a=st.text(st.characters()), b=st.text(st.characters()))
def test_the_unit_hash_is_a_number_of_the_parts_alone(a: str, b: str) -> None:
    assert 0 <= unit_hash(a, b) < 1
    assert unit_hash(a, b) == unit_hash(a, b)
    assert unit_hash(a, b, "") != unit_hash(a, b)


def test_the_unit_hash_never_changes_and_is_uniform() -> None:
    assert unit_hash("curate", "a") == 0.9508734781823239
    tenths = Counter(int(unit_hash("x", str(n)) * 10) for n in range(10_000))
    assert all(850 < tenths[tenth] < 1150 for tenth in range(10))


PAGES = st.lists(st.sampled_from(["", "h1", "h2", "h3", "h4"]), min_size=1, max_size=14).map(
    lambda hosts: [page(f"p{n}", host) for n, host in enumerate(hosts)]
)
NUMBERS = st.lists(st.integers(0, 12), min_size=28, max_size=28)


@settings(max_examples=200)
@given(first=PAGES, more=PAGES, sets=NUMBERS)
def test_hosts_and_near_duplicates_never_meet_across_splits_whatever_is_added(
    first: list[dict[str, Any]], more: list[dict[str, Any]], sets: list[int]
) -> None:
    more = [{**p, "page_id": f"later {p['page_id']}"} for p in more]
    before = settled(first, sets[: len(first)])
    assert len(before) == len(first), "with nothing before, nothing is left out"
    numbers = sets[: len(first) + len(more)]
    found = add(before, more, numbers)
    assert found.left_out == found.splits.count(None)
    everything = [(p["host"], p["split"]) for p in before]
    everything += [(p["host"], side) for p, side in zip(more, found.splits, strict=True)]
    for (host_a, side_a), number_a in zip(everything, numbers, strict=True):
        for (host_b, side_b), number_b in zip(everything, numbers, strict=True):
            if side_a and side_b and (number_a == number_b or (host_a and host_a == host_b)):
                # sets of the later pages may join earlier pages of two splits: those stay, the later ones keep apart
                both_earlier = (host_a, side_a) in everything[: len(before)] and (host_b, side_b) in everything[
                    : len(before)
                ]
                assert side_a == side_b or both_earlier


def test_a_new_page_joins_the_group_of_its_host_or_of_its_near_duplicate() -> None:
    before = settled([page("a", "x.org"), page("b", "y.org"), page("c")], [0, 1, 2])
    found = add(before, [page("d", "x.org"), page("e", "z.org"), page("f"), page("g", "z.org")], [0, 1, 2, 3, 1, 4, 5])
    x, y = before[0]["group_id"], before[1]["group_id"]
    assert found.groups[0] == x
    assert found.groups[1] == found.groups[3] == y, "e is a near-duplicate of b, and g of the host of e"
    assert found.groups[2] not in (x, y, None)
    assert found.splits[:2] == [before[0]["split"], before[1]["split"]]


def test_a_page_that_would_join_two_splits_is_left_out_and_the_others_stay_on_their_side() -> None:
    hosts = [f"h{n}.org" for n in range(40)]
    before = settled([page(f"p{n}", host) for n, host in enumerate(hosts)], list(range(40)))
    train = next(i for i, p in enumerate(before) if p["split"] == "train")
    test = next(i for i, p in enumerate(before) if p["split"] == "test")
    bridge = page("bridge", hosts[test])
    beside = [page("beside train", hosts[train]), page("beside test", hosts[test])]
    found = add(before, [bridge, *beside], [*range(40), train, 50, 51])
    assert (found.groups[0], found.splits[0], found.left_out) == (None, None, 1)
    assert found.splits[1:] == ["train", "test"]
    assert found.groups[1:] == [before[train]["group_id"], before[test]["group_id"]]
    alone = add(before, [bridge], [*range(40), train], by="near_duplicate")
    assert alone.groups == [before[train]["group_id"]], "where hosts may be split, it is a near-duplicate and no bridge"


def test_a_bridge_inside_one_split_is_no_obstacle() -> None:
    hosts = [f"h{n}.org" for n in range(40)]
    before = settled([page(f"p{n}", host) for n, host in enumerate(hosts)], list(range(40)))
    one, other = [i for i, p in enumerate(before) if p["split"] == "train"][:2]
    found = add(before, [page("bridge", hosts[one])], [*range(40), other])
    assert found.splits == ["train"]
    assert found.groups[0] in (before[one]["group_id"], before[other]["group_id"])


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


def test_weights_of_one_round_are_the_inverse_probabilities() -> None:
    assert weights([1, 1], [0.5, 0.25]).tolist() == [2, 4]
    assert weights([1, 1], [None, None]).tolist() == [1, 1]
    assert weights([1, 1, 2], [0.5, 0.25, None]).tolist() == [2, 4, 0], "informative pages say nothing of the corpus"


class Held:
    def __init__(self, rows: list[int]) -> None:
        self.rows = rows

    def take(self, indices: Any) -> "Held":
        return Held([self.rows[i] for i in indices.to_pylist()])


STRATUM = [n % 3 if n > 60 else 3 for n in range(500)]
VALUE = np.array([5.0 * (n % 3) + (40 if n <= 60 else 0) + n / 100 for n in range(500)])


def drawn(size: int, strata: Any, seed: str, before: list[int]) -> tuple[list[int], list[float]]:
    draw: Draw[Held] = Draw(Plan(size, strata or "proportional"), exclude=keys_of(texts(before), seed))
    names = [str(STRATUM[n]) for n in range(500)] if strata else None
    draw.offer(keys_of(texts(range(500)), seed), names, lambda i: (Held(i.tolist()), [""] * len(i)))
    found = draw.finish()
    return [held.rows[i] for held, i in found.rows], found.probability.tolist()


def texts(numbers: Any) -> pa.Array:
    return pa.array([f"text {n}" for n in numbers], pa.string())


def teaching(before: list[int]) -> list[int]:
    """An informative round: it looks at what is known, and takes the pages of the highest values."""
    return sorted(set(range(500)) - set(before), key=lambda n: -VALUE[n])[: 5 + len(before) % 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    "designs",
    [
        [(20, None), (30, None)],
        [(20, None), (30, "equal")],
        [(20, "equal"), (20, None), (15, "equal")],
        [(20, None), "informative", (20, "equal")],
        [(20, None), (10, None), "informative"],
    ],
    ids=str,
)
def test_rounds_together_say_the_total_without_bias(designs: list[Any]) -> None:
    totals, counts, plain, first = [], [], [], []
    for seed in range(500):
        pages: list[int] = []
        rounds: list[int] = []
        chance: list[float | None] = []
        for number, design in enumerate(designs, 1):
            if design == "informative":
                some, p = teaching(pages), None
            else:
                some, p = drawn(design[0], design[1], f"{seed}/{number}", pages)
            pages, rounds = pages + some, rounds + [number] * len(some)
            chance += [None] * len(some) if p is None else p
        assert len(set(pages)) == len(pages)
        weight = weights(rounds, chance)
        totals.append(float((weight * VALUE[pages]).sum()))
        counts.append(float(weight.sum()))
        plain.append(float(VALUE[pages].mean() * 500))
        first.append(float((weights([1] * 20, chance[:20]) * VALUE[pages[:20]]).sum()))
    for estimates, right in ((totals, VALUE.sum()), (counts, 500)):
        assert abs(np.mean(estimates) - right) < 4 * np.std(estimates) / np.sqrt(500) + 1e-9 * right
    assert np.std(totals) < np.std(first), "more rounds say more than the first alone"
    if "informative" in designs or any(d[1] == "equal" for d in designs if d != "informative"):
        assert abs(np.mean(plain) - VALUE.sum()) > 8 * np.std(plain) / np.sqrt(500), "counting pages alike would not do"


def test_later_rounds_never_change_what_was_written_of_earlier_ones() -> None:
    rng = random.Random(1)
    chance = [rng.uniform(0.01, 0.2) for _ in range(10)]
    both = weights([1] * 10 + [2] * 5, [*chance, *[0.1] * 5])
    assert both[:10] == pytest.approx([10 / 15 / p + 5 / 15 for p in chance])
    assert both[10:] == pytest.approx([5 / 15 / 0.1] * 5)
