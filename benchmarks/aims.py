"""What is aimed at: bounds on the plugin beside the floors below it and beside what was there before it.

Times are bounded by ratios within one run, each on the shape it is said of; memory by the size of the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .measure import Results
from .memory import Peak
from .rivals import RAW_READS, Earlier, Ours, PandasRead, RawWrite
from .sqlalchemy import SERVERS

FASTEST_RAW_READ = "raw: the fastest transport"
OWN_WRITE = "its own write of new values"
MIB = 2**20
MEMORY_MARGIN_BYTES = 64 * MIB
"""What Python may take beyond half of the frame."""


@dataclass(frozen=True)
class Aim:
    """A bound on the plugin's time beside a rival's in one job."""

    job: str
    rows: int
    rival: str
    kind: Literal["at most", "faster by"]
    """``at most`` bounds the plugin's time by a multiple of the rival's; ``faster by`` the other way round."""
    bound: float

    def verdict(self, results: Results) -> tuple[bool, str] | None:
        """Return whether the aim is reached, with a sentence; None where it was not measured."""
        if results.shape.rows != self.rows or results.shape.columns != 5:
            return None
        ratio = self._ratio(results)
        if ratio is None:
            return None
        found = ratio if self.kind == "at most" else 1 / ratio
        ok = found <= self.bound if self.kind == "at most" else found >= self.bound
        said = f"{found:.2f} x the time of" if self.kind == "at most" else f"{found:.1f} x as fast as"
        wanted = f"at {'most' if self.kind == 'at most' else 'least'} {self.bound:g}"
        return ok, f"{self.job} of {self.rows:,} rows: {said} '{self.rival}' (aim: {wanted})"

    def _ratio(self, results: Results) -> float | None:
        if self.rival == OWN_WRITE:
            done = (self.job, "write")
            if any(Ours.name not in results.rivals(job) for job in done):
                return None
            return results.median_s(self.job, Ours.name) / results.median_s("write", Ours.name)
        rival = fastest_raw_read(results, self.job) if self.rival == FASTEST_RAW_READ else self.rival
        return results.ratio(self.job, rival) if rival in results.rivals(self.job) else None


AIMS = (
    Aim("write", 1_000, RawWrite.name, "at most", 1.5),
    *(Aim("write", rows, RawWrite.name, "at most", 1.15) for rows in (100_000, 1_000_000)),
    Aim("unchanged", 1_000_000, OWN_WRITE, "at most", 0.25),
    *(Aim(job, 1_000_000, OWN_WRITE, "at most", 0.35) for job in ("scattered", "together")),
    *(Aim("read", rows, FASTEST_RAW_READ, "at most", 1.25) for rows in (100_000, 1_000_000)),
    *(Aim("read", rows, PandasRead.name, "faster by", 3) for rows in (100_000, 1_000_000)),
    *(Aim(job, 100_000, PandasRead.name, "faster by", 3) for job in SERVERS),
    Aim("write", 1_000, Earlier.name, "faster by", 20),
    Aim("read", 1_000, Earlier.name, "faster by", 20),
    Aim("write", 100_000, Earlier.name, "faster by", 2),
    Aim("read", 100_000, Earlier.name, "faster by", 2),
)


def memory_verdicts(peaks: Sequence[Peak]) -> list[tuple[bool, str]]:
    """Return for each of the plugin's jobs whether Python's peak beyond the frame stays within the aim."""
    verdicts = []
    for peak in peaks:
        if peak.rival == Ours.name:
            bound = peak.frame_bytes // 2 + MEMORY_MARGIN_BYTES
            said = f"{peak.job}: {peak.client_bytes / MIB:.0f} MiB beyond the frame of {peak.frame_bytes / MIB:.0f} MiB"
            verdicts.append((peak.client_bytes <= bound, f"{said} (aim: at most {bound / MIB:.0f})"))
    return verdicts


def fastest_raw_read(results: Results, job: str) -> str | None:
    """Return the raw transport with the smallest median."""
    names = {kind.name for kind in RAW_READS}
    return next((name for name in results.rivals(job) if name in names), None)
