"""Hostile strings in every place that takes one: refused by an error of ours, or taken and kept exactly as they are.

The repository has work of the user's in it, staged and not, and every write goes to a branch of its own; so whatever
happens, the user's hashes must be the same afterwards, and the folders around the repository, too.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
from hostile import COUNT, strings

from flytekitplugins.dolt import (
    DoltConfig,
    DoltError,
    MergeBranch,
    NewBranch,
    SerialBranch,
    create_repository,
    delete_tag,
    pin,
    read,
    write,
)
from flytekitplugins.dolt.history import tagging
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import connect
from flytekitplugins.dolt.server import local_server

STRINGS = strings()
USERS = pd.DataFrame({"id": [1, 2, 3], "name": ["Ann", "Bob", "Cem"]})


@dataclass
class Target:
    """A repository to attack, and what was seen of it before."""

    path: Path
    around: Path
    """The folder that holds the repository, the private folders and nothing else."""
    before: tuple[object, ...] = ()
    branches: dict[str, str] = field(default_factory=dict)

    def config(self, tablename: str | None = "users", **options: object) -> DoltConfig:
        """Return a config for the repository."""
        return DoltConfig(str(self.path), tablename, **options)  # type: ignore[arg-type]

    def look(self) -> None:
        """Note the user's hashes and the folders around."""
        self.before, self.branches = self._seen(), refs.branches(self.path)

    def check(self, *, made: Sequence[str] = ()) -> None:
        """Assert that nothing of the user's has changed, and that there are no branches but those asked for."""
        assert self._seen() == self.before
        branches = refs.branches(self.path)
        assert set(branches) - set(self.branches) <= set(made)
        assert {name: head for name, head in branches.items() if name in self.branches and name not in made} == {
            name: head for name, head in self.branches.items() if name not in made
        }

    def _seen(self) -> tuple[object, ...]:
        with connect(self.path) as connection:
            hashes = connection.query(
                "SELECT active_branch(), dolt_hashof_db('HEAD'), dolt_hashof_db('STAGED'), dolt_hashof_db('WORKING')",
            )
            status = connection.query("SELECT * FROM dolt_status ORDER BY 1, 2")
            users = connection.query("SELECT user, host FROM mysql.user ORDER BY 1, 2")
            scratch = connection.query("SELECT name FROM dolt_branches WHERE name LIKE 'flyte-tmp/%%'")
        return hashes, status, [user for user in users if user[0] != "flyte_reader"], scratch, self._folders()

    def _folders(self) -> set[str]:
        """Return all that is around, but for what is Dolt's own: inside ``.dolt`` and in our folder's own files."""
        names = set()
        for found in self.around.rglob("*"):
            parts = found.relative_to(self.around).parts
            ours = parts[0].startswith("flyte-dolt-") and parts[1:2] != ("data",)
            if ".dolt" not in parts and not ours:
                names.add("/".join(parts))
        return {name for name in names if not name.startswith("flyte-dolt-") or "/data/" in name}


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """Give the repository, with its private server kept away from those of other tests."""
    around = tmp_path_factory.mktemp("around")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(around))
        patch.setattr(tempfile, "tempdir", str(around))
        patch.chdir(around)
        path = create_repository(around / "foo", name="Ann", email="ann@x.org")
        write(DoltConfig(str(path), "users", primary_key=["id"]), USERS)
        write(DoltConfig(str(path), "users", branch_conf=NewBranch("work")), USERS)
        with connect(path) as connection:
            for statement in (
                "CREATE TABLE staged (n INT)",
                "CALL DOLT_ADD('staged')",
                "CREATE TABLE untracked (n INT)",
                "UPDATE users SET name = 'Zoe' WHERE id = 3",
            ):
                connection.execute(statement)
        yield Target(path, around)
        local_server.release(path)


@pytest.fixture
def target(ready: Target) -> Target:
    """Give the repository, looked at before the test; the test says what it looks like afterwards."""
    ready.look()
    return ready


def attempts(
    do: Callable[[str], object], texts: Sequence[str] = STRINGS
) -> tuple[list[tuple[str, object]], dict[str, DoltError]]:
    """Do it with each string; return what came of those that were taken, and the errors of the others.

    Any exception that is not ours fails the test, with the string that made it.
    """
    taken, refused, wrong = [], {}, []
    for text in texts:
        try:
            taken.append((text, do(text)))
        except DoltError as error:
            refused[text] = error
        except Exception as error:  # noqa: BLE001  # to name every string that breaks out, not only the first
            wrong.append(f"{text[:60]!r}: {type(error).__name__}: {str(error)[:120]}")
    assert not wrong, f"{len(wrong)} strings broke out:\n" + "\n".join(wrong[:40])
    return taken, refused


