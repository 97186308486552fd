import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from curate.agreement import consensus, human_ceiling, krippendorff_alpha, leave_one_out, pairwise_kappa
from curate.errors import BadInput
from curate.metrics import evaluate, mae

# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), example C: 4 observers, 12 units, values missing.
FOUR_OBSERVERS = ["1233214 12...", "1233224 125.3", ".333234 2251.", "1233244 1251."]


def rated(rows):
    """One string a rater, one character a unit; a dot is no value."""
    rows = [row.replace(" ", "") for row in rows]
    return [(str(u), str(r), int(c)) for r, row in enumerate(rows) for u, c in enumerate(row) if c != "."]


@pytest.mark.parametrize(("metric", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_the_published_four_observers(metric, published):
    alpha = krippendorff_alpha(rated(FOUR_OBSERVERS), metric=metric)
    assert round(alpha.value, 3) == published
    assert alpha.low < alpha.value < alpha.high
    assert alpha.n == 11  # the twelfth unit has one value


@pytest.mark.parametrize(("metric", "published"), [("nominal", 0.691), ("interval", 0.811)])
def test_alpha_of_the_published_three_coders(metric, published):
    coders = [".....3412113 3.3", "1.213343........", "..21344.2113 3.4"]
    coders = [row.replace(" ", "")[:15] for row in coders]
    assert round(krippendorff_alpha(rated(coders), metric=metric).value, 3) == published


def test_alpha_of_two_raters_by_hand():
    # Coincidences: 0-0 4, 0-1 and 1-0 1 each, 1-1 2; totals 5 and 3 of 8. Observed 2/8, expected 2*15/(8*7).
    ratings = rated(["0011", "0001"])
    assert krippendorff_alpha(ratings, metric="nominal").value == pytest.approx(1 - (2 / 8) / (30 / 56))


def test_alpha_of_uneven_numbers_by_hand():
    ratings = [("u", "x", 0), ("u", "y", 0), ("v", "x", 0), ("v", "y", 10), ("w", "x", 1), ("w", "y", 1)]
    observed, expected = 2 * 100 / 6, 2 * (3 * 2 * 1 + 3 * 1 * 100 + 2 * 1 * 81) / (6 * 5)
    assert krippendorff_alpha(ratings, metric="interval").value == pytest.approx(1 - observed / expected)


def test_alpha_counts_last_values_and_does_not_care_for_order_or_lonely_units():
    ratings = rated(FOUR_OBSERVERS)
    plain = krippendorff_alpha(ratings)
    assert krippendorff_alpha(ratings[::-1]).value == pytest.approx(plain.value)
    assert krippendorff_alpha([*ratings, ("lonely", "0", 5)]).value == pytest.approx(plain.value)
    corrected = [("0", "0", 4), *ratings, ("1", "1", 4), ("1", "1", 2)]
    assert krippendorff_alpha(corrected).value == pytest.approx(plain.value)
    taken_back = [r for r in ratings if r[:2] != ("5", "0")]
    assert krippendorff_alpha([*ratings, ("5", "0", None)]).value == pytest.approx(krippendorff_alpha(taken_back).value)


def test_alpha_without_variation_or_overlap_is_undefined():
    assert math.isnan(krippendorff_alpha(rated(["222", "222"])).value)
    nobody = krippendorff_alpha([("a", "x", 1), ("b", "y", 2)])
    assert (math.isnan(nobody.value), nobody.n) == (True, 0)
    assert krippendorff_alpha([]).n == 0


def test_alpha_of_names_is_nominal_only():
    names = [("a", "x", "code"), ("a", "y", "code"), ("b", "x", "prose"), ("b", "y", "code"), ("c", "x", "prose")]
    assert krippendorff_alpha(names, metric="nominal").value == pytest.approx(0.0)
    with pytest.raises(BadInput, match="ordinal needs numbers"):
        krippendorff_alpha(names)


def test_alpha_over_groups_is_less_certain():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 6, 100)
    ratings = [(str(u), str(r), int(t)) for u, t in enumerate(truth) for r in range(2)]
    noisy = [(u, r, max(0, v - 3) if r == "1" and int(u) // 20 == 0 else v) for u, r, v in ratings]
    alone = krippendorff_alpha(noisy)
    grouped = krippendorff_alpha(noisy, groups={str(u): str(u // 20) for u in range(100)})
    assert grouped.value == alone.value
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_consensus_is_mean_and_lower_median():
    labels = [
        ("p", "a", 3),
        ("p", "b", 3),
        ("p", "c", 0),
        ("q", "a", 2),
        ("q", "b", 3),
        ("r", "a", 5),
        ("s", "a", None),
    ]
    found = consensus(labels)
    assert set(found) == {"p", "q", "r"}
    assert (found["p"].level_mean, found["p"].level, found["p"].n, found["p"].spread) == (2.0, 3, 3, 3)
    assert (found["q"].level_mean, found["q"].level, found["q"].spread) == (2.5, 2, 1)
    assert (found["r"].level, found["r"].n, found["r"].spread) == (5, 1, 0)


def test_a_changed_mind_replaces_the_first_label():
    assert consensus([("p", "a", 1), ("p", "b", 5), ("p", "a", 5)])["p"].level_mean == 5.0
    assert consensus([("p", "a", 1), ("p", "b", 5), ("p", "a", None)])["p"].n == 1


def test_leave_one_out_by_hand():
    rows = leave_one_out([("p", "a", 3), ("p", "b", 3), ("p", "c", 0), ("q", "a", 2)])
    assert [(r.page_id, r.rater, r.level, r.others_mean) for r in rows] == [
        ("p", "a", 3, 1.5),
        ("p", "b", 3, 1.5),
        ("p", "c", 0, 3.0),
    ]


def test_ceiling_of_two_raters_by_hand():
    one, other = [0, 1, 4, 5], [1, 3, 4, 5]
    labels = [(str(p), rater, x) for rater, said in (("a", one), ("b", other)) for p, x in enumerate(said)]
    ceiling = human_ceiling(labels, keep=3, levels=6)
    assert (ceiling.pages, ceiling.raters, ceiling.estimates["mae"].n) == (4, 2, 4)
    assert ceiling.estimates["mae"].value == pytest.approx(3 / 4)
    assert ceiling.estimates["accuracy"].value == pytest.approx(3 / 4)
    assert ceiling.estimates["precision"].value == ceiling.estimates["recall"].value == pytest.approx(4 / 5)
    assert "one other" in ceiling.note
    assert "qwk" not in human_ceiling([(p, r, min(x, 1)) for p, r, x in labels], keep=1, levels=2).estimates


def test_one_rater_or_no_shared_page_has_no_ceiling_and_says_why():
    single = human_ceiling([("p", "a", 3), ("q", "a", 1)], keep=3, levels=6)
    assert (single.estimates, single.raters) == ({}, 1)
    assert "second person" in single.note
    apart = human_ceiling([("p", "a", 3), ("q", "b", 1)], keep=3, levels=6)
    assert apart.estimates == {}
    assert "share no page" in apart.note
    assert human_ceiling([], keep=3, levels=6).estimates == {}


def simulated(pages, raters, seed):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 5, pages)
    said = np.clip(np.round(truth[:, None] + rng.normal(0, 1.2, (pages, raters))), 0, 5).astype(int)
    return truth, [(f"p{p}", f"r{r}", int(said[p, r])) for p in range(pages) for r in range(raters)]


def errors_of_the_third(labels, third):
    """Mean absolute errors: two raters' ceiling, the third against their mean, the third on the ceiling's rows."""
    pair = [label for label in labels if label[1] != third]
    said = {page: level for page, rater, level in labels if rater == third}
    rows, found = leave_one_out(pair), consensus(pair)
    others = [row.others_mean for row in rows]
    ceiling = mae(others, [row.level for row in rows])
    as_judge = mae([c.level_mean for c in found.values()], [said[page] for page in found])
    return ceiling, as_judge, mae(others, [said[row.page_id] for row in rows])


def test_two_rater_ceiling_is_below_what_an_equal_third_scores_but_not_on_the_same_rows():
    _, labels = simulated(1000, 3, 5)
    ceiling, as_judge, same_rows = np.mean([errors_of_the_third(labels, f"r{r}") for r in range(3)], axis=0)
    assert as_judge < 0.95 * ceiling
    assert same_rows == pytest.approx(ceiling)


def test_ceiling_is_over_pages_not_labels():
    _, labels = simulated(60, 3, 6)
    ceiling = human_ceiling(labels, keep=3, levels=6)
    rows = leave_one_out(labels)
    said = [row.level for row in rows]
    naive = evaluate(truth_level=[row.others_mean for row in rows], score=said, level=said, keep=3, levels=6)
    ours = ceiling.estimates["kappa"]
    assert ours.value == naive["kappa"].value
    assert ours.high - ours.low > 1.1 * (naive["kappa"].high - naive["kappa"].low)
    assert ceiling.estimates["kappa"].n == 60


def test_pairwise_kappa_by_hand():
    one, other = [0, 1, 4, 5, 4], [1, 3, 4, 5, 0]
    labels = [(str(p), rater, x) for rater, said in (("a", one), ("b", other)) for p, x in enumerate(said)]
    (pair,) = pairwise_kappa([*labels, ("lonely", "c", 2)], keep=3, levels=6)
    assert pair.raters == ("a", "b")
    assert pair.keep.n == 5
    assert pair.keep.value == pytest.approx((3 / 5 - 13 / 25) / (1 - 13 / 25))
    distances = sum((x - y) ** 2 for x, y in zip(one, other, strict=True)) / 5
    by_chance = sum((x - y) ** 2 for x in one for y in other) / 25
    assert pair.level is not None
    assert pair.level.value == pytest.approx(1 - distances / by_chance)
    assert pairwise_kappa([("p", "a", 1), ("p", "b", 1)], keep=1, levels=2)[0].level is None


def test_levels_off_the_scale_and_missing_groups_are_named():
    labels = [("p", "a", 3), ("p", "b", 7)]
    for function in (human_ceiling, pairwise_kappa):
        with pytest.raises(BadInput, match=r"level 7 of b for p is not one of 0\.\.5"):
            function(labels, keep=3, levels=6)
        with pytest.raises(BadInput, match="page p has none"):
            function([("p", "a", 3), ("p", "b", 4)], keep=3, levels=6, groups={"q": "g"})


def test_consensus_on_classes_is_the_majority():
    labels = [("p", "a", 2), ("p", "b", 0), ("p", "c", 2), ("q", "a", 3), ("q", "b", 1)]
    found = consensus(labels, scale="choice")
    assert (found["p"].level, found["p"].level_mean, found["p"].n, found["p"].spread) == (2, 2.0, 3, 1)
    assert found["q"].level == 1, "the first of those in a tie"


def test_people_are_held_to_the_class_most_others_name():
    labels = [("p", "a", 2), ("p", "b", 0), ("p", "c", 0), ("q", "a", 1), ("q", "b", 1)]
    assert [(row.rater, row.level, row.others_mean) for row in leave_one_out(labels, scale="choice")] == [
        ("a", 2, 0.0), ("b", 0, 0.0), ("c", 0, 0.0), ("a", 1, 1.0), ("b", 1, 1.0)
    ]  # fmt: skip
    ceiling = human_ceiling(labels, keep={0, 1}, levels=3, scale="choice")
    assert ceiling.estimates["accuracy"].value == pytest.approx(4 / 5)
    assert ceiling.estimates["keep_accuracy"].value == pytest.approx(4 / 5)
    assert "mae" not in ceiling.estimates
    assert "auc" not in human_ceiling(labels, keep=frozenset(), levels=3, scale="choice").estimates


def test_pairs_agree_on_classes_not_on_distances():
    rows = [
        (f"p{i}", rater, level)
        for i, pair in enumerate([(0, 0), (1, 1), (2, 0), (2, 2), (1, 2)])
        for rater, level in zip("ab", pair, strict=True)
    ]
    (pair,) = pairwise_kappa(rows, keep={2}, levels=3, scale="choice")
    assert pair.level.value == pytest.approx(cohen_kappa_score([0, 1, 2, 2, 1], [0, 1, 0, 2, 2]))
    assert pair.keep.value == pytest.approx(cohen_kappa_score([0, 0, 1, 1, 0], [0, 0, 0, 1, 1]))
