"""Growth: what a new branch and a read cost in a repository with many branches, beside one with few.

The raw statements stand beside it, to tell what Dolt itself costs with so many.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from flytekitplugins.dolt import DoltConfig, NewBranch, read, write

from .. import frames
from ..rivals import Ours, Place, RawWrite, TextRead, place
from .latency import ROWS
from .meters import T, measured
from .runs import Run, Runs
from .work import check

FEW, MANY = 10, 1_000
GROUP = "growth with branches"
NEW_BRANCH = f"write {ROWS:,} rows on a new branch"
READ = f"read {ROWS:,} rows"
_BRANCH = "new"


class Branched:
    """A repository with a table of the plugin's, one of the raw script's, and branches."""

    def __init__(self, here: Place, branches: int) -> None:
        self.name = f"with {branches:,} branches"
        self.here = here
        self.rows = frames.frame(ROWS, 5, seed=0)
        self._config = DoltConfig(db_path=str(here.repository), tablename="ours", primary_key=[frames.KEY])
        self._raw = RawWrite(here, self.rows)
        write(self._config, self.rows)
        here.rows("ROLLBACK")
        for number in range(branches - 1):  # main is one
            here.rows(f"CALL DOLT_BRANCH('b{number:05}')")

    def read(self) -> pd.DataFrame:
        """Read the plugin's table on main."""
        return Ours(self.here, self.rows).read()

    def read_raw(self) -> pd.DataFrame:
        """Read the same table by connectorx."""
        return TextRead(self.here, self.rows).read()

    def branch(self, given: pd.DataFrame) -> None:
        """Write the plugin's table on a new branch."""
        config = DoltConfig(db_path=str(self.here.repository), tablename="ours", branch_conf=NewBranch(_BRANCH))
        write(config, given)

    def branch_raw(self, given: pd.DataFrame) -> None:
        """Write the script's table on a new branch, by raw statements."""
        self.here.rows(f"CALL DOLT_CHECKOUT('-b', '{_BRANCH}')")
        self._raw.write(given)

    def check_branch(self, table: str, given: pd.DataFrame) -> None:
        """Compare what is on the new branch, remove it, and be on main again."""
        config = DoltConfig(db_path=str(self.here.repository), tablename=table, as_of=_BRANCH)
        check(f"{self.name}, {table}", read(config), given)
        self.here.rows("ROLLBACK")
        self.here.rows("CALL DOLT_CHECKOUT('main')")
        self.here.rows(f"CALL DOLT_BRANCH('-D', '{_BRANCH}')")


def compare(rounds: int, many: int, runs: Runs, say: Callable[[str], None]) -> None:
    """Measure two repositories in turns; the one with ``many`` branches is compared with the one that has `FEW`."""
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder, ExitStack() as open_places:
        pair = []
        for branches in (many, FEW):
            say(f"{GROUP}: making {branches:,} branches")
            pair.append(Branched(open_places.enter_context(place(Path(folder) / str(branches))), branches))
        for job in (NEW_BRANCH, READ, f"{NEW_BRANCH}, raw", f"{READ}, raw"):
            runs.subjects[GROUP, job] = pair[0].name
        for number in range(-1, rounds):  # the first one warms
            say(f"{GROUP}, round {number + 1} of {rounds}")
            _round(pair if number % 2 else pair[::-1], number, runs)


def _round(pair: list[Branched], number: int, runs: Runs) -> None:
    given = frames.frame(ROWS, 5, seed=number + 2)
    for raw in (False, True):
        for one in pair:
            work = one.branch_raw if raw else one.branch
            _keep(runs, NEW_BRANCH, one, number, raw, partial(work, given))
            one.check_branch("raw" if raw else "ours", given)
    for raw in (False, True):
        for one in pair:
            found = _keep(runs, READ, one, number, raw, one.read_raw if raw else one.read)
            check(one.name, found, one.rows)


def _keep(runs: Runs, job: str, one: Branched, number: int, raw: bool, work: Callable[[], T]) -> T:
    cost, found = measured(work, one.here.address.pid)
    if number >= 0:
        runs.runs.append(Run(GROUP, f"{job}, raw" if raw else job, one.name, number, cost))
    return found
