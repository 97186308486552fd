from typing import Any

import numpy as np
import pytest

from curate.sampling.portrait import estimate, largest_sets, portrait


def page(n: int, **given: Any) -> dict[str, Any]:
    return {
        "page_id": f"p{n:03}",
        "url": f"http://h{n % 4}.org/{n}",
        "host": f"h{n % 4}.org",
        "text": "word " * (n + 1),
        "lang": "en" if n % 3 else "de",
        "split": ("train", "val", "test")[n % 3],
        "round": 1,
        "how": "uniform",
        "stratum": None,
        "duplicate_of": None,
        "inclusion_probability": 0.5,
        **given,
    }


def test_a_sample_is_counted_by_what_its_pages_are() -> None:
    found = portrait([page(n) for n in range(60)])
    assert found["languages"] == {"en": 40, "de": 20}
    assert found["hosts"] == {"different": 4, "top": {f"h{n}.org": 15 for n in range(4)}}
    assert sum(found["lengths"]["bands"].values()) == 60
    assert found["lengths"]["bands"]["0 to 199"] == 39
    assert found["lengths"]["quantiles"]["50%"] == 152
    assert found["by_how"] == {"uniform": 60}


def test_nothing_of_a_sealed_page_is_shown_but_its_id() -> None:
    pages = [page(n, text=f"secret {n}" if n % 3 == 2 else "open") for n in range(60)]
    found = portrait(pages)
    assert [set(one) for one in found["examples"]["test"]] == [{"page_id"}] * 3
    assert found["examples"]["train"][0] == {"page_id": "p000", "url": "http://h0.org/0", "excerpt": "open"}
    assert "secret" not in str(found)


def test_the_largest_sets_of_near_duplicates_show_a_page_outside_the_test() -> None:
    pages = [page(n, text=f"text {n}") for n in range(9)]
    for n in (1, 3, 5):
        pages[n]["duplicate_of"] = "p000"
    pages[8] |= {"duplicate_of": "p007", "split": "test"}
    pages[7]["split"] = "test"
    assert largest_sets(pages) == [
        {"pages": 4, "hosts": ["h1.org", "h0.org", "h3.org"], "excerpt": "text 0"},
        {"pages": 2, "hosts": ["h3.org", "h0.org"], "excerpt": ""},
    ]
    assert len(largest_sets(pages, most=1)) == 1


def test_estimates_are_of_the_corpus_not_of_the_sample() -> None:
    rare = [page(n, lang="de", inclusion_probability=1.0) for n in range(50)]
    common = [page(n, lang="en", inclusion_probability=0.05) for n in range(50)]
    found = portrait([*rare, *common])["estimates"]["share_by_language"]
    assert found["de"]["value"] == pytest.approx(50 / 1050)
    assert found["en"]["value"] == pytest.approx(1000 / 1050)
    assert found["de"]["low"] < 50 / 1050 < found["de"]["high"] < 0.1
    assert portrait([page(n, inclusion_probability=None) for n in range(5)])["estimates"] == {}


def test_everything_drawn_leaves_no_doubt() -> None:
    found = estimate([1, 2, 3], [1, 1, 1], [1, 1, 1])
    assert (found.value, found.low, found.high, found.n) == (2, 2, 2, 3)
    assert np.isnan(estimate([], [], []).value)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    value, chance = rng.lognormal(size=3000), rng.choice([0.05, 0.2, 0.6], 3000)
    value += 2 * (chance > 0.5)
    hits = 0
    for _ in range(400):
        drawn = rng.random(3000) < chance
        found = estimate(value[drawn], 1 / chance[drawn], chance[drawn])
        hits += found.low <= value.mean() <= found.high
    assert 0.92 <= hits / 400 <= 0.98
