"""How lines of a plan or a run are printed."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from curate.pipeline import Line


def show_line(line: "Line") -> None:
    """One stage: what became of it, how long it took, what it cost."""
    from curate.progress import duration

    state = f"{line.state} in {duration(line.seconds)}" if line.state == "done" else line.state
    spent = f", ${line.usd:,.4f}" if line.state == "done" and line.usd else ""
    click.echo(f"{line.stage:8} {state}{spent}{': ' if line.words else ''}{line.words}")
