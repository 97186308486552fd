"""`curate labels agreement | suspects | curve`: what labels are worth, and whether more of them would help."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from curate.cli.arguments import pipeline_argument
from curate.errors import BadInput

if TYPE_CHECKING:
    from curate.labels.agreed import Agreed
    from curate.pipeline import Work
    from curate.rubric import Rubric


@click.command()
@pipeline_argument
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--by", type=click.Choice(["split", "lang", "round"]), help="For the pages of each of these apart.")
def agreement(pipeline: Path, overrides: tuple[str, ...], route: str, as_json: bool, by: str | None) -> None:
    """Say how well the raters agree: together, each against the rest, each pair, each criterion, with 95 % intervals."""
    from curate.labelling import agreement_by, agreement_of

    work = sampled(pipeline, overrides, route)
    if by:
        parts = agreement_by(work, by)
        if as_json:
            click.echo(json.dumps({value: part.as_dict() for value, part in parts.items()}, indent=2))
            return
        tables = [f"{by} {value or '(none)'}\n{_table(part, work.rubric)}" for value, part in parts.items()]
        click.echo("\n\n".join(tables) or "nobody has labelled yet")
        return
    found = agreement_of(work)
    click.echo(json.dumps(found.as_dict(), indent=2) if as_json else _table(found, work.rubric))


@click.command()
@pipeline_argument
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(min=0), help="Most labels to print; 0: all."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def suspects(pipeline: Path, overrides: tuple[str, ...], route: str, limit: int, as_json: bool) -> None:
    """List labels that may be slips, the most doubtful first: where a rater stands alone, where a cross-validated
    classifier or the judge is sure of the opposite. `curate label --review suspects` shows these pages again."""
    from curate.labelling import suspects_of
    from curate.looking import plain

    work = sampled(pipeline, overrides, route)
    found = suspects_of(work)
    shown = found[:limit] if limit else found
    if as_json:
        click.echo(json.dumps([one.as_dict() for one in shown], indent=2))
        return
    names = work.rubric.names
    for one in shown:
        said = f"{one.doubt:.2f}  {one.page_id}  {one.rater} said {names[one.level]}: {'; '.join(one.reasons)}"
        click.echo(plain(said))
    click.echo(
        f"{len(found):,} suspects" + (f", {len(shown)} shown (--limit 0 for all)" if len(shown) < len(found) else "")
    )


@click.command()
@pipeline_argument
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def curve(pipeline: Path, overrides: tuple[str, ...], route: str, as_json: bool) -> None:
    """Say whether more labels would help: what doubling them would bring a cheap classifier, and how the judge agreed with
    people as labels came in."""
    from curate.labelling import gain_of

    found, judge = gain_of(sampled(pipeline, overrides, route))
    if as_json:
        steps = [{"labels": n, **auc.as_dict()} for n, auc in judge.steps]
        click.echo(json.dumps({**found.as_dict(), "judge": steps}, indent=2))
        return
    for point in found.points:
        click.echo(f"{point.labels:6,} labels  AUC {point.auc:.3f} +-{point.error:.3f}")
    click.echo(found.words)
    for n, auc in judge.steps:
        click.echo(f"{n:6,} labels  the judge's AUC {auc.text()}")


def sampled(pipeline: Path, overrides: Sequence[str], route: str) -> "Work":
    """The pipeline's work. Raises BadInput where no pages are drawn yet."""
    from curate import pipeline as pipelines
    from curate.config import open_pipeline

    work = pipelines.fresh_records(open_pipeline(pipeline, overrides, route=route))
    if "sample" not in work.records:
        raise BadInput(f"curate labels: no pages are drawn yet; run `curate run {pipeline} --until sample`")
    return work


def _table(found: "Agreed", rubric: "Rubric") -> str:
    from curate.looking import plain

    lines = [
        f"{found.labels:,} labels of {found.pages:,} pages by {len(found.raters)} raters; {found.shared:,} pages have two or more"
    ]
    if found.shared:
        lines.append(f"{'two raters say the same':34}{found.exact.text()}")
        if found.same_side:
            lines.append(f"{'two raters on the same side':34}{found.same_side.text()}")
        named = [f"Krippendorff's alpha, {kind}" for kind, _ in found.alpha]
        lines += [f"{name:34}{alpha.text()}" for name, (_, alpha) in zip(named, found.alpha, strict=True)]
        lines += [f"{f'one against the rest: {name}':34}{e.text()}" for name, e in found.ceiling]
        lines += [
            "",
            f"{'rater':16}{'labels':>7}{'keeps':>7}  as the others      kappa              level above the others",
        ]
        for one in found.raters:
            keeps = "-" if one.keeps is None else f"{one.keeps:.2f}"
            kappa, bias = (e.text() if e else "-" for e in (one.kappa, one.bias))
            lines.append(f"{one.name:16.16}{one.labels:7,}{keeps:>7}  {one.same.text():19}{kappa:19}{bias}")
        for pair in found.pairs:
            level = f", levels {pair.level.text()}" if pair.level else ""
            keep = f" keep kappa {pair.keep.text()}" if rubric.kept else ""
            lines.append(f"{pair.raters[0]} and {pair.raters[1]}:{keep}{level} on {pair.keep.n} pages")
        lines += [
            f"criterion {name}: the same {same.text()}, alpha {alpha.text()}" for name, same, alpha in found.criteria
        ]
    return plain("\n".join([*lines, "", found.more, *([found.note] if found.note else [])]))
