"""Dolt announces a NOT NULL column as such also where an outer join or a diff has no value for it."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from flytekitplugins.dolt import DoltConfig, read, write

Config = Callable[..., DoltConfig]


def test_an_outer_join_gives_its_missing_rows(config: Config) -> None:
    """A key that has no partner is NULL, and no error; so is a key of a removed row."""
    for name, ids in (("t", [1, 2]), ("u", [1, 3]), ("t", [2])):
        write(config(name, primary_key=["id"]), pd.DataFrame({"id": ids}))
    joined = read(config(sql="select u.id, t.id as t from u left join t on t.id = u.id order by u.id"))
    assert joined.id.tolist() == [1, 3]
    assert joined.t.isna().all()
    removed = read(config(sql="select from_id, to_id from dolt_diff('main~1', 'main', 't')"))
    assert removed.from_id.tolist() == [1]
    assert removed.to_id.isna().all()
