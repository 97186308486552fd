"""Run the benchmarks, print a table, write results.json.

A number by itself says little, as machines differ: read the ratios, which compare cases that ran in turn in the same
run. With --only the results are written only where --out says, so that a part never takes the place of the whole.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

from measure import Row, cannot_run, machine, short

from curate.errors import CurateError
from curate.store import write_json

BENCHES = ("classifier", "cli", "client", "extract", "features", "filter", "sample", "sources", "store", "judge")
RESULTS = Path(__file__).with_name("results.json")


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAME", choices=BENCHES, help=f"one bench: {', '.join(BENCHES)}")
    parser.add_argument("--quick", action="store_true", help="less work and fewer runs; no embedded model")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=f"where results go (default: {RESULTS.name}, beside this)"
    )
    options = parser.parse_args(arguments)
    found: list[Row] = []
    for name in [options.only] if options.only else BENCHES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        found += _rows_of(name, options.quick)
    print(f"{machine()}; median over the runs, ratio to the baseline (=) of the same bench")
    print(table(found))
    if out := options.out or (None if options.only else RESULTS):
        write_json(out, found)


def _rows_of(name: str, quick: bool) -> list[Row]:
    try:
        return import_module(f"bench_{name}").run(quick=quick)
    except CurateError as error:  # what a user can mend, such as weights that cannot be had; the other benches go on
        return cannot_run(name, str(error))


def table(found: list[Row]) -> str:
    """The rows as aligned text; those that could not run say why."""
    cells = [("bench", "case", "value", "unit", "ratio", "runs", "min-max")]
    for row in found:
        ratio = "=" if row["case"] == row["baseline"] else short(row["ratio"])
        words = row["note"].split(";")[0] if row["value"] is not None else row["note"]
        cells.append((row["bench"], row["case"], short(row["value"]), row["unit"], ratio, str(row["runs"]), words))
    widths = [max(len(line[i]) for line in cells) for i in range(6)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in (2, 4, 5) else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, [*widths, 0], strict=True))
        ).rstrip()
        for line in cells
    )


if __name__ == "__main__":
    main()
