"""Hostile values in every position of a template: they arrive as they are, alone, and change nothing.

The corpus goes through MariaDB and Dolt, each with and without the sql_mode NO_BACKSLASH_ESCAPES (which MariaDB obeys
and Dolt only accepts), and through PostgreSQL and SQLite. What a server was really sent is read in MariaDB's own log.
"""

from __future__ import annotations

import datetime as dt
import enum
import math
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Optional

import hostile
import pyarrow as pa
import pytest
from servers import Server
from sql_tasks import run, uri

from flytekitplugins.sqlalchemy import templates
from flytekitplugins.sqlalchemy.errors import (
    InvalidTask,
    InvalidValue,
    SQLTaskError,
    StatementFailed,
    SyntaxRefused,
    TableNotFound,
)

# fmt: off
SQL = [
    "'; drop table canary; -- ", "'; drop table canary; #", '"; drop table canary; -- ', "; drop table canary",
    "1; drop table canary", "1 union select 2", "' union select 'x", "') union select ('x", "x' or 'x'='x",
    '" or ""="', "1 or 1=1", "' or 1=1 limit 1 -- ", "'||'x", "' '", "''", "'''", '""', "\\'; drop table canary; -- ",
    "\\\\'; drop table canary; -- ", "\\\\\\'; drop table canary; -- ", "\\", "\\\\", "\\\\\\", "x\\", "\\n", "\\0",
    "\\x27", "\\%", "\\_", "%", "_", "%'", "_%_", "%%", "%s", "%%s", "%(p1)s", "%(s0)s", "%d %i", "100%", ":p1",
    ":name", "::text", "?", "??", "$1", "$$", "$$; drop table canary; $$", "$a$x$a$", "@a", "@@sql_mode",
    "{{ .inputs.x }}", "{{ .inputs.s0 }}", "{{.inputs.s0|identifier}}", "'{{ .inputs.s0 }}'", "{{", "}}", "{}", "{0}",
    "--", "-- ", "--\t", "--x", "#", "# x\n; drop table canary", "/*", "*/", "/* x */", "*/ ; drop table canary; /*",
    "/*! drop table canary */", "/*!50000 drop table canary */", "/*M! drop table canary */",
    "/*+ SET_VAR(sql_mode='') */", "\0", "a\0b", "\0'", "\0; drop table canary", "\x1a", "\b\t\n\v\f\r", "\r\n",
    "\n-- x", "\u2018", "\u2019", "\u201c\u201d", "\u02bc", "\uff07", "\uff02", "\u2032", "\u00b4", "\u00bf'",
    "\u00bf\\'", "\u7e17'", "\u7e17\\'", "\u8aa0'", "\u8aa0\\", "\u30bd'", "\u4e2d' or 1=1 -- ",
    "\u4e2d\\' or 1=1 -- ", "\u00e9", "e\u0301", "\U0001f600", "\U0001f600'", "\U0010ffff", "\ufeff'", "\u200b'",
    "\u202e'", "\u2028'", "\x85'", "\xa0'", "x" * 100_000, "'" * 10_000, "\\" * 9_999, "\U0001f600" * 10_000,
    "'; call dolt_reset('--hard'); -- ", "'; call dolt_branch('pwned'); -- ", "'; call dolt_commit('-Am', 'x'); -- ",
    "' into outfile '/tmp/pwned", "' and sleep(9) -- ", "' and benchmark(1e9, md5(1)) -- ",
    "load_file('/etc/passwd')", "0x27", "x'27'", "b'1'", "_utf8mb4'x'", "N'x'", "E'x\\'", "U&'\\0027'", "null",
    "NULL", "true", "default", "current_user()", "(select 1)", "select 1", "'='", "'+'", "'*'", "'/'", "';", "';;",
    "\\';", "a'b\"c`d", "`", "``", "`; drop table canary; -- ", "canary` -- ", "canary", "canary; select 1", "a.b",
    "a`.`b", " x", "x ", "\tx", "",
]
# fmt: on
CORPUS = [text for text in dict.fromkeys([*SQL, *hostile.CLASSICS]) if not any("\ud800" <= c <= "\udfff" for c in text)]
GROUPS = [CORPUS[start : start + 45] for start in range(0, len(CORPUS), 45)]
ASCII = [text for text in CORPUS if text.isascii()]
NO_BACKSLASH = {"init_command": "SET sql_mode = 'NO_BACKSLASH_ESCAPES'"}
ANSI_QUOTES = {"init_command": "SET sql_mode = 'ANSI_QUOTES'"}
TABLES = "select table_name from information_schema.tables where table_schema = 'db' order by 1"


