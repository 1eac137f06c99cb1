"""Values for columns of a user's own (numbered, fixed in length, with a default or a comment) were changed or lost."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from flytekitplugins.dolt import DoltConfig, errors, read, write

Config = Callable[..., DoltConfig]


@pytest.fixture
def theirs(dolt: Callable[..., str]) -> Callable[[str], None]:
    """Give a function that makes tables of the user's own with SQL, and commits them."""

    def make(sql: str) -> None:
        dolt("sql", "-q", f"{sql}; call dolt_commit('-Am', 'theirs')")

    return make


@pytest.mark.parametrize("mode", ["replace", "append", "upsert"])
def test_zero_in_a_numbered_column(config: Config, theirs: Callable[[str], None], mode: str) -> None:
    """The server puts no number of its own where the frame has a 0, and goes on numbering where it has none."""
    theirs("create table t (id int primary key auto_increment, v int)")
    write(config("t", mode=mode), pd.DataFrame({"id": [0, 5], "v": [1, 2]}))
    assert read(config("t")).id.tolist() == [0, 5]
    write(config("t", mode="append"), pd.DataFrame({"v": [3]}))
    assert read(config("t")).id.tolist() == [0, 5, 6]


def test_evolving_keeps_what_a_column_is(
    config: Config, theirs: Callable[[str], None], dolt: Callable[..., str]
) -> None:
    """A column that is widened goes on numbering its rows and comparing its text as before."""
    theirs(
        "create table t (id int primary key auto_increment,"
        " s varchar(5) collate utf8mb4_0900_ai_ci not null default 'x', n int)"
    )
    write(config("t", on_schema_change="evolve"), pd.DataFrame({"id": [2**40], "s": ["longer"], "n": [1]}))
    made = dolt("schema", "show", "t")
    assert "`id` bigint NOT NULL AUTO_INCREMENT" in made
    assert "COLLATE utf8mb4_0900_ai_ci NOT NULL DEFAULT 'x'" in made
    assert read(config("t")).values.tolist() == [[2**40, "longer", 1]]


def test_bytes_of_a_fixed_length(config: Config, theirs: Callable[[str], None]) -> None:
    """What the server would fill up with zeros is refused."""
    theirs("create table t (v binary(5))")
    write(config("t"), pd.DataFrame({"v": [b"abcde", None]}))
    with pytest.raises(errors.SchemaMismatch, match=r"row 1.*binary\(5\)"):
        write(config("t"), pd.DataFrame({"v": [b"abcde", b"ab"]}))


def test_words_in_a_comment(config: Config, theirs: Callable[[str], None]) -> None:
    """Only a column that the server computes is left to it, and not one that speaks of it."""
    theirs(
        "create table t (a int primary key, b int as (a + 1) stored, c int comment 'not GENERATED ALWAYS AS such',"
        " d varchar(99) default ' GENERATED ALWAYS AS ', e enum('x','y') as (if(a > 1, 'x', 'y')) stored)"
    )
    write(config("t"), pd.DataFrame({"a": [1], "c": [3], "d": ["four"]}))
    assert read(config("t")).values.tolist() == [[1, 2, 3, "four", "y"]]


def test_upsert_of_some_columns(config: Config, theirs: Callable[[str], None]) -> None:
    """A row that is there does not lose what the frame says nothing of."""
    theirs("create table t (a int primary key, b int, d int default 7); insert into t values (1, 2, 99)")
    write(config("t", mode="upsert"), pd.DataFrame({"a": [1, 2], "b": [3, 4]}))
    assert read(config("t")).values.tolist() == [[1, 3, 99], [2, 4, 7]]


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_a_new_table_when_rows_are_added(config: Config, mode: str) -> None:
    """A config that would drop the rows it is to keep is refused."""
    write(config("t", primary_key=["a"]), pd.DataFrame({"a": [1]}))
    with pytest.raises(errors.InvalidConfig, match="mode"):
        write(config("t", mode=mode, on_schema_change="replace"), pd.DataFrame({"b": [1]}))
    assert read(config("t")).a.tolist() == [1]


def test_a_key_of_two_lines(config: Config) -> None:
    """A table knows its key whatever the key's column is called."""
    frame = pd.DataFrame({"a\nb": [1, 2], "v": ["x", "y"]})
    write(config("t", primary_key=["a\nb"]), frame)
    write(config("t", mode="upsert"), frame.assign(v="z").head(1))
    assert read(config("t")).v.tolist() == ["z", "y"]


@pytest.mark.parametrize(("name", "fits"), [("日" * 21, True), ("日" * 22, False)])
def test_names_are_counted_as_dolt_counts(config: Config, name: str, fits: bool) -> None:
    """Names of over 64 bytes are refused before anything is sent."""
    frame = pd.DataFrame({name: [1]})
    if fits:
        write(config("t"), frame)
        assert read(config("t")).columns.tolist() == [name]
    else:
        with pytest.raises(errors.UnsupportedFrame, match="64 bytes"):
            write(config("t"), frame)
