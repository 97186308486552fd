"""Cases run in turn (A B A B ...), so that a busy minute falls on all of them alike; one row for each."""

import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One way of doing a thing."""

    name: str
    once: Callable[[], float]
    """One run: sets up, does the work, gives the value in the bench's unit."""
    note: str = ""


@dataclass(frozen=True)
class Result:
    """One row of the results."""

    bench: str
    case: str
    value: float | None
    """Median over the runs; None where the bench cannot run here."""
    unit: str
    ratio: float | None
    """Value over the baseline's value, of the same run."""
    baseline: str | None
    runs: int
    note: str


def rows(bench: str, cases: Sequence[Case], *, unit: str, runs: int, warm: bool = False) -> list[Row]:
    """Run all cases in turn, `runs` times; the first one is the baseline. `warm`: a round before that does not count."""
    if warm:
        for case in cases:
            case.once()
    values: dict[str, list[float]] = {case.name: [] for case in cases}
    for _ in range(runs):
        for case in cases:
            values[case.name].append(case.once())
    base = median(values[cases[0].name])
    return [_row(bench, case, values[case.name], unit, cases[0].name, base) for case in cases]


def cannot_run(bench: str, why: str) -> list[Row]:
    """The row of a bench that cannot run on this machine."""
    return [asdict(Result(bench, "all", None, "", None, None, 0, why))]


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def machine() -> str:
    """What a number was measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{cores} cores{load}, Python {platform.python_version()}"


def _row(bench: str, case: Case, values: list[float], unit: str, baseline: str, base: float) -> Row:
    value, note = median(values), f"{short(min(values))}-{short(max(values))}; {machine()}"
    words = f"{note}; {case.note}" if case.note else note
    return asdict(Result(bench, case.name, _round(value), unit, _round(value / base), baseline, len(values), words))


def short(value: float | None) -> str:
    """Three digits that count; a dash for none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _round(value: float) -> float:
    return float(f"{value:.4g}")