def test_there_are_enough_and_they_are_the_same_each_time() -> None:
    """The corpus has the promised number of different strings, and a seed gives the same ones."""
    assert len(set(STRINGS)) >= COUNT >= 500
    assert strings() == STRINGS


def test_names_of_tables(target: Target) -> None:
    """A name is refused before anything is sent, or the table is there under just that name, and alone."""

    def do(name: str) -> list[str]:
        written = write(target.config(name, branch_conf=NewBranch("work"), primary_key=["id"]), USERS)
        assert written.data is not None
        assert read(target.config(name, branch_conf=SerialBranch("work"))).equals(USERS)
        with refs.at(target.path, pin(target.config(branch_conf=SerialBranch("work"))).commit) as connection:  # type: ignore[arg-type]
            return [str(row[0]) for row in connection.query("SHOW TABLES")]

    taken, refused = attempts(do)
    assert taken
    assert refused
    assert all(name.casefold() in map(str.casefold, tables) for name, tables in taken)
    assert {name.casefold() for name in taken[-1][1]} == {"users"} | {name.casefold() for name, _ in taken}  # type: ignore[attr-defined]
    target.check(made=["work"])


@pytest.mark.slow
def test_names_of_columns(target: Target) -> None:
    """A frame's columns come back under just their names, or the frame is refused."""
    taken: list[str] = []
    refused: dict[str, DoltError] = {}

    def put(names: list[str]) -> None:
        frame = pd.DataFrame([range(len(names))] * 2, columns=pd.Index(names, dtype=object))
        config = target.config("cols", branch_conf=NewBranch("work"), on_schema_change="replace", keep_order=True)
        try:
            write(config, frame)
            back = read(target.config("cols", branch_conf=SerialBranch("work")))
        except DoltError as error:
            if len(names) == 1:
                refused[names[0]] = error
                return
            put(names[: len(names) // 2])
            put(names[len(names) // 2 :])
            return
        assert list(back.columns) == names
        assert back.to_numpy().tolist() == frame.to_numpy().tolist(), names
        taken.extend(names)

    for at in range(0, len(STRINGS), 20):
        put(STRINGS[at : at + 20])
    assert len(taken) + len(refused) == len(STRINGS)
    assert len(taken) > len(refused)
    target.check(made=["work"])


@pytest.mark.parametrize("policy", [SerialBranch, NewBranch, lambda name: NewBranch("x", base=name)])
def test_names_of_branches(target: Target, policy: Callable[[str], NewBranch]) -> None:
    """A branch is refused as a value, or a write lands on just that one and a read comes from it."""

    def do(name: str) -> str | None:
        written = write(target.config(branch_conf=policy(name)), USERS)
        return written.commit.branch if written.commit else None

    taken, refused = attempts(do)
    assert refused
    made = {policy(name).branch for name, _ in taken}
    assert [branch for _, branch in taken] == [policy(name).branch for name, _ in taken]
    assert "main" not in made
    target.check(made=[*made])


def test_branches_to_merge_into(target: Target) -> None:
    """A merge goes into just the branch that was named, or is refused."""
    taken, refused = attempts(
        lambda name: write(target.config(branch_conf=MergeBranch("work", into=name)), USERS).commit
    )
    assert all(commit.branch == name for name, commit in taken)  # type: ignore[attr-defined]
    assert "main" in refused
    target.check(made=["work", *(name for name, _ in taken)])


def test_tags(target: Target) -> None:
    """A tag has just the name that was asked for, or is refused."""

    def do(name: str) -> bool:
        tagging.tag(name, target.config())
        assert read(target.config(as_of=f"refs/tags/{name}")).equals(USERS)
        return delete_tag(name, db_path=target.path).name == name

    taken, refused = attempts(do)
    assert taken
    assert all(same for _, same in taken)
    assert refused
    assert tagging.tags(target.path) == []
    target.check()


@pytest.mark.slow
def test_messages_and_authors(target: Target) -> None:
    """A message is in the log as it was given, but for trailers, which are quoted, under the very author."""
    settings = target.path / ".dolt" / "config.json"
    kept = settings.read_text()

    def do(text: str) -> str:
        settings.write_text(json.dumps({"user.name": text, "user.email": text}))
        try:
            config = target.config("said", branch_conf=NewBranch("work"), mode="append")
            commit = write(config, pd.DataFrame({"n": [1]}), message=text).commit
        finally:
            settings.write_text(kept)
        assert commit is not None
        (newest,) = refs.log(target.path, "work", limit=1)
        assert newest.hash == commit.hash
        assert newest.author is not None
        assert not set("\n\r\0") & set(newest.author)
        return str(newest.message)

    taken, _ = attempts(do)
    # Dolt keeps no white space at the ends; an empty one gets the package's own words.
    lines = {
        text: [f"> {each}" if each.lstrip().startswith("Flyte-") else each for each in text.split("\n")]
        for text, _ in taken
    }
    expected = {text: "\n".join(lines[text]).strip() for text, _ in taken if text.strip()}
    assert {text: said for text, said in taken if text.strip() and said.strip() != expected[text]} == {}
    target.check(made=["work"])


@pytest.mark.slow
@pytest.mark.parametrize("tablename", ["users", None])
def test_as_of(target: Target, tablename: str | None) -> None:
    """A state is refused, or is a commit that the repository holds, read whole; what is uncommitted never is."""
    sql = None if tablename else "SELECT * FROM users ORDER BY id"

    def do(text: str) -> pd.DataFrame:
        return read(target.config(tablename, sql=sql, as_of=text))

    taken, refused = attempts(do)
    assert taken
    assert refused
    assert all(frame.equals(USERS) for _, frame in taken)
    target.check()


def test_paths(target: Target) -> None:
    """A path is refused and nothing is made there; only folders that hold a repository are opened."""
    taken, refused = attempts(lambda path: read(DoltConfig(path, "users")))
    assert taken == []
    assert len(refused) == len(STRINGS)
    attempts(lambda path: write(DoltConfig(path, "users"), USERS))
    target.check()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["order_by", "columns", "primary_key"])
def test_columns_that_are_asked_for(target: Target, place: str) -> None:
    """A column that is not there is refused, and is never read as SQL."""

    def do(name: str) -> object:
        config = target.config(branch_conf=SerialBranch("work"), **{place: [name]})
        return write(config, USERS) if place == "primary_key" else read(config)

    taken, refused = attempts(do)
    assert {name for name, _ in taken} <= {"id", "ID", "name"}
    assert refused
    target.check(made=["work"])


def test_options(target: Target) -> None:
    """An option is one of its words, and an unknown one is refused."""
    for place in ("mode", "on_schema_change", "index", "keep_order", "lock_timeout_s"):
        taken, _ = attempts(lambda text, place=place: read(target.config(io_args={place: text})))  # type: ignore[misc]
        assert taken == []
    taken, _ = attempts(lambda text: read(target.config(io_args={text: text})))
    assert taken == []
    target.check()


def test_keys_of_writes(target: Target) -> None:
    """A key is one word of known letters, or is refused; none finds another write's commit."""
    config = target.config("keyed", branch_conf=NewBranch("work"), mode="append")
    taken, refused = attempts(lambda key: write(config, pd.DataFrame({"n": [1]}), key=key).commit)
    assert refused
    assert len({commit.hash for _, commit in taken if commit}) == len(taken)  # type: ignore[attr-defined]
    target.check(made=["work"])


@pytest.mark.slow
def test_parameters(target: Target) -> None:
    """A value comes back as the very text that was given, or is refused; it is never part of the statement."""
    taken: dict[str, object] = {}

    def do(text: str) -> object:
        frame = read(
            target.config(None, sql="SELECT :x AS x, 'y' = :x AS y FROM users WHERE id = 1", params={"x": text})
        )
        taken[text] = frame["x"].iloc[0]
        return taken[text]

    _, refused = attempts(do)
    assert {text: found for text, found in taken.items() if found != text} == {}
    assert {text for text in STRINGS if not _is_text(text)} == set(refused)
    names, _ = attempts(lambda text: read(target.config(None, sql=f"SELECT :{text}", params={text: 1})))
    assert all(name.isidentifier() for name, _ in names)
    target.check()


def _is_text(text: str) -> bool:
    return not any("\ud800" <= sign <= "\udfff" for sign in text)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sql", ["{}", "SELECT * FROM users WHERE name = '{}'", "SELECT * FROM `{}`", "SELECT id AS {} FROM users"]
)
def test_statements(target: Target, sql: str) -> None:
    """A text as, or pasted into, a query is refused or only reads, and never what is in no commit."""
    taken, refused = attempts(lambda text: read(target.config(None, sql=sql.replace("{}", text))))
    assert refused
    assert not any("Zoe" in frame.astype(str).to_numpy() for _, frame in taken)  # type: ignore[attr-defined]
    target.check()
