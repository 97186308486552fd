"""`curate read`: read the drawn pages in the browser, with what everybody said of them."""

from pathlib import Path

import click

from curate.cli.arguments import pipeline_argument


@click.command()
@pipeline_argument
@click.option("--host", default="127.0.0.1", show_default=True, help="Loopback address to listen on.")
@click.option("--port", default=0, help="Port; 0 takes a free one.")
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
def read(pipeline: Path, overrides: tuple[str, ...], route: str, host: str, port: int, no_browser: bool) -> None:
    """Read the drawn pages in the browser: labels, judgments and decisions, agreement, and the last report.

    Not for raters who are still to label: they would see what others said. What was said of sealed pages stays closed
    until it is asked for, page by page, and each look is written down.
    """
    from curate.config import open_pipeline
    from curate.web.reading import Reader
    from curate.web.reading_app import serve

    reader = Reader(open_pipeline(pipeline, overrides, route=route))
    serve(
        reader,
        host=host,
        port=port,
        open_browser=not no_browser,
        on_ready=lambda url: click.echo(f"read here: {url} (Ctrl-C ends)"),
    )
