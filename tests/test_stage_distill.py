import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from small_world import BAD, STEM, hash_below, judgments, level_of, levels, pages

from curate.classifier import PageClassifier
from curate.errors import CurateError
from curate.progress import Quiet
from curate.stages import distill
from curate.stages.distill import Settings
from curate.store import Store

Row = dict[str, Any]
FAST: dict[str, Any] = {"features": [["ngrams"]], "c": [1.0], "human_weight": [1.0], "folds": 3, "ngram_bits": 12}


def run(
    store: Store,
    rows: list[Row],
    *,
    judged: dict[str, Row] | None = None,
    truth: dict[str, float] | None = None,
    **given: Any,
) -> distill.Report:
    return distill.run(
        store,
        Settings(**{**FAST, **given}),
        pages=rows,
        judgments=judgments(rows) if judged is None else judged,
        truth=levels(rows) if truth is None else truth,
        rubric=STEM,
        judge_id="the judge",
        progress=Quiet(),
    )


def train_and_val(count: int) -> list[Row]:
    return [row for row in pages(count) if row["split"] != "test"]


def classifier(store: Store, report: distill.Report) -> PageClassifier:
    return PageClassifier.load(store.root / "classifiers" / report.classifier_id)


def held_out(store: Store, report: distill.Report) -> dict[str, list[Any]]:
    """The pages that people labelled, of those that were held out."""
    table = pq.read_table(store.root / "classifiers" / f"{report.classifier_id}.held_out.parquet")
    assert len(table) == report.trained_on
    return table.filter(pc.field("keep").is_valid()).to_pydict()


def test_a_classifier_is_trained_saved_and_measured_on_what_people_said(tmp_path: Path) -> None:
    store, rows = Store(tmp_path), train_and_val(120)
    truth = {name: level for name, level in levels(rows).items() if hash_below(name, 0.6)}
    report = run(store, rows, truth=truth)
    assert (report.trained_on, report.human_labelled) == (len(rows), len(truth))
    assert report.cv_auc["n"] == len(truth)
    assert 0.85 < report.cv_auc["low"] <= report.cv_auc["value"] <= report.cv_auc["high"] <= 1
    made = classifier(store, report)
    assert made.provenance["judge_id"] == "the judge"
    unseen = pages(200)[120:]
    scores = made.predict_texts([row["text"] for row in unseen])
    keep = np.array([level_of(n) >= 3 for n in range(120, 200)])
    assert scores[keep].mean() > scores[~keep].mean() + 0.3
    json.dumps(report.as_dict(), allow_nan=False)


def test_thresholds_are_chosen_on_pages_held_out_with_their_group(tmp_path: Path) -> None:
    store, rows = Store(tmp_path), train_and_val(120)
    truth = {name: level for name, level in levels(rows).items() if hash_below(name, 0.6)}
    report = run(store, rows, truth=truth)
    held = held_out(store, report)
    assert dict(zip(held["page_id"], held["level"], strict=True)) == truth
    assert held["keep"] == [level >= 3 for level in held["level"]]
    made = classifier(store, report)
    assert made.probability_of(held["score"]).tolist() == pytest.approx(held["probability"])
    text = {row["page_id"]: row["text"] for row in rows}
    fitted = made.predict_texts([text[name] for name in held["page_id"]])
    assert np.abs(fitted - held["score"]).max() > 0.01, "held-out scores are not those of the final classifier"
    assert len(report.cuts) == STEM.top
    assert report.cuts == sorted(report.cuts)


def test_the_better_features_and_strength_are_chosen(tmp_path: Path) -> None:
    report = run(
        Store(tmp_path), train_and_val(120), features=[["shape"], ["ngrams"]], c=[0.1, 10.0], human_weight=[0.0, 3.0]
    )
    assert report.features == ["ngrams"]
    assert len(report.choices) == 2 * 2, "each set under each weight, with the best head of each block"
    best = max(report.choices, key=lambda choice: choice["auc"])
    assert (report.features, report.human_weight) == (best["features"], best["human_weight"])
    assert {name: [report.kinds[name], report.c[name]] for name in report.features} == best["heads"]
    assert best["front"]
    assert best["chosen"]