def strings(texts: list[str]) -> dict[str, Any]:
    """Return inputs s0, s1, ... of these texts."""
    return {f"s{number}": (str, text) for number, text in enumerate(texts)}


def state(server: Server) -> list[Any]:
    """Return what no hostile value may change."""
    seen = [
        server.sql(TABLES),
        server.sql("select * from canary order by id"),
        sorted(server.sql("select user from mysql.user")),
    ]
    if server.kind == "dolt":
        seen += [server.sql("select name, hash from dolt_branches"), server.sql("select * from dolt_status")]
    return seen


@pytest.fixture
def attacked(server: Server) -> Iterator[Server]:
    """Give a server, and see that the canary, the tables and the users are the same afterwards."""
    server.sql("drop table if exists canary, words")
    server.sql("create table canary (id int primary key, name varchar(20))")
    server.sql("insert into canary values (1, 'alive'), (2, null), (3, '')")
    before = state(server)
    yield server
    assert state(server) == before


def test_the_corpus_is_as_large_as_promised() -> None:
    """At least a hundred strings made for SQL, beside those that every part of the project is tested with."""
    assert len(set(SQL)) >= 130
    assert len(CORPUS) >= 300


POSITIONS = {
    "bare": ("{{{{ .inputs.s{0} }}}}", "{}"),
    "quoted": ("'{{{{ .inputs.s{0} }}}}'", "{}"),
    "double": ('"{{{{ .inputs.s{0} }}}}"', "{}"),
    "like": ("'%{{{{ .inputs.s{0} }}}}%'", "%{}%"),
    "mixed": ("'it''s \"{{{{.inputs.s{0}}}}}\" :y %s {{{{.inputs.s{0}}}}}?'", 'it\'s "{0}" :y %s {0}?'),
    "function": ("concat({{{{ .inputs.s{0} }}}}, '/*', '{{{{ .inputs.s{0} }}}}')", "{0}/*{0}"),
}
"""Where a value can stand: the template, and what has to arrive."""


def positions(texts: list[str], kinds: list[str]) -> tuple[str, list[str]]:
    """Return a query with every text in every position, in comments too, and the values that it has to give."""
    columns, expected = [], []
    for number, text in enumerate(texts):
        for kind in kinds:
            template, meaning = POSITIONS[kind]
            columns.append(f"{template.format(number)} /* {{{{ .inputs.s{number} }}}} */ as {kind}{number}")
            expected.append(meaning.replace("{0}", "{}").replace("{}", text))
    return "select " + ",\n".join(columns) + "\n-- {{ .inputs.s0 }}", expected


@pytest.mark.parametrize("mode", [{}, NO_BACKSLASH], ids=["backslash", "no-backslash"])
def test_values_arrive_equal(attacked: Server, mode: dict[str, str]) -> None:
    """Each hostile string is the same text in each position, whatever the sql_mode."""
    for texts in GROUPS:
        query, expected = positions(texts, list(POSITIONS))
        (row,) = run(attacked, query, inputs=strings(texts), output=pa.Table, connect_args=mode).to_pylist()
        assert list(row.values()) == expected
    assert ("NO_BACKSLASH" in run(attacked, "select @@sql_mode as m", connect_args=mode)["m"][0]) == bool(mode)


