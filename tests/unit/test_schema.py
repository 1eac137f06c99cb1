"""Configs, policies, tables and commits as plain values: built, checked, compared, copied and written down."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from typing import Any

import pandas as pd
import pytest

from flytekitplugins import dolt
from flytekitplugins.dolt import Branch, DoltConfig, DoltTable, NewBranch, Remote, Secret, SerialBranch, errors
from flytekitplugins.dolt.model.naming import check_branch_name, check_table_name
from flytekitplugins.dolt.schema import Commit

POLICIES = [NewBranch("run/1"), NewBranch("run/1", base="dev"), SerialBranch(), SerialBranch("main")]


def test_the_earlier_plugins_imports_and_field_order_hold() -> None:
    """Code for the earlier plugin builds the same objects, by position and by name."""
    from flytekitplugins.dolt.schema import DoltConfig as Config
    from flytekitplugins.dolt.schema import DoltTable as Table

    fields = [f.name for f in dataclasses.fields(Config) if not f.kw_only]
    assert fields == ["db_path", "tablename", "sql", "io_args", "branch_conf", "meta_conf", "remote_conf"]
    assert list(inspect.signature(Table).parameters) == ["config", "data"]
    frame = pd.DataFrame({"a": [1]})
    assert Table(Config("foo", "t"), frame).data is frame
    assert (Config, Table) == (DoltConfig, DoltTable)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_policies_come_back_in_their_class(policy: Branch) -> None:
    """A policy's dictionary and JSON name its class."""
    assert Branch.from_dict(policy.to_dict()) == policy
    assert type(policy).from_json(policy.to_json()) == policy
    assert policy.to_dict()["_type"] == type(policy).__name__


def test_a_policy_of_another_class_is_refused() -> None:
    """Two policies with the same fields are never taken for each other."""
    with pytest.raises(errors.InvalidConfig, match="'_type'.*'SerialBranch'"):
        NewBranch.from_dict({"_type": "SerialBranch", "branch": "main"})
    with pytest.raises(errors.InvalidConfig, match="'_type'.*'OldBranch'.*MergeBranch, NewBranch, SerialBranch"):
        Branch.from_dict({"_type": "OldBranch"})


def test_a_config_is_shown_by_what_is_set() -> None:
    """Its text, which stands in many errors, is the call that makes it again, without the fields that are left out."""
    config = DoltConfig("foo", "t", primary_key=["id"], keep_order=False)
    assert repr(config) == "DoltConfig(db_path='foo', tablename='t', primary_key=['id'], keep_order=False)"


@pytest.mark.parametrize("policy", [None, *POLICIES], ids=repr)
def test_configs_come_back_equal(policy: Branch | None) -> None:
    """A config's dictionary and JSON give the same config."""
    config = DoltConfig("foo", "t", io_args={"primary_key": ["id"]}, branch_conf=policy, primary_key=["id"])
    assert DoltConfig.from_dict(config.to_dict()) == config
    assert DoltConfig.from_json(config.to_json()) == config


def test_a_class_knows_its_own_json_schema() -> None:
    """By title and names of the properties; neither another class's, nor what only has the title, nor what is none."""
    kinds = (DoltTable, DoltConfig, NewBranch, SerialBranch, Remote, Secret)
    for kind in kinds:
        assert [other for other in kinds if kind.has_json_schema(other.json_schema())] == [kind]
    assert not DoltTable.has_json_schema({"title": "DoltTable", "properties": {"rows": {}}})
    assert not DoltTable.has_json_schema({"title": "DoltTable"})
    assert not DoltTable.has_json_schema(True)  # what JSON schema has for "anything"


def test_a_text_is_the_name_of_a_new_branch() -> None:
    """``"run/1"`` is ``NewBranch("run/1")``, given, assigned, replaced or arrived, and travels as that."""
    wanted = DoltConfig("foo", "t", branch_conf=NewBranch("run/1"))
    assigned = DoltConfig("foo", "t")
    assigned.branch_conf = "run/1"
    arrived = DoltConfig.from_dict({"db_path": "foo", "tablename": "t", "branch_conf": "run/1"})
    replaced = dataclasses.replace(DoltConfig("foo", "t"), branch_conf="run/1")
    for config in (DoltConfig("foo", "t", branch_conf="run/1"), assigned, arrived, replaced):
        assert (config.branch_conf, config.policy, config) == (NewBranch("run/1"), NewBranch("run/1"), wanted)
        assert DoltConfig.from_json(config.to_json()) == pickle.loads(pickle.dumps(config)) == wanted
        config.check()


