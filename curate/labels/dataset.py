"""A folder that the `datasets` library loads and a hub shows: Parquet files with a row a page, and a card."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curate.errors import BadInput
from curate.labels.truth import How, truth_of
from curate.rubric import Rubric
from curate.store import write_parquet, write_text

Row = Mapping[str, Any]
NAMES = {"train": "train", "val": "validation", "test": "test"}
"""Our splits and what hubs call them."""
OURS = ("README.md", "data")
SCHEMA = pa.schema(
    [
        ("page_id", pa.string()),
        ("url", pa.string()),
        ("text", pa.string()),
        ("split", pa.string()),
        ("level", pa.float64()),
        ("keep", pa.bool_()),
        ("raters", pa.list_(pa.string())),
        ("levels", pa.list_(pa.int32())),
        ("criteria", pa.list_(pa.string())),
        ("notes", pa.list_(pa.string())),
        ("roles", pa.list_(pa.string())),
        ("assisted", pa.list_(pa.bool_())),
        ("at", pa.list_(pa.string())),
    ]
)


def check_folder(out: Path, *, force: bool) -> None:
    """Raises BadInput for a folder that may not be written into: one that exists, or with `force` one that holds
    something else than an earlier data set."""
    if not out.exists():
        return
    if not out.is_dir():
        raise BadInput(f"{out}: is a file; a data set is a folder")
    others = [path.name for path in out.iterdir() if path.name not in OURS and not path.name.startswith(".")]
    if others and force:
        raise BadInput(f"{out}: holds {sorted(others)[0]}, which is no part of a data set; name another folder")
    if not force and any(out.iterdir()):
        raise BadInput(f"{out}: exists already; name another folder, or add --force to write over it")


def write(rubric: Rubric, pages: Mapping[str, Row], labels: Sequence[Row], out: Path, *, consensus: How) -> list[Path]:
    """The folder with `data/<split>-00000-of-00001.parquet` and README.md. The labels are standing words with levels."""
    splits = {name: page["split"] for name, page in pages.items()}
    stored = [{**row, "criteria": json.dumps(row["criteria"])} for row in labels]
    truth = truth_of(stored, rubric, how=consensus, splits=splits)
    by_page: dict[str, list[Row]] = {}
    for row in labels:
        by_page.setdefault(row["page_id"], []).append(row)
    rows = [_row(rubric, pages[name], said, truth.get(name)) for name, said in by_page.items()]
    shutil.rmtree(out / "data", ignore_errors=True)
    for split, name in NAMES.items():
        if mine := [row for row in rows if row["split"] == split]:
            table = pa.Table.from_pylist(mine, schema=SCHEMA)
            write_parquet(out / "data" / f"{name}-00000-of-00001.parquet", table)
    write_text(out / "README.md", card(rubric, rows, consensus=consensus))
    return [out]


def _row(rubric: Rubric, page: Row, said: Sequence[Row], level: float | None) -> dict[str, Any]:
    return {
        **{name: page[name] or "" for name in ("page_id", "url", "text", "split")},
        "level": level,
        "keep": None if level is None else bool(rubric.worth([level])[0]),
        "raters": [row["rater"] for row in said],
        "levels": [row["level"] for row in said],
        "criteria": [json.dumps(row["criteria"], ensure_ascii=False, sort_keys=True) for row in said],
        "notes": [row["note"] for row in said],
        "roles": [row.get("role") or "" for row in said],
        "assisted": [bool(row["assisted"]) for row in said],
        "at": [row["at"] for row in said],
    }


def card(rubric: Rubric, rows: Sequence[Row], *, consensus: How) -> str:
    """README.md with front matter as hubs read it."""
    counts = Counter(row["split"] for row in rows)
    files = [f"  - split: {name}\n    path: data/{name}-*.parquet" for split, name in NAMES.items() if counts[split]]
    raters = {rater for row in rows for rater in row["raters"]}
    kept = sum(bool(row["keep"]) for row in rows)
    return (
        "\n".join(
            [
                "---",
                f"pretty_name: {json.dumps(f'Pages labelled for {rubric.name}')}",
                "task_categories:",
                "- text-classification",
                "tags:",
                "- data-curation",
                "- human-labels",
                "configs:",
                "- config_name: default",
                "  data_files:",
                *files,
                "---",
                "",
                f"# Web pages labelled for {rubric.name}",
                "",
                f"{len(rows):,} pages with {sum(len(row['levels']) for row in rows):,} labels by {len(raters)} people, "
                f"{kept:,} of them worth keeping. Made with `curate`.",
                "",
                f"> {rubric.asks}",
                "",
                "| level | meaning | pages |",
                "|---|---|---|",
                *_levels(rubric, rows),
                "",
                *_columns(rubric, consensus),
                *_sealed(counts),
                "",
                "## What the people read",
                "",
                rubric.instruction,
                "",
                "The texts are those of the pages' authors, under their own terms. State the licence of the labels here before "
                "you publish this folder.",
            ]
        )
        + "\n"
    )


def _levels(rubric: Rubric, rows: Sequence[Row]) -> list[str]:
    """A line a level, with the pages whose consensus is nearest to it."""
    near = Counter(round(row["level"]) for row in rows if row["level"] is not None)
    words = {level: meaning.replace("|", "\\|").replace("\n", " ") for level, meaning in rubric.levels.items()}
    return [f"| {rubric.names[level]} | {words[level]} | {near[level]:,} |" for level in sorted(words)]


def _columns(rubric: Rubric, consensus: How) -> list[str]:
    together = "the class that most raters name" if rubric.scale == "choice" else f"the {consensus} of its raters"
    place = " (the place of the class in the table above, from 0)" if rubric.scale == "choice" else ""
    return [
        f"`level` is {together}{place}, unless a word of adjudication settled the page; `keep` whether the rubric keeps "
        "it. `raters`, `levels`, `criteria` (JSON), `notes`, `roles`, `assisted` and `at` are lists with one entry a label.",
        "A label is `assisted` where a judge's opinion was in view.",
    ]


def _sealed(counts: Mapping[str, int]) -> list[str]:
    if counts["test"]:
        return [
            "",
            "The split `test` is the sealed test of a pipeline: once it is public, models may be trained on it.",
        ]
    return ["", "The pipeline's sealed test is held back."]
