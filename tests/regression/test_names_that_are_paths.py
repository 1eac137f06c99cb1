"""A branch or tag called refs/heads/x became one called x, was not found afterwards, or ended the server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, NewBranch, Repository, read, tag, write
from flytekitplugins.dolt.errors import InvalidName

Config = Callable[..., DoltConfig]
PATHS = ["refs/heads/x", "refs/heads/main", "refs/tags/x", "refs/remotes/origin/x", "refs/x"]


@pytest.mark.parametrize("name", PATHS)
def test_they_are_refused(repo: Path, config: Config, name: str) -> None:
    """No branch and no tag is made, whatever Dolt would make of it."""
    write(config("t"), pd.DataFrame({"n": [1]}))
    with pytest.raises(InvalidName, match=f"'{name}' as a branch"):
        write(config("t", branch_conf=NewBranch(name)), pd.DataFrame({"n": [2]}))
    with pytest.raises(InvalidName, match=f"'{name}' as the name of a tag"):
        tag(name, db_path=repo)
    there = Repository(repo)
    assert (list(there.branches()), there.tags()) == (["main"], [])


def test_a_state_may_be_named_so(config: Config) -> None:
    """What is there is read by its path, and a branch may have such words elsewhere in its name."""
    write(config("t", branch_conf=NewBranch("x/refs/heads")), pd.DataFrame({"n": [2]}))
    assert read(config("t", as_of="refs/heads/x/refs/heads"))["n"].tolist() == [2]
