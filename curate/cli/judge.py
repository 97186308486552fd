"""`curate judge`: look at the frozen judges of a pipeline, compare them, and try one on texts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.cli.arguments import pipeline_argument, texts_of
from curate.errors import BadInput

if TYPE_CHECKING:
    from curate.pipeline import Work

WHICH = "tuned, untuned, or the beginning of a judge's id"


@click.group()
def judge() -> None:
    """Look at the judges of a pipeline, compare two, or try one on texts."""


@judge.command()
@pipeline_argument
@click.option("--which", default="tuned", show_default=True, help=f"{WHICH.capitalize()}.")
@click.option("--json", "as_json", is_flag=True, help="Everything that is frozen, as JSON.")
def show(pipeline: Path, overrides: tuple[str, ...], route: str, which: str, as_json: bool) -> None:
    """Print a judge: what it is, how it asks, what was fitted, and its instruction."""
    from curate import judge as judges

    found = _tuned(pipeline, overrides, route).judge_named(which)
    click.echo(found.model_dump_json(indent=2) if as_json else judges.describe(found))


@judge.command()
@pipeline_argument
@click.argument("a", default="untuned")
@click.argument("b", default="tuned")
def diff(pipeline: Path, overrides: tuple[str, ...], route: str, a: str, b: str) -> None:
    """Say what differs between judges A and B (untuned and tuned where none is named)."""
    from curate import judge as judges

    work = _tuned(pipeline, overrides, route)
    lines = judges.diff(work.judge_named(a), work.judge_named(b))
    click.echo("\n".join(lines) if lines else "the same judge")


@judge.command("try")
@pipeline_argument
@click.argument("texts", nargs=-1, type=click.Path(path_type=Path))
@click.option("--which", default="tuned", show_default=True, help=f"{WHICH.capitalize()}.")
@click.option("--show-prompt", is_flag=True, help="Print the messages and ask nothing.")
def try_(
    pipeline: Path, overrides: tuple[str, ...], route: str, texts: tuple[Path, ...], which: str, show_prompt: bool
) -> None:
    """Ask a judge about text files (or standard input), one JSON line each."""
    from curate import judge as judges
    from curate.progress import for_terminal
    from curate.schema import page_id

    work = _tuned(pipeline, overrides, route)
    frozen = work.judge_named(which)
    work.models.progress = for_terminal()
    with work.models:
        client = None if show_prompt and not frozen.page_tokens else work.client_for(frozen)
        ends = work.models.ends_of(frozen.model, client) if client and frozen.page_tokens else None
        for name, text in texts_of(texts):
            asked = judges.requests(frozen, text, ends=ends)
            if show_prompt:
                click.echo(json.dumps([r.messages for r in asked], ensure_ascii=False, indent=2))
                continue
            complete = (client or work.client_for(frozen)).for_("judge").complete
            shown = judges.view_of(frozen, text, ends).shown
            said = judges.read(frozen, page_id(text), [complete(r) for r in asked], shown=shown)
            click.echo(json.dumps({"file": name, **said.row()}, ensure_ascii=False))


def _tuned(pipeline: Path, overrides: Sequence[str], route: str) -> "Work":
    """Raises BadInput where no judge is tuned yet."""
    from curate import pipeline as pipelines
    from curate.config import open_pipeline

    work = pipelines.fresh_records(open_pipeline(pipeline, overrides, route=route))
    if "tune" not in work.records:
        raise BadInput(f"curate judge: there is no tuned judge yet; run `curate run {pipeline} --until tune`")
    return work
