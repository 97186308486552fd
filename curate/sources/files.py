"""Where bytes lie: finding and opening files, here and in remote stores."""

import glob
import gzip
import hashlib
import io
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import unquote, urlsplit

import pyarrow as pa

from curate.errors import BadInput
from curate.sources.remote import is_remote, listed, open_remote, path_of, said, shown

WHOLE = 64 << 20
"""Bytes up to which a local file is known by all of its content."""


@dataclass(frozen=True)
class File:
    """One file that a path, folder or glob stands for."""

    path: str
    """Local path, or URI."""
    bytes: int
    """0 where a remote store does not tell."""
    identity: str = ""
    """What a remote store says of the content, without reading it: hash, etag or commit where it knows one, else the
    time of the last change. Empty for local files."""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(path_of(self.path))


def find(pattern: str, below: Path, *, key: str, known: Callable[[list[str]], set[str]]) -> list[File]:
    """The files that a path, folder or glob stands for, sorted by path. Of a folder, and all below it, these are those
    whose names `known` picks, without names that begin with . or _; there may be none. A name that exists is never read
    as a glob.

    Raises BadInput for what does not exist, and for a store that cannot be asked.
    """
    if is_remote(pattern):
        return _find_remote(pattern, key, known)
    wanted = os.path.expanduser(unquote(urlsplit(pattern).path) if pattern.startswith("file://") else pattern)
    whole = below.absolute() / wanted
    globbed = [] if os.path.lexists(whole) else glob.glob(wanted, root_dir=below, recursive=True)
    matches = [path for path in (sorted(below.absolute() / p for p in globbed) or [whole]) if os.path.lexists(path)]
    found = [path for match in matches for path in (_inside(match, known) if match.is_dir() else [match])]
    if not matches:
        raise BadInput(f"{key}: {pattern}: no such file, and no file matches it (looked for {whole})")
    return [File(str(path), path.stat().st_size if path.exists() else 0) for path in found]


def _inside(folder: Path, known: Callable[[list[str]], set[str]]) -> list[Path]:
    names = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if not path.is_dir()}
    return [names[name] for name in _data(names, known)]


def _data(names: Iterable[str], known: Callable[[list[str]], set[str]]) -> list[str]:
    """Of paths inside a folder, those of data."""
    plain = [name for name in names if not any(part.startswith((".", "_")) for part in name.split("/"))]
    chosen = known(plain)
    return sorted((name for name in plain if name in chosen), key=lambda name: name.split("/"))


def _find_remote(pattern: str, key: str, known: Callable[[list[str]], set[str]]) -> list[File]:
    where = f"{key}: {shown(pattern)}"
    try:
        found = listed(pattern, lambda names: _data(names, known))
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    except Exception as error:  # every store has errors of its own; all of them say that it cannot be asked
        raise BadInput(f"{where}: cannot be listed ({said(error)})") from error
    if found is None:
        raise BadInput(f"{where}: no such file, and no file matches it")
    return [File(uri, info.bytes, info.identity) for uri, info in found]


def open_file(path: str) -> pa.NativeFile:
    """A file for reading anywhere in it, by local path or URI. Raises OSError."""
    return open_remote(path) if is_remote(path) else pa.OSFile(path)


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """A file's bytes from begin to end. Raises OSError."""
    with open_file(path) if is_remote(path) else open(path, "rb") as file:
        yield cast(BinaryIO, file)


@contextmanager
def unpacked(path: str) -> Iterator[BinaryIO]:
    """As `opened`, unpacked where the name ends in .gz or .zst."""
    name = path_of(path).lower()
    with opened(path) as raw:
        if name.endswith(".gz"):
            with gzip.GzipFile(fileobj=raw) as file:
                yield cast(BinaryIO, file)
        elif name.endswith(".zst"):
            with pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd") as file:
                yield cast(BinaryIO, io.BufferedReader(file, 1 << 18))
        else:
            yield raw


def digest(path: Path) -> str:
    """SHA-256 of a local file; of one over 64 MiB, of its first and last MiB."""
    found = hashlib.sha256()
    size = path.stat().st_size
    with open(path, "rb") as file:
        if size <= WHOLE:
            for block in iter(lambda: file.read(1 << 20), b""):
                found.update(block)
        else:
            found.update(file.read(1 << 20))
            file.seek(-(1 << 20), os.SEEK_END)
            found.update(file.read())
    return found.hexdigest()
