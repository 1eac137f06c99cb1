"""Statements that were broken, glued together and disguised: refused, or read, and nothing in the repository moves.

Each is given to the gate. What passes is read at a commit by the way of everybody's reads, on a real server: 1,000 in
CI, more at night (`make nightly`), from a seed that a failure prints.
"""

from __future__ import annotations

import hashlib
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from factor import FACTOR, SEED
from statements import OTHER_STATEMENTS, PIECES, REFUSED, STATEMENTS

from flytekitplugins.dolt import DoltConfig, DoltTable, NewBranch, create_repository, errors, write
from flytekitplugins.dolt.query import validation
from flytekitplugins.dolt.repository.connections import Connection, connect
from flytekitplugins.dolt.server import local_server

sys.path.insert(0, str(Path(__file__).parent))
from test_pinned_queries import OF_THE_DAY, PINNED

ROUNDS = 1_000 if FACTOR == 1 else 2_000 * FACTOR
LOOK_EVERY = 200
MOST_AT_ONCE = 400
"""Characters of a statement; longer ones only take longer."""

DOCS = Path(__file__).parents[2] / "docs"
OF_THE_PAGES = [
    sql
    for page in sorted(DOCS.glob("*.md"))
    for sql in re.findall(r'sql=(?:\w+\()?"((?:select|with|show)[^"]+)"', page.read_text(), re.IGNORECASE)
]
WRITING = [
    "insert into orders values (1000, 1, 1.0, '2024-01-01', 1)",
    "update customers set name = 'pwned'",
    "delete from orders where id > 0",
    "replace into orders (id) values (1)",
    "drop table orders",
    "create table pwned (i int)",
    "create user pwned@localhost identified by 'x'",
    "grant all on *.* to flyte_reader@localhost",
    "alter user flyte_reader@localhost identified by 'x'",
    "set global max_connections = 1",
    "set @@global.dolt_show_system_tables = 1",
    "set persist sql_mode = 'ANSI_QUOTES'",
    "call dolt_commit('-Am', 'pwned')",
    "call dolt_branch('pwned')",
    "call dolt_tag('pwned')",
    "call dolt_checkout('run/1')",
    "call dolt_reset('--hard', 'HEAD~1')",
    "call dolt_remote('add', 'pwned', 'file:///tmp/pwned')",
    "call dolt_backup('sync-url', 'file:///tmp/pwned')",
    "load data infile '/etc/passwd' into table customers",
    "select * from customers into outfile 'pwned.txt'",
    "select 'x' into dumpfile 'pwned.txt'",
    "with x as (select 1) delete from orders",
    "explain analyze delete from orders",
    "lock tables orders write",
    "prepare s from 'delete from orders'",
    "kill 1",
    "shutdown",
    "select load_file('/etc/passwd')",
    "select get_lock('pwned', 1)",
    "select * from mysql.user",
    "select * from information_schema.processlist",
]
CORPUS = [
    *(sql for sql in STATEMENTS if len(sql) <= MOST_AT_ONCE),
    *OF_THE_PAGES,
    *PINNED,
    *OF_THE_DAY,
    *(sql for sql, _ in REFUSED if len(sql) <= MOST_AT_ONCE),
    *WRITING * 3,
]
SPACES = [
    " ",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\v",
    "\f",
    "\0",
    "\x1a",
    "\x85",
    "\xa0",
    "\u2003",
    "\u2028",
    "\u3000",
    "\ufeff",
]
SIGNS = [
    "'",
    '"',
    "`",
    "\\",
    ";",
    "(",
    ")",
    ",",
    ".",
    "*",
    "-",
    "#",
    "@",
    "@@",
    ":",
    ":=",
    "?",
    "$",
    "{",
    "}",
    "%",
    "''",
]
COMMENTS = [
    "/*",
    "*/",
    "/**/",
    "/*!",
    "/*!50000 ",
    "/*!99999 ",
    "/*M!",
    "/*+ x */",
    "-- ",
    "--",
    "--\t",
    "--\xa0",
    "//",
    "# ",
]
PREFIXES = [
    "_utf8mb4",
    "_binary",
    "_latin1",
    "_gbk",
    "N",
    "n",
    "x",
    "X",
    "b",
    "0x",
    "E",
    "u&",
    "1e-",
    "1.5e+",
    "date ",
    "binary ",
]
ALIKE = {
    "i": "\u0130",
    "I": "\u0131",
    "s": "\u017f",
    "S": "\u017f",
    "k": "\u212a",
    "K": "\u212a",
    "a": "\uff41",
    "'": "\uff07",
}
Change = Callable[[random.Random, str], str]


def _at(chance: random.Random, sql: str) -> int:
    return chance.randint(0, len(sql))


