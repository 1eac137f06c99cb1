"""The command line of the benchmark: ``python -m benchmarks``; ``--help`` says what it can do."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from . import decks, memory, pods, profiles, sqlalchemy
from .aims import AIMS, memory_verdicts
from .machine import machine
from .measure import Results, Shape, interleaved
from .rivals import JOBS, RIVALS, WRITES, Earlier, Ours, Pandas, PandasRead, RawWrite, Rival, TextRead

TITLES = {
    "write": "write new values into all rows, one commit",
    "unchanged": "write the unchanged frame again, no commit",
    "scattered": "write with 1 % of the rows changed, scattered",
    "together": "write with 1 % of the rows changed, together",
    "read": "read",
    "older": "read as of the first commit",
    **{name: f"a select by {name}" for name in sqlalchemy.SERVERS},
}
QUICK = (Shape(1_000, 5, 3, 1), Shape(5_000, 5, 2, 1))
USUAL = (Shape(1_000, 5, 25, 5), Shape(100_000, 5, 5, 2))
FULL = (*USUAL, Shape(1_000_000, 5, 3, 1), Shape(10_000, 200, 3, 1))
DECKS = ((10_000, 5), (100_000, 5), (100_000, 20), (1_000_000, 5))
"""Rows and columns of the tables whose decks are measured; the last one with ``--full``."""
MEMORY_RIVALS: tuple[type[Rival], ...] = (Ours, RawWrite, TextRead, Earlier, Pandas, PandasRead)
MIB = 2**20


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    options = _options(argv)
    if options.memory_of:
        kind = next(kind for kind in RIVALS if kind.name == options.memory_of)
        print(memory.here(kind, rows=options.rows, columns=options.columns))
        return 0
    print(machine(), flush=True)
    jobs = [job for job in JOBS if job in (options.only or JOBS)]
    everything = [_measured(shape, jobs) for shape in _shapes(options)] if jobs else []
    reached = [_show_aims(results) for results in everything]
    if options.only is None or "sql" in options.only:
        # Filling tables of a million rows would take longer than all the rest.
        shapes = [shape for shape in _shapes(options) if shape.rows <= 100_000 and shape.columns == 5]
        everything += [_measured_sql(shape) for shape in shapes]
        reached += [_show_aims(results) for results in everything[len(reached) :]]
    wants_profiles = options.only is None or "profiles" in options.only
    costs = _measured_profiles(options) if wants_profiles else []
    wants_pods = options.only is None or "pods" in options.only
    fresh = _measured_pods(options) if wants_pods else None
    shown = _measured_decks(options) if options.only is None or "decks" in options.only else []
    wants_memory = options.only is None or "memory" in options.only
    rows = options.rows or (5_000 if options.quick else 1_000_000 if options.full else 100_000)
    peaks = _peaks(rows, options.columns) if wants_memory else []
    reached.append(_show_verdicts("memory", memory_verdicts(peaks)))
    if options.json:
        values = {"times": [asdict(r) for r in everything], "memory": [asdict(peak) for peak in peaks]}
        values["profiles"] = [asdict(cost) for cost in costs]
        values["decks"] = [asdict(deck) for deck in shown]
        values["pods"] = [asdict(run) for run in fresh.runs] if fresh is not None else []
        Path(options.json).write_text(json.dumps(values, indent=1))
    return 1 if options.check and not all(reached) else 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small frames and few rounds: does it run at all?")
    size.add_argument(
        "--full",
        action="store_true",
        help="a million rows and 200 columns, too, as `make bench-dolt` does (some 30 minutes)",
    )
    parser.add_argument("--rows", type=int, help="this many rows instead of the usual sizes")
    parser.add_argument("--columns", type=int, default=5, help="with --rows: this many columns (default: 5)")
    parser.add_argument("--rounds", type=int, help="this many rounds")
    parser.add_argument(
        "--only", nargs="+", choices=(*JOBS, "sql", "profiles", "pods", "decks", "memory"), help="these jobs only"
    )
    parser.add_argument("--json", metavar="FILE", help="write every single time there")
    parser.add_argument("--check", action="store_true", help="exit with 1 when an aim is missed")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _measured_profiles(options: argparse.Namespace) -> list[profiles.Cost]:
    sizes = (1_000,) if options.quick else profiles.ROWS if options.full else profiles.ROWS[:2]
    print(f"\nprofiles and shifts; a sample has {profiles.SAMPLE:,} rows:", flush=True)
    found = []
    for rows in sizes if options.rows is None else (options.rows,):
        for cost in profiles.measured(rows, options.rounds or 3):
            print(cost, flush=True)
            found.append(cost)
    return found


def _shapes(options: argparse.Namespace) -> list[Shape]:
    usual: tuple[Shape, ...] = QUICK if options.quick else FULL if options.full else USUAL
    if options.rows is not None:
        usual = (Shape(options.rows, options.columns, 5, 2),)
    if options.rounds is None:
        return list(usual)
    return [Shape(s.rows, s.columns, options.rounds, min(s.slow_rounds, options.rounds)) for s in usual]


def _measured(shape: Shape, jobs: Sequence[str]) -> Results:
    # pandas needs minutes for one write of the large shapes.
    kinds = [kind for kind in RIVALS if kind is not Pandas or shape.rows * shape.columns <= 1_000_000]
    with tempfile.TemporaryDirectory(prefix="dolt-bench-", ignore_cleanup_errors=True) as folder:
        results = interleaved(shape, kinds, jobs, folder=Path(folder), say=_progress)
    _progress("")
    print(f"\n{shape}; first start of the server {results.first_start_s * 1000:.0f} ms")
    for job in jobs:
        _show(results, job)
    return results


def _measured_sql(shape: Shape) -> Results:
    with tempfile.TemporaryDirectory(prefix="sql-bench-", ignore_cleanup_errors=True) as folder:
        results = sqlalchemy.interleaved(shape, folder=Path(folder), say=_progress)
    _progress("")
    print(f"\nSQLAlchemyTask, {shape}")
    for job in dict.fromkeys(run.job for run in results.runs):
        _show(results, job)
    return results


def _measured_pods(options: argparse.Namespace) -> pods.Results:
    rows, rounds = options.rows or (1_000 if options.quick else 100_000), options.rounds or (1 if options.quick else 7)
    with tempfile.TemporaryDirectory(prefix="pods-bench-", ignore_cleanup_errors=True) as folder:
        results = pods.measured(rows, rounds, folder=Path(folder).resolve(), say=_progress)
    _progress("")
    pods.show(results)
    return results


def _measured_decks(options: argparse.Namespace) -> list[decks.Cost]:
    sizes = [(10_000, 5), (100_000, 5), (100_000, 20), (1_000_000, 5)][
        : 1 if options.quick else 4 if options.full else 3
    ]
    if options.rows is not None:
        sizes = [(options.rows, options.columns)]
    with tempfile.TemporaryDirectory(prefix="decks-bench-", ignore_cleanup_errors=True) as folder:
        costs = decks.measured(sizes, options.rounds or 5, folder=Path(folder).resolve())
    decks.show(costs)
    return costs


def _show(results: Results, job: str) -> None:
    runs = max(len(results.seconds(job, rival)) for rival in results.rivals(job))
    print(f"\n  {TITLES[job] + f' (rounds: {runs})':<58}{'median':>12}{'min':>12}{'plugin is':>18}{'on disk':>11}")
    for rival in results.rivals(job):
        seconds = results.seconds(job, rival)
        times = f"{results.median_s(job, rival) * 1000:>9.1f} ms{min(seconds.values()) * 1000:>9.1f} ms"
        beside = "" if rival == Ours.name else _beside(results.ratio(job, rival))
        growth = f"{results.growth_bytes(job, rival) / MIB:>+7.2f} MiB" if job in WRITES else ""
        rounds = "" if len(seconds) == runs else f" (rounds: {len(seconds)})"
        print(f"    {rival + rounds:<56}{times}{beside:>18}{growth:>11}".rstrip())


def _beside(ratio: float) -> str:
    return f"{ratio:.2f} x as long" if ratio > 0.5 else f"{1 / ratio:.1f} x as fast"


def _show_aims(results: Results) -> bool:
    verdicts = [verdict for aim in AIMS if (verdict := aim.verdict(results)) is not None]
    return _show_verdicts(str(results.shape), verdicts)


def _show_verdicts(of: str, verdicts: Sequence[tuple[bool, str]]) -> bool:
    if verdicts:
        print(f"\n  aims for {of}")
    for reached, said in verdicts:
        print(f"    {'ok' if reached else 'MISSED':<8}{said}")
    return all(reached for reached, _ in verdicts)


def _peaks(rows: int, columns: int) -> list[memory.Peak]:
    print(f"\nmemory, {rows:,} rows x {columns} columns: peak beyond the frame, and peak of dolt")
    peaks = []
    for kind in MEMORY_RIVALS:
        for peak in memory.in_own_process(kind, rows=rows, columns=columns):
            peaks.append(peak)
            sizes = f"{peak.client_bytes / MIB:>8.0f} MiB{peak.dolt_bytes / MIB:>8.0f} MiB"
            print(f"    {peak.job:<11}{peak.rival:<30}{sizes}", flush=True)
    return peaks


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<60}", end="\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
