"""What a deck costs of a table that a task has just written anew: the whole of it, and of it the shifts of its columns.

Measured is what flytekit asks us for, after the write; flytekit's own parts of a deck are not ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from flytekitplugins.dolt import DoltConfig, create_repository, write
from flytekitplugins.dolt.history import diffs
from flytekitplugins.dolt.report import collect, page
from flytekitplugins.dolt.server import local_server

from .frames import KEY, frame


@dataclass(frozen=True)
class Cost:
    """What the decks of one table took, in seconds of a clock and of this process's own processor time."""

    rows: int
    columns: int
    seconds: tuple[float, ...]
    own_cpu_s: tuple[float, ...]
    shift_s: tuple[float, ...]
    """Of that, comparing the columns."""
    page_bytes: int


def measured(sizes: Sequence[tuple[int, int]], rounds: int, *, folder: Path) -> list[Cost]:
    """Return what decks cost of tables of so many rows and columns, all of whose rows were changed."""
    repository = create_repository(folder / "decks", name="Bench", email="bench@localhost")
    try:
        return [_of(repository, rows, columns, rounds) for rows, columns in sizes]
    finally:
        local_server.release(repository)


def _of(repository: Path, rows: int, columns: int, rounds: int) -> Cost:
    config = DoltConfig(str(repository), f"t{rows}_{columns}", primary_key=[KEY])
    write(config, frame(rows, columns, seed=1))
    table = write(config, frame(rows, columns, seed=2))
    change = diffs.last_change(table, limit=page.MAX_ROWS)
    shown = page.page(collect.card(table))  # also warms
    decks = [_timed(lambda: page.page(collect.card(table))) for _ in range(rounds)]
    shifts = [_timed(lambda: collect.shift_of_deck(config, change, table)) for _ in range(rounds)]
    return Cost(
        rows,
        columns,
        tuple(seconds for seconds, _ in decks),
        tuple(cpu for _, cpu in decks),
        tuple(seconds for seconds, _ in shifts),
        len(shown.encode()),
    )


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - cpu


def show(costs: Sequence[Cost]) -> None:
    """Print a line for each table."""
    print(
        f"\n  {'the deck of a table whose rows have all changed':<48}{'median':>12}{'min':>12}{'own cpu':>12}", end=""
    )
    print(f"{'of it shifts':>14}{'page':>10}")
    for cost in costs:
        times = (median(cost.seconds), min(cost.seconds), median(cost.own_cpu_s))
        said = "".join(f"{seconds * 1000:>9.0f} ms" for seconds in times)
        print(
            f"    {f'{cost.rows:,} rows x {cost.columns} columns (rounds: {len(cost.seconds)})':<46}{said}"
            f"{median(cost.shift_s) * 1000:>11.0f} ms{cost.page_bytes / 1024:>6.0f} KiB"
        )
