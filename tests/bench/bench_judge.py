"""The embedded model as a judge, by answer form."""

import json
from collections.abc import Callable
from pathlib import Path

from measure import Case, Row, cannot_run, rows, seconds

from curate import judge as judges
from curate import rubric as rubrics
from curate.judge import Form, Judge, Layout
from curate.llm import Client, Endpoint, Reply
from curate.local_llm import fetch, serve

ROOT = Path(__file__).parents[2]
MODEL, PAGE_CHARS = "qwen2.5-coder-0.5b", 450
RUNS, PAGES = 3, 4
"""Twelve pages a form in all. No page is asked about twice, as the server remembers what it has read."""
ASKED: tuple[tuple[Form, Layout], ...] = (
    ("level", "rubric_first"),
    ("kind", "page_first"),
    ("yesno", "page_first"),
    ("ab", "page_first"),
)


def run(*, quick: bool) -> list[Row]:
    """Pages a second. Before each run one page more is asked about, so that what all pages share has been read."""
    if quick:
        return cannot_run("judge", "skipped with --quick")
    with serve(fetch(MODEL), name=MODEL) as server:
        endpoint = Endpoint(f"openai/{MODEL}", api_base=server.api_base, concurrency=1, timeout_seconds=300)
        with Client(endpoint) as client:
            return rows("judge", _cases(client), unit="pages/s", runs=RUNS)


def _cases(client: Client) -> list[Case]:
    pages, rubric = iter(_pages()), rubrics.load(ROOT / "rubrics" / "stem.md")

    def once(judge: Judge) -> Callable[[], float]:
        def timed() -> float:
            _ask(client, judge, [next(pages)])
            chosen = [next(pages) for _ in range(PAGES)]
            return PAGES / seconds(lambda: _ask(client, judge, chosen))

        return timed

    return [
        Case(
            f"{form}, {layout}",
            once(judges.of_rubric(rubric, form, model=MODEL, layout=layout, page_chars=PAGE_CHARS)),
            f"{PAGE_CHARS} characters of a page{', two questions' if form == 'ab' else ''}",
        )
        for form, layout in ASKED
    ]


def _pages() -> list[str]:
    """Pages of the demo that fill what a judge is shown, so that all are equally long."""
    lines = (ROOT / "pipelines" / "demo" / "pages.jsonl").read_text(encoding="utf-8").splitlines()
    return [text for line in lines if len(text := json.loads(line)["text"]) >= PAGE_CHARS]


def _ask(client: Client, judge: Judge, texts: list[str]) -> None:
    asked = [request for text in texts for request in judges.requests(judge, text)]
    replies = [reply for _, reply in client.complete_many(asked)]
    assert all(isinstance(reply, Reply) and reply.top for reply in replies)
