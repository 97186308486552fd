"""Text made of a row's columns, by a template: for tables whose rows are no pages, such as questions with answers."""

from functools import cache
from typing import Any

import pyarrow as pa

from curate.sources.columns import Count, strings


def variables(template: str) -> set[str]:
    """The columns that a template uses. Raises ValueError, in one line, where it is no Jinja2 template."""
    from jinja2 import TemplateSyntaxError, meta

    try:
        return meta.find_undeclared_variables(_environment().parse(template))
    except TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.message}") from error


def rendered(template: str, table: pa.Table, count: Count) -> pa.Array:
    """The template filled in for each row, as text. Raises ValueError where a row cannot be put in."""
    from jinja2 import TemplateError

    filled = _compiled(template)
    rows = table.select([name for name in table.column_names if name in variables(template)]).to_pylist()
    try:
        texts = [str(filled.render(row)).strip() for row in rows or [{}] * table.num_rows]
    except (TemplateError, TypeError) as error:
        raise ValueError(f"the template does not fit a row: {error}") from error
    return strings(pa.chunked_array([pa.array([t.encode("utf-8", "replace") for t in texts], pa.binary())]), count)


@cache
def _environment() -> Any:
    """Pipeline files are shared: a template must not reach anything but the row."""
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@cache
def _compiled(template: str) -> Any:
    return _environment().from_string(template)
