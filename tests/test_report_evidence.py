"""What the report says of the classifier and its threshold, from small sealed sets."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openai_server import OpenAIServer
from small_world import STEM
from test_pipeline import folder, report_of, run, server  # noqa: F401  fixtures

from curate.curve import Point
from curate.deciding import NO_VALUE
from curate.stages.report.calibrated import bias, calibrated
from curate.stages.report.evidence import gain_of
from curate.stages.report.parting import MOST, parting
from curate.stages.report.promised import Drawn, drawn, in_corpus, kept_flags, on_sealed, worth_with_judge
from curate.stages.report.sealed import Answers, Labelled, labelled
from curate.stages.report.slices import slices

RNG = np.random.default_rng(0)


def sealed(levels: list[int], **columns: list[Any]) -> Labelled:
    pages = [
        {
            "page_id": f"p{i:03}",
            "split": "test",
            "group_id": f"g{i}",
            "text": "x" * 500,
            **{name: values[i] for name, values in columns.items()},
        }
        for i in range(len(levels))
    ]
    labels = [
        {"page_id": p["page_id"], "rater": "ann", "level": level, "label_id": str(i)}
        for i, (p, level) in enumerate(zip(pages, levels, strict=True))
    ]
    return labelled(pages, labels, STEM, ("test",))


LEVELS = [0, 5, 2, 3] * 25
TEST = sealed(LEVELS, lang=["en"] * 60 + ["de"] * 30 + ["fr"] * 10)


def judge(levels: np.ndarray) -> Answers:
    return Answers(levels.astype(float), levels.astype(float), None)


def test_probabilities_are_held_against_people() -> None:
    found = calibrated(TEST, np.where(TEST.keep, 0.85, 0.15))
    assert [(b["n"], round(b["mean_probability"], 6)) for b in found["bins"]] == [(50, 0.15), (50, 0.85)]
    assert found["bins"][1]["share_true"]["value"] == 1
    assert found["brier"]["value"] == pytest.approx(0.15**2)
    assert found["ece"]["value"] == pytest.approx(0.15)
    assert found["brier_of_base_rate"] == 0.25
    assert calibrated(sealed([]), np.zeros(0)) == {}


def judged(shift: float) -> dict[str, dict[str, Any]]:
    """A judge who says `shift` levels more than people."""
    truth = {p["page_id"]: level for p, level in zip(TEST.pages, LEVELS, strict=True)}
    return {name: {"status": "ok", "expected": min(max(level + shift, 0), 5)} for name, level in truth.items()}


def test_a_kind_judge_is_named_and_what_calibration_leaves_of_it() -> None:
    found = bias(TEST, STEM, judged(0.6), np.where(TEST.keep, 0.9, 0.1))
    assert found["overall"]["value"] == pytest.approx(0.25 * 0.6), "of four levels only the 2 is lifted to the border"
    assert {b["level"]: round(b["value"], 2) for b in found["by_level"]} == {"0": 0, "2": 0.6, "3": 0, "5": 0}
    assert found["words"].startswith("the judge is kinder than people, by .15 [")
    assert "nothing that can be told is left" in found["words"]
    assert "stricter" in bias(TEST, STEM, judged(-0.6), None)["words"]
    assert "no bias of the judge can be told" in bias(TEST, STEM, judged(0.0), None)["words"]
    assert bias(TEST, STEM, {}, None) == {}


def test_slices_with_enough_of_both_kinds_are_told() -> None:
    answers = {"judge_tuned": judge(np.array(LEVELS)), "classifier": Answers(TEST.keep * 0.8, None, TEST.keep)}
    found = slices(TEST, answers, STEM, ["lang", "length", "kind"])
    assert [(row["value"], row["n"], row["keep"]) for row in found["rows"]] == [
        ("en", 60, 30),
        ("de", 30, 15),
        ("fr", 10, 5),
    ], "all pages are of one length, and of no kind"
    assert found["rows"][0]["classifier"]["accuracy"]["value"] == 1
    assert "classifier" not in found["rows"][2], "10 pages are too few"
    assert found["words"] == "no slice falls behind the rest by more than chance, with 4 comparisons"


def test_the_slice_that_falls_behind_is_named() -> None:
    lang = np.array([p["lang"] for p in TEST.pages])
    wrong = np.where((lang == "de") & (np.arange(len(lang)) % 5 > 0), ~TEST.keep, TEST.keep)
    answers = {"judge_tuned": judge(np.array(LEVELS)), "classifier": Answers(wrong * 0.8, None, wrong)}
    found = slices(TEST, answers, STEM, ["lang"])
    assert found["words"].startswith("the classifier falls behind on lang de: right on .20 of 30 pages, .80 less")
    too_few = sealed([0, 5], lang=["en", "de"])
    assert "labels enough" in slices(too_few, {"judge_tuned": judge(np.array([0, 5]))}, STEM, ["lang"])["words"]


def test_lengths_come_in_bands() -> None:
    test = sealed([0, 5] * 30)
    pages = [{**p, "text": "x" * (200 if i < 20 else 2000 if i < 40 else 9000)} for i, p in enumerate(test.pages)]
    test = Labelled(pages, test.labels, test.truth, test.keep, test.groups)
    found = slices(test, {"judge_tuned": judge(test.truth)}, STEM, ["length"])
    assert [row["value"] for row in found["rows"]] == ["under 1,000 characters", "1,000 to 5,000", "5,000 and more"]


def test_where_classifier_and_judge_part_most_no_sealed_page_is_shown() -> None:
    pages = [
        {"page_id": f"p{i}", "split": "test" if i == 9 else "train", "url": f"u{i}", "text": "word " * 50}
        for i in range(10)
    ]
    said = {f"p{i}": {"status": "ok", "expected": 3.0, "reason": "explains"} for i in range(9)}
    said["p9"] = {"status": "ok", "expected": 3.0}
    said["p8"] = {"status": "refused", "expected": None}
    found = parting(pages, said, {f"p{i}": i / 10 for i in range(10)}, STEM, excerpt_chars=12)
    assert [row["page_id"] for row in found] == [f"p{i}" for i in range(MOST)]
    assert (found[0]["classifier"], found[0]["judge"], found[0]["excerpt"]) == (0.0, 1.0, "word word wo")
    assert found[0]["reason"] == "explains"


def filtered(aim: str = "precision>=0.7", *, promised: bool | None = True, **more: Any) -> dict[str, Any]:
    promise = {"threshold": 0.5, "aim": aim, "confidence": 0.9, "promised": promised}
    return {"promise": promise, "slices": {}, "slices_by": "", "pages": 1000, "reasons": {"no text": 100}, **more}


def rows(n: int, *, labelled_: int) -> tuple[list[dict[str, Any]], dict[str, bool], dict[str, float]]:
    pages = [
        {
            "page_id": f"p{i}",
            "split": ("train", "val", "test", "test")[i % 4],
            "round": 1,
            "inclusion_probability": 0.1,
            "group_id": f"g{i}",
            "lang": "en" if i % 3 else None,
        }
        for i in range(n)
    ]
    chance = RNG.random(n)
    truth = {f"p{i}": bool(RNG.random() < chance[i]) for i in range(labelled_)}
    return pages, truth, {f"p{i}": float(chance[i]) for i in range(n)}


def test_a_threshold_of_a_slice_decides_over_its_pages() -> None:
    pages = [{"lang": "en"}, {"lang": "de"}, {"lang": None}]
    plain = kept_flags(filtered(), pages, np.array([0.6, 0.6, 0.4]))
    assert plain.tolist() == [True, True, False]
    own = filtered(slices={"de": {"threshold": 0.7}, NO_VALUE: {"threshold": 0.3}, "fr": None}, slices_by="lang")
    assert kept_flags(own, pages, np.array([0.6, 0.6, 0.4])).tolist() == [True, False, True]


def test_pages_without_a_word_unseen_are_stood_for_by_others() -> None:
    pages, truth, chance = rows(200, labelled_=80)
    told = {name: p for name, p in chance.items() if name in truth or int(name[1:]) % 4 > 1}
    found = drawn(pages, truth, told, filtered())
    assert len(found.label) == 80 + 60, "unlabelled pages of train and val have no probability"
    assert found.weight[~np.isnan(found.label)].tolist() == [10] * 80
    assert found.weight[np.isnan(found.label)].sum() == pytest.approx(10 * 120)
    assert found.sealed.sum() == 100


def test_pages_that_stand_for_nothing_are_left_out() -> None:
    pages, truth, chance = rows(100, labelled_=50)
    pages[0] = {**pages[0], "round": 2, "inclusion_probability": None}
    assert len(drawn(pages, truth, chance, filtered()).label) == 99


def test_the_promise_is_checked_on_sealed_pages() -> None:
    pages, truth, chance = rows(400, labelled_=400)
    found = drawn(pages, truth, chance, filtered())
    mine = found.sealed & found.kept
    told = on_sealed(filtered(), found)
    assert told["precision"]["value"] == pytest.approx(found.label[mine].mean())
    assert told["recall"]["value"] == pytest.approx(found.kept[found.sealed & (found.label > 0)].mean())
    assert told["words"].startswith("precision promised: .70; on 200 sealed pages ")
    assert told["verdict"] in ("reached, as far as so few pages can tell", "reached, surely")
    assert on_sealed(filtered("precision>=0.99", promised=False), found)["verdict"] == "missed"
    assert "aimed at, not promised" in on_sealed(filtered("recall>=0.2", promised=False), found)["words"]
    assert on_sealed(filtered("f1", promised=None), found)["words"] == ""


def test_a_sealed_set_of_one_kind_checks_nothing() -> None:
    one = Drawn(*(np.ones(5) for _ in range(5)), np.ones(5, bool))
    assert on_sealed(filtered(), one)["verdict"] == "too few sealed labels"


def test_what_is_in_the_corpus() -> None:
    pages, truth, chance = rows(900, labelled_=150)
    found = in_corpus(drawn(pages, truth, chance, filtered()), filtered(), same_corpus=True)
    assert found["worth"]["low"] < 0.5 < found["worth"]["high"]
    assert found["worth"]["narrower"] > 0
    assert found["precision"]["value"] == pytest.approx(0.75, abs=0.12)
    assert found["recall"]["value"] == pytest.approx(0.75, abs=0.12)
    assert found["pages"]["value"] == round(found["worth"]["value"] * 900)
    assert "of 900 pages: " in found["words"][0]
    assert "narrower than with labels alone" in found["words"][0]
    other = in_corpus(drawn(pages, truth, chance, filtered()), filtered(), same_corpus=False)
    assert other["pages"] is None
    assert "of the pages that the sample was drawn from" in other["words"][0]


def test_the_judge_too_has_a_word_on_pages_that_nobody_labelled() -> None:
    pages, truth, chance = rows(900, labelled_=150)
    silent = {name: p for name, p in chance.items() if int(name[1:]) % 3}
    for worth in (chance, silent):
        found = worth_with_judge(pages, truth, worth)
        assert found["low"] < 0.5 < found["high"]
        assert found["labelled"] == 150
        assert found["predicted"] == 150 + sum(name not in truth for name in worth)
    assert worth_with_judge(pages, truth, chance)["narrower"] > 0.05
    assert worth_with_judge(pages, {}, chance) == worth_with_judge(pages, truth, {}) == {}


def test_where_every_page_is_labelled_predictions_add_nothing() -> None:
    pages, truth, chance = rows(60, labelled_=60)
    found = in_corpus(drawn(pages, truth, chance, filtered()), filtered(), same_corpus=True)
    assert "predictions add nothing" in found["words"][0]
    assert not math.isnan(found["worth"]["value"])
    assert in_corpus(drawn(pages, {}, chance, filtered()), filtered(), same_corpus=True) == {}


def test_what_more_judgments_would_gain() -> None:
    points = [Point(n, auc, 0.005, 200) for n, auc in ((100, 0.7), (200, 0.75), (400, 0.79), (800, 0.82))]
    found = gain_of(points)
    assert 0.005 < found["gain_of_doubling"]["value"] < 0.04
    assert found["words"].startswith("800 more judgments would gain about ")
    assert gain_of(points[:2]) == {}


@pytest.mark.slow
def test_the_report_of_a_whole_job_holds_all_of_it(folder: Path, server: OpenAIServer) -> None:  # noqa: F811
    asked = ["filter.aim=precision>=0.6", "filter.threshold_by=kind", "filter.tiers={quantiles: [0.5, 0.9]}"]
    result = run(folder, server, *asked)
    value = report_of(folder, result)
    assert value["promise"]["sealed"]["precision"]["n"] > 0
    assert value["corpus"]["same_corpus"] is True
    assert value["corpus"]["worth"]["labelled"] < value["corpus"]["worth"]["predicted"]
    assert {row["column"] for row in value["slices"]["rows"]} == {"kind"}, "all pages are of one language and length"
    assert value["calibrated"]["brier"]["value"] < value["calibrated"]["brier_of_base_rate"]
    assert value["bias"]["classifier"]["n"] == value["bias"]["overall"]["n"]
    assert 0 < len(value["parting"]) <= MOST
    assert (value["judgment_curve"], value["judgments_gain"]) == ([], {}), "so few judgments make no curve"
    line = next(line for line in result.lines if line.stage == "filter")
    assert line.words.endswith(" promised")
    html = (folder / "runs" / "small" / result.records["report"]["report"]["html"]).read_text(encoding="utf-8")
    headings = ["What is promised", "What is in the corpus", "Do its probabilities mean what they say?"]
    for heading in [*headings, "Is it as good everywhere?", "Where classifier and judge part most"]:
        assert f"<h2>{heading}</h2>" in html
    assert value["promise"]["note"] in html.replace("&gt;", ">")
