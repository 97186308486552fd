"""The pages that are read: `/pages`, `/pages/ID`, `/agreement` and `/report`. They show what everybody said, so they are
served only where the command says so: a rater at the desk stays blind to the others."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from curate.errors import BadInput
from curate.labelling import agreement_of, suspects_of
from curate.labels.agreed import Agreed
from curate.labels.suspects import Suspect
from curate.labels.words import labels_fingerprint
from curate.looking import plain
from curate.web.reading import Reader
from curate.web.reading_query import LONGEST_SQL, Asked, Found

HERE = Path(__file__).parent
MOST_SUSPECTS = 30
"""Doubtful labels that are listed."""
FOLD_CHARS = 20_000
"""Characters of a page before its fold."""
CLOSED = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
POLICY = f"{CLOSED}; style-src 'self'; img-src 'self'; form-action 'self'"
"""Of pages that are read: no script at all; the filter is a form, and sends to us alone."""
REPORT_POLICY = f"{CLOSED}; style-src 'unsafe-inline'; img-src data:; form-action 'none'"
"""Of the report, which carries its styles in itself, and no script."""
BACK = (
    '<nav style="padding:.7rem 1.25rem 0;font-size:.9rem"><a style="color:var(--mark)" href="/pages">← pages</a></nav>'
)


def routes(reader: Reader, *, links: Mapping[str, str] | None = None) -> list[BaseRoute]:
    """The routes, to stand behind the same gate as the desk. `links` are the other places to go, name to path."""
    served = _Reading(reader, dict(links or {}))
    return [
        Route("/pages", served.pages),
        Route("/pages/{page_id:path}", served.page),
        Route("/agreement", served.agreement),
        Route("/report", served.report),
    ]


class _Reading:
    """What the routes answer; plain functions, which Starlette runs in threads beside the event loop."""

    def __init__(self, reader: Reader, links: dict[str, str]) -> None:
        self.reader, self.links = reader, links
        self._agreed: tuple[str, Agreed, list[Suspect]] | None = None

    def pages(self, request: Request) -> Response:
        """The list, with its filter; what is wrong with a filter stands above it, and the words stay in their fields."""
        query = request.query_params
        asked, found, problem = Asked(query.get("where", ""), query.get("order", "")), Found([], []), ""
        try:
            asked = Asked.of(query)
            found = self.reader.find(asked)
        except BadInput as error:
            problem = str(error)
        return self._html(
            "pages.html.j2",
            status=400 if problem else 200,
            here="Pages",
            asked=asked,
            found=found,
            problem=problem,
            presets=self.reader.presets(),
            columns=self.reader.columns(),
            longest=LONGEST_SQL,
        )

    def page(self, request: Request) -> Response:
        """One page, with what is known of it."""
        page_id, query = request.path_params["page_id"], request.query_params
        page = self.reader.page(page_id, unseal=query.get("sealed") == "show")
        if page is None:
            return self._html("no-page.html.j2", status=404, here="Pages", wanted=page_id)
        asked, beside = self._among(query, page_id)
        return self._html("page.html.j2", here="Pages", page=page, asked=asked, beside=beside, fold=FOLD_CHARS)

    def _among(self, query: Mapping[str, str], page_id: str) -> tuple[Asked, tuple[str, str]]:
        """The list that the page was opened from, and its neighbours there."""
        try:
            asked = Asked.of(query)
            return asked, self.reader.find(asked).beside(page_id)
        except BadInput:
            return Asked(), ("", "")

    def agreement(self, request: Request) -> Response:
        """How well people agree; counted anew when there are new labels."""
        work = self.reader.work()
        name = labels_fingerprint(work.labels())
        if self._agreed is None or self._agreed[0] != name:
            self._agreed = name, agreement_of(work), suspects_of(work)
        _, agreed, suspects = self._agreed
        titles = {page["page_id"]: page["title"] or page["host"] or page["page_id"] for page in work.pages()}
        return self._html(
            "agreement.html.j2",
            here="Agreement",
            agreed=agreed,
            suspects=suspects[:MOST_SUSPECTS],
            more_suspects=max(0, len(suspects) - MOST_SUSPECTS),
            titles=titles,
        )

    def report(self, request: Request) -> Response:
        """The newest report as it was written; it loads nothing and runs nothing."""
        path = self.reader.report()
        if path is None:
            return self._html("no-report.html.j2", status=404, here="Report")
        html = path.read_text(encoding="utf-8").replace("<body>", f"<body>{BACK}", 1)
        return HTMLResponse(html, headers={"content-security-policy": REPORT_POLICY})

    def _html(self, template: str, *, status: int = 200, **values: Any) -> Response:
        opened = self.reader.opened
        html = (
            environment()
            .get_template(template)
            .render(
                values,
                pipeline=opened.pipeline.name,
                rubric=opened.rubric,
                command=f"curate run {opened.file}",
                links={**self.links, "Pages": "/pages", "Agreement": "/agreement", "Report": "/report"},
            )
        )
        return HTMLResponse(html, status_code=status, headers={"content-security-policy": POLICY})


@functools.cache
def environment() -> Any:
    """The templates; everything put into them is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from curate.stages.report.wording import estimate, number

    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {"plain": _plain, "number": number, "estimate": estimate, "path": _path}
    found.filters |= filters
    return found


def _path(page_id: str) -> str:
    return quote(page_id, safe="")


def _plain(text: str | None) -> str:
    return plain(text or "")