def test_values_arrive_equal_with_ansi_quotes(mariadb: Server) -> None:
    """Where double quotes hold names, a value in single ones is the same text, and one in double ones is refused."""
    for texts in GROUPS[::2]:
        query, expected = positions(texts, ["bare", "quoted", "like"])
        (row,) = run(mariadb, query, inputs=strings(texts), output=pa.Table, connect_args=ANSI_QUOTES).to_pylist()
        assert list(row.values()) == expected
    with pytest.raises(InvalidTask, match="quoted"):
        run(mariadb, 'select "{{ .inputs.s0 }}" as a', inputs=strings(["x"]), connect_args=ANSI_QUOTES)


@pytest.mark.parametrize("charset", ["gbk", "latin1"])
def test_character_sets_with_backslashes_in_characters(mariadb: Server, charset: str) -> None:
    """On a connection in GBK, where half a character can look like a backslash, values arrive or are refused."""
    python = {"latin1": "cp1252"}.get(charset, charset)
    texts = [text for text in CORPUS if text.encode(python, "ignore").decode(python) == text]
    assert len(texts) > 200
    query, expected = positions(texts, ["bare", "quoted"])
    where = f"{uri(mariadb)}?charset={charset}"
    (row,) = run(where, query, inputs=strings(texts), output=pa.Table).to_pylist()
    assert list(row.values()) == expected
    with pytest.raises(InvalidValue, match="character set"):
        run(where, "select {{ .inputs.s0 }} as a", inputs=strings(["\U0001f600"]))


def test_a_character_set_set_behind_the_driver_is_set_back(attacked: Server) -> None:
    """SET NAMES gbk in init_command, which would make the driver's escaping wrong, does not reach the statement."""
    texts = [text for text in SQL if not text.isascii() and len(text) < 50]
    query, expected = positions(texts, ["bare", "quoted"])
    arguments = {"init_command": "SET NAMES gbk"}
    (row,) = run(attacked, query, inputs=strings(texts), output=pa.Table, connect_args=arguments).to_pylist()
    assert list(row.values()) == expected


@pytest.fixture
def words(attacked: Server) -> Iterator[Server]:
    """Give a server with a table of words that are compared byte by byte."""
    attacked.sql("create table words (id int primary key, word longtext character set utf8mb4 collate utf8mb4_bin)")
    yield attacked
    attacked.sql("drop table words")


@pytest.mark.parametrize("mode", [{}, NO_BACKSLASH], ids=["backslash", "no-backslash"])
def test_values_are_stored_and_found(words: Server, mode: dict[str, str]) -> None:
    """An INSERT stores each string as it is; IN, = and LIKE find each by itself."""
    rows = ", ".join(f"({number}, {{{{ .inputs.s{number} }}}})" for number in range(len(CORPUS)))
    run(words, f"insert into words values {rows}", inputs=strings(CORPUS), output=None, connect_args=mode)
    assert [word for (word,) in words.sql("select word from words order by id")] == CORPUS
    query = "select id from words where word in ({{ .inputs.all }}) order by id"
    found = run(words, query, inputs={"all": (list[str], CORPUS)}, connect_args=mode)["id"]
    assert found.tolist() == list(range(len(CORPUS)))
    few = CORPUS[:5]
    query = (
        "select id from words where word in ('nothing', {{ .inputs.few }}) or word = '{{ .inputs.one }}' order by id"
    )
    found = run(words, query, inputs={"few": (list[str], few), "one": (str, CORPUS[7])}, connect_args=mode)["id"]
    assert found.tolist() == [0, 1, 2, 3, 4, 7]
    patterns = {number: text for number, text in enumerate(CORPUS) if "\\" not in text and len(text) < 200}
    matches = " union all ".join(
        f"select id from words where id = {n} and word like '%{{{{ .inputs.s{n} }}}}%'" for n in list(patterns)[::4]
    )
    chosen = {f"s{number}": (str, patterns[number]) for number in list(patterns)[::4]}
    assert sorted(run(words, matches, inputs=chosen, connect_args=mode)["id"]) == list(patterns)[::4]


