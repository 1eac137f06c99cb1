"""Incremental work: each run adds what is new in `orders` to `totals`, once, whatever fails between.

    $ python incremental_example.py
    Running incremental_example.py main...
    [(2, 30)]
    [(1, 30), (2, 30)]
    [(1, 30), (2, 30)]

After each of three runs it shows `totals`: two orders came, then one, then none.
"""

import os

import pandas as pd
from flytekit import task, workflow

from flytekitplugins.dolt import LAST_CONSUMED, Changes, DoltConfig, DoltTable, create_repository, read, write

doltdb_path = os.path.join(os.path.dirname(__file__), "incremental")
orders = DoltConfig(db_path=doltdb_path, tablename="orders", primary_key=["id"], mode="upsert")
totals = DoltConfig(db_path=doltdb_path, tablename="totals", mode="append")
unread = DoltTable(
    config=DoltConfig(
        db_path=doltdb_path,
        tablename="orders",
        changes=Changes(since=LAST_CONSUMED, kinds=("added",), into=totals),
    )
)


@task
def add_up(new: DoltTable) -> DoltTable:
    """Append one row with the number and sum of the new orders."""
    frame = new.data
    row = pd.DataFrame({"orders": [len(frame)], "amount": [int(frame["amount"].sum())]})
    return DoltTable(data=row.head(1 if len(frame) else 0), config=totals)


@workflow
def wf() -> DoltTable:
    return add_up(new=unread)


if __name__ == "__main__":
    print(f"Running {os.path.basename(__file__)} main...")
    if not os.path.isdir(os.path.join(doltdb_path, ".dolt")):
        create_repository(doltdb_path)
    for ids in ([1, 2], [3], []):
        if ids:
            write(orders, pd.DataFrame({"id": ids, "amount": [10 * number for number in ids]}))
        wf()
        rows = read(DoltConfig(db_path=doltdb_path, tablename="totals"))
        print(sorted(rows[["orders", "amount"]].itertuples(index=False, name=None)))
