"""Words on pages: how they are written, and which stand."""

from pathlib import Path
from typing import Any

import pytest

from curate import rubric as rubrics
from curate.labels.words import ADJUDICATION, adjudicated, by_people, current, label_row
from curate.schema import LABELS, fingerprint
from curate.store import Store

STEM = rubrics.load(Path(__file__).resolve().parents[1] / "rubrics" / "stem.md")


def word(page: str, rater: str, level: int | None, at: int, **more: Any) -> dict[str, Any]:
    return label_row(STEM, page, rater, level=level, at=f"2026-01-01T00:00:{at:02d}+00:00", **more)


def test_a_word_without_a_role_has_the_name_it_had_before_there_were_roles() -> None:
    row = word("p", "ann", 3, 1)
    named = {key: value for key, value in row.items() if key not in ("label_id", "role", "rubric_hash")}
    assert row["label_id"] == fingerprint(named)
    assert word("p", "ann", 3, 1, role="")["label_id"] == row["label_id"]
    assert word("p", "ann", 3, 1, role=ADJUDICATION)["label_id"] != row["label_id"]
    assert set(row) == set(LABELS.names)


def test_a_person_s_own_word_and_their_adjudication_stand_beside_each_other() -> None:
    rows = [word("p", "ann", 1, 1), word("p", "ben", 4, 2), word("p", "ann", 3, 3, role=ADJUDICATION)]
    standing = current(rows)
    assert sorted((row["rater"], row["level"], row["role"]) for row in standing) == [
        ("ann", 1, ""),
        ("ann", 3, ADJUDICATION),
        ("ben", 4, ""),
    ]
    assert [row["level"] for row in by_people(standing)] == [1, 4]
    assert {page: row["level"] for page, row in adjudicated(standing).items()} == {"p": 3}


def test_the_last_adjudication_counts_and_one_taken_back_is_none() -> None:
    rows = [word("p", "ann", 3, 3, role=ADJUDICATION), word("p", "cleo", 2, 4, role=ADJUDICATION)]
    assert adjudicated(current(rows))["p"]["level"] == 2
    back = word("p", "cleo", None, 5, role=ADJUDICATION, flag="undone")
    assert adjudicated(current([*rows, back]))["p"]["level"] == 3


@pytest.mark.parametrize("role", ["", ADJUDICATION])
def test_parts_that_were_written_before_there_were_roles_are_read(tmp_path: Path, role: str) -> None:
    store = Store(tmp_path)
    old = word("p", "ann", 1, 1)
    schema = LABELS.remove(LABELS.get_field_index("role"))
    import pyarrow as pa

    store.append("labels", pa.Table.from_pylist([{k: v for k, v in old.items() if k != "role"}], schema=schema))
    store.append("labels", [word("p", "ben", 2, 2, role=role)])
    assert sorted((row["rater"], row["role"] or "") for row in store.rows("labels")) == [("ann", ""), ("ben", role)]