def test_a_comment_holds_no_value(attacked: Server) -> None:
    """A placeholder in a comment stays as it is written, so that no value can end the comment."""
    query = "select 1 as a /* {{ .inputs.s0 }} */ # {{ .inputs.s0 }}\n -- {{ .inputs.s0 }}\n, {{ .inputs.s0 }} as b"
    for text in ("*/ , (select 2) as c /*", "\n; drop table canary", "\r, 2 as c"):
        assert run(attacked, query, inputs=strings([text]), output=pa.Table).to_pylist() == [{"a": 1, "b": text}]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select /*! {{ .inputs.s0 }} */ 1", "comment"),
        ("select /*M! {{ .inputs.s0 }} */ 1", "comment"),
        ("select /*+ {{ .inputs.s0 }} */ 1", "comment"),
        ("select `{{ .inputs.s0 }}` from canary", "quoted name"),
        ("select 'x {{ .inputs.s0 }}", "quote"),
        ("select '{{ .inputs.s0 | identifier }}'", "text"),
        ("select {{ .inputs.s0 | upper }}", "placeholder"),
        ("select {{ inputs.s0 }}", "placeholder"),
        ("select {{ .inputs.s0", "placeholder"),
        ("select {{ .inputs.s-0 }}", "placeholder"),
    ],
)
def test_places_for_no_value(mariadb: Server, query: str, said: str) -> None:
    """A placeholder where nothing can be bound is refused when the task is made."""
    with pytest.raises(InvalidTask, match=said):
        run(mariadb, query, inputs=strings(["x"]))


NAMES = [text for text in CORPUS if 0 < len(text) <= 64 and text == text.strip() and text.isprintable()]


def test_hostile_names_are_refused() -> None:
    """What can be no name (empty, too long, with control characters or spaces around) is refused before it is sent."""
    refused = [text for text in CORPUS if text not in NAMES]
    assert len(refused) > 50
    for text in refused:
        with pytest.raises(InvalidValue, match="table.*column"):
            templates.checked_name("t", text)
    with pytest.raises(InvalidValue, match="column.*int"):
        templates.checked_name("t", 1)


@pytest.mark.parametrize("mode", [{}, NO_BACKSLASH], ids=["backslash", "no-backslash"])
def test_hostile_names_are_names(attacked: Server, mode: dict[str, str]) -> None:
    """What may be a name is one: quoted as a whole, it comes back as the name of a column."""
    assert len(NAMES) > 150
    basic = [name for name in NAMES if max(name) < "\U00010000"]  # MariaDB has no other characters in names
    for names in (basic[start : start + 40] for start in range(0, len(basic), 40)):
        columns = ", ".join(f"{number} as {{{{ .inputs.s{number} | identifier }}}}" for number in range(len(names)))
        found = run(attacked, f"select {columns}", inputs=strings(names), output=pa.Table, connect_args=mode)
        assert found.column_names == names


@pytest.mark.parametrize("name", [n for n in NAMES if "canary" in n and n != "canary"] + ["users", "1", "*", "a.b"])
def test_a_hostile_name_is_no_other_table(attacked: Server, name: str) -> None:
    """A name with SQL in it is looked up as one name, which is not there."""
    with pytest.raises(TableNotFound, match="task"):
        run(attacked, "select * from {{ .inputs.s0 | identifier }}", inputs=strings([name]))


def test_a_table_with_a_hostile_name(attacked: Server) -> None:
    """Such tables can be made, read and dropped by tasks."""
    for name in ("a`b", "x'y\"z", "select", "; drop table canary", "%s", ":x", "-- x", "é"):
        inputs = {"t": (str, name), "x": (str, name)}
        run(attacked, "create table {{ .inputs.t | identifier }} (v text)", inputs={"t": (str, name)}, output=None)
        run(attacked, "insert into {{ .inputs.t | identifier }} values ({{ .inputs.x }})", inputs=inputs, output=None)
        found = run(attacked, "select v from {{.inputs.t|identifier}} where v = '{{ .inputs.x }}'", inputs=inputs)
        assert found["v"].tolist() == [name]
        run(attacked, "drop table {{ .inputs.t | identifier }}", inputs={"t": (str, name)}, output=None)


