"""What the checks before a merge have found, one beside the other. Pure.

`history.merging` makes one of each merge that is checked, the runtime shows it where somebody looks, and `ChecksFailed`
has it. Nothing here says what has to hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..profiles.shifts import Shift


@dataclass(frozen=True)
class Outcome:
    """What one check has found."""

    name: str
    """How the check is called. Example: ``no price below zero``."""
    what: str
    """What was looked at. Example: ``rows of a query``."""
    value: str
    """What was found. Example: ``2 rows``."""
    bound: str
    """What it had to be. Example: ``0 rows``."""
    passed: bool
    """Whether it was."""


@dataclass(frozen=True)
class Audit:
    """All that was checked before one merge."""

    branch: str
    """What was to be merged."""
    into: str
    """Into which branch."""
    outcomes: Sequence[Outcome]
    """What each check has found, in the order in which they ran."""
    shifts: Mapping[str, Shift] = field(default_factory=dict)
    """How far the columns have moved that a bound was set for, by table."""

    @property
    def passed(self) -> bool:
        """Whether all checks have passed."""
        return all(outcome.passed for outcome in self.outcomes)
