import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curate.errors import CurateError
from curate.progress import Quiet
from curate.sampling.designs import Settings
from curate.sampling.rounds import Drawing
from curate.schema import PAGES
from curate.sources import Source, shards


def drawing(folder: Path, number: int = 1, **given: Any) -> Drawing:
    rows = [{"text": f"page {n} of {n * n} and {n * 7919}", "lang": "de" if n % 2 else "en"} for n in range(80)]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Source(path="a.jsonl", lang="lang")
    settings = Settings.model_validate(given)
    design = [settings, *settings.rounds][number - 1]
    return Drawing(settings, design, number, source, shards(source, below=folder), Quiet())


def draw(one: Drawing, earlier: pa.Table | None = None, **more: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    table, facts = one.draw(
        PAGES.empty_table() if earlier is None else earlier, more.get("embed"), more.get("informative")
    )
    return table.to_pylist(), facts


def probabilities(folder: Path, number: int = 2, **given: Any) -> set[float | None]:
    first = drawing(folder, 1, **given).draw(PAGES.empty_table(), None, None)[0]
    rows, _ = draw(drawing(folder, number, **given), first)
    return {row["inclusion_probability"] for row in rows}


@pytest.mark.parametrize(
    ("first", "second", "known"),
    [
        ({}, {}, True),
        ({}, {"by": "lang", "strata": "equal"}, True),
        ({}, {"by": "lang", "strata": {"de": 1, "*": 1}}, True),
        ({}, {"by": "lang", "strata": {"de": 1}}, False),
        ({}, {"where": "lang = 'de'"}, False),
        ({"where": "lang = 'de'"}, {"where": "lang = 'de'"}, True),
        ({"where": "lang = 'de'"}, {}, False),
        ({}, {"how": "diverse"}, True),
    ],
)
def test_a_further_round_has_probabilities_where_it_can_draw_what_the_first_could(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], known: bool
) -> None:
    found = probabilities(tmp_path, pages=10, rounds=[{"pages": 5, **second}], **first)
    assert (None not in found) is known


def test_a_round_draws_no_page_of_before_and_says_how_many_rows_those_were(tmp_path: Path) -> None:
    given = {"pages": 30, "rounds": [{"pages": 30}]}
    first = drawing(tmp_path, **given).draw(PAGES.empty_table(), None, None)[0]
    rows, facts = draw(drawing(tmp_path, 2, **given), first)
    assert not {row["page_id"] for row in rows} & set(first.column("page_id").to_pylist())
    assert (len(rows), facts["drawn"], facts["in_sample_already"], facts["seen"]) == (30, 30, 30, 80)
    assert facts["strata"][0]["rows"] == 50


def test_what_a_round_is_asked_to_learn_from_needs_a_score_for_each_page(tmp_path: Path) -> None:
    given = {"pages": 10, "rounds": [{"pages": 5, "how": "informative"}]}
    first = drawing(tmp_path, **given).draw(PAGES.empty_table(), None, None)[0]
    with pytest.raises(CurateError, match=r"informative: \d+ pages were given, 1 scores came back"):
        draw(drawing(tmp_path, 2, **given), first, informative=lambda pages: np.zeros(1))
    rows, _ = draw(drawing(tmp_path, 2, **given), first, informative=lambda pages: np.arange(len(pages), dtype=float))
    assert len(rows) == 5
    assert {row["split"] for row in rows} <= {"train", "val"}
    assert {row["inclusion_probability"] for row in rows} == {None}


def test_strata_that_gave_no_page_are_named(tmp_path: Path) -> None:
    _, facts = draw(drawing(tmp_path, pages=1, by="lang", strata="equal"))
    assert len(facts["strata_without_pages"]) == 1