def test_no_second_statement(attacked: Server) -> None:
    """A template of two statements is refused, and neither is run."""
    for query in ("select 1 as a; drop table canary", "select 1 as a; insert into canary values (4, 'x')"):
        with pytest.raises(SyntaxRefused, match="the query has several statements, and a task runs one"):
            run(attacked, query)


@pytest.fixture
def log(mariadb: Server) -> Iterator[Any]:
    """Give a function that returns what the server was sent since the last call, between a session's BEGIN and end."""
    mariadb.sql("set global log_output = 'TABLE'", "set global general_log = 1", "truncate mysql.general_log")

    def read() -> list[str]:
        sent = mariadb.sql(
            "select cast(argument as binary) from mysql.general_log where command_type = 'Query' and thread_id <> "
            "connection_id() order by event_time"
        )
        texts = [bytes(text).decode("utf-8", "replace") for (text,) in sent]
        mariadb.sql("truncate mysql.general_log")
        start = texts.index("START TRANSACTION")
        return texts[start + 1 : texts.index("COMMIT", start)]

    yield read
    mariadb.sql("set global general_log = 0", "truncate mysql.general_log")


TEMPLATES = [
    "select 1 as a",
    "select   1\tas\n\n  a  ",
    "select 'a  b\n\tc' as a",
    "select 'a''b\\'c\\\\' as a, \"d\"\"e\\\"f\" as b",
    "select '%s %d %% :x ? $1' as a, 5 % 3 as b -- %s :y ?",
    "select /* a  %s */ 1 as a # {{ .inputs.none }}",
    "-- {{ .inputs.none }}\nselect 1 as a",
    "select 1 as `a % :b ? ``c`",
    "select /*! 2 + */ 1 as a",
    "select 'é 日本 \\0 \\Z' as a",
    "select 1 as a;",
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_arrives_as_written(log: Any, mariadb: Server, template: str) -> None:
    """Quotes, comments and white space are sent as they stand, with a value beside them and without."""
    inputs: dict[str, Any] = {"none": (str, "x")} if "none" in template else {}
    sent = template.rstrip(" ;")  # MariaDB itself takes these away before it notes a statement
    run(mariadb, template, inputs=inputs)
    assert log() == [sent]
    if "1 " in template:
        run(mariadb, template.replace("1 ", "{{ .inputs.n }} ", 1), inputs={**inputs, "n": (int, 1)})
        assert log() == [sent]


def test_one_statement_arrives(log: Any, mariadb: Server) -> None:
    """Each group of hostile values is one statement in the server's log, whatever stands in them."""
    for texts in GROUPS:
        run(mariadb, positions(texts, list(POSITIONS))[0], inputs=strings(texts), output=pa.Table)
        (sent,) = log()
        assert sent.startswith("select ")
        assert sent.endswith("-- {{ .inputs.s0 }}")


class Color(enum.Enum):
    """An enum as an input."""

    RED = "red"


MOMENT = dt.datetime(2020, 1, 2, 3, 4, 5, 678901, tzinfo=dt.timezone(dt.timedelta(hours=5)))
VALUES: list[tuple[str, Any, Any, str, Any]] = [
    ("datetime", dt.datetime, MOMENT, "cast({} as datetime(6))", MOMENT.replace(tzinfo=None) - dt.timedelta(hours=5)),
    ("date", dt.date, dt.date(2020, 1, 2), "{}", "2020-01-02"),
    ("date in a text", dt.date, dt.date(2020, 1, 2), "'on {}'", "on 2020-01-02"),
    ("timedelta", dt.timedelta, dt.timedelta(hours=-30, microseconds=1), "cast({} as char)", "-29:59:59.999999"),
    ("decimal", Decimal, Decimal("1.10"), "{}", Decimal("1.10")),
    ("wide decimal", Decimal, Decimal("9" * 35 + "." + "9" * 30), "{}", Decimal("9" * 35 + "." + "9" * 30)),
    ("decimal in quotes", Decimal, Decimal("1E+3"), "'{}'", "1000"),
    ("bytes", bytes, bytes(range(256)), "{}", bytes(range(256))),
    ("none", Optional[str], None, "{} is null", 1),  # noqa: UP045
    ("none in quotes", Optional[str], None, "'{}' is null", 1),  # noqa: UP045
    ("none in a text", Optional[str], None, "'x{}y' is null", 1),  # noqa: UP045
    ("true", bool, True, "{}", 1),
    ("false in quotes", bool, False, "'{}'", 0),
    ("int", int, -(2**63), "{}", -(2**63)),
    ("unsigned int", int, 2**64 - 1, "{}", 2**64 - 1),
    ("int in quotes", int, 7, "'{}'", "7"),
    ("float", float, 0.1, "{}", 0.1),
    ("small float", float, 5e-324, "{}", 5e-324),
    ("large float", float, 1.7976931348623157e308, "{}", 1.7976931348623157e308),
    ("dict", dict, {"a": ["'", None]}, "{}", '{"a": ["\'", null]}'),
    ("uuid", uuid.UUID, uuid.UUID(int=5), "{}", str(uuid.UUID(int=5))),
    ("enum", Color, Color.RED, "{}", "red"),
]


@pytest.mark.parametrize(("kind", "value", "sql", "arrives"), [v[1:] for v in VALUES], ids=[v[0] for v in VALUES])
def test_values_of_every_type(server: Server, kind: Any, value: Any, sql: str, arrives: Any) -> None:
    """A value of each type that an input may have arrives exactly."""
    query = f"select {sql.format('{{ .inputs.x }}')} as v"
    assert run(server, query, inputs={"x": (kind, value)}, output=pa.Table)["v"].to_pylist() == [arrives]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("Infinity")])