@pytest.mark.parametrize("prefer", ["speed", "quality"])
def test_the_fastest_of_what_is_as_good_is_taken(tmp_path: Path, prefer: str) -> None:
    given: dict[str, Any] = {"features": [["ngrams"], ["ngrams", "shape"]], "c": [0.1, 1.0, 10.0], "prefer": prefer}
    report = run(Store(tmp_path), train_and_val(120), **given)
    best = max(report.choices, key=lambda choice: choice["auc"])
    mine = next(c for c in report.choices if c["features"] == report.features)
    if prefer == "speed":
        assert mine["auc"] >= best["auc"] - best["auc_error"] - 1e-9
    else:
        assert mine["features"] == ["ngrams", "shape"], "few labels are not sure that the narrower set is the better"
        assert mine["auc"] > 0.94
    assert report.pages_per_s == mine["pages_per_s"]


def test_pages_that_were_drawn_for_being_hard_teach_but_choose_no_threshold(tmp_path: Path) -> None:
    store, rows = Store(tmp_path), train_and_val(120)
    hard = {row["page_id"] for row in rows[::3]}
    marked = [{**row, "how": "informative" if row["page_id"] in hard else "uniform"} for row in rows]
    report = run(store, marked)
    assert report.trained_on == len(rows)
    assert hard.isdisjoint(held_out(store, report)["page_id"])
    assert len(held_out(store, report)["page_id"]) == len(rows) - len(hard) == report.cv_auc["n"]


def test_human_labels_weigh_against_a_judge_that_is_wrong(tmp_path: Path) -> None:
    rows = train_and_val(120)
    wrong = {name: {"status": "ok", "expected": 5.0 - level} for name, level in levels(rows).items()}
    judge_alone = run(Store(tmp_path / "alone"), rows, judged=wrong, human_weight=[0.0])
    with_people = run(Store(tmp_path / "people"), rows, judged=wrong, human_weight=[10.0])
    chosen = run(Store(tmp_path / "chosen"), rows, judged=wrong, human_weight=[0.0, 10.0])
    assert judge_alone.cv_auc["value"] < 0.2
    assert with_people.cv_auc["value"] > 0.8
    assert chosen.human_weight == 10.0
    assert any("scores run against" in note for note in judge_alone.notes)


def test_people_teach_where_the_judge_is_silent(tmp_path: Path) -> None:
    rows = train_and_val(120)
    judged = judgments(rows)
    for row in rows[::2]:
        judged[row["page_id"]] = {"status": "refused", "expected": None}
    assert run(Store(tmp_path), rows, judged=judged, human_weight=[0.0]).trained_on == len(rows)
    unlabelled = {row["page_id"] for row in rows[::4]}
    truth = {name: level for name, level in levels(rows).items() if name not in unlabelled}
    fewer = run(Store(tmp_path), rows, judged=judged, truth=truth)
    assert fewer.trained_on == len(rows) - len(unlabelled), "a page of which nobody said anything teaches nothing"


def test_pages_of_the_sealed_test_never_enter(tmp_path: Path) -> None:
    rows = pages(120)
    opened = [row for row in rows if row["split"] != "test"]
    sealed = {row["page_id"] for row in rows} - {row["page_id"] for row in opened}
    assert len(sealed) > 10
    without = run(Store(tmp_path / "a"), opened, judged=judgments(rows), truth=levels(rows))
    given: dict[str, Any] = {"judged": {**judgments(rows), **{n: {"status": "ok", "expected": 0.0} for n in sealed}}}
    store = Store(tmp_path / "b")
    everything = run(store, rows, truth={**levels(rows), **dict.fromkeys(sealed, 0.0)}, **given)
    assert everything == without
    assert not sealed & set(held_out(store, everything)["page_id"])


