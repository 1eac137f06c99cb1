"""Many tasks write to one table of one branch at once, and no row is lost.

    $ python many_writers_example.py 12
    Running many_writers_example.py main...
    12 writers, 12 rows, 12 commits

Each writer upserts a row of its own. The writer that comes second is written on top of the first, so that the result is
that of one after the other, whatever the order. On a cluster each is in a pod of its own, and `docs/clusters.md` says
where to have the repository then.
"""

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
from flytekit import task

from flytekitplugins.dolt import DoltConfig, DoltTable, create_repository, read

doltdb_path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "many")
results = DoltConfig(db_path=doltdb_path, tablename="results", primary_key=["worker"], mode="upsert")


@task
def work(worker: int) -> DoltTable:
    """Return this worker's row."""
    return DoltTable(results, pd.DataFrame({"worker": [worker], "square": [worker**2]}))


if __name__ == "__main__":
    print(f"Running {os.path.basename(__file__)} main...")
    writers = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    shutil.rmtree(doltdb_path, ignore_errors=True)
    create_repository(doltdb_path)
    with ThreadPoolExecutor(writers) as pool:
        written = list(pool.map(lambda worker: work(worker=worker), range(writers)))
    rows = read(results)
    assert rows["square"].tolist() == [worker**2 for worker in range(writers)]
    print(f"{len(written)} writers, {len(rows)} rows, {len({table.commit.hash for table in written})} commits")
