"""The command line. Heavy imports stay inside the commands: `curate --help` answers at once."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from curate import __version__
from curate.cli.arguments import pipeline_argument
from curate.cli.classifier import classifier
from curate.cli.judge import judge
from curate.cli.label import label
from curate.cli.labels import labels
from curate.cli.read import read
from curate.cli.showing import show_line
from curate.errors import BadInput, CurateError, did_you_mean

if TYPE_CHECKING:
    from curate.config import Opened
    from curate.pipeline import Line, Result

STAGES = ("sample", "label", "tune", "score", "distill", "filter", "report")
WAITING = 3
"""Exit code when people must label more pages before the run can go on."""


class Commands(click.Group):
    """Commands in the order of the work, with the nearest name for a wrong one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        order = ["new", "settings", "run", "status", *STAGES, "labels", "judge", "classifier", "pages", "read", "sql"]
        return [name for name in order if name in self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        if found is None:
            raise BadInput(f"curate: no command {cmd_name!r}{did_you_mean(cmd_name, self.commands)}")
        return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="curate")
def cli() -> None:
    """People label a few hundred web pages; curate tunes an LLM judge on them, distills it into a cheap classifier, and
    filters the corpus, with the evidence for each step.

    Begin with `curate run pipelines/demo.yaml`, or with `curate new NAME` for a pipeline of your own.
    """


@cli.command()
@pipeline_argument
@click.option("--until", metavar="STAGE", default="report", help="Last stage to run.")
@click.option(
    "--from",
    "first",
    metavar="STAGE",
    default="",
    help="Run this stage and the later ones again, also where they are fresh.",
)
@click.option("--dry-run", is_flag=True, help="Say what would run, with calls and cost, and do nothing.")
def run(pipeline: Path, overrides: tuple[str, ...], route: str, until: str, first: str, dry_run: bool) -> None:
    """Run all stages of a pipeline that are not fresh.

    Exits with 3 when people must label more pages first; the last line says which command, and how many.
    """
    from curate.config import open_routes

    _known_stage("--until", until)
    _known_stage("--from", first)
    waiting = False
    for opened in open_routes(pipeline, overrides, route=route):
        _show_route(opened)
        if dry_run:
            _show_plan(opened, until, first)
        else:
            waiting |= not _run(opened, until=until, first=first)
    if waiting:
        sys.exit(WAITING)


def _run(opened: "Opened", *, until: str, first: str = "") -> bool:
    """Whether it ran to its end: False where people must label more pages first."""
    from curate import pipeline as pipelines
    from curate.progress import for_terminal

    progress = for_terminal()
    result = pipelines.run(opened, progress=progress, until=until, first=first, on_line=show_line)
    if result.missing_labels:
        click.echo(f"\nStopped before tune: {pipelines.next_step(opened, result.missing_labels)}")
        return False
    _show_end(opened, result, until)
    return True


def _show_route(opened: "Opened") -> None:
    if opened.route:
        click.echo(f"\n{opened.pipeline.name}, route {opened.route}: {opened.rubric.asks}")


@cli.command()
@pipeline_argument
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def status(pipeline: Path, overrides: tuple[str, ...], route: str, as_json: bool) -> None:
    """Say which stages are fresh, which must run, and how many labels there are."""
    from curate import pipeline as pipelines
    from curate.config import open_routes

    found = [(opened, pipelines.plan(opened)) for opened in open_routes(pipeline, overrides, route=route)]
    if as_json:
        click.echo(json.dumps(_as_json(found), indent=2))
        return
    for opened, lines in found:
        _show_route(opened)
        click.echo(f"{opened.pipeline.name}: workspace {opened.workspace}")
        for line in lines:
            show_line(line)
        _show_labels(opened)


def _as_json(found: "list[tuple[Opened, list[Line]]]") -> dict[str, Any]:
    """Of a pipeline, or of each of its routes by name."""
    from curate.pipeline import line_dict

    states = {
        opened.route: {"workspace": str(opened.workspace), "stages": [line_dict(line) for line in lines]}
        for opened, lines in found
    }
    return states.get("", {"routes": states})


def _show_labels(opened: "Opened") -> None:
    from curate import pipeline as pipelines
    from curate.stages import label

    record = pipelines.fresh_records(opened).records.get("label")
    if record is None:
        return
    found = label.Report(**record["report"])
    raters = ", ".join(f"{name} {n}" for name, n in found.raters.items())
    click.echo(f"labels: {found.labelled_pages} pages ({raters})")
    if not found.enough:
        click.echo(pipelines.next_step(opened, found))


