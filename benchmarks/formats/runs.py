"""What was measured: every run, and the medians and ratios of them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from .meters import Cost
from .ours import Ours

Of = Literal["wall", "client CPU", "server CPU", "CPU", "disk"]


@dataclass(frozen=True)
class Run:
    """One job, done once by one rival."""

    group: str
    """What it was done with, for example "100,000 rows x 5 columns"."""
    job: str
    rival: str
    turn: int
    """Runs of one turn were done one behind the other."""
    cost: Cost
    disk_bytes: int | None = None
    """What it added on disk; for `work.TEN_VERSIONS` all that lies there; None where it writes nothing."""

    def value(self, of: Of) -> float | None:
        """Return one of the figures: seconds, or bytes."""
        if of == "disk":
            return self.disk_bytes
        if of == "CPU":
            return self.cost.client_cpu_s + self.cost.server_cpu_s
        if of == "wall":
            return self.cost.wall_s
        return self.cost.client_cpu_s if of == "client CPU" else self.cost.server_cpu_s


@dataclass
class Runs:
    """All runs; in each job one rival, the plugin unless said otherwise, is compared with the others."""

    runs: list[Run] = field(default_factory=list)
    subjects: dict[tuple[str, str], str] = field(default_factory=dict)

    def jobs(self) -> Iterable[tuple[str, str]]:
        """Return the groups and jobs, as they were measured."""
        return dict.fromkeys((run.group, run.job) for run in self.runs)

    def rivals(self, group: str, job: str) -> list[str]:
        """Return who did the job, the one that is compared first and then the fastest."""
        subject = self.subject(group, job)
        found = {run.rival for run in self.runs if (run.group, run.job) == (group, job)}
        return sorted(found, key=lambda rival: (rival != subject, self.median(group, job, rival, "wall")))

    def subject(self, group: str, job: str) -> str:
        """Return who is compared with the others in the job."""
        return self.subjects.get((group, job), Ours.name)

    def values(self, group: str, job: str, rival: str, of: Of) -> dict[int, float]:
        """Return a figure of each turn."""
        found = (run for run in self.runs if (run.group, run.job, run.rival) == (group, job, rival))
        return {run.turn: value for run in found if (value := run.value(of)) is not None}

    def median(self, group: str, job: str, rival: str, of: Of) -> float | None:
        """Return the median of a figure, or None where there is none."""
        values = self.values(group, job, rival, of)
        return statistics.median(values.values()) if values else None

    def ratio(self, group: str, job: str, rival: str, of: Of) -> float | None:
        """Return how many times a rival's figure the subject's is: the median over the turns that both were in."""
        subjects = self.values(group, job, self.subject(group, job), of)
        rivals = self.values(group, job, rival, of)
        ratios = [subjects[turn] / rivals[turn] for turn in subjects if rivals.get(turn)]
        return statistics.median(ratios) if ratios else None
