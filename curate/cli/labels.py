"""`curate labels`: what people said of pages, into the workspace and out of it."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.cli.agreement import agreement, curve, suspects
from curate.cli.arguments import pipeline_argument
from curate.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from curate.labels.exchange import Taken
    from curate.labels.saying import Said
    from curate.rubric import Rubric

IN_FORMS = ("auto", "table", "label-studio", "argilla")
OUT_FORMS = ("csv", "jsonl", "parquet", "label-studio", "argilla", "datasets")
SPLITS = ("train", "val", "test")


@click.group()
def labels() -> None:
    """Labels in and out of files, how well raters agree, which labels may be slips, whether more would help."""


@labels.command("import")
@pipeline_argument
@click.argument("files", nargs=-1, required=True)
@click.option("--match", type=click.Choice(["text", "url", "page_id"]), help="How rows find their page.")
@click.option("--column", default="", help="Column of the text, URL or page id; else it is named as the match.")
@click.option("--level", default="", help="Column, question or control of the level.")
@click.option("--rater", default="", help="Column of the rater's name.")
@click.option("--rater-name", default="imported", show_default=True, help="The rater, where no column says it.")
@click.option("--note", default="", help="Column or question of the note.")
@click.option("--criteria", default="", help="Column of an object of criterion to level.")
@click.option(
    "--map", "pairs", multiple=True, metavar="VALUE=LEVEL", help="What a value stands for; VALUE= is no label."
)
@click.option("--form", type=click.Choice(IN_FORMS), default="auto", help="What made the files; else found out.")
@click.option("--assisted", is_flag=True, help="The raters saw what a judge said: kept out of the sealed test.")
@click.option("--dry-run", is_flag=True, help="Say what would be taken over, and write nothing.")
def import_(
    pipeline: Path,
    overrides: tuple[str, ...],
    route: str,
    files: tuple[str, ...],
    pairs: tuple[str, ...],
    form: str,
    assisted: bool,
    dry_run: bool,
    **asked: Any,
) -> None:
    """Take over labels from FILES: CSV, TSV, JSON, JSONL or Parquet, exports of Label Studio, records of Argilla.

    Columns named rater, note, criteria and at are used as they are called. The same label twice is one label; another
    level of the same rater on the same page replaces the first. Rows that cannot be taken are all named, and then nothing
    is written.
    """
    from curate.labels.answers import Asked
    from curate.labels.exchange import take_over
    from curate.labels.reading import incoming
    from curate.looking import plain, sampled
    from curate.progress import for_terminal

    work = sampled(pipeline, overrides, route)
    found = incoming(files, work.rubric, Asked(map=_map(pairs, work.rubric), **asked), form=form)
    for file in found:
        for line in file.said:
            click.echo(plain(f"{file.name}: {line}"))
    taken = take_over(
        work.store,
        work.rubric,
        found,
        pages=work.done("sample"),
        hint="; say what a value stands for with --map, as in --map good=1",
        assisted=assisted,
        dry_run=dry_run,
        progress=for_terminal(),
    )
    click.echo(plain("\n".join(_summary(taken, dry_run))))


def _map(pairs: Sequence[str], rubric: "Rubric") -> dict[str, int | str]:
    """Value to level. Raises BadInput for a level that the rubric does not have."""
    from curate.labels.values import allowed_levels, level_of

    found: dict[str, int | str] = {}
    for pair in pairs:
        value, equals, level = pair.rpartition("=")
        if not equals or not value:
            raise BadInput(f"--map: must be VALUE=LEVEL, as in --map keep=1 (got {pair!r})")
        if level and level_of(rubric, level) is None:
            raise BadInput(f"--map {pair}: {level!r} is no level (allowed: {allowed_levels(rubric)})")
        found[value] = level
    return found


def _summary(taken: "Taken", dry_run: bool) -> list[str]:
    """What was taken over, a line each."""
    lines = [
        f"{taken.read:,} labels read: {taken.new:,} {'would be new' if dry_run else 'new'}, {taken.known:,} known, "
        f"{taken.unmatched:,} without a page in the sample"
    ]
    if taken.empty:
        lines.append(f"{taken.empty:,} rows without a level left out")
    if taken.loosely:
        lines.append(f"matched {taken.loosely:,} more after ignoring white space")
    if taken.missed:
        more = taken.unmatched - len(taken.missed)
        lines.append(f"not in the sample: {'; '.join(taken.missed)}{f'; and {more:,} more' if more else ''}")
    if taken.raters:
        lines.append("raters: " + ", ".join(f"{name} {count:,}" for name, count in sorted(taken.raters.items())))
        lines.append("levels: " + ", ".join(f"{name}: {count:,}" for name, count in taken.levels.items()))
    return lines


@labels.command()
@pipeline_argument
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--form", type=click.Choice(OUT_FORMS), default=None, help="Else by the name of OUT; a folder: datasets.")
@click.option("--with-text", is_flag=True, help="The text of the page in each row of a table.")
@click.option("--split", "splits", default="", metavar="NAMES", help="Only these splits, as in train,val.")
@click.option(
    "--all-words", is_flag=True, help="In a table, also words that were replaced or taken back, skips and flags."
)
@click.option("--anonymous", is_flag=True, help="Number the raters instead of naming them.")
@click.option("--with-test", is_flag=True, help="In a data set to publish, the sealed test too.")
@click.option("--force", is_flag=True, help="Write over OUT.")
def export(
    pipeline: Path,
    overrides: tuple[str, ...],
    route: str,
    out: Path,
    form: str | None,
    with_text: bool,
    splits: str,
    all_words: bool,
    anonymous: bool,
    with_test: bool,
    force: bool,
) -> None:
    """Write the labels to OUT: CSV, JSONL or Parquet with a row a label; tasks of Label Studio or records of Argilla, with
    their labelling form beside them; or a folder that the `datasets` library loads, with a row a page.

    `import` reads each of them again, but the folder.
    """
    from curate.labels import export as exporting
    from curate.looking import sampled

    work = sampled(pipeline, overrides, route)
    wanted = exporting.form_of(out, form or "")
    chosen = exporting.choose(
        work.rubric,
        work.pages(),
        work.store.rows("labels"),
        splits=_splits(splits, sealed=wanted == "datasets" and not with_test),
        all_words=all_words,
        anonymous=anonymous,
        consensus=work.p.label.consensus,
    )
    paths = exporting.write(chosen, out, wanted, with_text=with_text, force=force)
    pages, raters = ({row[key] for row in chosen.rows} for key in ("page_id", "rater"))
    click.echo(f"wrote {len(chosen.rows):,} labels of {len(pages):,} pages by {len(raters):,} raters to {out}")
    for path in paths[1:]:
        click.echo(f"wrote the labelling form to {path}")
    if wanted == "datasets":
        click.echo(_sealed(with_test))
        if not anonymous:
            click.echo("the raters' names are in it (--anonymous numbers them)")


def _sealed(with_test: bool) -> str:
    if with_test:
        return "the sealed test is in it: once it is public, its labels no longer measure anything that saw them"
    return "the sealed test is held back, since publishing it would give it away (--with-test writes it too)"


def _splits(given: str, *, sealed: bool) -> list[str]:
    """The splits that are wanted. Raises BadInput for one that there is not."""
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in SPLITS:
            raise BadInput(f"--split: no split {name!r}{did_you_mean(name, SPLITS)}")
    if sealed and names == ["test"]:
        raise BadInput("--split test: a data set to publish holds the sealed test only with --with-test")
    return [name for name in names or SPLITS if not (sealed and name == "test")]


@labels.command()
@pipeline_argument
@click.argument("page")
@click.argument("level", default="")
@click.option("--rater", default="script", show_default=True, help="Whose word it is.")
@click.option("--note", default="", help="Why.")
@click.option("--criteria", "pairs", multiple=True, metavar="NAME=LEVEL", help="Level of a criterion.")
@click.option("--undo", is_flag=True, help="Take back what the rater said of the page.")
@click.option("--assisted", is_flag=True, help="The rater saw what a judge said: kept out of the sealed test.")
def add(
    pipeline: Path,
    overrides: tuple[str, ...],
    route: str,
    page: str,
    level: str,
    pairs: tuple[str, ...],
    undo: bool,
    **given: Any,
) -> None:
    """Say LEVEL of PAGE (a page id, the beginning of one, or a URL), and print the label's id.

    With - as PAGE, words are read from standard input, a JSON object a line: page, level, rater, note, criteria, undo. All
    are written, or none.
    """
    from curate.labels.saying import Said, say
    from curate.looking import sampled

    if page == "-":
        if level or pairs or undo:
            raise BadInput(
                "curate labels add: with - the words come from standard input; give LEVEL, criteria and undo there"
            )
        words, places = _read(sys.stdin.buffer.read().decode("utf-8", "replace"), given)
    else:
        if bool(level) == undo:
            raise BadInput("curate labels add: give either a LEVEL or --undo")
        words, places = [Said(page, level, criteria=_pairs(pairs), undo=undo, **given)], [""]
    work = sampled(pipeline, overrides, route)
    for name in say(work.store, work.rubric, words, pages=work.done("sample"), places=places):
        click.echo(name)


def _pairs(pairs: Sequence[str]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, level = pair.partition("=")
        if not equals:
            raise BadInput(f"--criteria: must be NAME=LEVEL (got {pair!r})")
        found[name] = level
    return found


def _read(text: str, given: dict[str, Any]) -> "tuple[list[Said], list[str]]":
    """The words on standard input, and the line of each; what a line does not say is as the options have it."""
    from curate.labels.saying import Said

    words, places = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            words.append(Said(**{**given, **_word(number, line)}))
            places.append(f"line {number}: ")
    return words, places


def _word(number: int, line: str) -> dict[str, Any]:
    """The keys of one line. Raises BadInput where it is no word on a page."""
    allowed = {"page": str, "level": int | float | str, "rater": str, "note": str, "criteria": dict, "undo": bool}
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"line {number}: is not JSON ({error})") from error
    if not isinstance(found, dict) or "page" not in found:
        raise BadInput(f"line {number}: must be an object with a page and a level (got {line[:80]!r})")
    for key, value in found.items():
        if key not in allowed:
            raise BadInput(f"line {number}: no key {key!r}{did_you_mean(key, allowed)}")
        if not isinstance(value, allowed[key]):
            raise BadInput(f"line {number}: {key}: cannot be {value!r}")
    return found


for _command in (agreement, suspects, curve):
    labels.add_command(_command)