def test_numbers_that_sql_has_not(server: Server, value: Any) -> None:
    """NaN and infinity are refused in words of ours, alone and in a list."""
    for inputs in ({"x": (type(value), value)}, {"x": (list[type(value)], [value])}):
        with pytest.raises(InvalidValue, match="'x'"):
            run(server, "select 1 in ({{ .inputs.x }}) as v", inputs=inputs)


def test_half_a_character_is_refused(server: Server) -> None:
    """A lone surrogate, which no character set has, is an error that names it."""
    with pytest.raises(InvalidValue, match=r"'\\ud800'"):
        run(server, "select {{ .inputs.x }} as v", inputs={"x": (str, "a\ud800")})


NINE = "(select 1 as n union all select 2 union all select null) as nine"
LISTS: list[tuple[str, Any, list[Any], list[int], list[int]]] = [
    ("empty", list[int], [], [], [1, 2]),
    ("one", list[int], [1], [1], [2]),
    ("two", list[int], [2, 1], [1, 2], []),
    ("texts", list[str], ["1", "'"], [1], [2]),
    ("none among them", list[Optional[int]], [1, None], [1], []),  # noqa: UP045
]


@pytest.mark.parametrize(("kind", "value", "inside", "outside"), [c[1:] for c in LISTS], ids=[c[0] for c in LISTS])
@pytest.mark.parametrize("place", ["mariadb", "dolt_server", "postgres", "sqlite"])
@pytest.mark.parametrize("written", ["({{ .inputs.x }})", "{{ .inputs.x }}", "\n(\t{{ .inputs.x }} )"])
def test_lists(
    request: pytest.FixtureRequest, place: str, written: str, kind: Any, value: Any, inside: Any, outside: Any
) -> None:
    """A list is for IN, in parentheses of its own or of the template; an empty one holds nothing, on every server."""
    where = "sqlite://" if place == "sqlite" else uri(request.getfixturevalue(place))
    number = "cast(n as char)" if kind == list[str] else "n"
    number = "cast(n as text)" if kind == list[str] and place in ("postgres", "sqlite") else number
    for word, expected in (("in", inside), ("NOT  IN", outside)):
        query = f"select n from {NINE} where {number} {word} {written} and n is not null order by n"
        assert run(where, query, inputs={"x": (kind, value)})["n"].tolist() == expected