def test_the_same_again_gives_the_same_classifier_in_any_order(tmp_path: Path) -> None:
    rows = train_and_val(80)
    first = run(Store(tmp_path), rows)
    again = run(Store(tmp_path), rows[::-1], judged=judgments(rows))
    assert first == again
    assert len([p for p in (tmp_path / "classifiers").iterdir() if p.is_dir()]) == 1


@pytest.mark.slow
def test_a_second_run_embeds_nothing(tmp_path: Path) -> None:
    store, rows = Store(tmp_path), train_and_val(60)
    given: dict[str, Any] = {"features": [["embedding"]], "max_tokens": 32}
    first = run(store, rows, **given)
    parts = {path: path.stat().st_mtime_ns for path in (tmp_path / "embeddings").rglob("*.parquet")}
    assert sum(pq.read_metadata(path).num_rows for path in parts) == len(rows)
    other_texts = [{**row, "text": "the same for all"} for row in rows]
    assert run(store, other_texts, **given) == first, "vectors are found by page id"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "embeddings").rglob("*.parquet")} == parts


def test_without_an_embedding_feature_nothing_is_embedded(tmp_path: Path) -> None:
    run(Store(tmp_path), train_and_val(60))
    assert not (tmp_path / "embeddings").exists()


def test_too_few_judgments_are_said_in_one_line(tmp_path: Path) -> None:
    rows = pages(120)
    opened = [row["page_id"] for row in rows if row["split"] != "test"]
    enough = {row["page_id"] for row in rows if row["split"] == "test"} | set(opened[:19])
    judged = {name: row for name, row in judgments(rows).items() if name in enough}
    with pytest.raises(CurateError, match="only 19 pages of train and val, 20 are needed") as stopped:
        run(Store(tmp_path), rows, judged=judged)
    assert "\n" not in str(stopped.value)
    assert not (tmp_path / "classifiers").exists()


@pytest.mark.parametrize("level", [0.0, 5.0])
def test_labels_of_one_class_are_said_in_one_line(tmp_path: Path, level: float) -> None:
    rows = train_and_val(60)
    with pytest.raises(CurateError) as stopped:
        run(Store(tmp_path), rows, truth=dict.fromkeys(levels(rows), level))
    assert "label" in str(stopped.value)
    assert "\n" not in str(stopped.value)
    with pytest.raises(CurateError, match="label"):
        run(Store(tmp_path), rows, truth={})


def test_judgments_of_one_class_are_said_in_one_line(tmp_path: Path) -> None:
    rows = train_and_val(60)
    judged = {row["page_id"]: {"status": "ok", "expected": 5.0} for row in rows}
    with pytest.raises(CurateError, match="the targets are all the same class"):
        run(Store(tmp_path), rows, judged=judged, human_weight=[0.0])


@pytest.mark.parametrize(
    "wrong", [{"features": [["ngram"]]}, {"features": []}, {"folds": 1}, {"ngram_bits": 30}, {"cs": [1]}]
)
def test_settings_that_make_no_sense_are_refused(wrong: Row) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Settings(**wrong)


def test_the_words_that_decide_are_those_of_good_and_bad_pages(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = classifier(store, run(store, train_and_val(120)))
    good, bad = made.predict_texts(["energy therefore proof equation " * 5, " ".join(BAD)])
    assert good > 0.8
    assert bad < 0.2


def test_the_report_says_how_much_the_judge_alone_teaches(tmp_path: Path) -> None:
    both = run(Store(tmp_path / "both"), pages(80), human_weight=[0.0, 3.0])
    best = {w: max(c["auc"] for c in both.choices if c["human_weight"] == w) for w in (0.0, 3.0)}
    assert both.notes[-1] == (
        f"cross-validated AUC of the classifier on train and val: {best[0.0]:.2f} where the judge alone teaches, "
        f"{best[3.0]:.2f} where human labels weigh 3"
    )
    assert not any(
        "alone teaches" in note for note in run(Store(tmp_path / "one"), pages(80), human_weight=[3.0]).notes
    )
