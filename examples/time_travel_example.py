"""Four ways to travel in time: the newest rows of a branch, versions, the last commit's rows, a month ago.

    $ python time_travel_example.py
    Running time_travel_example.py main...
    newest: Alice, Bojack, Diane, George, Stephanie, Sugar Maple
    versions: [6, 5, 4, 3, 2]
    added: Diane
    a month ago: Alice, George
    $ python time_travel_example.py | tail -n 1
    a month ago: Alice, George

The versions are the numbers of rows in the last five. The first run makes a history of six versions in ``travel``, in
which the second is more than a month old.
"""

import os
from datetime import datetime, timezone
from typing import List

import pandas as pd
from flytekit import map_task, task, workflow

from flytekitplugins.dolt import (
    Ago,
    Changes,
    DoltConfig,
    DoltTable,
    NewBranch,
    create_repository,
    versions,
    write,
)

doltdb_path = os.path.join(os.path.dirname(__file__), "travel")
BRANCH = NewBranch("run/weights")
weights = DoltConfig(db_path=doltdb_path, tablename="weights", primary_key=["name"], branch_conf=BRANCH)


def conf(**options) -> DoltConfig:
    return DoltConfig(db_path=doltdb_path, tablename="weights", branch_conf=BRANCH, **options)


# 1. The most recent data of a branch
newest = DoltTable(config=conf())
# 3. Only the rows that the last commit added
added = DoltTable(config=conf(changes=Changes(since="HEAD~1", kinds=("added",))))
# 4. The data of exactly one month ago
month_ago = DoltTable(config=conf(as_of=Ago(months=1)))


@task
def show(title: str, table: DoltTable) -> str:
    """Return the names in a table, in order."""
    return f"{title}: {', '.join(sorted(table.data['name']))}"


# 2. The five most recent versions of a table, each the input of a task of its own
@task
def last_five(config: DoltConfig) -> List[DoltTable]:
    return versions(config, last=5)


@task
def count(table: DoltTable) -> int:
    return len(table.data)


@workflow
def wf() -> (str, List[int], str):
    """Read the branch now, the size of its five newest versions, and what the last commit added."""
    now = show(title="newest", table=newest)
    sizes = map_task(count)(table=last_five(config=conf()))
    new = show(title="added", table=added)
    return now, sizes, new


@workflow
def wf_month_ago() -> str:
    return show(title="a month ago", table=month_ago)


def fill() -> None:
    """Make a table of six versions, and let a month and a day pass after the second one."""
    names = ["Alice", "George", "Stephanie", "Sugar Maple", "Bojack", "Diane"]
    for number in range(1, 3):
        write(weights, pd.DataFrame({"name": names[:number]}))
    age_commits()
    for number in range(3, 7):
        write(weights, pd.DataFrame({"name": names[:number]}))


def age_commits() -> None:
    """Date the newest commit back, as if it had been made more than a month ago."""
    from flytekitplugins.dolt import binary

    day = (Ago(months=1, days=1).before(datetime.now(timezone.utc))).strftime("%Y-%m-%dT%H:%M:%S")
    script = f"use `travel/{BRANCH.branch}`; call dolt_commit('--amend', '-m', 'long ago', '--date', '{day}')"
    binary.run(["sql", "-q", script], cwd=doltdb_path)


if __name__ == "__main__":
    print(f"Running {os.path.basename(__file__)} main...")
    if not os.path.isdir(os.path.join(doltdb_path, ".dolt")):
        create_repository(doltdb_path)
        fill()
    now, sizes, new = wf()
    print(now, f"versions: {sizes}", new, wf_month_ago(), sep="\n")
