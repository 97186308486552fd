import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from remote_stores import HubFile, Web, free_port, process, serving

from curate.errors import BadInput, CurateError
from curate.sources import Source, read, shards, source_fingerprint
from curate.sources.files import find
from curate.sources.remote import Guarded, glob_regex, shown

PACKED = gzip.compress(b'{"text": "q"}\n')


def parquet(*texts: str) -> bytes:
    out = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": list(texts)}), out)
    return out.getvalue().to_pybytes()


def texts(path: str | list[str], below: Path) -> list[str]:
    source = Source(path=path)
    found = shards(source, below=below)
    return [text for shard in found for batch in read(source, shard) for text in batch.texts()]


def refusal(path: str, below: Path) -> str:
    with pytest.raises(BadInput) as caught:
        shards(Source(path=path), below=below)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "hits", "misses"),
    [
        ("b/*.parquet", ["b/a.parquet"], ["b/c/a.parquet", "b/a.jsonl"]),
        ("b/**/*.parquet", ["b/a.parquet", "b/c/d/a.parquet"], ["c/a.parquet"]),
        ("b/[ab]?.x", ["b/a1.x"], ["b/c1.x", "b/a.x", "b/a/.x"]),
        ("b/[!a-c.]x", ["b/dx"], ["b/bx", "b/.x"]),
        ("b/a+(1).x", ["b/a+(1).x"], ["b/aa(1).x"]),
        ("b/*/x", ["b/a/x"], ["b/x", "b/a/a/x"]),
    ],
)
def test_globs_in_a_store_mean_what_they_mean_here(
    tmp_path: Path, pattern: str, hits: list[str], misses: list[str]
) -> None:
    for name in [*hits, *misses]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
        assert bool(glob_regex(pattern).fullmatch(name)) == (name in hits)
    assert glob_regex("b/**").fullmatch("b/c/d")
    found = find(pattern, tmp_path, key="path", known=set)
    assert [Path(file.path).relative_to(tmp_path).as_posix() for file in found] == sorted(hits)


def test_a_key_in_a_uri_is_not_shown() -> None:
    assert shown("s3://id:secret/x@bucket/a") == "s3://id:secret/x@bucket/a"
    assert shown("s3://id:secret@bucket/a") == "s3://id:***@bucket/a"
    assert shown("/plain:path@x") == "/plain:path@x"


@pytest.fixture
def memory() -> Iterator[Any]:
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe({"/crawl/a.parquet": parquet("x", "y"), "/crawl/b/c.parquet": parquet("z"), "/crawl/q.jsonl.gz": PACKED})
    store.pipe({"/crawl/_log.jsonl": b"no", "/crawl/b/README.txt": b"no"})
    yield store
    store.rm("/crawl", recursive=True)


def test_a_store_is_listed_globbed_and_read_beside_local_files(tmp_path: Path, memory: Any) -> None:
    (tmp_path / "l.parquet").write_bytes(parquet("local"))
    assert texts("memory://crawl", tmp_path) == ["x", "y", "z", "q"]
    assert texts("memory://crawl/**/*.parquet", tmp_path) == ["x", "y", "z"]
    assert texts(["memory://crawl/b/c.parquet", "l.parquet", "memory://crawl/b"], tmp_path) == ["z", "local"]
    assert refusal("memory://crawl/*.csv", tmp_path).endswith("no such file, and no file matches it")
    assert refusal("memory://nope", tmp_path).endswith("no such file, and no file matches it")


def test_a_file_in_a_store_is_known_by_what_the_store_says(tmp_path: Path, memory: Any) -> None:
    def mark(path: str) -> str:
        return source_fingerprint(Source(path=path), shards(Source(path=path), below=tmp_path))

    first = mark("memory://crawl/a.parquet")
    assert first == mark("memory://crawl/a.par*")
    memory.pipe("/crawl/a.parquet", parquet("x", "other"))
    assert mark("memory://crawl/a.parquet") != first


def test_files_are_read_over_http(tmp_path: Path) -> None:
    files = {"/d/a.parquet": parquet("x", "y"), "/d/q.jsonl.gz": PACKED}
    with serving(Web(files)) as web:
        assert texts([f"{web.url}/d/a.parquet?token=1", f"{web.url}/d/q.jsonl.gz"], tmp_path) == ["x", "y", "q"]
        (shard,) = shards(Source(path=f"{web.url}/d/a.parquet"), below=tmp_path)
        assert (shard.rows, shard.name, "abc" in shard.identity) == (2, "a.parquet", True)
        assert refusal(f"{web.url}/d/none.parquet", tmp_path).endswith("no such file, and no file matches it")
        assert "403" in refusal(f"{web.url}/d/secret.parquet", tmp_path)
    gone = refusal(f"http://127.0.0.1:{free_port()}/d/a.parquet", tmp_path)
    assert "cannot be listed (Cannot connect to host" in gone


def test_a_web_server_that_serves_no_parts_is_one_line(tmp_path: Path) -> None:
    big = parquet(*(os.urandom(1000).hex() for _ in range(10_000)))
    with serving(Web({"/a.parquet": big, "/q.jsonl.gz": PACKED}, ranges=False)) as web:
        assert texts(f"{web.url}/q.jsonl.gz", tmp_path) == ["q"]
        assert "cannot be read as parquet" in refusal(f"{web.url}/a.parquet", tmp_path)


