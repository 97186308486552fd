"""A workspace with thirty sampled pages, and label files put beside it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from curate import rubric as rubrics
from curate.errors import BadInput
from curate.labels.answers import Asked
from curate.labels.exchange import Taken, take_over
from curate.labels.reading import incoming
from curate.labels.words import current, label_row
from curate.rubric import Rubric
from curate.schema import page_id
from curate.store import Store

ROOT = Path(__file__).resolve().parents[1]
STEM: Rubric = rubrics.load(ROOT / "rubrics" / "stem.md")
QUIZ: Rubric = rubrics.load(ROOT / "rubrics" / "commonsenseqa.md")
SPLITS = ("train", "val", "test")
COUNT = 30
UNSAID = ("label_id",)


def text(n: int) -> str:
    return f"page number {n},\n\nwith  words"


def url(n: int) -> str:
    return f"https://h{n}.example/"


def pages() -> list[dict[str, Any]]:
    return [
        {"page_id": page_id(text(n)), "text": text(n), "url": url(n), "split": SPLITS[n % 3], "duplicate_of": ""}
        for n in range(COUNT)
    ]


def sampled(folder: Path) -> Store:
    store = Store(folder / "w")
    store.append("pages", pages(), scope="s")
    return store


def take(store: Store, path: Path | Sequence[Path], asked: Asked | None = None, **how: Any) -> Taken:
    paths = [path] if isinstance(path, Path) else path
    rubric, form = how.pop("rubric", STEM), how.pop("form", "auto")
    found = incoming([str(one) for one in paths], rubric, asked or Asked(), form=form)
    return take_over(store, rubric, found, pages="s", **how)


def refusal(store: Store, path: Path, asked: Asked | None = None, **how: Any) -> str:
    before = len(store.parts("labels"))
    with pytest.raises(BadInput) as caught:
        take(store, path, asked, **how)
    assert len(store.parts("labels")) == before, "nothing is half taken over"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def put(path: Path, value: Any) -> Path:
    """Text as it is; rows as JSON lines; anything else as JSON."""
    if path.suffix == ".jsonl":
        value = "".join(json.dumps(row) + "\n" for row in value)
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8", newline="")
    return path


def levels(store: Store) -> dict[str, int]:
    """Who says what now: rater and number of the page to level."""
    number = {page_id(text(n)): n for n in range(COUNT)}
    return {f"{row['rater']} {number[row['page_id']]}": row["level"] for row in current(store.rows("labels"))}


def told(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Labels without their names, in an order of their own."""
    plain = [{key: value for key, value in row.items() if key not in UNSAID} for row in rows]
    return sorted(plain, key=lambda row: (row["page_id"], row["rater"], row["at"], row["role"]))


def words(rubric: Rubric, *, flags: bool) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Labels of several raters: levels, criteria, notes of any characters; with `flags` also skips, and several words of one rater on a page."""
    anything = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
    criteria = {name: st.sampled_from(sorted(criterion.levels)) for name, criterion in rubric.criteria.items()}
    word = st.fixed_dictionaries(
        {
            "page": st.integers(0, COUNT - 1),
            "rater": st.sampled_from(["ann", 'bén "x"', "007", "a,b"]),
            "level": st.sampled_from(sorted(rubric.levels)),
            "criteria": st.fixed_dictionaries({}, optional=criteria),
            "note": anything
            | st.sampled_from(
                ['say "no"', "a,b\r\nc\rd\n", "1.50", " ", "true", "2026-01-01 10:00:00", "=1+1", "null"]
            ),
            "flag": st.sampled_from(["", "skipped", "unusable"] if flags else [""]),
            "at": st.integers(0, 59).map(lambda second: f"2026-01-01T00:00:{second:02d}.000001+00:00"),
            "seconds": st.none() | st.floats(0, 1000),
            "shown": st.sampled_from(["", "all", "text 20 of 100 characters"]),
            "assisted": st.booleans(),
            "role": st.sampled_from(["", "adjudication"]),
        }
    )

    def row(given: dict[str, Any]) -> dict[str, Any]:
        level = None if given["flag"] else given["level"]
        rest = {key: value for key, value in given.items() if key not in ("page", "rater", "level")}
        return label_row(rubric, page_id(text(given["page"])), given["rater"], level=level, **rest)

    def key(given: dict[str, Any]) -> tuple[Any, ...]:
        return given["page"], given["rater"], given["role"], given["at"] if flags else ""

    return st.lists(word, min_size=1, max_size=8, unique_by=key).map(lambda found: [row(one) for one in found])