@cli.command()
@click.argument("query")
@click.argument("pipeline", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", help="How the answer is printed."
)
@click.option("--route", default="", metavar="NAME", help="The route, where the pipeline has several.")
def sql(query: str, pipeline: Path, form: str, route: str) -> None:
    """Ask the tables of a pipeline with SQL (DuckDB): pages, labels, judgments, candidates, scores, decisions."""
    from curate import pipeline as pipelines
    from curate.config import open_pipeline

    opened = open_pipeline(pipeline, route=route)
    pipelines.workspace_path(opened)
    work = pipelines.fresh_records(opened)
    _show_table(work.store.sql(query, scopes=work.scopes()), form)


@cli.command()
@pipeline_argument
@click.option(
    "--where",
    default="",
    metavar="SQL",
    help="Only pages of which this holds, as in \"split = 'val' AND judge <> human\".",
)
@click.option("--columns", default="", metavar="NAMES", help="Columns to print, with commas between.")
@click.option("--order", default="", metavar="SQL", help="What they are sorted by; else a fixed random order.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=0), help="Most pages to print; 0: all.")
@click.option("--text", is_flag=True, help="Print the whole text, not its beginning.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["cards", "table", "csv", "json"]),
    default="cards",
    help="How they are printed; --columns prints a table.",
)
def pages(
    pipeline: Path,
    overrides: tuple[str, ...],
    route: str,
    where: str,
    columns: str,
    order: str,
    limit: int,
    text: bool,
    form: str,
) -> None:
    """Look at the drawn pages, with what people, the judge and the classifier said of each.

    Conditions may use every column of the source, and: page_id, url, host, title, text, lang, chars, split, round, how,
    stratum, group_id, duplicate_of, labels (how many), human (mean level), judge (level), expected, score, tier, keep.
    """
    from curate.looking import cards, pages_of, sampled

    names = [name.strip() for name in columns.split(",") if name.strip()]
    found = pages_of(
        sampled(pipeline, overrides, route),
        where=where,
        limit=limit,
        columns=names,
        order=order,
        text=text or form == "cards",
    )
    if form != "cards" or names:
        _show_table(found, "table" if form == "cards" else form)
    else:
        click.echo(cards(found.to_pylist(), whole=text))


@cli.command()
@click.argument("prefix", default="")
@click.option("--markdown", is_flag=True, help="As a Markdown table.")
def settings(prefix: str, markdown: bool) -> None:
    """Print every key of a pipeline file with its default and meaning; PREFIX, such as tune, picks some."""
    from curate import config

    known = config.settings()
    rows = [s for s in known if s.key == prefix or s.key.startswith(f"{prefix}." if prefix else "")]
    if not rows:
        raise BadInput(
            f"curate settings: no key {prefix!r}{did_you_mean(prefix, {s.key.split('.')[0] for s in known})}"
        )
    if markdown:
        click.echo("| key | default | meaning |\n|---|---|---|")
    for row in rows:
        if markdown:
            cells = [f"`{row.key}`", f"`{row.default}`" if row.default else "must be given", row.meaning]
            click.echo("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        else:
            click.echo(f"{row.key}: {row.default or '(must be given)'}\n    {row.meaning}")


@cli.command()
@click.argument("name")
@click.option("--like", default="quality", show_default=True, help="The pipeline and rubric to copy.")
def new(name: str, like: str) -> None:
    """Copy a pipeline and its rubric as pipelines/NAME.yaml and rubrics/NAME.md, to start from."""
    from curate.templates import copy_pair

    for path in copy_pair(name, like, Path.cwd()):
        click.echo(f"wrote {path}")
    click.echo(f"next: edit both, then `curate run pipelines/{name}.yaml --dry-run`")


@cli.command()
@pipeline_argument
@click.option("--again", is_flag=True, help="Run it also where it is fresh.")
@click.option("--explain", is_flag=True, help="Only print the rules that tuning added, with the pages that each moved.")
def tune(pipeline: Path, overrides: tuple[str, ...], route: str, again: bool, explain: bool) -> None:
    """Find the answer form and the instruction with which the model agrees best with people."""
    if not explain:
        _run_only("tune", pipeline, overrides, route, again)
        return
    from curate import pipeline as pipelines
    from curate.config import open_pipeline
    from curate.looking import plain
    from curate.stages.tune import explain as explained

    work = pipelines.fresh_records(open_pipeline(pipeline, overrides, route=route))
    if "tune" not in work.records:
        raise BadInput(f"curate tune: nothing is tuned yet; run `curate run {pipeline} --until tune`")
    report = work.record("tune")["report"]
    click.echo(f"{report['form']} form, {report['chosen']}: {report['why']}")
    click.echo(plain(explained(report["explained"])))


def _run_only(stage: str, pipeline: Path, overrides: tuple[str, ...], route: str, again: bool) -> None:
    """One stage, whose earlier stages must be fresh."""
    from curate import pipeline as pipelines
    from curate.config import open_pipeline

    opened = open_pipeline(pipeline, overrides, route=route)
    for line in pipelines.plan(opened, until=stage)[:-1]:
        if line.state != "fresh":
            raise BadInput(
                f"curate {stage}: stage {line.stage} comes before and {line.state}; run `curate run {pipeline} --until {stage}`"
            )
    if not _run(opened, until=stage, first=stage if again else ""):
        sys.exit(WAITING)


def _stage_command(stage: str, words: str) -> click.Command:
    @pipeline_argument
    @click.option("--again", is_flag=True, help="Run it also where it is fresh.")
    def command(pipeline: Path, overrides: tuple[str, ...], route: str, again: bool) -> None:
        _run_only(stage, pipeline, overrides, route, again)

    command.__doc__ = words
    return click.command(name=stage)(command)


for _stage, _words in {
    "sample": "Draw pages from the corpus, group near-duplicates, and seal a test set.",
    "score": "Let the frozen judge say something of every sampled page.",
    "distill": "Train the classifier on the judge's scores and calibrate it on human labels.",
    "filter": "Score the corpus with the classifier and write the kept shards.",
    "report": "Open the sealed test and write report.html and report.json.",
}.items():
    cli.add_command(_stage_command(_stage, _words))


cli.add_command(label)
cli.add_command(labels)
cli.add_command(judge)
cli.add_command(read)
cli.add_command(classifier)


def _known_stage(option: str, stage: str) -> None:
    if stage and stage not in STAGES:
        raise BadInput(f"{option}: no stage {stage!r}{did_you_mean(stage, STAGES)}")


def _show_plan(opened: "Opened", until: str, first: str) -> None:
    from curate import pipeline as pipelines

    lines = pipelines.plan(opened, until=until, first=first)
    for line in lines:
        show_line(line)
    calls = sum(line.calls for line in lines)
    usd = None if any(line.usd is None and line.calls for line in lines) else sum(line.usd or 0 for line in lines)
    if calls:
        click.echo(
            f"in all at most {calls:,} calls, "
            + (
                "cost unknown: set judge.input_usd_per_million and judge.output_usd_per_million"
                if usd is None
                else f"about ${usd:,.2f}"
            )
        )
    if any(line.state == "needs labels" for line in lines):
        _show_labels(opened)


def _show_end(opened: "Opened", result: "Result", until: str) -> None:
    if all(line.state == "fresh" for line in result.lines):
        click.echo("nothing to do: every stage is fresh")
    if until == "sample":
        from curate.looking import sample_text

        click.echo(sample_text(result.records["sample"]["report"]))
    if until != "report":
        return
    from curate.stages.report import as_text

    click.echo()
    filtered = result.records["filter"]["report"] if "filter" in result.records else None
    click.echo(as_text(result.records["report"]["report"], filtered))
    click.echo(f"\nreport  {opened.workspace / result.records['report']['report']['html']}")
    if filtered:
        click.echo(f"kept    {opened.workspace / filtered['folder']}")


def _show_table(table: Any, form: str) -> None:
    rows = table.to_pylist()
    if form == "json":
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2, default=str))
    elif form == "csv":
        import csv

        writer = csv.DictWriter(sys.stdout, table.column_names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        from rich.console import Console
        from rich.table import Table

        shown = Table(*table.column_names)
        for row in rows[:200]:
            shown.add_row(*(_cell(row[name]) for name in table.column_names))
        Console().print(shown)
        click.echo(f"{len(rows):,} rows" + (", 200 shown (--format csv for all)" if len(rows) > 200 else ""))


def _cell(value: Any) -> str:
    from curate.looking import plain

    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    text = plain(" ".join(text.split())).replace("[", "\\[")
    return text if len(text) <= 80 else text[:79] + "…"


@contextmanager
def _edge() -> Iterator[None]:
    """Errors that a user can act on become one line and an exit code; a bug keeps its traceback."""
    try:
        yield
    except CurateError as error:
        click.echo(f"curate: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("curate: stopped; what was paid for is kept, the same command goes on from here", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def main() -> None:
    """The `curate` command."""
    signal.signal(signal.SIGTERM, _terminated)
    with _edge():
        cli.main(standalone_mode=False)


def _terminated(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
