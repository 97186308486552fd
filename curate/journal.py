"""What was paid for: replies by key, and money by purpose. Both are appended line by line, so `kill -9` costs at most
the line being written."""

import json
import os
import re
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from curate.errors import BadInput, CurateError
from curate.schema import now

_LINE = re.compile(rb'\{"key":("(?:[^"\\]|\\.)*"),"record":.*\}\n', re.DOTALL)


class BudgetSpent(CurateError):
    """The next call could exceed the budget, so it was not made."""


class _Lines:
    """Append-only file of whole lines, made at the first line. One `os.write` a line: readers never see half of one
    unless the disk filled up or the machine died, and then only as the last."""

    def __init__(self, path: Path, *, flags: int = 0) -> None:
        self.path, self._flags = path, flags
        self._fd: int | None = None

    def append(self, line: bytes) -> int:
        """Write one line and return the offset where it starts. Raises CurateError when it cannot be written whole."""
        try:
            fd = self._open()
            self._end_torn_line(fd)
            start = os.lseek(fd, 0, os.SEEK_END)
            if os.write(fd, line) != len(line):
                raise OSError("the disk is full")
        except OSError as error:
            self.close()
            why = error.strerror or str(error)
            raise CurateError(
                f"{self.path}: could not be written ({why}); free some space and run the same again"
            ) from error
        return start

    def _open(self) -> int:
        if self._fd is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | self._flags, 0o644)
        return self._fd

    def _end_torn_line(self, fd: int) -> None:
        """Half a line that another process left must not swallow the next one."""
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            os.write(fd, b"\n")

    def close(self) -> None:
        """Let go of the file; the next line opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class Journal:
    """Replies by key, in a folder of JSONL segments. Each open journal writes a segment of its own, so processes never
    share one; memory holds where each record is, not the record. The first record of a key stays. Thread safe.

    Other processes' records are seen as of the opening. Raises BadInput when the folder is a file.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"{folder}: is not a folder; the journal needs one of its own")
        self.folder = folder
        self._lock = threading.Lock()
        self._segments: list[Path] = []
        self._where: dict[str, tuple[int, int]] = {}
        for path in sorted(folder.glob("*.jsonl")):
            self._load(path)
        self._out: _Lines | None = None

    def get(self, key: str) -> dict[str, Any] | None:
        """The record under a key. A damaged record counts as absent: asking again is cheaper than stopping."""
        with self._lock:
            place = self._where.get(key)
        if place is None:
            return None
        with self._segments[place[0]].open("rb") as file:
            file.seek(place[1])
            line = file.readline()
        try:
            record: dict[str, Any] = json.loads(line)["record"]
        except (ValueError, KeyError):
            return None
        return record

    def put(self, key: str, record: Mapping[str, Any]) -> None:
        """Write a record down; a key that is there already is left as it is. Raises CurateError on a full disk."""
        body = json.dumps({"key": key, "record": dict(record)}, separators=(",", ":"))
        with self._lock:
            if key in self._where:
                return
            if self._out is None:
                self._out = _Lines(self._new_segment(), flags=os.O_EXCL)
            out, self._out = self._out, None
            start = out.append(body.encode("ascii") + b"\n")
            self._out = out  # only reached when the line is whole: a segment with a torn end is never written to again
            self._where[key] = (len(self._segments) - 1, start)

    def __iter__(self) -> Iterator[str]:
        """All keys, as of now."""
        with self._lock:
            return iter(list(self._where))

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, key: str) -> bool:
        return key in self._where

    def close(self) -> None:
        """Let go of the segment. A later `put` starts a new one."""
        with self._lock:
            if self._out is not None:
                self._out.close()
                self._out = None

    def _new_segment(self) -> Path:
        stamp = now().replace(":", "").replace("+0000", "")
        self._segments.append(self.folder / f"{stamp}-{uuid.uuid4().hex[:12]}.jsonl")
        return self._segments[-1]

    def _load(self, path: Path) -> None:
        self._segments.append(path)
        offset = 0
        with path.open("rb") as file:
            for line in file:
                if found := _LINE.fullmatch(line):
                    self._where.setdefault(json.loads(found[1]), (len(self._segments) - 1, offset))
                offset += len(line)


