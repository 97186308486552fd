import gzip
import io
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fastwarc.stream_io import BrotliWriter
from hypothesis import given
from hypothesis import strategies as st

from curate.sources.warc import LIMIT, records

PAGE = "<html lang=en><title>T</title><body><p>Hello, this is page {}.</p></body></html>"


class Stream:
    """A file that can only be read on, in small pieces."""

    def __init__(self, data: bytes) -> None:
        self.piece = 1000 if len(data) < 1 << 20 else 1 << 16
        self.file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self.file.read(min(size, self.piece))


def record(kind: str, block: bytes, *headers: str, url: str = "http://a.b/") -> bytes:
    lines = ["WARC/1.0", f"WARC-Type: {kind}", f"WARC-Target-URI: {url}", "WARC-Date: 2024-01-02T03:04:05Z",
        "WARC-Record-ID: <urn:uuid:1>", *headers, f"Content-Length: {len(block)}"]  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def response(
    body: bytes, *headers: str, kind: str = "text/html", status: str = "200 OK", url: str = "http://a.b/"
) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {kind}", *headers])
    return record(
        "response", head.encode() + b"\r\n\r\n" + body, "Content-Type: application/http; msgtype=response", url=url
    )


def pages(count: int) -> list[bytes]:
    return [response(PAGE.format(i).encode(), url=f"http://a.b/{i}") for i in range(count)]


def read(data: bytes) -> tuple[list[dict[str, Any]], dict[str, int]]:
    counts: Counter[str] = Counter()
    found = list(records(Stream(data), count=lambda why, n: counts.update({why: n})))  # type: ignore[arg-type]
    return found, dict(counts)


def numbers(found: list[dict[str, Any]]) -> list[int]:
    return [int(page["url"].rpartition("/")[2]) for page in found]


def chunked(body: bytes) -> bytes:
    return (
        b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[i : i + 9] for i in range(0, len(body), 9)))
        + b"0\r\n\r\n"
    )


def brotli(body: bytes) -> bytes:
    out = io.BytesIO()
    with BrotliWriter(out) as writer:
        writer.write(body)
    return out.getvalue()


def test_a_page_with_all_that_is_known_of_it() -> None:
    found, counts = read(response(PAGE.format(1).encode(), kind="text/html; charset=utf-8", url="<http://a.b/>"))
    assert counts == {}
    assert found == [
        {"url": "http://a.b/", "date": "2024-01-02T03:04:05Z", "record_id": "urn:uuid:1", "content_type": "text/html",
         "status": 200, "title": "T", "lang": "en", "text": "Hello, this is page 1."}
    ]  # fmt: skip


@pytest.mark.parametrize(
    "pack", [b"".join, lambda parts: gzip.compress(b"".join(parts)), lambda parts: b"".join(map(gzip.compress, parts))]
)
def test_plain_packed_whole_and_packed_by_record_read_alike(pack: Any) -> None:
    found, counts = read(pack(pages(30)))
    assert numbers(found) == list(range(30))
    assert counts == {}


BODY = PAGE.format("é").encode()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["Transfer-Encoding: chunked"], chunked(BODY)),
        (["Content-Encoding: gzip"], gzip.compress(BODY)),
        (["Content-Encoding: deflate"], zlib.compress(BODY)),
        (["Content-Encoding: deflate"], zlib.compress(BODY)[2:-4]),
        (["Content-Encoding: br"], brotli(BODY)),
        (["Transfer-Encoding: chunked", "Content-Encoding: gzip"], chunked(gzip.compress(BODY))),
        (["Transfer-Encoding: chunked", "Content-Encoding: gzip"], BODY),
        (["Content-Encoding: utf-8"], BODY),
    ],
)
def test_bodies_are_unpacked_as_declared_or_taken_as_they_are(headers: list[str], body: bytes) -> None:
    found, counts = read(response(body, *headers))
    assert [page["text"] for page in found] == ["Hello, this is page é."]
    assert counts == {}


@pytest.mark.parametrize(
    ("text", "codec", "kind", "meta"),
    [
        ("Grüße aus Köln", "iso-8859-1", "text/html; charset=ISO-8859-1", ""),
        ("Grüße aus Köln", "iso-8859-1", "text/html", '<meta charset="iso-8859-1">'),
        ("日本語のページです", "shift_jis", "text/html; charset=Shift_JIS", ""),
        ("日本語のページです", "shift_jis", "text/html", '<meta http-equiv="Content-Type" content="text/html; charset=shift_jis">'),
        ("日本語のページです", "shift_jis", "text/plain; charset=Shift_JIS", ""),
    ],
)  # fmt: skip
def test_characters_by_header_and_by_meta(text: str, codec: str, kind: str, meta: str) -> None:
    found, _ = read(response(f"{meta}{text}".encode(codec), kind=kind))
    assert found[0]["text"] == text


