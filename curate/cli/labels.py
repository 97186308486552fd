"""`curate labels`: labels in and out of files, and what they are worth."""

import click

from curate.cli.agreement import agreement, curve, suspects
from curate.cli.exchange import add, export, import_


@click.group()
def labels() -> None:
    """Labels in and out of files, how well raters agree, which labels may be slips, whether more would help."""


for _command in (import_, export, add, agreement, suspects, curve):
    labels.add_command(_command)