def test_a_config_is_checked_when_it_is_used_not_when_it_is_built() -> None:
    """Users assign to fields, so an unfinished config is no error yet."""
    config = DoltConfig("foo")
    config.tablename = "t"
    config.check()


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({}, errors.InvalidConfig, "tablename.*sql"),
        ({"tablename": "t", "sql": "select 1"}, errors.InvalidConfig, "both"),
        ({"db_path": "", "tablename": "t"}, errors.InvalidConfig, "db_path"),
        ({"tablename": "t", "meta_conf": object()}, errors.InvalidConfig, "meta_conf"),
        (
            {"tablename": "t", "remote_conf": object()},
            errors.InvalidConfig,
            "Remote",
        ),
        ({"tablename": "t", "secret": Secret("g", "k")}, errors.InvalidConfig, "secret.*server"),
        ({"tablename": "t", "read_from": ["x"]}, errors.InvalidConfig, "read_from"),
        ({"db_path": "ftp://h/x", "tablename": "t"}, errors.InvalidConfig, "'ftp'"),
        (
            {"db_path": "mysql://u@h/x", "tablename": "t", "remote_conf": Remote("file:///x")},
            errors.InvalidConfig,
            "one of them",
        ),
        ({"tablename": "t", "branch_conf": 1}, errors.InvalidConfig, "branch_conf.*name of a new"),
        ({"tablename": "t", "branch_conf": "a b"}, errors.InvalidName, "'a b'"),
        ({"tablename": "t", "io_args": {"pk": 1}}, errors.InvalidConfig, "io_args.*'pk'"),
        ({"tablename": "t", "primary_key": []}, errors.InvalidConfig, "list.*column"),
        ({"tablename": "t", "primary_key": ["a", "a"]}, errors.InvalidConfig, "column"),
        ({"tablename": "t", "primary_key": ["a"], "io_args": {"primary_key": ["b"]}}, errors.InvalidConfig, "differ"),
        ({"tablename": "a b"}, errors.InvalidName, "'a b'"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(fields: dict[str, Any], error: type[Exception], words: str) -> None:
    """Contradictions and what is not offered are one clear error."""
    with pytest.raises(error, match=words):
        DoltConfig(**({"db_path": "foo"} | fields)).check()


def test_unknown_entries_of_a_dictionary_are_refused() -> None:
    """A misspelt entry is not passed over."""
    with pytest.raises(errors.InvalidConfig, match="'table_name'.*db_path, tablename"):
        DoltConfig.from_dict({"db_path": "foo", "table_name": "t"})
    with pytest.raises(errors.InvalidConfig, match="missing 1 required positional argument: 'db_path'"):
        DoltConfig.from_dict({"tablename": "t"})
    with pytest.raises(errors.InvalidConfig, match="'config'"):
        DoltTable.from_dict({"data": None})


@pytest.mark.parametrize("name", ["main", "run/a_is_2", "a.b", "run/it's-`fine`;", "(x)", "a" * 200, "feature/x.y/z"])
def test_good_branch_names_pass(name: str) -> None:
    """What Dolt can hold without a second meaning is accepted."""
    assert check_branch_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        None,
        3,
        "a b",
        "a\tb",
        "a\n",
        "é",
        "a..b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[b",
        "a\\b",
        "a@{1}",
        "@",
        "HEAD",
        "WORKING",
        "STAGED",
        "/a",
        "a/",
        "a//b",
        "a.lock",
        "a.lock/b",
        "a.",
        ".a",
        "a/.b",
        "-a",
        "0" * 32,
        "flyte-tmp/x",
    ],
)
def test_bad_branch_names_are_refused(name: Any) -> None:
    """What Dolt refuses, or would read as something else, never reaches it."""
    with pytest.raises(errors.InvalidName, match="branch"):
        NewBranch(name)
    with pytest.raises(errors.InvalidName, match=r"_ \. /"):
        check_branch_name(name)


@pytest.mark.parametrize("name", ["t", "_t", "$t", "T1", "größe", "a-b", "a.b", "1", "a" * 64])
def test_good_table_names_pass(name: str) -> None:
    """Letters of any script, digits, and _ $ - . make a table name."""
    assert check_table_name(name) == name


@pytest.mark.parametrize(
    "name", ["", None, "a b", "a`b", "a'b", 'a"b', "-a", ".a", "a.", "a;b", "a/b", "a\0", "a" * 65]
)
def test_bad_table_names_are_refused(name: Any) -> None:
    """Names that would need care at every use are refused."""
    with pytest.raises(errors.InvalidName, match="table.*1 .*64 "):
        check_table_name(name)