class Paid(Protocol):
    """What the ledger needs to know of a reply."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens sent, cached ones included."""

    @property
    def cached_tokens(self) -> int:
        """Of those, how many the provider had cached."""

    @property
    def completion_tokens(self) -> int:
        """Tokens generated."""

    @property
    def cost_usd(self) -> float:
        """US dollars."""


@dataclass(slots=True)
class Spent:
    """Sums of one purpose."""

    calls: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0

    def plus(self, entry: Mapping[str, Any]) -> None:
        """Count one line of the ledger."""
        self.calls += 1
        self.prompt_tokens += entry["prompt_tokens"]
        self.cached_tokens += entry["cached_tokens"]
        self.completion_tokens += entry["completion_tokens"]
        self.usd += entry["usd"]


class Spend:
    """A ledger file of every paid call, and a budget over all of it (US dollars; None: no limit).

    The sums are read from the file, so processes that share the file share the budget. Thread safe.
    """

    def __init__(self, path: Path, budget_usd: float | None = None) -> None:
        if path.is_dir():
            raise BadInput(f"{path}: is a folder; the ledger needs a file name, such as {path / 'spend.jsonl'}")
        if budget_usd is not None and not budget_usd >= 0:
            raise BadInput(f"budget_usd: must be 0 or more (got {budget_usd})")
        self.path, self.budget_usd = path, budget_usd
        self._lock = threading.Lock()
        self._out = _Lines(path)
        self._sums: dict[str, Spent] = {}
        self._read_to = 0
        self._held = 0.0

    @property
    def total_usd(self) -> float:
        """Everything spent so far, by every process and run that used the file."""
        with self._lock:
            return self._total()

    def by_purpose(self) -> dict[str, Spent]:
        """Sums by what the calls were for (`tune`, `score`, ...)."""
        with self._lock:
            self._catch_up()
            return {purpose: Spent(**_fields(spent)) for purpose, spent in sorted(self._sums.items())}

    def add(self, purpose: str, reply: Paid) -> None:
        """Enter one paid call. Raises CurateError on a full disk."""
        entry = {
            "at": now(),
            "purpose": purpose,
            "prompt_tokens": reply.prompt_tokens,
            "cached_tokens": reply.cached_tokens,
            "completion_tokens": reply.completion_tokens,
            "usd": reply.cost_usd,
        }
        with self._lock:
            self._out.append(json.dumps(entry, separators=(",", ":")).encode("ascii") + b"\n")

    def hold(self, usd: float) -> bool:
        """Set aside what a call may cost, before it is made; a free call always fits.

        False: it fits only if calls in flight cost less than was held for them, so ask again when they are back.
        Raises BudgetSpent when it does not fit at all.
        """
        if self.budget_usd is None or usd <= 0:
            return True
        with self._lock:
            total = self._total()
            if total + self._held + usd <= self.budget_usd:
                self._held += usd
                return True
            if self._held and total + usd <= self.budget_usd:
                return False
        raise BudgetSpent(
            f"budget_usd: ${total:.4f} of ${self.budget_usd:.4f} is spent and the next call may cost ${usd:.4f}; "
            "raise budget_usd and run the same again, nothing is paid twice"
        )

    def release(self, usd: float) -> None:
        """The call that `hold` set this aside for is over."""
        if self.budget_usd is not None:
            with self._lock:
                left = self._held - usd
                self._held = left if left > 1e-12 else 0.0

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._out.close()

    def _total(self) -> float:
        self._catch_up()
        return sum(spent.usd for spent in self._sums.values())

    def _catch_up(self) -> None:
        """Count the whole lines written since the last look, by whichever process."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._read_to)
                lines = file.read()
        except FileNotFoundError:
            return
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read_to += len(whole)
        for line in whole.splitlines():
            if entry := _entry(line):
                self._sums.setdefault(entry["purpose"], Spent()).plus(entry)


def _entry(line: bytes) -> dict[str, Any] | None:
    """A line of the ledger; None for one that a kill or a full disk cut short."""
    try:
        entry: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return entry


def _fields(spent: Spent) -> dict[str, Any]:
    return {name: getattr(spent, name) for name in Spent.__slots__}
