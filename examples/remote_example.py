"""Machines that share nothing but the URL of a remote write to one table, each on top of what the others have pushed.

    $ python remote_example.py kitchen Ann
    Running remote_example.py main...
    the kitchen has pushed Ann, and reads Ann
    $ python remote_example.py garden Ben
    Running remote_example.py main...
    the garden has pushed Ben, and reads Ann, Ben
    $ python remote_example.py kitchen Cleo
    Running remote_example.py main...
    the kitchen has pushed Cleo, and reads Ann, Ben, Cleo

Each name stands for a machine, with a folder of its own for clones. Here the remote is a folder, as one on a share
would be; with `https://` and a password, `aws://` or `gs://` in its place nothing else changes. `docs/clusters.md` says
which form of a repository is for what.
"""

import os
import subprocess
import sys

import pandas as pd
from flytekit import task, workflow

from flytekitplugins.dolt import DoltConfig, DoltTable, Remote, create_repository
from flytekitplugins.dolt.binary import find

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shared")
url = f"file://{folder}/remote"
visitors = DoltConfig("visitors", "visitors", remote_conf=Remote(url), primary_key=["name"], mode="upsert")


@task
def welcome(name: str) -> DoltTable:
    """Return the row of a visitor, which is added to the table on the remote."""
    return DoltTable(visitors, pd.DataFrame({"name": [name], "letters": [len(name)]}))


@task
def names(table: DoltTable) -> str:
    """Return who is in the table, as it was pushed."""
    return ", ".join(table.data["name"])


@workflow
def wf(name: str) -> str:
    return names(table=welcome(name=name))


def make_remote() -> None:
    """Make a repository and push it to where the machines meet, as somebody does once."""
    first = create_repository(os.path.join(folder, "first"))
    for command in (["remote", "add", "origin", url], ["push", "origin", "main"]):
        subprocess.run([find(), *command], cwd=first, check=True, capture_output=True)


if __name__ == "__main__":
    print(f"Running {os.path.basename(__file__)} main...")
    machine, name = sys.argv[1:] if len(sys.argv) == 3 else ("kitchen", "Ann")
    os.environ["FLYTE_DOLT_CLONES"] = os.path.join(folder, machine)
    if not os.path.exists(os.path.join(folder, "remote")):
        make_remote()
    print(f"the {machine} has pushed {name}, and reads {wf(name=name)}")
