"""The table that is printed, and the file that keeps every single run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from .bounds import MIB, Verdict
from .large import Large
from .runs import Of, Runs

_HEAD = (
    f"{'':<36}{'wall':>10}{'(min)':>10}{'CPU here':>10}{'server':>10}{'disk MiB':>10}"
    f"{'| to it: wall':>16}{'CPU':>8}{'disk':>8}"
)


def show(runs: Runs) -> None:
    """Print one table of all jobs: medians of seconds, and how many times a rival's figure the compared one's is."""
    shown = ""
    for group, job in runs.jobs():
        if group != shown:
            print(f"\n{group}\n{_HEAD}")
            shown = group
        print(f"  {job}")
        for rival in runs.rivals(group, job):
            print(_line(runs, group, job, rival))


def show_large(large: Iterable[Large]) -> list[Large]:
    """Print one line for each write and read of the large job as soon as it is done, and return all of them."""
    shown: list[Large] = []
    for one in large:
        if not shown:
            print(
                f"\nlarge job, a frame of {one.frame_bytes / MIB:,.0f} MiB; peaks beyond it, and of the server, in MiB"
            )
            print(f"{'':<12}{'wall':>10}{'CPU here':>10}{'server':>10}{'Python':>10}{'server':>10}")
        seconds = (one.cost.wall_s, one.cost.client_cpu_s, one.cost.server_cpu_s)
        times = "".join(f"{_seconds(value):>10}" for value in seconds)
        sizes = f"{one.client_bytes / MIB:>10,.0f}{one.server_bytes / MIB:>10,.0f}"
        print(f"  {one.turn + 1:>3} {one.job:<6}{times}{sizes}", flush=True)
        shown.append(one)
    return shown


def show_verdicts(verdicts: Iterable[Verdict]) -> bool:
    """Print the bounds that were measured, and return whether all hold."""
    found = list(verdicts)
    if found:
        print("\nbounds")
    for holds, said in found:
        print(f"  {'ok' if holds else 'MISSED':<8}{said}")
    return all(holds for holds, _ in found)


def write(file: Path, machine: str, runs: Runs, large: Sequence[Large], verdicts: Iterable[Verdict]) -> None:
    """Write all of it as JSON, times in seconds and sizes in bytes."""
    values = {
        "machine": machine,
        "runs": [asdict(run) for run in runs.runs],
        "large": [asdict(one) for one in large],
        "bounds": [{"holds": holds, "said": said} for holds, said in verdicts],
    }
    file.write_text(json.dumps(values, indent=1) + "\n")


def _line(runs: Runs, group: str, job: str, rival: str) -> str:
    walls = runs.values(group, job, rival, "wall")
    times = [runs.median(group, job, rival, "wall"), min(walls.values())]
    times += [runs.median(group, job, rival, of) for of in ("client CPU", "server CPU")]
    disk = runs.median(group, job, rival, "disk")
    figures = "".join(f"{_seconds(value):>10}" for value in times)
    figures += f"{disk / MIB:>10.2f}" if disk is not None else " " * 10
    compared: tuple[tuple[Of, int], ...] = (("wall", 16), ("CPU", 8), ("disk", 8))
    for of, width in compared if rival != runs.subject(group, job) else ():
        ratio = runs.ratio(group, job, rival, of)
        figures += f"{'' if ratio is None else _ratio(ratio):>{width}}"
    return f"    {f'{rival} ({len(walls)})':<32}{figures}".rstrip()


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms"


def _ratio(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
