"""What it costs to take a page's text out of its HTML, beside the extractor of Resiliparse, and out of a WARC file."""

import gzip
import io

from generated import texts
from measure import Case, Row, rows, seconds
from resiliparse.extract.html2text import extract_plain_text

from curate.extract import extract
from curate.sources.warc import records

AROUND = "".join(f'<li class="menu-item"><a href="/{i}">Section {i}</a></li>' for i in range(60))
CODE = (
    '<pre class="highlight"><code>'
    + '<span class="k">def</span> <span class="nf">f</span>(x):\n' * 20
    + "</code></pre>"
)
SCRIPT = "<script>" + "var a = [1, 2, 3];\n" * 200 + "</script>"


def run(*, quick: bool) -> list[Row]:
    """Made pages of 30 kB, a tenth of it prose, on one core."""
    pages = [_page(text) for text in texts(30 if quick else 200)]
    packed = b"".join(gzip.compress(_record(page.encode())) for page in pages)
    cases = [
        Case("curate", lambda: len(pages) / seconds(lambda: [extract(page) for page in pages])),
        Case(
            "Resiliparse's main content",
            lambda: len(pages) / seconds(lambda: [extract_plain_text(page, main_content=True) for page in pages]),
            "without code, formulas and tables as text",
        ),
        Case(
            "curate, out of a .warc.gz",
            lambda: len(pages) / seconds(lambda: list(records(io.BytesIO(packed), count=lambda why, amount: None))),
        ),
    ]
    return rows("extract", cases, unit="pages/s", runs=2 if quick else 5, warm=True)


def _page(text: str) -> str:
    words = text.split()
    body = "".join(f"<p>{' '.join(words[i : i + 50])} <b>and</b> x<sup>2</sup></p>" for i in range(0, len(words), 50))
    return f"<html><head><title>A page</title>{SCRIPT * 5}</head><body><ul>{AROUND}</ul>{body}{CODE}<ul>{AROUND}</ul></body></html>"


def _record(page: bytes) -> bytes:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page
    head = f"WARC/1.0\r\nWARC-Type: response\r\nContent-Type: application/http\r\nContent-Length: {len(block)}\r\n\r\n"
    return head.encode() + block + b"\r\n\r\n"
