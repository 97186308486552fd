"""Pages of WARC and WET files, record by record, from any stream of bytes; a damaged record costs itself alone.

Mirrors of Common Crawl hold files with damaged gzip members. FastWARC 2.0 and warcio 1.8 both stop at the first one, so
members and records are found here, and after any damage the next one is looked for. What a record holds (headers, HTTP's
headers, Brotli, Zstandard) is read by FastWARC; it reads a whole sound file three times as fast as warcio.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from curate.extract import Extracted, extract
from curate.extract.markup import decode

if TYPE_CHECKING:
    from fastwarc.warc import WarcRecord

LIMIT = 64 << 20
"""Bytes of a record, as stored and as unpacked, over which it is passed over: what one record may cost in memory."""
BLOCK = 1 << 18
"""Bytes read at once."""
HELD = 16 << 20
"""Unpacked bytes of a gzip member that wait for its checksum; a file packed in one piece has more."""
HEAD = 1 << 16
"""Bytes within which a record's own header ends."""
GZIP = b"\x1f\x8b\x08"
START = re.compile(rb"WARC/[01]\.\d+[ \t]*\r?\n")
NEXT = re.compile(START.pattern + rb"(?=WARC-|Content-)", re.I)
LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,18})[ \t]*\r?$", re.I | re.M)
END = re.compile(rb"\r?\n\r?\n")
HTML = re.compile(r"(?:text/html|application/xhtml\+xml)\b", re.I)
PLAIN = re.compile(r"text/plain\b", re.I)
CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.I)
CHUNK = re.compile(rb"\s*([0-9a-f]{1,8})[^\n]{0,200}\n", re.I)
NOT_PAGES = ("metadata:", "urn:", "dns:", "whois:")
"""Addresses of what a crawler writes about itself."""
LOOKS_HTML = re.compile(rb"<\s*(?:!doctype\s+html|html|head|body|title|meta|div|p|h1|table)\b", re.I)

DAMAGED = "damaged record"
TOO_LARGE = f"record over {LIMIT >> 20} MB"
OTHER = "not HTML or text"

Count = Callable[[str, int], object]


def records(file: BinaryIO, *, count: Count) -> Iterator[dict[str, Any]]:
    """The pages of a WARC or WET stream, packed with gzip or not, in order: `url`, `date`, `record_id`, `content_type`,
    `status`, `title`, `lang` and `text`. `file` need not be seekable.

    Records that hold a page which cannot be used are told to `count(reason, amount)`; requests, metadata and the like are
    no pages and pass silently.
    """
    for found in _stored(_Reader(_pieces(file))):
        page = found if isinstance(found, str) else _page(found)
        if isinstance(page, str):
            count(page, 1)
        elif page is not None:
            yield page


def _pieces(file: BinaryIO) -> Iterator[bytes | None]:
    """The stream unpacked, bit by bit: b"" where all so far is known to be sound, None where something is missing."""
    data = file.read(BLOCK)
    if GZIP in data and not data.lstrip().startswith(b"WARC/"):
        yield from _unzipped(data, file)
        return
    while data:
        yield data
        yield b""
        data = file.read(BLOCK)


def _unzipped(data: bytes, file: BinaryIO) -> Iterator[bytes | None]:
    """As `_pieces`, of gzip members. A member's bytes are passed on when its checksum is known to be right, or when they
    are many; those of a damaged member come before the None that tells of it."""
    while data := data.lstrip(b"\0") or file.read(BLOCK):
        member = _Member()
        sound = member.take(data)
        while sound and not member.unzip.eof and (data := file.read(BLOCK)):
            if len(member.out) > HELD:
                yield member.let_go()
                yield b""
            sound = member.take(data)
        if member.out:
            yield bytes(member.out)
        if sound and member.unzip.eof:
            yield b""
            data = member.unzip.unused_data
        else:
            yield None
            data = _next_member(bytes(member.packed[1:]), file)


@dataclass
class _Member:
    """A gzip member being unpacked."""

    packed: bytearray = field(default_factory=bytearray)
    out: bytearray = field(default_factory=bytearray)
    unzip: Any = field(default_factory=lambda: zlib.decompressobj(31))

    def take(self, data: bytes) -> bool:
        """Unpack more; False when it is damaged."""
        self.packed += data
        try:
            self.out += self.unzip.decompress(data)
        except zlib.error:
            return False
        return True

    def let_go(self) -> bytes:
        """What is unpacked so far, to be forgotten here."""
        out = bytes(self.out)
        self.out.clear()
        self.packed.clear()
        return out


