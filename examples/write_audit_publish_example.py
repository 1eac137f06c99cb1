"""Write, audit, publish: a run writes on a branch of its own, which is merged when the checks pass, else kept.

    $ python write_audit_publish_example.py
    Running write_audit_publish_example.py main...
    run/good: published, lowest price 3
    run/bad: kept, main still has the lowest price 3
    Cannot merge branch 'run/bad' into 'main': 1 of 2 checks did not pass. 'no price below zero': found 1 rows

The branch `run/bad` stays for inspection. Running it again prints the same.
"""

import os

import pandas as pd
from flytekit import task, workflow

from flytekitplugins.dolt import DoltConfig, DoltTable, NewBranch, create_repository, merge, read, write

doltdb_path = os.path.join(os.path.dirname(__file__), "audit")
prices = DoltConfig(db_path=doltdb_path, tablename="prices", primary_key=["item"])


@task
def load(lowest: int, branch: str) -> DoltTable:
    """Write three prices on the run's branch."""
    frame = pd.DataFrame({"item": ["apple", "pear", "plum"], "price": [lowest, lowest + 1, lowest + 2]})
    config = DoltConfig(db_path=doltdb_path, tablename="prices", branch_conf=NewBranch(branch))
    return DoltTable(data=frame, config=config)


def enough_rows(query) -> bool:
    """A check in Python: it asks the merged result by SQL."""
    return len(query("select * from prices")) >= 3


@task
def publish(table: DoltTable, branch: str) -> str:
    """Merge the branch if no price is below zero; `table` makes this task run after the branch was written."""
    checks = {"no price below zero": "select * from prices where price < 0", "enough rows": enough_rows}
    return merge(branch, into="main", db_path=doltdb_path, checks=checks).hash


@workflow
def wf(lowest: int, branch: str) -> str:
    table = load(lowest=lowest, branch=branch)
    return publish(table=table, branch=branch)


if __name__ == "__main__":
    print(f"Running {os.path.basename(__file__)} main...")
    if not os.path.isdir(os.path.join(doltdb_path, ".dolt")):
        create_repository(doltdb_path)
        write(prices, pd.DataFrame({"item": ["apple"], "price": [1]}))
    for lowest, branch in ((3, "run/good"), (-1, "run/bad")):
        try:
            wf(lowest=lowest, branch=branch)
            print(f"{branch}: published, lowest price {read(prices)['price'].min()}")
        except Exception as error:  # noqa: BLE001  # flytekit gives what a task raises another class
            print(f"{branch}: kept, main still has the lowest price {read(prices)['price'].min()}")
            print(str(error)[str(error).index("Cannot merge") :].partition(", first")[0])
