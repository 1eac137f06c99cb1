"""Plain dataframes as tables: pandas, Arrow and Polars side by side, by annotation or by a dolt:// address.

    $ python dataframes_example.py 4
    Running dataframes_example.py main...
    4 trees, by kind {'kind': ['beech', 'oak'], 'height': [20.0, 15.0]}, heights of tall ones [20.0, 25.0]
    oaks: 2
    $ cd foo && dolt sql -r csv -q "select * from tall as of 'run/tall'"
    id,kind,height
    3,oak,20
    4,beech,25

No task mentions a DoltTable. What a task returns with `dolt_frame`, or in a StructuredDataset with a ``dolt://``
address, is committed; the next task reads that very commit, with the library and the columns of its own signature.
Polars comes with ``pip install 'flytekitplugins-doltdb[polars]'``.
"""

import os
import sys
from typing import Annotated, List

import pandas as pd
import polars as pl
import pyarrow as pa
from flytekit import kwtypes, task, workflow
from flytekit.types.structured import StructuredDataset

from flytekitplugins.dolt import DoltConfig, create_repository, dolt_frame, dolt_uri

doltdb_path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "foo")
trees_conf = DoltConfig(db_path=doltdb_path, tablename="trees", primary_key=["id"])
kinds_conf = DoltConfig(db_path=doltdb_path, tablename="kinds", primary_key=["kind"])
TALL = f"dolt://{doltdb_path}?table=tall&primary_key=id&new_branch=run/tall"
OAKS = dolt_uri(DoltConfig(db_path=doltdb_path, sql="select * from trees where kind = 'oak'"))


@task
def plant(a: int) -> Annotated[pd.DataFrame, dolt_frame(trees_conf)]:
    """Return a pandas frame; the annotation makes it the table trees."""
    ids = range(1, a + 1)
    frame = pd.DataFrame({"id": ids})
    return frame.assign(kind=["oak" if i % 2 else "beech" for i in ids], height=[5.0 + 5 * i for i in ids])


@task
def by_kind(trees: pl.DataFrame) -> Annotated[pl.DataFrame, dolt_frame(kinds_conf)]:
    """Take the same rows as Polars, and return another table."""
    return trees.group_by("kind").agg(pl.col("height").mean()).sort("kind")


@task
def keep_tall(trees: pl.LazyFrame) -> StructuredDataset:
    """Take them lazily: rows are asked for when the plan is run. The address says where they go, on which branch."""
    return StructuredDataset(dataframe=trees.filter(pl.col("height") > 15), uri=TALL)


@task
def heights(tall: Annotated[pd.DataFrame, kwtypes(height=float)]) -> List[float]:
    """Declare one column; no other is asked for."""
    return tall["height"].tolist()


@task
def count(trees: pa.Table) -> int:
    """Take an Arrow table."""
    return trees.num_rows


@task
def words(rows: int, kinds: pa.Table, tall: List[float]) -> str:
    """Say what came of it."""
    return f"{rows} trees, by kind {kinds.to_pydict()}, heights of tall ones {tall}"


@workflow
def wf(a: int) -> str:
    """Write three tables and read them with three libraries."""
    trees = plant(a=a)
    return words(rows=count(trees=trees), kinds=by_kind(trees=trees), tall=heights(tall=keep_tall(trees=trees)))


if __name__ == "__main__":
    print(f"Running {os.path.basename(__file__)} main...")
    if not os.path.isdir(os.path.join(doltdb_path, ".dolt")):
        print(f"Creating the Dolt repository {create_repository(doltdb_path)}", file=sys.stderr)
    print(wf(a=int(sys.argv[1]) if len(sys.argv) > 1 else 4))
    print("oaks:", count(trees=StructuredDataset(uri=OAKS)))