def _insert(chance: random.Random, sql: str) -> str:
    at = _at(chance, sql)
    what = chance.choice([SPACES, SIGNS, COMMENTS, PREFIXES, PIECES, OTHER_STATEMENTS])
    space = chance.choice(["", " "])
    return f"{sql[:at]}{space}{chance.choice(what)}{space}{sql[at:]}"


def _delete(chance: random.Random, sql: str) -> str:
    at = _at(chance, sql)
    return sql[:at] + sql[at + chance.randint(1, 6) :]


def _repeat(chance: random.Random, sql: str) -> str:
    start, at = _at(chance, sql), _at(chance, sql)
    return sql[:at] + sql[start : start + chance.randint(1, 20)] + sql[at:]


def _glue(chance: random.Random, sql: str) -> str:
    between = chance.choice([";", " ; ", " union ", " union all ", "\n", " -- \n", " /* */ ", ", ", " "])
    return sql + between + chance.choice(CORPUS)


def _nest(chance: random.Random, sql: str) -> str:
    form = chance.choice(
        [
            "select * from ({}) q",
            "with q as ({}) select * from q",
            "select ({})",
            "select * from orders where id in ({})",
            "explain {}",
            "({})",
            "select 1 /*! {} */",
            "select 1 /* {} */",
            "select 1 -- {}\n",
            "select * from dolt_query_diff('{}', 'select 1')",
            "select '{}'",
            'select "{}"',
            "select `{}`",
            "/*{}*/ select 1",
        ]
    )
    return form.format(sql)


def _cross(chance: random.Random, sql: str) -> str:
    other = chance.choice(CORPUS)
    return sql[: _at(chance, sql)] + other[_at(chance, other) :]


def _disguise(chance: random.Random, sql: str) -> str:
    at = [index for index, char in enumerate(sql) if char in ALIKE]
    return sql if not at else (i := chance.choice(at)) * 0 * "" + sql[:i] + ALIKE[sql[i]] + sql[i + 1 :]


def _space(chance: random.Random, sql: str) -> str:
    parts = sql.split(" ")
    at = chance.randrange(len(parts))
    return " ".join(parts[: at + 1]) + chance.choice([*SPACES, "/**/", "/*!*/", "-- \n"]) + " ".join(parts[at + 1 :])


def _case(chance: random.Random, sql: str) -> str:
    return "".join(chance.choice([char.lower(), char.upper()]) for char in sql)


def _quote(chance: random.Random, sql: str) -> str:
    words = [*re.finditer(r"\w+", sql)]
    if not words:
        return sql
    word, mark = chance.choice(words), chance.choice("'\"``")
    return f"{sql[: word.start()]}{mark}{word[0]}{mark}{sql[word.end() :]}"


CHANGES: list[Change] = [_insert, _insert, _delete, _repeat, _glue, _nest, _cross, _disguise, _space, _case, _quote]


def mutated(chance: random.Random) -> str:
    """Return a statement of the corpus after one to four changes."""
    sql = chance.choice(CORPUS)
    for _ in range(chance.choice([0, 1, 1, 1, 2, 2, 3, 4])):
        sql = chance.choice(CHANGES)(chance, sql)
    return sql[:MOST_AT_ONCE]


@dataclass(frozen=True)
class Shop:
    """A repository to attack."""

    path: Path
    commit: str

    def read(self, sql: str) -> pd.DataFrame | None:
        """Return what a literal with this statement gives at the commit."""
        config = {"db_path": str(self.path), "sql": sql}
        return DoltTable.from_dict({"config": config, "commit": {"hash": self.commit}}).data


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Give a repository with the tables of the corpus, a branch, a tag, and uncommitted and staged work."""
    path = create_repository(tmp_path_factory.mktemp("shop") / "shop", name="Ann", email="ann@x.org")
    config: dict[str, Any] = {"db_path": str(path), "primary_key": ["id"]}
    names = pd.DataFrame({"id": [1, 2], "name": ["Ann", "Bob"], "city": ["Rome", None]})
    orders = pd.DataFrame({"id": [1, 2, 3], "customer": [1, 1, 2], "amount": [10.5, 20.0, 5.25]})
    orders["day"] = pd.date_range("2024-01-01", periods=3)
    write(DoltConfig(tablename="customers", **config), names)
    write(DoltConfig(tablename="users", **config), names)
    write(DoltConfig(tablename="orders", **config), orders.head(2))
    write(DoltConfig(tablename="orders", branch_conf=NewBranch("run/1"), **config), orders.assign(amount=0.0))
    written = write(DoltConfig(tablename="orders", **config), orders)
    assert written.commit is not None
    with connect(path) as connection:
        for statement in (
            "CALL DOLT_TAG('v1', 'HEAD~1')",
            "INSERT INTO orders VALUES (99, 1, 1e6, '2024-01-01')",
            "CREATE TABLE staged (n INT)",
            "CALL DOLT_ADD('staged')",
        ):
            connection.execute(statement)
    shop = Shop(path, written.commit.hash)
    shop.read("select 1")  # makes the user who may only read
    yield shop
    local_server.release(path)


def state(shop: Shop) -> dict[str, object]:
    """Return all that no query may change: each branch's three roots, refs, work, users, settings and files."""
    with connect(shop.path) as connection:
        rows = _rows(connection)
        branches = rows("SELECT name, hash FROM dolt_branches ORDER BY name")
        found: dict[str, object] = {
            "branches": branches,
            "tags": rows("SELECT tag_name, tag_hash FROM dolt_tags ORDER BY tag_name"),
            "remotes": rows("SELECT name, url FROM dolt_remotes"),
            "stashes": rows("SELECT * FROM dolt_stashes"),
            "users": rows("SELECT user, host, authentication_string FROM mysql.user ORDER BY user"),
            "rights": rows("SHOW GRANTS FOR 'flyte_reader'@'localhost'"),
            "settings": [row for row in rows("SHOW GLOBAL VARIABLES") if row[0] not in ("timestamp", "rand_seed1")],
            "locks": rows("SELECT is_free_lock('pwned'), is_free_lock('a')"),
            "checked out": rows("SELECT active_branch()"),
        }
        for branch, _ in branches:
            with connection.at(str(branch)):
                roots = rows("SELECT dolt_hashof_db('HEAD'), dolt_hashof_db('STAGED'), dolt_hashof_db('WORKING')")
                found[f"roots of {branch}"] = roots + rows("SELECT * FROM dolt_status")
        folder = connection.shared_folder()
    assert folder is not None
    found["files"] = _files(shop.path.parent) + _files(folder)
    return found


