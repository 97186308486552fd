"""`curate label`: the labelling page in the browser, or labelling in the terminal."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.cli.arguments import pipeline_argument
from curate.cli.showing import show_line
from curate.errors import BadInput

if TYPE_CHECKING:
    from curate.config import Opened
    from curate.web.desk import PipelineDesk


@click.command()
@pipeline_argument
@click.option("--rater", default="", help="Your name, as it is stored with your labels.")
@click.option(
    "--assist",
    is_flag=False,
    flag_value="after",
    type=click.Choice(["after", "before"]),
    help="Show what the judge says: after you have chosen, or before (then the label is marked as assisted). Never for "
    "pages of the sealed test.",
)
@click.option("--adjudicate", is_flag=True, help="Settle the pages that raters part on.")
@click.option("--names", is_flag=True, help="With --adjudicate: say who said what, instead of A and B.")
@click.option(
    "--round",
    "round_",
    type=click.IntRange(min=1),
    help="Only pages of this round of the sample, those first where classifier and judge part or the classifier is unsure.",
)
@click.option(
    "--review",
    type=click.Choice(["suspects"]),
    help="Show again the pages whose labels may be slips; what was said is not shown.",
)
@click.option("--terminal", is_flag=True, help="Label here in the terminal, as over ssh; needs --rater.")
@click.option(
    "--read",
    "reading",
    is_flag=True,
    help="Also serve the pages with what everybody said: not for raters who are to be blind.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; others than loopback need a password, and nothing is encrypted: behind a proxy with TLS, "
    "or through ssh -L, it is.",
)
@click.option(
    "--password",
    is_flag=True,
    help="Ask here for the password of a desk that others can reach; or set CURATE_LABEL_PASSWORD.",
)
@click.option("--port", default=0, help="Port; 0 takes a free one.")
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@click.option("--count", is_flag=True, help="Only take over label files and count.")
def label(
    pipeline: Path,
    overrides: tuple[str, ...],
    route: str,
    rater: str,
    assist: str | None,
    adjudicate: bool,
    names: bool,
    round_: int | None,
    review: str | None,
    terminal: bool,
    reading: bool,
    host: str,
    password: bool,
    port: int,
    no_browser: bool,
    count: bool,
) -> None:
    """Open the labelling page in the browser. Labels are stored one by one as they are given."""
    from curate import pipeline as pipelines
    from curate.config import open_pipeline
    from curate.progress import for_terminal
    from curate.stages import label as stage

    opened = open_pipeline(pipeline, overrides, route=route)
    result = pipelines.run(opened, progress=for_terminal(), until="label", on_line=show_line)
    if not count:
        from curate.web.desk import PipelineDesk

        only = _only(opened, round_, review)
        desk = PipelineDesk(opened, assist=assist or "", only=only, again=bool(review))  # type: ignore[arg-type]
        if terminal:
            _in_terminal(desk, rater)
        else:
            _in_browser(
                desk, opened, rater, host, _password(ask=password), port, no_browser, adjudicate, names, reading
            )
        result = pipelines.run(opened, progress=for_terminal(), until="label", on_line=show_line)
        _show_gain(opened)
    found = stage.Report(**result.records["label"]["report"])
    click.echo(
        pipelines.next_step(opened, found)
        if not found.enough
        else f"enough labels: `curate run {pipeline}` goes on with tune"
    )


def _only(opened: "Opened", round_: int | None, review: str | None) -> list[str] | None:
    """The pages to serve, in order; None for all."""
    from curate import pipeline as pipelines
    from curate.labelling import suspects_of, to_teach

    if round_ and review:
        raise BadInput("--round and --review: give one of them")
    if not round_ and not review:
        return None
    work = pipelines.fresh_records(opened)
    if round_:
        return to_teach(work, round_)
    found = list(dict.fromkeys(one.page_id for one in suspects_of(work)))
    if not found:
        raise BadInput(
            "--review suspects: nothing speaks against any label of train and val; there is nothing to review"
        )
    click.echo(f"{len(found):,} pages to look at again")
    return found


def _show_gain(opened: "Opened") -> None:
    """Whether more labels would help, and how the judge agrees with those there are."""
    from curate import pipeline as pipelines
    from curate.labelling import gain_of

    found, judge = gain_of(pipelines.fresh_records(opened))
    if found.gain:
        click.echo(found.words)
    if len(judge.steps) > 1:
        (before, was), (after, is_) = judge.steps[-2:]
        click.echo(
            f"the judge's AUC on the labels of train and val: {was.text()} after {before:,}, {is_.text()} after {after:,}"
        )


def _password(*, ask: bool) -> str:
    """Never a word of the command line, which others on the machine can list."""
    if ask:
        return str(click.prompt("Password of this desk", hide_input=True, confirmation_prompt=True))
    return os.environ.get("CURATE_LABEL_PASSWORD", "")


def _in_terminal(desk: "PipelineDesk", rater: str) -> None:
    from curate.cli.terminal import sit
    from curate.web.desk import rater_name

    if not rater:
        raise BadInput("--terminal: say who you are, as in --rater anna")
    sit(desk, rater_name(rater))


def _in_browser(
    desk: "PipelineDesk",
    opened: "Opened",
    rater: str,
    host: str,
    password: str,
    port: int,
    no_browser: bool,
    adjudicate: bool,
    names: bool,
    reading: bool,
) -> None:
    from curate.web.app import serve
    from curate.web.reading import Reader
    from curate.web.reading_routes import routes

    serve(
        desk,
        host=host,
        port=port,
        rater=rater,
        password=password,
        open_browser=not no_browser,
        on_ready=lambda url: click.echo(f"{'settle' if adjudicate else 'label'} here: {url} (Ctrl-C ends)"),
        adjudicate=adjudicate,
        names=names,
        more=routes(Reader(opened), links={"Label": "/"}) if reading else (),
    )