@pytest.mark.parametrize("place", ["mariadb", "dolt_server", "postgres", "sqlite"])
@pytest.mark.parametrize(
    ("kind", "value", "other"),
    [
        ("date", dt.date(2020, 1, 2), dt.date(2020, 1, 3)),
        ("timestamp", dt.datetime(2020, 1, 2, 3, 4, 5), dt.datetime(2020, 1, 2)),
    ],
)
def test_lists_of_moments(request: pytest.FixtureRequest, place: str, kind: str, value: Any, other: Any) -> None:
    """Datetimes and dates in a list are what they are alone."""
    where = "sqlite://" if place == "sqlite" else uri(request.getfixturevalue(place))
    written = {"sqlite": "'{}'", "postgres": "'{}'::{}"}.get(place, "cast('{}' as {})")
    moment = written.format(value, kind if place == "postgres" else kind.replace("timestamp", "datetime"))
    query = f"select 1 as v from (select {moment} as d) as one where d in ({{{{ .inputs.x }}}})"
    for several, rows in (([other, value], 1), ([other], 0), ([], 0)):
        assert len(run(where, query, inputs={"x": (list[type(value)], several)})) == rows


def test_an_optional_date_is_refused(mariadb: Server) -> None:
    """Optional[date], which flytekit mistakes for a datetime, is refused when the task is made."""
    for kind in (Optional[dt.date], list[Optional[dt.date]]):  # noqa: UP045
        with pytest.raises(InvalidTask, match="'x'"):
            run(mariadb, "select {{ .inputs.x }} as v", inputs={"x": (kind, None)})


def test_an_empty_list_beside_other_values(server: Server, postgres: Server) -> None:
    """An empty list as a part of IN's list cannot be written in SQL, and is refused in words of ours."""
    for listed in ("1, {{ .inputs.x }}", "{{ .inputs.x }} /* and */ , 1"):
        for where in (server, uri(postgres), "sqlite://"):
            with pytest.raises(InvalidValue, match="IN needs"):
                run(where, f"select 1 as v where 1 in ({listed})", inputs={"x": (list[int], [])})


def test_a_list_in_a_list_is_refused(server: Server) -> None:
    """A list of lists is no value."""
    with pytest.raises(InvalidValue, match="'x'.*list"):
        run(server, "select 1 in ({{ .inputs.x }}) as v", inputs={"x": (list[list[int]], [[1]])})


def test_postgres_takes_the_corpus(postgres: Server) -> None:
    """Each string arrives equal, bare and in quotes; NUL, which PostgreSQL has not, is refused."""
    texts = [text for text in CORPUS if "\0" not in text]
    query, expected = positions(texts, ["bare", "quoted", "like", "mixed"])
    assert "'; drop table canary; -- " in expected
    (row,) = run(uri(postgres), query, inputs=strings(texts), output=pa.Table).to_pylist()
    assert list(row.values()) == expected
    with pytest.raises(StatementFailed, match="NUL"):
        run(uri(postgres), "select {{ .inputs.s0 }} as v", inputs=strings(["a\0b"]))
    names = [name for name in NAMES if len(name.encode()) < 64]
    columns = ", ".join(f"{number} as {{{{ .inputs.s{number} | identifier }}}}" for number in range(len(names)))
    found = run(uri(postgres), f"select {columns}", inputs=strings(names), output=pa.Table)
    assert found.column_names == names


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ('select "{{ .inputs.s0 }}"', "quoted name"),
        ("select $$ {{ .inputs.s0 }} $$", "text"),
        ("select $a$ {{ .inputs.s0 }} $a$", "text"),
        ("select E'{{ .inputs.s0 }}'", "'...'"),
    ],
)
def test_places_for_no_value_in_postgres(postgres: Server, query: str, said: str) -> None:
    """PostgreSQL's own ways of quoting hold no value."""
    with pytest.raises(InvalidTask, match=said):
        run(uri(postgres), query, inputs=strings(["x"]))