def _rows(connection: Connection) -> Callable[[str], list[tuple[Any, ...]]]:
    return lambda sql: connection.query(sql)


def _files(folder: Path) -> list[tuple[str, str]]:
    """Return names and hashes of the files below ``folder`` but for those that the server keeps for itself."""
    own = ("sql-server.info", "LOCK")
    return sorted(
        (str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.rglob("*")
        if path.is_file() and path.name not in own and "temptf" not in path.parts
    )


@pytest.mark.timeout(300 * FACTOR)
def test_mutated_statements_never_change_anything(shop: Shop) -> None:
    """Each is refused or reads; what goes wrong is one of our errors, and none that asks to be tried again."""
    chance = random.Random(SEED)
    print(f"seed {SEED}, {ROUNDS} statements")
    before, outcomes = state(shop), Counter[str]()
    for number in range(ROUNDS):
        sql = mutated(chance)
        outcomes[_outcome(shop, sql)] += 1
        if number % LOOK_EVERY == LOOK_EVERY - 1:
            assert state(shop) == before, f"one of the last {LOOK_EVERY} statements before number {number}"
    assert state(shop) == before
    print(outcomes)
    assert outcomes["refused"] > ROUNDS / 4
    assert outcomes["read"] > ROUNDS / 20


def _outcome(shop: Shop, sql: str) -> str:
    try:
        validation.parse(sql, database="shop")
    except errors.QueryRefused:
        return "refused"
    except Exception as error:
        raise AssertionError(f"the gate breaks on {sql!r}") from error
    try:
        shop.read(sql)
    except errors.TRANSIENT as error:
        raise AssertionError(f"to be tried again, and no better then: {sql!r}") from error
    except errors.DoltError as error:
        return type(error).__name__
    except BaseException as error:
        raise AssertionError(f"no error of ours: {sql!r}") from error
    return "read"


def test_what_is_looked_at_shows_a_change(shop: Shop) -> None:
    """Each of the corpus's statements that write, run by who may, is seen: otherwise the test above could not fail."""
    before = state(shop)
    for statement, undone, seen in (
        ("CALL DOLT_BRANCH('pwned')", "CALL DOLT_BRANCH('-D', 'pwned')", "branches"),
        ("CALL DOLT_TAG('pwned')", "CALL DOLT_TAG('-d', 'pwned')", "tags"),
        ("CREATE USER pwned@localhost", "DROP USER pwned@localhost", "users"),
        ("SET GLOBAL max_error_count = 63", "SET GLOBAL max_error_count = 1024", "settings"),
        ("CREATE TABLE pwned (i INT)", "DROP TABLE pwned", "roots of main"),
        ("SELECT 'x' INTO DUMPFILE 'pwned'", "", "files"),
        ("GRANT INSERT ON *.* TO flyte_reader@localhost", "REVOKE INSERT ON *.* FROM flyte_reader@localhost", "rights"),
    ):
        with connect(shop.path) as connection:
            where = f"'{connection.shared_folder()}/pwned'"
            connection.execute(statement.replace("'pwned'", where) if seen == "files" else statement)
            changed = state(shop)
            assert changed[seen] != before[seen], statement
            if undone:
                connection.execute(undone)
    assert len(set(CORPUS)) > 300
    assert len(OF_THE_PAGES) > 3
