"""Which of the drawn pages are read: a condition and an order that look at one page at a time and at nothing else."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.compute as pc

from curate import agreement
from curate.errors import BadInput
from curate.labels.truth import truth_of
from curate.labels.words import by_people
from curate.looking import pages_of
from curate.pipeline import Work
from curate.rubric import Rubric
from curate.store import Expressions

SEALED = "test"
SAID = ("labels", "human", "spread", "judge", "expected", "score", "tier", "keep")
"""Columns of what people, the judge and the classifier said: empty for sealed pages, whatever is asked."""
SHOWN = ("page_id", "title", "start", "url", "host", "lang", "split", "round", "chars", *SAID)
MADE = ("chars", "start", *SAID)
"""Columns beside those of the sample."""
MOST_ROWS = 200
LONGEST_SQL = 2000
DIRECTION = re.compile(r"\s+(asc|desc)\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Asked:
    """What a reader asked for."""

    where: str = ""
    order: str = ""
    """One expression, DESC behind it for the other way; empty: a fixed random order."""
    limit: int = 25
    page: int = 1
    """Of the list, from 1."""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """From a query string. Raises BadInput for what cannot be meant."""
        for name in "where", "order":
            if len(query.get(name, "")) > LONGEST_SQL:
                raise BadInput(f"{name}: must be at most {LONGEST_SQL} characters (got {len(query[name])})")
        return cls(
            where=query.get("where", "").strip(),
            order=query.get("order", "").strip(),
            limit=_whole(query, "limit", cls.limit, MOST_ROWS),
            page=_whole(query, "page", cls.page, 10**6),
        )

    def query(self, **changed: Any) -> str:
        """As a query string, without what is as it is anyway."""
        given = {"where": self.where, "order": self.order, "limit": self.limit, "page": self.page, **changed}
        usual = {"where": "", "order": "", "limit": Asked.limit, "page": 1, "sealed": ""}
        return urlencode({name: value for name, value in given.items() if value != usual[name]})


@dataclass(frozen=True)
class Found:
    """One page of the list."""

    rows: list[dict[str, Any]]
    ids: list[str]
    """Of all pages found, in order."""

    def beside(self, page_id: str) -> tuple[str, str]:
        """The page before and the page after, "" where there is none."""
        if page_id not in self.ids:
            return "", ""
        at = self.ids.index(page_id)
        return self.ids[at - 1] if at else "", self.ids[at + 1] if at + 1 < len(self.ids) else ""


def find(work: Work, asked: Asked) -> Found:
    """The drawn pages that meet a condition.

    The condition is evaluated by `store.Expressions` over a table of ours, from which what was said of sealed pages is
    taken out first: it reaches no file, no other table, and not the seal. Raises BadInput for what is no such
    expression, or names no column, in one line.
    """
    order, direction = _order(asked.order)
    expressions = Expressions({"order": order} if order else {}, where=asked.where, key="pages")
    table = _table(work, expressions.columns)
    met = expressions(table)
    if order:
        met = _sorted(met, direction)
    places = met.column("row")
    first = (asked.page - 1) * asked.limit
    rows = table.take(places[first : first + asked.limit]).select(list(SHOWN)).to_pylist()
    return Found(rows, table.column("page_id").take(places).to_pylist())


def _order(given: str) -> tuple[str, str]:
    found = DIRECTION.search(given)
    return DIRECTION.sub("", given), "descending" if found and found[1].lower() == "desc" else "ascending"


def _sorted(met: pa.Table, direction: str) -> pa.Table:
    """By the order's value, where there is none last; those alike as they stood."""
    try:
        return met.sort_by([("order", direction), ("row", "ascending")])
    except (pa.ArrowException, TypeError) as error:
        raise BadInput(
            f"pages.order: {met.schema.field('order').type} cannot be sorted by; give a number or text"
        ) from error