def _next_member(data: bytes, file: BinaryIO) -> bytes:
    """The stream from the next start of a gzip member; the search begins inside the damaged one."""
    while True:
        at = data.find(GZIP)
        if at >= 0:
            return data[at:]
        more = file.read(BLOCK)
        if not more:
            return b""
        data = data[-2:] + more


class _Stop(Enum):
    """Where the bytes in hand stop to be continued."""

    SOUND = 0
    GAP = 1
    GAP_IN_RECORD = 2
    END = 3
    END_IN_RECORD = 4


class _Reader:
    """Cuts an unpacked stream into records."""

    def __init__(self, pieces: Iterator[bytes | None]) -> None:
        self.pieces = pieces
        self.data = bytearray()
        self.skip = 0
        self.lost = False

    def next(self) -> bytes | str | _Stop:
        """The next record, or why there is none in its place, or how the stream stops."""
        while True:
            made = self._cut(last=False)
            if made is not None:
                return made
            piece = next(self.pieces, _Stop.END)
            if isinstance(piece, bytes) and piece:
                self.data += piece
                continue
            made = self._cut(last=True)
            if made is not None:
                self.pieces = _again(piece, self.pieces)
                return made
            if piece == b"":
                return _Stop.SOUND
            inside = bool(self.data.strip() or self.skip) and not self.lost
            self.data.clear()
            self.skip, self.lost = 0, False
            if piece is None:
                return _Stop.GAP_IN_RECORD if inside else _Stop.GAP
            return _Stop.END_IN_RECORD if inside else _Stop.END

    def _cut(self, *, last: bool) -> bytes | str | None:
        """A record off the front, or a reason; None: more bytes are needed. `last`: none are to be had just now."""
        if self.skip:
            gone = min(self.skip, len(self.data))
            del self.data[:gone]
            self.skip -= gone
            return None if self.skip else TOO_LARGE
        blank = len(self.data) - len(self.data.lstrip(b"\r\n"))
        del self.data[:blank]
        if not START.match(self.data):
            return self._find(0) if len(self.data) > 32 else None
        self.lost = False
        end = END.search(self.data, 0, HEAD)
        if end is None:
            return self._find(1) if len(self.data) > HEAD else None
        length = LENGTH.search(self.data, 0, end.end())
        if length is None:
            return self._find(1)
        return self._body(end.end() + int(length[1]), last)

    def _body(self, size: int, last: bool) -> bytes | str | None:
        if size > LIMIT:
            self.skip = size
            return self._cut(last=last)
        tail = bytes(self.data[size : size + 4])
        if len(self.data) < size or (len(tail) < 4 and not last):
            return None
        if tail and not tail.startswith((b"\r\n", b"\n", b"WARC")):
            return self._find(1)  # its length is wrong, or bytes of it are missing: it may have swallowed others
        record = bytes(self.data[:size])
        del self.data[:size]
        return record

    def _find(self, start: int) -> str | None:
        """Go on at the next start of a record; the reason is told once for each damage."""
        found = NEXT.search(self.data, start)
        del self.data[: found.start() if found else max(start, len(self.data) - 32)]
        told, self.lost = self.lost, True
        return None if told else DAMAGED


def _again(piece: Any, pieces: Iterator[bytes | None]) -> Iterator[Any]:
    if piece is not _Stop.END:
        yield piece
        yield from pieces


def _stored(reader: _Reader) -> Iterator[bytes | str]:
    """Records, each when it is known to be sound, and reasons in place of those that are not."""
    held: bytes | None = None
    while True:
        found = reader.next()
        if held is not None and found is not _Stop.GAP:
            yield held
        held = found if isinstance(found, bytes) else None
        if isinstance(found, str):
            yield found
        elif found in (_Stop.GAP, _Stop.GAP_IN_RECORD, _Stop.END_IN_RECORD):
            yield DAMAGED
        if found in (_Stop.END, _Stop.END_IN_RECORD):
            return


def _page(raw: bytes) -> dict[str, Any] | str | None:
    """The page of a record, why there is none, or None for a record that is to hold none."""
    from fastwarc.warc import WarcRecord

    try:
        record = WarcRecord.from_bytes(raw)
        kind = (record.headers.get("WARC-Type") or "").lower()
        url = (record.headers.get("WARC-Target-URI") or "").strip("<> ")
        if kind not in ("response", "resource", "conversion") or url.startswith(NOT_PAGES):
            return None
        return _converted(record, url) if kind == "conversion" else _fetched(record, url, kind)
    except (OSError, ValueError, AttributeError):  # the last is how FastWARC 2.0 ends on a record without HTTP headers
        return DAMAGED


