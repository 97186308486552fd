"""`curate labels import | export | add`: labels in and out of files."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.agreement import sampled
from curate.cli.arguments import pipeline_argument
from curate.errors import BadInput

if TYPE_CHECKING:
    from curate.labels.importing import Imported
    from curate.pipeline import Work


@click.command("import")
@pipeline_argument
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--match",
    type=click.Choice(["auto", "text", "url", "page_id"]),
    default="auto",
    show_default=True,
    help="How labels find their page.",
)
@click.option("--column", default="", metavar="NAME", help="Column of the text, URL or page id that --match names.")
@click.option(
    "--level", default="level", show_default=True, metavar="NAME", help="Column, control or question of the level."
)
@click.option("--rater", default="rater", show_default=True, metavar="NAME", help="Column of the rater.")
@click.option("--rater-name", default="imported", show_default=True, help="The rater of labels that name nobody.")
@click.option(
    "--note", default="note", show_default=True, metavar="NAME", help="Column, control or question of the note."
)
@click.option(
    "--criteria",
    default="criteria",
    show_default=True,
    metavar="NAME",
    help="Column of an object of criterion to level.",
)
@click.option("--map", "levels", multiple=True, metavar="VALUE=LEVEL", help="What a value stands for, as in keep=1.")
@click.option(
    "--form",
    type=click.Choice(["auto", "table", "label-studio", "argilla"]),
    default="auto",
    show_default=True,
    help="What the files hold.",
)
@click.option(
    "--assisted",
    is_flag=True,
    help="Mark the labels as given with a judge's help: they do not count on the sealed test.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be taken over, and write nothing.")
def import_(
    pipeline: Path,
    overrides: tuple[str, ...],
    route: str,
    files: tuple[Path, ...],
    match: str,
    column: str,
    level: str,
    rater: str,
    rater_name: str,
    note: str,
    criteria: str,
    levels: tuple[str, ...],
    form: str,
    assisted: bool,
    dry_run: bool,
) -> None:
    """Take over labels from files: CSV, TSV, JSONL, JSON, Parquet, Label Studio's JSON export, Argilla's records.

    The same file twice adds nothing. Values that the rubric has not are named with their rows, and then nothing is written.
    """
    from curate.labels.importing import take_in
    from curate.labels.incoming import Columns, read_file, words_of

    if column and match == "auto":
        raise BadInput("--column: say with --match what the column holds: text, url or page_id")
    work = sampled(pipeline, overrides, route)
    columns = Columns(level=level, rater=rater, note=note, criteria=criteria, **({match: column} if column else {}))
    pages, meant = work.pages(), _map(levels)
    for path in files:
        found, rows = read_file(path)
        found = found if form == "auto" else form  # type: ignore[assignment]
        words = words_of(found, rows, work.rubric, columns, rater=rater_name)
        try:
            done = take_in(
                work.store,
                work.rubric,
                words,
                pages,
                match=match,  # type: ignore[arg-type]
                levels=meant,
                assisted=assisted,
                dry=dry_run,
            )
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from error
        click.echo(f"{path} ({found}, {len(rows):,} records): {_told(done, dry_run)}")


def _map(levels: Sequence[str]) -> dict[str, int | str]:
    found: dict[str, int | str] = {}
    for one in levels:
        value, equals, level = one.partition("=")
        if not equals:
            raise BadInput(f"--map: must be VALUE=LEVEL, as in keep=1 (got {one!r})")
        found[value] = level
    return found


def _told(done: "Imported", dry: bool) -> str:
    parts = [f"{done.new:,} {'would be ' if dry else ''}new, {done.known:,} known"]
    if done.lost:
        parts.append(
            f"{done.lost:,} on no page of the sample ({', '.join(done.examples)}{', ...' if done.lost > len(done.examples) else ''})"
        )
    if done.loosely:
        parts.append(f"{done.loosely:,} matched after ignoring white space")
    raters = ", ".join(f"{name} {n:,}" for name, n in done.raters.items())
    levels = ", ".join(f"{name} {n:,}" for name, n in done.levels.items())
    return "; ".join([*parts, f"raters: {raters or 'none'}", f"levels: {levels or 'none'}"])


@click.command()
@pipeline_argument
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--form",
    type=click.Choice(["csv", "jsonl", "parquet", "label-studio", "argilla", "datasets"]),
    help="What is written; else by the ending of OUT, a folder without one being `datasets`.",
)
@click.option("--with-text", is_flag=True, help="Put the page's text into tables.")
@click.option(
    "--split",
    "splits",
    multiple=True,
    type=click.Choice(["train", "val", "test"]),
    help="Only pages of this split; may be repeated.",
)
@click.option("--all-words", is_flag=True, help="Also words that were changed or taken back, skips and flags.")
@click.option(
    "--with-test", is_flag=True, help="With --form datasets: the sealed test too. Who tunes on it has no test left."
)
@click.option("--force", is_flag=True, help="Overwrite OUT.")
def export(
    pipeline: Path,
    overrides: tuple[str, ...],
    route: str,
    out: Path,
    form: str | None,
    with_text: bool,
    splits: tuple[str, ...],
    all_words: bool,
    with_test: bool,
    force: bool,
) -> None:
    """Write the labels to OUT: a table, tasks for Label Studio (with their configuration beside it), records for Argilla, or
    a folder that the `datasets` library loads."""
    from curate.labels.exporting import form_of, write_words

    kind = form_of(out, form or "")
    if out.exists() and not force:
        raise BadInput(f"{out}: is there already; give --force to overwrite it")
    work = sampled(pipeline, overrides, route)
    pages = [page for page in work.pages() if not splits or page["split"] in splits]
    rows = work.store.rows("labels") if all_words else work.labels()
    if out.is_dir():
        _only_ours(out)
    done = write_words(
        out,
        kind,
        rows,
        pages,
        work.rubric,
        texts=with_text,
        how=work.p.label.consensus,
        test=with_test,
        name=work.p.name,
    )
    what = {"label-studio": "tasks", "argilla": "records", "datasets": "pages"}.get(kind, "labels")
    sealed = "" if kind != "datasets" or with_test else "; the sealed test stayed here (--with-test)"
    click.echo(f"{out}: {done:,} {what}{sealed}")


def _only_ours(out: Path) -> None:
    """Make room for a data set where one was written before. Raises BadInput for a folder that holds anything else."""
    import shutil

    others = [path.name for path in out.iterdir() if path.name not in ("README.md", "data")]
    if others or not (out / "data").is_dir():
        raise BadInput(f"{out}: holds more than a data set of ours ({', '.join(others[:3])}); choose another folder")
    shutil.rmtree(out)


@click.command()
@pipeline_argument
@click.argument("page")
@click.argument("level", default="")
@click.option("--rater", default="script", show_default=True, help="Who says so.")
@click.option("--note", default="", help="Why.")
@click.option("--criteria", multiple=True, metavar="NAME=LEVEL", help="The level of a criterion; may be repeated.")
@click.option("--undo", is_flag=True, help="Take back what the rater said of the page.")
def add(
    pipeline: Path,
    overrides: tuple[str, ...],
    route: str,
    page: str,
    level: str,
    rater: str,
    note: str,
    criteria: tuple[str, ...],
    undo: bool,
) -> None:
    """Add one label from a script. PAGE is a page id, the beginning of one, or a URL; LEVEL a level or class.

    PAGE `-` reads JSON lines {"page": ..., "level": ..., "rater": ..., "note": ..., "criteria": {...}} from standard input.
    Prints the label ids.
    """
    work = sampled(pipeline, overrides, route)
    if page == "-":
        given = [_line(number, line) for number, line in enumerate(sys.stdin, 1) if line.strip()]
    else:
        given = [{"page": page, "level": level, "note": note, "criteria": _map(criteria)}]
    rows = [_label(work, {"rater": rater, **one}, undo=undo) for one in given]
    from curate.labels.words import labels_fingerprint

    if rows:
        work.store.append("labels", rows, part=labels_fingerprint(rows))
    for row in rows:
        click.echo(row["label_id"])


def _line(number: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise BadInput(f"line {number}: is not JSON ({error})") from error
    if not isinstance(found, dict) or "page" not in found:
        raise BadInput(f"line {number}: must be an object with page and level (got {line.strip()[:60]!r})")
    return found


def _label(work: "Work", given: Mapping[str, Any], *, undo: bool) -> dict[str, Any]:
    from datetime import UTC, datetime

    from curate.labels.parsing import criteria_of, mapped_level
    from curate.labels.words import UNDONE, label_row
    from curate.web.desk import rater_name

    page = _page(work, str(given["page"]))
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    if undo:
        return label_row(work.rubric, page, rater_name(given["rater"]), level=None, flag=UNDONE, at=at)
    try:
        level = mapped_level(work.rubric, given.get("level"), {})
        criteria = criteria_of(work.rubric, given.get("criteria"))
    except ValueError as error:
        raise BadInput(f"{given['page']}: {error}") from error
    note = str(given.get("note") or "")
    return label_row(work.rubric, page, rater_name(given["rater"]), level=level, criteria=criteria, note=note, at=at)


def _page(work: "Work", named: str) -> str:
    found = [p["page_id"] for p in work.pages() if named and (p["page_id"].startswith(named) or p["url"] == named)]
    if len(found) != 1:
        what = f"{len(found)} pages are called so; give more of the id" if found else "no such page in the sample"
        raise BadInput(f"{named}: {what}; PAGE is a page id, the beginning of one, or a URL")
    return str(found[0])
