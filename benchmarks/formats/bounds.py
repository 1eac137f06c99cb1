"""What is aimed at: bounds on the plugin beside its rivals, each on the work that it is said of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..measure import Shape
from . import branches, latency
from .large import Large
from .runs import Of, Runs
from .work import TEN_VERSIONS

MIB = 2**20
PYTHON_MARGIN_BYTES = 64 * MIB
SERVER_BYTES = 2**30

Verdict = tuple[bool, str]
RAW = "raw Dolt"
DELTA, ICEBERG = ("Delta", "Delta, partitioned"), ("Iceberg",)
SAME_ROWS = (RAW, "earlier way")
"""Those whose rows lie in Dolt as the plugin's do, byte for byte: there is nothing to win, and little to lose."""


@dataclass(frozen=True)
class Bound:
    """The plugin takes at most so many times what the best of these rivals takes, by the medians of the ratios."""

    group: str
    job: str
    rivals: tuple[str, ...]
    of: Of
    factor: float

    def verdict(self, runs: Runs) -> Verdict | None:
        """Return whether it holds, with a sentence; None where it was not measured."""
        ratios = {rival: runs.ratio(self.group, self.job, rival, self.of) for rival in self.rivals}
        found = {rival: ratio for rival, ratio in ratios.items() if ratio is not None}
        if not found:
            return None
        rival = max(found, key=lambda name: found[name])
        said = f"{self.group}, {self.job}: {found[rival]:.3g} times the {self.of} of {rival}"
        return found[rival] <= self.factor, f"{said} (at most {self.factor:.3g})"


_MILLION = str(Shape(1_000_000, 5, 0, 0))
_FEW = f"with {branches.FEW:,} branches"
_WRITES = ("upsert 1 %, scattered", "upsert 1 %, together", "changed rows, scattered", "changed rows, together")

BOUNDS = (
    Bound(_MILLION, "first write", (RAW,), "CPU", 1 / 15),
    Bound(_MILLION, "first write", DELTA[:1], "wall", 2.5),
    Bound(_MILLION, "read newest", (RAW,), "CPU", 1 / 8),
    Bound(_MILLION, "read newest", DELTA[:1], "wall", 1.5),
    *(Bound(_MILLION, job, rivals, "wall", 1.0) for job in _WRITES for rivals in (DELTA, ICEBERG)),
    Bound(_MILLION, TEN_VERSIONS, ("Parquet files", *DELTA, *ICEBERG), "disk", 1.0),
    Bound(_MILLION, TEN_VERSIONS, SAME_ROWS, "disk", 1.01),
    Bound(latency.GROUP, latency.WRITE, ("raw: LOAD DATA",), "wall", 1.2),
    Bound(latency.GROUP, latency.READ, ("raw: connectorx text", "raw: PyMySQL bytes"), "wall", 1.2),
    Bound(branches.GROUP, branches.NEW_BRANCH, (_FEW,), "wall", 1.2),
    Bound(branches.GROUP, branches.READ, (_FEW,), "wall", 1.2),
)


def verdicts(runs: Runs, large: Sequence[Large]) -> Iterator[Verdict]:
    """Give whether each bound holds that was measured, with a sentence."""
    yield from (verdict for bound in BOUNDS if (verdict := bound.verdict(runs)) is not None)
    for job in dict.fromkeys(one.job for one in large):
        runs_of_it = [one for one in large if one.job == job]
        here = max(one.client_bytes for one in runs_of_it)
        there = max(one.server_bytes for one in runs_of_it)
        allowed = runs_of_it[0].frame_bytes // 2 + PYTHON_MARGIN_BYTES
        times = f"largest peak of {len(runs_of_it)}"
        yield here <= allowed, f"{job}, Python beyond the frame, {times}: {here / MIB:,.0f} MiB ({allowed / MIB:,.0f})"
        yield there <= SERVER_BYTES, f"{job}, server, {times}: {there / MIB:,.0f} MiB ({SERVER_BYTES / MIB:,.0f})"
