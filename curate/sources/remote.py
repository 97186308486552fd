"""Remote stores: what lies in them, and its bytes. Only this file speaks pyarrow.fs and fsspec."""

import glob
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from curate.errors import BadInput

NATIVE = ("s3", "gs", "gcs")
"""Stores that Arrow reads by itself; all others go through fsspec."""
PACKAGES = {"az": "adlfs", "abfs": "adlfs", "abfss": "adlfs", "adl": "adlfs", "wasb": "adlfs", "wasbs": "adlfs"}
"""What to install for a kind of store, where fsspec does not say it well."""
IDENTITIES = ("ETag", "etag", "blob_id", "xet_hash", "sha256", "md5Hash", "md5", "crc32c", "checksum")
TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")
PATIENCE_SECONDS = 20
"""How long Google's store is tried again; its own 15 minutes look like a hang where there are no credentials."""


def is_remote(path: str) -> bool:
    """Whether a path is a URI of something else than a local file."""
    return "://" in path and not path.startswith("file://")


def shown(path: str) -> str:
    """A path as it may be shown: without a password or key that stands in it."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", path)


def said(error: BaseException) -> str:
    """What an error says, on one line."""
    return shown(" ".join(str(error).split())[:160]) or type(error).__name__


@dataclass(frozen=True)
class Info:
    """What a store says of a path, without reading it."""

    is_file: bool
    bytes: int
    """0 where it does not tell."""
    identity: str
    """Size, and hash, etag or commit where it knows one, else the time of the last change."""


class _Arrow:
    """A store that Arrow reads by itself."""

    def __init__(self, fs: Any, prefix: str, query: str) -> None:
        self.fs, self.prefix, self.query = fs, prefix, query

    def path(self, uri: str) -> str:
        return _without_query(uri)[0].partition("://")[2].rpartition("@")[2].rstrip("/")

    def uri(self, path: str) -> str:
        return f"{self.prefix}{path}{self.query}"

    def info(self, path: str) -> Info | None:
        return self._info(self.fs.get_file_info(path))

    def below(self, path: str) -> dict[str, Info]:
        from pyarrow.fs import FileSelector

        found = self.fs.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
        return {each.path: info for each in found if (info := self._info(each)) is not None and info.is_file}

    def open(self, path: str) -> pa.NativeFile:
        return self.fs.open_input_file(path)

    def _info(self, found: Any) -> Info | None:
        from pyarrow.fs import FileType

        if found.type == FileType.NotFound:
            return None
        return Info(found.type == FileType.File, found.size or 0, f"{found.size} mtime={found.mtime_ns}")


class Guarded:
    """A file whose failures are OSErrors, whatever its store raises in the middle of a file."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def read(self, size: int = -1) -> bytes:
        """`size` bytes, or all that is left."""
        try:
            return bytes(self._raw.read(size))
        except OSError:
            raise
        except Exception as error:  # every store has errors of its own
            raise OSError(said(error)) from error

    def seek(self, place: int, whence: int = 0) -> int:
        """Go to a place. Raises OSError where the store serves no parts of a file."""
        try:
            return int(self._raw.seek(place, whence))
        except ValueError as error:
            raise OSError(f"the server gives no parts of a file ({said(error)}); download it first") from error

    def tell(self) -> int:
        """The place."""
        return int(self._raw.tell())

    def seekable(self) -> bool:
        """Whether `seek` may be asked."""
        return bool(self._raw.seekable())

    def close(self) -> None:
        """Let go of it."""
        self._raw.close()

    @property
    def closed(self) -> bool:
        """Whether it was let go of."""
        return bool(self._raw.closed)


