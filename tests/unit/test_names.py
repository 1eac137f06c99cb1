"""Names of branches and tables that are refused before anything is looked at."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, NewBranch, SerialBranch, api
from flytekitplugins.dolt.errors import (
    InvalidName,
)
from flytekitplugins.dolt.model.naming import SCRATCH_PREFIX


@pytest.mark.parametrize(
    "name",
    [
        *("HEAD", "head", "Head", "WORKING", "STAGED", "@", ""),
        *("a b", " ", "a\tb", "a\nb", "a\n", "a\x7f", "ä", "🐎", "a\u200bb"),
        *("a~b", "a^b", "a:b", "a?b", "a*b", "a[b", "a\\b"),
        *("a..b", "a@{b", "a//b", ".."),
        *("-a", "--", "/a", ".a", "a/", "a."),
        *("a/.b", "a.lock", "a.lock/b"),
        *("0123456789abcdefghijklmnopqrstuv", "v" * 32),
        *(f"{SCRATCH_PREFIX}x", SCRATCH_PREFIX + "0" * 32),
    ],
)
def test_branch_names_that_are_refused(name: str) -> None:
    """A branch name that Dolt cannot hold, or would read as something else, is refused by every policy."""
    for make in (SerialBranch, NewBranch):
        with pytest.raises(InvalidName, match="branch") as caught:
            make(name)
        assert caught.value.name == name


@pytest.mark.parametrize("base", ["", " ", f"{SCRATCH_PREFIX}x"])
def test_what_no_branch_starts_from(base: str) -> None:
    """Anything that may name a state is taken, but for nothing and what is this package's own."""
    with pytest.raises(InvalidName) as caught:
        NewBranch("ok", base=base)
    assert caught.value.name == base


@pytest.mark.parametrize("name", [None, 1, b"main", Path("main")])
def test_branch_names_that_are_no_names(name: object) -> None:
    """What is no string is no branch name."""
    with pytest.raises(InvalidName, match="string"):
        NewBranch(name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [*("", "-m", "--all", ".", "..", ".a", "a.", "a b", "a`b", "a'b", 'a"b', "a;b", "a/b", "a\\b", "x" * 65, "a\n"),
     *("%s", "a\0b", "*", "users; drop table users", "🐎")],
)  # fmt: skip
def test_table_names_that_are_refused(name: str) -> None:
    """A table name with signs that mean something elsewhere is refused before anything is looked at."""
    with pytest.raises(InvalidName, match="table"):
        api.write(DoltConfig("nowhere", name), pd.DataFrame({"n": [1]}))
