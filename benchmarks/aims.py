"""What is aimed at: ratios to the floors below and to what was there before, each on the shape it is said of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .measure import Results
from .rivals import RAW_READS, Earlier, Pandas, RawWrite

FASTEST_RAW_READ = "raw: the fastest transport"


@dataclass(frozen=True)
class Aim:
    """A bound on the plugin's time beside a rival's in one job."""

    job: str
    rows: int
    rival: str
    kind: Literal["at most", "faster by"]
    """``at most`` bounds the plugin's time by a multiple of the rival's; ``faster by`` the other way round."""
    bound: float
    later: float | None = None
    """What is aimed at next."""

    def verdict(self, results: Results) -> tuple[bool, str] | None:
        """Return whether the aim is reached, with a sentence; None where it was not measured."""
        rival = fastest_raw_read(results, self.job) if self.rival == FASTEST_RAW_READ else self.rival
        if results.shape.rows != self.rows or results.shape.columns != 5 or rival not in results.rivals(self.job):
            return None
        ratio = results.ratio(self.job, rival)
        found = ratio if self.kind == "at most" else 1 / ratio
        ok = found <= self.bound if self.kind == "at most" else found >= self.bound
        said = f"{found:.2f} x the time of" if self.kind == "at most" else f"{found:.1f} x as fast as"
        wanted = f"at {'most' if self.kind == 'at most' else 'least'} {self.bound:g}"
        later = "" if self.later is None else f", later {self.later:g}"
        return ok, f"{self.job} of {self.rows:,} rows: {said} '{rival}' (aim: {wanted}{later})"


AIMS = (
    Aim("write", 1_000, RawWrite.name, "at most", 2.0, later=1.5),
    Aim("write", 100_000, RawWrite.name, "at most", 1.2, later=1.15),
    Aim("read", 100_000, FASTEST_RAW_READ, "at most", 1.25),
    Aim("write", 1_000, Earlier.name, "faster by", 20),
    Aim("read", 1_000, Earlier.name, "faster by", 20),
    Aim("write", 100_000, Earlier.name, "faster by", 2),
    Aim("read", 100_000, Earlier.name, "faster by", 2),
    Aim("read", 100_000, Pandas.name, "faster by", 3),
)


def fastest_raw_read(results: Results, job: str) -> str | None:
    """Return the raw transport with the smallest median."""
    names = {kind.name for kind in RAW_READS}
    return next((name for name in results.rivals(job) if name in names), None)