class _Fsspec:
    """A store that fsspec reads."""

    def __init__(self, fs: Any, prefix: str) -> None:
        self.fs, self.prefix = fs, prefix

    def path(self, uri: str) -> str:
        return str(self.fs._strip_protocol(uri))

    def uri(self, path: str) -> str:
        return (
            path if "://" in path else f"{self.prefix}{path.removeprefix('/') if self.prefix.endswith('/') else path}"
        )

    def info(self, path: str) -> Info | None:
        try:
            return _told(self.fs.info(path))
        except FileNotFoundError as error:
            cause = error.__cause__  # over HTTP every failure is called this
            no_answer = isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)
            if cause and (no_answer or getattr(cause, "status", 404) not in (404, 410)):
                raise OSError(said(cause)) from error
            return None

    def below(self, path: str) -> dict[str, Info]:
        found = self.fs.find(path, detail=True)
        return {name: _told(each) for name, each in found.items()}

    def open(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(Guarded(self.fs.open(path, "rb")), mode="r")


def _told(found: dict[str, Any]) -> Info:
    marks = [f"{key}={found[key]}" for key in IDENTITIES if found.get(key)]
    marks = marks or [f"{key}={_moment(found[key])}" for key in TIMES if found.get(key)]
    size = int(found.get("size") or 0)
    return Info(found.get("type") != "directory", size, f"{size} {' '.join(marks)}")


def _moment(time: Any) -> str:
    """A time in one way, however a store says it."""
    if isinstance(time, int | float):
        time = datetime.fromtimestamp(time, UTC)
    return time.isoformat() if isinstance(time, datetime) else str(time)


def listed(pattern: str, data: Callable[[list[str]], list[str]]) -> list[tuple[str, Info]] | None:
    """The files, by URI, that a URI of a file, folder or glob stands for; of a folder those that `data` picks by their
    paths in it. None where nothing is there. Raises BadInput for a store that cannot be had, and what the store raises."""
    store = _store(pattern)
    path = store.path(pattern)
    info = store.info(path)
    if info is not None and info.is_file:
        return [(store.uri(path), info)]
    if info is None and glob.has_magic(path):
        root = path[: re.search(r"[*?\[]", path).start()].rpartition("/")[0]  # type: ignore[union-attr]
        matches = glob_regex(path)
        inside = store.below(root)
        found = sorted(name for name in inside if matches.fullmatch(name) and "/." not in name)
        return [(store.uri(name), inside[name]) for name in found] or None
    inside = store.below(path) if info is not None else {}
    if not inside:
        return None if info is None else []
    short = {name[len(path.rstrip("/")) + 1 :]: name for name in inside}
    return [(store.uri(short[name]), inside[short[name]]) for name in data(list(short))]


def open_remote(uri: str) -> pa.NativeFile:
    """A file of a store, for reading anywhere in it. Raises OSError."""
    try:
        store = _store(uri)
        return store.open(store.path(uri))
    except (OSError, pa.ArrowException):
        raise
    except Exception as error:  # every store has errors of its own
        raise OSError(said(error)) from error


def glob_regex(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression: `*` stays within a folder, `**` stands for any number of folders."""
    *folders, last = pattern.split("/")
    before = "".join("(?:[^/]+/)*" if part == "**" else f"{_part_regex(part)}/" for part in folders)
    return re.compile(before + (".+" if last == "**" else _part_regex(last)))


def _part_regex(part: str) -> str:
    """One name of a glob."""

    def one(found: re.Match[str]) -> str:
        token = found[0]
        if len(token) > 2 and token.startswith("["):
            negated = token[1] == "!"
            return f"[{'^/' if negated else ''}{_set(token[1 + negated : -1])}]"
        return {"*": "[^/]*", "?": "[^/]"}.get(token[0], re.escape(token))

    return re.sub(r"\[!?\]?[^\]]*\]|\*+|.", one, part)


def _set(inside: str) -> str:
    return re.sub(r"([\\\[\]^])", r"\\\1", inside)


def _store(uri: str) -> Any:
    scheme, _, rest = uri.partition("://")
    if scheme in NATIVE:
        return _arrow_store(scheme, rest.partition("/")[0].partition("?")[0], _without_query(uri)[1])
    return _fsspec_store(scheme, rest.partition("/")[0])


@lru_cache(maxsize=64)
def _arrow_store(scheme: str, authority: str, query: str) -> _Arrow:
    from pyarrow.fs import FileSystem

    kind = "gs" if scheme == "gcs" else scheme
    options = query
    if kind == "gs" and "retry_limit_seconds" not in query:
        options = f"{query}{'&' if query else '?'}retry_limit_seconds={PATIENCE_SECONDS}"
    fs, _ = FileSystem.from_uri(f"{kind}://{authority}{options}")
    user = f"{authority.rpartition('@')[0]}@" if "@" in authority else ""
    return _Arrow(fs, f"{scheme}://{user}", query)


@lru_cache(maxsize=64)
def _fsspec_store(scheme: str, authority: str) -> _Fsspec:
    import fsspec

    try:
        fs, _ = fsspec.core.url_to_fs(f"{scheme}://{authority}/")
    except ImportError as error:
        package = PACKAGES.get(scheme, "")
        raise BadInput(
            f"needs a package that is not here: pip install {package}" if package else said(error)
        ) from error
    except ValueError as error:
        if "Protocol not known" in str(error):
            raise BadInput(f"unknown kind of store {scheme}://") from error
        raise
    return _Fsspec(fs, f"{scheme}://")


def _without_query(uri: str) -> tuple[str, str]:
    """A URI of a store and its options, as in `s3://bucket/key?region=eu-west-1`; a ? without = is part of a glob."""
    found = re.fullmatch(r"(.*?)(\?\w+=.*)", uri)
    return (found[1], found[2]) if found else (uri, "")


def path_of(path: str) -> str:
    """The path in a URI, without options; a local path as it is."""
    if not is_remote(path):
        return path
    return urlsplit(path).path if path.startswith("http") else _without_query(path)[0]