def _table(work: Work, used: set[str]) -> pa.Table:
    """All drawn pages, with the columns that are shown and those that are used, in a fixed random order."""
    asked = [name for name in columns_of(work) if name.lower() in used and name not in SHOWN]
    read = [name for name in SHOWN if name not in ("human", "spread")]
    if "chars" in used:
        asked.append("text")
    table = pages_of(work, where="", limit=None, columns=list(dict.fromkeys([*read, *asked])))
    return _closed(_with_people(table, work))


def columns_of(work: Work) -> list[str]:
    """What conditions may name: the columns of the sample, then those that are made."""
    known = work.store.sql("SELECT * FROM pages LIMIT 0", scopes=work.scopes()).column_names
    return [*(name for name in known if name not in MADE), *MADE]


def _with_people(table: pa.Table, work: Work) -> pa.Table:
    """`human`, what people say together, and `spread`, how far they are apart."""
    human, spread = said_together(work)
    ids = table.column("page_id").to_pylist()
    table = table.append_column("human", pa.array([human.get(i) for i in ids], pa.float64()))
    return table.append_column("spread", pa.array([spread.get(i) for i in ids], pa.int64()))


def said_together(work: Work) -> tuple[dict[str, float], dict[str, int]]:
    """By page: what is true of it (`truth_of`: a word of adjudication, else the raters' levels put together), and how far
    raters are apart: the distance of their levels furthest apart, or how many classes were named beside the first."""
    split = {page["page_id"]: page["split"] for page in work.pages()}
    labels = work.labels()
    human = truth_of(labels, work.rubric, how=work.p.label.consensus, splits=split)
    said = [(row["page_id"], row["rater"], row["level"]) for row in by_people(labels)]
    return human, {page: one.spread for page, one in agreement.consensus(said, scale=work.rubric.scale).items()}


def _closed(table: pa.Table) -> pa.Table:
    """Without what was said of sealed pages."""
    sealed = pc.fill_null(pc.equal(table.column("split"), SEALED), False)
    for name in SAID:
        column = table.column(name)
        empty = pa.nulls(table.num_rows, column.type)
        table = table.set_column(table.column_names.index(name), name, pc.if_else(sealed, empty, column))
    return table


@dataclass(frozen=True)
class Preset:
    """A filter worth a link."""

    name: str
    where: str = ""
    order: str = ""


def presets(rubric: Rubric, threshold: float | None) -> Sequence[Preset]:
    """The questions that are asked most of a labelled sample; `threshold` is the classifier's."""
    worth = _worth(rubric)
    part = Preset("judge and people part", "judge <> human")
    if rubric.scale == "ordinal":
        part = Preset(part.name, "abs(judge - human) >= 1", "abs(judge - human) DESC")
    found = [
        Preset("all pages"),
        part,
        Preset("raters disagree", "spread > 0", "spread DESC"),
        Preset("nobody labelled", "labels = 0"),
    ]
    if threshold is not None and worth:
        found.insert(2, Preset("borderline", "score IS NOT NULL", f"abs(score - {threshold:.4g})"))
        found.insert(3, Preset("kept, people would drop", f"keep AND NOT ({worth})", "score DESC"))
        found.insert(4, Preset("dropped, people would keep", f"NOT keep AND ({worth})", "score"))
    elif isinstance(rubric.keep, int):
        found.insert(2, Preset("borderline", "expected IS NOT NULL", f"abs(expected - {rubric.keep - 0.5:g})"))
    return found


def _worth(rubric: Rubric) -> str:
    """SQL of whether people would keep a page; "" of a quiz. As `Rubric.worth`, between two levels the lower one counts."""
    if isinstance(rubric.keep, int):
        return f"human > {rubric.keep - 0.5:g}"
    return f"human IN ({', '.join(map(str, sorted(rubric.kept)))})" if rubric.kept else ""


def _whole(query: Mapping[str, str], name: str, usual: int, most: int) -> int:
    given = query.get(name) or str(usual)
    if not (given.isascii() and given.isdigit() and len(given) < 8 and 1 <= int(given) <= most):
        raise BadInput(f"{name}: must be a whole number from 1 to {most} (got {given!r:.20})")
    return int(given)
