import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from curate.errors import BadInput
from curate.sources.files import digest, find, open_file, opened, unpacked
from curate.sources.formats import data_among


def test_a_file_uri_is_a_local_path(tmp_path: Path) -> None:
    (tmp_path / "a b.parquet").write_bytes(b"x")
    (file,) = find(f"file://{tmp_path}/a%20b.parquet", tmp_path, key="path", known=data_among)
    assert (file.path, file.identity) == (str(tmp_path / "a b.parquet"), "")


def test_packed_files_are_unpacked_by_their_name(tmp_path: Path) -> None:
    for name, data in (
        ("a.gz", gzip.compress(b"one")),
        ("b.zst", pa.compress(b"one", codec="zstd", asbytes=True)),
        ("c.txt", b"one"),
    ):
        (tmp_path / name).write_bytes(data)
        with unpacked(str(tmp_path / name)) as file:
            assert file.read() == b"one"
        with opened(str(tmp_path / name)) as file:
            assert file.read() == data


def test_the_digest_sees_each_byte_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10)
    (tmp_path / "b").write_bytes(b"x" * 9 + b"y")
    assert digest(tmp_path / "a") != digest(tmp_path / "b")


def test_a_file_that_is_gone_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        open_file(str(tmp_path / "none.parquet"))


def test_a_folder_gives_what_is_known_in_it_and_what_is_none_is_refused(tmp_path: Path) -> None:
    for name in ("d/b.parquet", "d/.hidden/a.parquet", "d/_log/a.parquet", "d/c/a.parquet", "e/README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12")
    found = find("d", tmp_path, key="path", known=data_among)
    assert [(file.path, file.name, file.bytes) for file in found] == [
        (str(tmp_path / "d/b.parquet"), "b.parquet", 2),
        (str(tmp_path / "d/c/a.parquet"), "a.parquet", 2),
    ]
    assert find("e", tmp_path, key="path", known=data_among) == []
    with pytest.raises(BadInput, match="path: f: no such file, and no file matches it"):
        find("f", tmp_path, key="path", known=data_among)
