"""What many commands take."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from curate.errors import BadInput


def pipeline_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """The pipeline file, the overrides and the route that every command takes."""
    options: list[Callable[..., Any]] = [
        click.option("--route", default="", metavar="NAME", help="The route, where the pipeline has several."),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="Override a setting, as in judge.page_chars=2000.",
        ),
        click.argument("pipeline", type=click.Path(path_type=Path)),
    ]
    for option in options:
        function = option(function)
    return function


def texts_of(paths: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    """Name and text of each file, or of standard input where none is named. Raises BadInput for one that cannot be read."""
    if not paths:
        yield "-", sys.stdin.buffer.read().decode("utf-8", "replace")
    for path in paths:
        try:
            yield str(path), path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