def _converted(record: "WarcRecord", url: str) -> dict[str, Any] | str:
    languages = record.headers.get("WARC-Identified-Content-Language") or ""
    text = decode(record.reader.read(), "utf-8")
    return _row(record, url, Extracted(text, lang=languages.split(",")[0].strip()), "text/plain", None)


def _fetched(record: "WarcRecord", url: str, kind: str) -> dict[str, Any] | str:
    headers, status = record.headers, None
    if "application/http" in (headers.get("Content-Type") or ("application/http" if kind == "response" else "")):
        record.parse_http(auto_decode="none", strict_mode=False)
        headers, status = record.http_headers, record.http_headers.status_code
        if status is None:
            return DAMAGED
        if status != 200:
            return "HTTP status not 200"
    declared = headers.get("Content-Type") or record.headers.get("WARC-Identified-Payload-Type") or ""
    if declared and not HTML.match(declared.strip()) and not PLAIN.match(declared.strip()):
        return OTHER
    body = _unpacked(record.reader.read(), headers) if status else record.reader.read()
    if body is None:
        return DAMAGED
    if len(body) > LIMIT:
        return TOO_LARGE
    charset = CHARSET.search(declared)
    name = charset[1] if charset else ""
    if PLAIN.match(declared.strip()):
        return _row(record, url, Extracted(decode(body, name).lstrip("\ufeff")), declared, status)
    if not declared and not LOOKS_HTML.search(body, 0, 1024):
        return OTHER
    return _row(record, url, extract(body, charset=name, url=url), declared or "text/html", status)


def _row(record: "WarcRecord", url: str, page: Extracted, kind: str, status: int | None) -> dict[str, Any] | str:
    text = page.text.replace("\0", "")
    if not text.strip():
        return "no text"
    return {
        "url": url,
        "date": record.headers.get("WARC-Date") or "",
        "record_id": (record.headers.get("WARC-Record-ID") or "").strip("<> "),
        "content_type": kind.partition(";")[0].strip().lower(),
        "status": status,
        "title": page.title,
        "lang": page.lang,
        "text": text,
    }


def _unpacked(body: bytes, headers: Any) -> bytes | None:
    """The body without chunks and compressions; as much of it as there is. Some crawlers unpack and leave the header, so
    what does not look packed is taken as it is. None: it cannot be unpacked."""
    if "chunked" in (headers.get("Transfer-Encoding") or "").lower():
        body = _joined(body)
    for name in reversed((headers.get("Content-Encoding") or "").lower().split(",")):
        way = PACKED.get(name.strip())
        opened = way(body) if way else body
        if opened is None:
            return body if LOOKS_HTML.search(body, 0, 1024) else None
        body = opened
    return body


def _joined(body: bytes) -> bytes:
    """Chunks put together."""
    parts, at = [], 0
    while found := CHUNK.match(body, at):
        size = int(found[1], 16)
        parts.append(body[found.end() : found.end() + size])
        at = found.end() + size
    return b"".join(parts) if parts else body


def _inflated(body: bytes) -> bytes | None:
    """gzip, zlib or bare deflate, whichever it is: servers do not keep to the names."""
    if not body:
        return body
    for bits in (47, -15):
        unzip, out = zlib.decompressobj(bits), b""
        try:
            for at in range(0, len(body), BLOCK):
                out += unzip.decompress(body[at : at + BLOCK], LIMIT + 1 - len(out))
                if len(out) > LIMIT or unzip.eof:
                    break
        except zlib.error:
            pass
        if out:
            return out
    return None


def _brotli(body: bytes) -> bytes | None:
    from fastwarc.stream_io import BrotliReader

    return _read(BrotliReader(BytesIO(body)))


def _zstandard(body: bytes) -> bytes | None:
    from fastwarc.stream_io import ZstdReader

    return _read(ZstdReader(BytesIO(body)))


def _read(packed: Any) -> bytes | None:
    try:
        return bytes(packed.read(LIMIT + 1)) or None
    except OSError:
        return None


PACKED: dict[str, Callable[[bytes], bytes | None]] = {
    "gzip": _inflated,
    "x-gzip": _inflated,
    "deflate": _inflated,
    "br": _brotli,
    "zstd": _zstandard,
}
