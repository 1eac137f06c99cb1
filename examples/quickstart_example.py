"""Write a frame from one task, read it in the next; Dolt keeps every version of it.

    $ python quickstart_example.py 1
    Running quickstart_example.py main...
    Running wf(), returns dataframe
              name  count
    0  Sugar Maple      3
    1        Alice      2
    2       George      1
    name     object
    count     int64
    dtype: object

The order of the rows may differ, since the table has no key; pandas 3 names the first dtype ``str``. Afterwards
``cd foo`` and ``dolt log`` shows the commit, and after a second run with another number
``dolt diff HEAD HEAD^ rabbits`` shows what changed.
"""

import os
import sys

import pandas as pd
from flytekit import task, workflow

from flytekitplugins.dolt import DoltConfig, DoltTable, create_repository

doltdb_path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "foo")
rabbits_conf = DoltConfig(db_path=doltdb_path, tablename="rabbits", order_by=[])


@task
def populate_rabbits(a: int) -> DoltTable:
    """Return three rabbits; that they are committed to Dolt is what the type DoltTable means."""
    rabbits = [("George", a), ("Alice", a * 2), ("Sugar Maple", a * 3)]
    df = pd.DataFrame(rabbits, columns=["name", "count"])
    return DoltTable(data=df, config=rabbits_conf)


@task
def unwrap_rabbits(table: DoltTable) -> pd.DataFrame:
    """Return the rows of the commit that the table refers to."""
    return table.data


@workflow
def wf(a: int) -> pd.DataFrame:
    """Write the rabbits, then read them."""
    rabbits = populate_rabbits(a=a)
    return unwrap_rabbits(table=rabbits)


if __name__ == "__main__":
    print(f"Running {os.path.basename(__file__)} main...")
    if not os.path.isdir(os.path.join(doltdb_path, ".dolt")):
        print(f"Creating the Dolt repository {create_repository(doltdb_path)}", file=sys.stderr)
    result = wf(a=int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    print(f"Running wf(), returns dataframe\n{result}\n{result.dtypes}")