def put_all(store: Any, bucket: str) -> None:
    store.create_dir(bucket)
    for name, data in {
        "a/x.parquet": parquet("x", "y"),
        "a/b/ü y.parquet": parquet("z"),
        "a/_tmp/no.parquet": parquet("no"),
        "a/q.jsonl.gz": PACKED,
    }.items():
        with store.open_output_stream(f"{bucket}/{name}", compression=None) as out:
            out.write(data)


@pytest.mark.slow
def test_s3_is_read_through_arrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyarrow.fs import S3FileSystem

    (tmp_path / "l.parquet").write_bytes(parquet("local"))
    for name, value in {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "key",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    port = free_port()
    with process(["-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port) as host:
        options = f"?region=us-east-1&scheme=http&endpoint_override={host}"
        put_all(
            S3FileSystem(endpoint_override=host, scheme="http", region="us-east-1", allow_bucket_creation=True), "crawl"
        )
        assert texts(f"s3://crawl/a{options}", tmp_path) == ["z", "q", "x", "y"]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        assert texts(["s3://crawl/a/**/[xü]*.parquet", "l.parquet"], tmp_path) == ["z", "x", "y", "local"]
        (shard,) = shards(Source(path="s3://crawl/a/x.parquet"), below=tmp_path)
        assert (shard.path, shard.rows) == ("s3://crawl/a/x.parquet", 2)
        assert re.fullmatch(r"\d+ mtime=\d+", shard.identity)
        for path in ("s3://crawl/none/*.parquet", "s3://crawl/a/none.parquet", "s3://nosuch/a"):
            assert refusal(path, tmp_path).endswith("no such file, and no file matches it")


@pytest.mark.slow
def test_google_storage_is_read_through_arrow(tmp_path: Path) -> None:
    from pyarrow.fs import GcsFileSystem

    port = free_port()
    run = (
        "import sys; from gcp_storage_emulator.server import create_server;"
        "create_server('127.0.0.1', int(sys.argv[1]), in_memory=True, default_bucket='crawl').run()"
    )
    with process(["-c", run, str(port)], port) as host:
        put_all(GcsFileSystem(anonymous=True, scheme="http", endpoint_override=host), "crawl")
        options = f"?scheme=http&endpoint_override={host}"
        assert texts(f"gs://anonymous@crawl/a{options}", tmp_path) == ["z", "q", "x", "y"]
        assert texts(f"gcs://anonymous@crawl/a/*.parquet{options}", tmp_path) == ["x", "y"]
        assert refusal(f"gs://anonymous@crawl/b/*{options}", tmp_path).endswith("no file matches it")


HUB = """
import json, sys
from pathlib import Path
from curate.errors import BadInput
from curate.sources import Source, read, shards
def texts(path):
    source = Source(path=path)
    try:
        return [t for s in shards(source, below=Path()) for b in read(source, s) for t in b.texts()]
    except BadInput as error:
        return str(error)
found = [texts(path) for path in sys.argv[1:]]
print(json.dumps([*found, shards(Source(path=sys.argv[1]), below=Path())[0].identity]))
"""


@pytest.mark.slow
def test_files_of_a_hub_repository_are_read(tmp_path: Path) -> None:
    root = "/datasets/org/set/resolve/main"
    server = Web({f"{root}/data/a.parquet": parquet("x", "y"), f"{root}/data/en/b.jsonl.gz": PACKED})
    server.RequestHandlerClass = HubFile
    with serving(server) as hub:
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path)}
        paths = [f"hf://datasets/org/set/{part}" for part in ("data/*.parquet", "data", "none/*.parquet")]
        asked = [sys.executable, "-c", HUB, *paths, "hf://datasets/org/none/a.parquet"]
        done = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    by_glob, folder, nothing, no_set, identity = json.loads(done.stdout)
    assert (by_glob, folder) == (["x", "y"], ["x", "y", "q"])
    assert nothing.endswith("no such file, and no file matches it")
    assert "\n" not in no_set
    assert no_set.startswith("source.path: hf://datasets/org/none/a.parquet: ")
    assert "blob_id=" in identity


@pytest.mark.parametrize(("scheme", "package"), [("az", "adlfs"), ("abfs", "adlfs")])
def test_a_store_whose_package_is_not_here_says_what_to_install(tmp_path: Path, scheme: str, package: str) -> None:
    if find_spec(package):
        pytest.skip(f"{package} is installed")
    assert refusal(f"{scheme}://box/a.parquet", tmp_path).endswith(f"pip install {package}")


def test_a_store_that_fails_while_it_is_read_is_one_line(tmp_path: Path, memory: Any) -> None:
    source = Source(path="memory://crawl/a.parquet")
    (shard,) = shards(source, below=tmp_path)
    memory.rm("/crawl/a.parquet")
    with pytest.raises(CurateError, match=r"^memory://crawl/a.parquet: cannot be read after row 0 \("):
        list(read(source, shard))


def test_what_a_store_raises_in_the_middle_is_an_os_error() -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            raise RuntimeError("connection lost\nat byte 5")

        def seek(self, place: int, whence: int) -> int:
            raise ValueError("Cannot seek streaming HTTP file")

    with pytest.raises(OSError, match=r"^connection lost at byte 5$"):
        Guarded(Broken()).read(9)
    with pytest.raises(OSError, match=r"the server gives no parts of a file .*; download it first"):
        Guarded(Broken()).seek(9)
