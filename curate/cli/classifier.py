"""`curate classifier`: look at the classifier of a pipeline, score files with it, and take it elsewhere."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate.errors import BadInput

if TYPE_CHECKING:
    from curate.classifier import PageClassifier

OUT_KINDS = (".parquet", ".jsonl", ".csv")


@click.group()
def classifier() -> None:
    """Look at the classifier of a pipeline, score files with it, or take it elsewhere.

    WHERE is a pipeline file, whose newest classifier is meant, or the folder of a classifier.
    """


@classifier.command()
@click.argument("where", type=click.Path(path_type=Path))
@click.option("--route", default="", metavar="NAME", help="The route, where the pipeline has several.")
def show(where: Path, route: str) -> None:
    """Print a classifier's card: what it is, where it came from, how well it agrees with people."""
    from curate.card import card

    click.echo(card(found(where, route).record()), nl=False)


@classifier.command()
@click.argument("where", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True)
@click.option("--text", "column", default="text", show_default=True, help="Column of the text.")
@click.option("--template", default="", help="Instead of --text: a Jinja2 template of a row's columns.")
@click.option(
    "--out", type=click.Path(path_type=Path), help=f"File to write: {', '.join(OUT_KINDS)}; else JSON lines here."
)
@click.option("--route", default="", metavar="NAME", help="The route, where the pipeline has several.")
def score(where: Path, files: tuple[str, ...], column: str, template: str, out: Path | None, route: str) -> None:
    """Score the pages of files (Parquet, JSONL, CSV, Arrow, WARC, text; paths, globs, remote stores).

    Prints a row a page: shard, row, page_id, probability that people would keep it, keep where the classifier has a
    threshold, and every level, class or criterion it has learned.
    """
    if out and out.suffix not in OUT_KINDS:
        raise BadInput(f"--out: must end in {', '.join(OUT_KINDS)} (got {out.name})")
    if out and out.exists():
        raise BadInput(f"--out: {out} is there already; nothing is overwritten")
    made = found(where, route)
    rows = _scored(made, files, column, template)
    if out:
        click.echo(f"{_write(out, rows):,} pages scored: {out}", err=True)
        return
    import json

    for batch in rows:
        for row in batch:
            click.echo(json.dumps(row, ensure_ascii=False))


@classifier.command()
@click.argument("where", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--with-embedder", is_flag=True, help="Put the embedder's files beside it, so that no other model is needed."
)
@click.option("--route", default="", metavar="NAME", help="The route, where the pipeline has several.")
def export(where: Path, folder: Path, with_embedder: bool, route: str) -> None:
    """Write the classifier as a folder that loads on any machine and can go to a model hub as it is."""
    made = found(where, route)
    if with_embedder and not made.needs_embedding:
        click.echo("it reads no embedding, so no embedder goes with it", err=True)
    made.save(folder, with_embedder=with_embedder and made.needs_embedding)
    click.echo(f"wrote {folder}; it loads with curate.load_classifier({str(folder)!r})")


def found(where: Path, route: str = "") -> "PageClassifier":
    """The classifier of a folder, or the newest one of a pipeline. Raises BadInput where there is none."""
    from curate import pipeline as pipelines
    from curate.classifier import PageClassifier
    from curate.config import open_pipeline

    if where.is_dir():
        return PageClassifier.load(where)
    work = pipelines.fresh_records(open_pipeline(where, route=route))
    records = [work.record("distill")] if "distill" in work.records else work.store.records("distill")
    if not records:
        raise BadInput(f"curate classifier: {where} has no classifier yet; run `curate run {where} --until distill`")
    return PageClassifier.load(work.store.root / "classifiers" / records[-1]["report"]["classifier_id"])


def _scored(made: "PageClassifier", files: Sequence[str], column: str, template: str) -> Iterator[list[dict[str, Any]]]:
    """Rows of the pages, a batch at a time. A page without text has no numbers."""
    from curate.sources import Source, check_columns, read, shards

    source = Source(path=list(files), template=template) if template else Source(path=list(files), text=column)
    for shard in shards(source, below=Path.cwd(), key="FILES"):
        check_columns(source, shard, key="FILES")
        for batch in read(source, shard):
            texts = batch.texts()
            readable = [i for i, text in enumerate(texts) if text.strip()]
            said = made.predict_all([texts[i] for i in readable])
            values = dict(zip(readable, _rows(made, said), strict=True))
            yield [
                {"shard": shard.name, "row": batch.first_row + i, "page_id": batch.page_id(i), **values.get(i, {})}
                for i in range(len(batch))
            ]


def _rows(made: "PageClassifier", said: dict[str, Any]) -> list[dict[str, Any]]:
    probability = made.probability_of(said["score"]) if made.calibration_ else said["score"]
    columns: dict[str, Any] = {"probability": probability}
    if made.threshold_:
        columns["keep"] = probability >= made.threshold_.value
    columns |= {name: values for name, values in said.items() if name != "score"}
    return [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]


def _write(out: Path, rows: Iterator[list[dict[str, Any]]]) -> int:
    """Write the rows, whole or not at all; how many there are."""
    import pyarrow as pa

    from curate.store import whole, write_parquet, write_text

    everything = [row for batch in rows for row in batch]
    names = dict.fromkeys(name for row in everything for name in row)
    table = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in everything])
    if out.suffix == ".parquet":
        write_parquet(out, table)
    elif out.suffix == ".csv":
        from pyarrow import csv

        with whole(out) as temporary:
            csv.write_csv(table, temporary)
    else:
        import json

        write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in everything))
    return len(everything)
