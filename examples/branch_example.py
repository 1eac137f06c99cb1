"""Give every value of a parameter a branch of its own, and read one run's table with an SQL query.

    $ python branch_example.py 2
    Running branch_example.py main...
    Running wf(), returns int
    1
    <class 'int'>
    $ python branch_example.py 3
    Running branch_example.py main...
    Running wf(), returns int
    2
    <class 'int'>

Afterwards ``cd foo``: ``dolt branch`` lists both runs, ``dolt diff run/a_is_2 run/a_is_3`` shows how they differ.
Running one of them again adds no commit, because nothing is different.
"""

import os
import sys
from typing import Tuple

import pandas as pd
from flytekit import task, workflow

from flytekitplugins.dolt import DoltConfig, DoltTable, NewBranch, create_repository

doltdb_path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "foo")


@task
def generate_confs(a: int) -> Tuple[DoltConfig, DoltTable, DoltConfig]:
    """Return where to write the users, a query over them, and where to write its result: all on one branch."""
    users_conf = DoltConfig(db_path=doltdb_path, tablename="users", branch_conf=NewBranch(f"run/a_is_{a}"), order_by=[])

    query_users = DoltTable(
        config=DoltConfig(
            db_path=doltdb_path,
            sql="select * from users where `count` > 5",
            branch_conf=NewBranch(f"run/a_is_{a}"),
        ),
    )

    big_users_conf = DoltConfig(
        db_path=doltdb_path,
        tablename="big_users",
        order_by=[],
        branch_conf=NewBranch(f"run/a_is_{a}"),
    )

    return users_conf, query_users, big_users_conf


@task
def populate_users(a: int, conf: DoltConfig) -> DoltTable:
    """Write three users."""
    users = [("George", a), ("Alice", a * 2), ("Stephanie", a * 3)]
    df = pd.DataFrame(users, columns=["name", "count"])
    return DoltTable(data=df, config=conf)


@task
def filter_users(a: int, all_users: DoltTable, filtered_users: DoltTable, conf: DoltConfig) -> DoltTable:
    """Write the names that the query found; `all_users` makes this task run after they were written."""
    usernames = filtered_users.data[["name"]]
    return DoltTable(data=usernames, config=conf)


@task
def count_users(users: DoltTable) -> int:
    """Return the number of rows."""
    return len(users.data)


@workflow
def wf(a: int) -> int:
    """Write the users, write those with a count above five, count these."""
    user_conf, query_conf, big_user_conf = generate_confs(a=a)
    users = populate_users(a=a, conf=user_conf)
    big_users = filter_users(a=a, all_users=users, filtered_users=query_conf, conf=big_user_conf)
    return count_users(users=big_users)


if __name__ == "__main__":
    print(f"Running {os.path.basename(__file__)} main...")
    if not os.path.isdir(os.path.join(doltdb_path, ".dolt")):
        print(f"Creating the Dolt repository {create_repository(doltdb_path)}", file=sys.stderr)
    result = wf(a=int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    print(f"Running wf(), returns int\n{result}\n{type(result)}")