def test_what_is_no_usable_page_is_counted_and_what_is_no_page_is_not() -> None:
    found, counts = read(
        record("warcinfo", b"software: x")
        + record("request", b"GET / HTTP/1.1\r\n\r\n", "Content-Type: application/http; msgtype=request")
        + record("resource", b"log", "Content-Type: text/plain", url="metadata://wget/log")
        + record("revisit", b"HTTP/1.1 200 OK\r\n\r\n")
        + response(b"gone", status="404 Not Found")
        + response(b"", "Location: /x", status="301 Moved")
        + response(b"\x89PNG", kind="image/png")
        + response(b"<html></html>")
        + record("response", b"no http at all", "Content-Type: application/http; msgtype=response")
        + record("resource", b"<p>Kept.</p>", "Content-Type: text/html")
    )
    assert [(page["text"], page["status"]) for page in found] == [("Kept.", None)]
    assert counts == {"HTTP status not 200": 2, "not HTML or text": 1, "no text": 1, "damaged record": 1}


def test_wet_records_are_taken_as_they_are() -> None:
    text = "Erste Zeile\n\n    <p>kein HTML</p>"
    languages = "WARC-Identified-Content-Language: deu,eng"
    wet = record("warcinfo", b"x") + record("conversion", text.encode(), "Content-Type: text/plain", languages)
    found, counts = read(gzip.compress(wet))
    assert (found[0]["text"], found[0]["lang"], found[0]["title"], found[0]["status"]) == (text, "deu", "", None)
    assert (found[0]["content_type"], counts) == ("text/plain", {})


@pytest.mark.parametrize("place", [0.0, 0.1, 0.3, 0.6, 0.95])
def test_a_damaged_member_costs_its_own_record_alone(place: float) -> None:
    members = [gzip.compress(part) for part in pages(9)]
    bad = bytearray(members[4])
    at = int(len(bad) * place)
    for i in range(at, min(at + 6, len(bad))):
        bad[i] ^= 0x5A
    found, counts = read(b"".join([*members[:4], bytes(bad), *members[5:]]))
    assert numbers(found) == [0, 1, 2, 3, 5, 6, 7, 8]
    assert counts == {"damaged record": 1}


def test_a_damaged_first_member_does_not_hide_that_the_file_is_packed() -> None:
    members = [gzip.compress(part) for part in pages(3)]
    found, counts = read(b"\0\1" + members[0][2:] + members[1] + members[2])
    assert (numbers(found), counts) == ([1, 2], {"damaged record": 1})


def test_bytes_lost_from_a_plain_file_cost_their_own_record_alone() -> None:
    parts = pages(5)
    found, counts = read(b"".join([*parts[:2], parts[2][:-40], *parts[3:]]))
    assert (numbers(found), counts) == ([0, 1, 3, 4], {"damaged record": 1})


def test_bytes_lost_from_a_header_cost_their_own_record_alone() -> None:
    parts = pages(5)
    found, counts = read(b"".join([*parts[:2], parts[2].replace(b"Content-Length", b"Content-L", 1), *parts[3:]]))
    assert (numbers(found), counts) == ([0, 1, 3, 4], {"damaged record": 1})


@given(st.integers(0, 10**9), st.booleans())
def test_a_truncated_file_gives_the_pages_before_the_cut(cut: int, packed: bool) -> None:
    parts = [gzip.compress(part) if packed else part for part in pages(4)]
    whole = b"".join(parts)
    found, counts = read(whole[: cut % len(whole)])
    assert numbers(found) == list(range(len(found)))
    ends = [sum(map(len, parts[: i + 1])) - (0 if packed else 4) for i in range(4)]
    assert len(found) == sum(cut % len(whole) >= end for end in ends)
    assert counts.keys() <= {"damaged record"}


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_read(data: bytes, packed: bool) -> None:
    read(gzip.compress(data) if packed else data)
    read(b"WARC/1.0\r\n" + data)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), max_size=4))
def test_flipped_bytes_never_change_a_page_that_is_given(flips: list[tuple[int, int]]) -> None:
    whole = bytearray(b"".join(map(gzip.compress, pages(4))))
    for at, bits in flips:
        whole[at % len(whole)] ^= bits
    for page in read(bytes(whole))[0]:
        assert page["text"] == f"Hello, this is page {page['url'].rpartition('/')[2]}."


def test_empty_files() -> None:
    assert read(b"") == ([], {})
    assert read(gzip.compress(b"")) == ([], {})


def test_a_record_over_the_limit_is_passed_over() -> None:
    first, _, last = pages(3)
    for pack in (bytes, gzip.compress):
        found, counts = read(pack(first) + pack(response(b"a" * LIMIT)) + pack(last))
        assert (numbers(found), counts) == ([0, 2], {"record over 64 MB": 1})


def test_a_body_that_unpacks_to_more_than_the_limit_is_passed_over() -> None:
    found, counts = read(response(gzip.compress(b"a" * (LIMIT + 10)), "Content-Encoding: gzip"))
    assert (found, counts) == ([], {"record over 64 MB": 1})


@pytest.mark.parametrize(("name", "count"), [("dolma-sample-0000.warc.gz", 22), ("dolma-sample-0001.warc.gz", 15)])
def test_real_files_give_every_page(shared_data: Path, name: str, count: int) -> None:
    counts: Counter[str] = Counter()
    with open(shared_data / name, "rb") as file:
        found = list(records(file, count=lambda why, n: counts.update({why: n})))
    assert (len(found), dict(counts)) == (count, {})
    assert all(page["status"] == 200 and page["text"] and page["title"] for page in found)
