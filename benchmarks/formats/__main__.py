"""The command line: ``python -m benchmarks.formats``; ``make bench`` installs the rivals and runs it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from pathlib import Path

from ..machine import machine
from ..measure import Shape
from . import branches, large, latency, report
from .bounds import verdicts
from .runs import Runs
from .versioned_table import VersionedTable
from .work import compare

RIVALS = {
    "ours": ("ours", "Ours"),
    "raw": ("raw_dolt", "RawDolt"),
    "earlier": ("earlier", "EarlierWay"),
    "parquet": ("parquet", "ParquetFiles"),
    "delta": ("delta", "Delta"),
    "delta-partitioned": ("delta", "PartitionedDelta"),
    "iceberg": ("iceberg", "Iceberg"),
    "lance": ("lance", "Lance"),
}
"""The file and the class of each rival."""

JOBS = ("tables", "latency", "branches")
QUICK = (Shape(2_000, 5, 1, 1),)
FULL = (Shape(100_000, 5, 5, 2), Shape(1_000_000, 5, 3, 1), Shape(10_000, 200, 3, 1))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, write the file, and return the exit code."""
    options = _options(argv)
    kinds = _kinds(options.rivals) if options.large is None else []
    described = _machine()
    print(described, flush=True)
    runs, peaks = Runs(), []
    if options.large is not None:
        peaks = report.show_large(large.repeat(options.large, options.repeat))
    elif "tables" in options.jobs:
        for shape in _shapes(options):
            compare(shape, kinds, runs, _say)
    if options.large is None and "latency" in options.jobs:
        latency.compare(options.rounds or (2 if options.quick else 50), runs, _say)
    if options.large is None and "branches" in options.jobs:
        many = 2 * branches.FEW if options.quick else branches.MANY
        branches.compare(options.rounds or (2 if options.quick else 20), many, runs, _say)
    _say("")
    report.show(runs)
    found = [] if options.quick else list(verdicts(runs, peaks))
    hold = report.show_verdicts(found)
    report.write(options.json, described, runs, peaks, found)
    print(f"\nevery run: {options.json}")
    return 1 if options.check and not hold else 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.formats", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2,000 rows, one round: does it run at all?")
    parser.add_argument("--rows", type=int, help="this many rows instead of the usual shapes")
    parser.add_argument("--columns", type=int, default=5, help="with --rows: this many columns (default: 5)")
    parser.add_argument("--rounds", type=int, help="this many rounds of everything")
    parser.add_argument("--rivals", nargs="+", choices=RIVALS, default=list(RIVALS), help="these only")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS), help="these only")
    parser.add_argument(
        "--large",
        type=int,
        nargs="?",
        const=large.ROWS,
        metavar="ROWS",
        help="instead of all else: write and read this many rows (default: 10,000,000) and measure memory",
    )
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="with --large: so many times")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="FILE", help="default: bench.json")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bound is missed")
    return parser.parse_args(argv)


def _kinds(names: Sequence[str]) -> list[type[VersionedTable]]:
    """Return the classes of the rivals; only those that are wanted need to be installed."""
    kinds = []
    for name in names:
        module, kind = RIVALS[name]
        try:
            kinds.append(getattr(import_module(f".{module}", __package__), kind))
        except ModuleNotFoundError as error:
            raise SystemExit(
                f"The rival {name!r} needs the module {error.name}, which is not installed: `make bench` installs all "
                f"of them, and `pip install -e '.[bench]'` does, too. Without them: --rivals ours raw earlier parquet."
            ) from None
    return kinds


def _shapes(options: argparse.Namespace) -> list[Shape]:
    usual = QUICK if options.quick else FULL
    if options.rows is not None:
        usual = (Shape(options.rows, options.columns, 5, 2),)
    if options.rounds is None:
        return list(usual)
    return [Shape(s.rows, s.columns, options.rounds, min(s.slow_rounds, options.rounds)) for s in usual]


def _machine() -> str:
    found = [f"{name} {metadata.version(name)}" for name in ("deltalake", "pyiceberg", "pylance") if _has(name)]
    return ", ".join([machine(), *found])


def _has(distribution: str) -> bool:
    return any(metadata.distributions(name=distribution))


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<60}", end="\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