def test_templates_of_postgres(postgres: Server) -> None:
    """Backslashes, nested comments, dollar quotes, casts and percent signs of PostgreSQL mean what they mean there."""
    query = (
        "select 'a\\' as a, E'b\\'c {' as b, $q$'{{ x }}'$q$ as c, 7 % 4 as d, '1'::int as e, "
        "/* /* {{ .inputs.x }} */ ' */ {{ .inputs.x }} as f"
    )
    (row,) = run(uri(postgres), query, inputs={"x": (str, "'%s")}, output=pa.Table).to_pylist()
    assert row == {"a": "a\\", "b": "b'c {", "c": "'{{ x }}'", "d": 3, "e": 1, "f": "'%s"}


def test_sqlite_takes_the_corpus(tmp_path: Path) -> None:
    """Each string arrives equal, bare and in quotes, and the canary lives."""
    where = f"sqlite:///{tmp_path}/db"
    run(where, "create table canary as select 1 as id", output=None)
    for start in range(0, len(CORPUS), 100):
        texts = CORPUS[start : start + 100]
        query, expected = positions(texts, ["bare", "quoted", "like"])
        (row,) = run(where, query, inputs=strings(texts), output=pa.Table).to_pylist()
        assert list(row.values()) == expected
    assert run(where, "select id from canary")["id"].tolist() == [1]


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (int, 2**63, "SQLite"),
        (float, math.nan, "finite"),
        (Decimal, Decimal("NaN"), "finite"),
        (dt.timedelta, dt.timedelta(1), "SQLite"),
    ],
)
def test_values_that_sqlite_has_not(kind: Any, value: Any, said: str) -> None:
    """What SQLite would change or choke on is refused in words of ours."""
    with pytest.raises(InvalidValue, match=said):
        run("sqlite://", "select {{ .inputs.x }} as v", inputs={"x": (kind, value)})


def test_backslashes_of_a_template_mean_what_the_session_says(mariadb: Server, dolt_server: Server) -> None:
    """With NO_BACKSLASH_ESCAPES a backslash before a quote is a character on MariaDB, and an escape on Dolt."""
    query = "select 'C:\\' as a, '{{ .inputs.x }}' as b"
    inputs = {"x": (str, "\\' or 1=1 -- ")}
    (row,) = run(mariadb, query, inputs=inputs, output=pa.Table, connect_args=NO_BACKSLASH).to_pylist()
    assert row == {"a": "C:\\", "b": "\\' or 1=1 -- "}
    for server, mode in ((mariadb, {}), (dolt_server, {}), (dolt_server, NO_BACKSLASH)):
        with pytest.raises(SQLTaskError, match="C:"):
            run(server, query, inputs=inputs, connect_args=mode)


@pytest.mark.parametrize("comment", ["/* ids ( */", "-- ids,\n", "# ids\n", "/* {{ .inputs.ids }} */"])
@pytest.mark.parametrize("ids", [[1, 3], [3], []])
def test_a_comment_before_a_list_changes_nothing(server: Server, comment: str, ids: list[int]) -> None:
    """A list is the same list with a comment between it and its parenthesis, or where a parenthesis would be."""
    for query in (f"in ({comment} {{{{ .inputs.ids }}}})", f"in {comment} {{{{ .inputs.ids }}}}"):
        found = run(server, f"select 3 {query} as a", inputs={"ids": (list[int], ids)})
        assert found["a"].tolist() == [int(3 in ids)]