class TestTable:
    frame = pd.DataFrame({"a": [1, 2]})
    commit = Commit("0123456789abcdefghijklmnopqrstuv"[:32], branch="main")

    def test_nothing_fetches_rows_but_looking_at_them(self) -> None:
        """repr, ==, copying, pickling and to_dict of a reference touch no repository."""
        table = DoltTable(config=DoltConfig("/no/such/folder", "t")).at(self.commit)
        assert repr(table) == "DoltTable('t' in '/no/such/folder', at 01234567)"
        assert copy.deepcopy(table) == copy.copy(table) == table == pickle.loads(pickle.dumps(table))
        assert table.to_dict() == {
            "config": {"db_path": "/no/such/folder", "tablename": "t"},
            "commit": {"hash": self.commit.hash, "branch": "main"},
        }
        assert DoltTable.from_dict(table.to_dict()) == table
        assert not table.is_loaded
        with pytest.raises(errors.RepositoryNotFound, match="folder"):
            _ = table.data

    def test_data_makes_it_something_to_write(self) -> None:
        """A table with data has no commit, and says so."""
        table = DoltTable(data=self.frame, config=DoltConfig("foo", "t"))
        assert table.is_assigned
        assert table.commit is None
        assert repr(table) == "DoltTable('t' in 'foo', not written yet)"
        assert repr(DoltTable(table.config)) == "DoltTable('t' in 'foo', not read yet)"

    def test_assigning_data_forgets_the_commit(self) -> None:
        """New rows are in no commit yet; the same frame assigned again changes nothing."""
        table = DoltTable(config=DoltConfig("foo", "t"), data=self.frame)
        table.written(self.commit)
        table.data = table.data
        assert table.commit == self.commit
        table.data = self.frame.assign(a=3)
        assert (table.commit, table.is_assigned) == (None, True)

    def test_unsaved_data_has_no_reference(self) -> None:
        """to_dict refuses to lose data."""
        with pytest.raises(errors.InvalidConfig, match="commit"):
            DoltTable(data=self.frame, config=DoltConfig("foo", "t")).to_dict()

    def test_equality_looks_at_config_commit_and_unsaved_rows(self) -> None:
        """Two tables are equal when they mean the same rows."""
        config = DoltConfig("foo", "t")
        assert DoltTable(config, self.frame) == DoltTable(config, self.frame.copy())
        assert DoltTable(config, self.frame) != DoltTable(config, self.frame.assign(a=0))
        assert DoltTable(config) != DoltTable(config, self.frame)
        assert DoltTable(config).at(self.commit) != DoltTable(config)
        assert DoltTable(config) != "t"


def test_who_visits_the_fields_of_a_table_fetches_nothing() -> None:
    """`data` is in the signature but no field: rows stay where they are, and `replace` takes unsaved data along."""
    table = DoltTable(DoltConfig("nowhere", "t")).at(Commit("a" * 32))
    assert dataclasses.asdict(table) == {"config": dataclasses.asdict(table.config)}
    frame = pd.DataFrame({"a": [1]})
    moved = dataclasses.replace(DoltTable(DoltConfig("foo", "t"), frame), config=DoltConfig("foo", "u"))
    assert (moved.data is frame, moved.is_assigned, moved.config.tablename) == (True, True, "u")


CONFIG_FIRST = (
    *("read", "pin", "versions", "versions_frame", "first_appeared", "restore"),
    *("secret_requests", "dolt_frame", "DoltTable"),
)


@pytest.mark.parametrize("name", CONFIG_FIRST)
@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("rabbits", r"^Cannot use a str as .*DoltConfig\(db_path="),
        (DoltTable(DoltConfig("nowhere", "t")).at(Commit("a" * 32)), r"^Cannot use a DoltTable as .*\.data.*\.config"),
    ],
    ids=["a name", "a table"],
)
def test_what_is_no_config_is_said_to_be_none(name: str, given: Any, words: str) -> None:
    """A table's name or a pinned table in the place of a config is one sentence, before anything is looked for."""
    with pytest.raises(errors.InvalidConfig, match=words):
        getattr(dolt, name)(given)


def test_an_address_is_of_a_table_or_a_config() -> None:
    """A table's name has none."""
    with pytest.raises(errors.InvalidConfig, match="^Cannot use a str"):
        dolt.dolt_uri("rabbits")  # type: ignore[arg-type]
