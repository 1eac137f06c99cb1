"""White space, letters, digits, comments and quotes: what our readers take a character for is what the servers do.

Each character is put into a few statements, and what the server makes of them is compared with what we say. CI asks for
all characters below U+0250 and for those above that Python's own classes would mislead; the nightly run for all.
"""

from __future__ import annotations

import sqlite3
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest
from factor import FACTOR

sys.path.insert(0, str(Path(__file__).parents[1] / "sqlalchemy"))
import servers

from flytekitplugins.dolt import errors
from flytekitplugins.dolt.history import query_pinning
from flytekitplugins.dolt.query import tokens, validation
from flytekitplugins.dolt.repository import refs
from flytekitplugins.dolt.repository.connections import connect
from flytekitplugins.sqlalchemy import effects, templates
from flytekitplugins.sqlalchemy.errors import InvalidTask

Answer = tuple[str, tuple[Any, ...]] | None
"""The name of the first column and the first row; None for an error."""
Ask = Callable[[str], Answer]


def _misleads(char: str) -> bool:
    """Whether a class of Python's holds a character from beyond ASCII that no server's class of that name holds."""
    folded = char.lower() + char.upper() + char.casefold() + unicodedata.normalize("NFKC", char)
    return char.isspace() or char.isnumeric() or unicodedata.category(char)[0] in "ZC" or any(map(str.isascii, folded))


ALL = [chr(code) for code in [*range(1, 0x2101), 0x3000, 0xFEFF, 0xFF07, 0xFF0D, 0xFFFD]]
CHARS = [char for char in ALL if FACTOR > 1 or ord(char) < 0x250 or ord(char) % 37 == 0 or _misleads(char)]
LOOKALIKES = "\u0130\u0131\u017f\u212a"
UNSEEN = "#;.sS"
"""Behind these the statement ends, or another word stands there, so nothing can be seen of the class."""


@contextmanager
def _session(server: servers.Server, charset: str = "utf8mb4", mode: str = "") -> Iterator[Ask]:
    login = {"user": servers.USER, "password": servers.PASSWORD, "database": servers.DATABASE}
    with closing(
        pymysql.connect(
            host="127.0.0.1", port=server.port, charset=charset, autocommit=None, ssl_disabled=True, **login
        )
    ) as raw:

        def ask(sql: str) -> Answer:
            with suppress(pymysql.err.MySQLError, UnicodeEncodeError), raw.cursor() as cursor:
                cursor.execute(sql)
                return cursor.description[0][0], cursor.fetchone() or ()
            return None

        if mode:
            with raw.cursor() as cursor:
                cursor.execute(f"set sql_mode = '{mode}'")
        yield ask


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """Give a MariaDB."""
    with servers.mariadb(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture(scope="module")
def dolt_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    """Give a `dolt sql-server`."""
    with servers.dolt(tmp_path_factory.mktemp("dolt")) as server:
        yield server


@pytest.fixture(scope="module", params=["mariadb", "dolt", "postgresql", "sqlite"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Ask]]:
    """Give each kind of server that templates are read for, and what asks it."""
    kind: str = request.param
    if kind == "sqlite":
        with _sqlite() as ask:
            yield kind, ask
    elif kind == "postgresql":
        if not servers.has_postgres():
            pytest.skip("no PostgreSQL on this machine: tools/install_programs.sh installs it")
        with servers.postgres(tmp_path_factory.mktemp("postgres")) as server, _postgres(server) as ask:
            yield kind, ask
    else:
        with _session(request.getfixturevalue("mariadb" if kind == "mariadb" else "dolt_server")) as ask:
            yield kind, ask


@contextmanager
def _sqlite() -> Iterator[Ask]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:

        def ask(sql: str) -> Answer:
            with suppress(sqlite3.Error):
                cursor = database.execute(sql)
                return cursor.description[0][0], cursor.fetchone()
            return None

        yield ask


@contextmanager
def _postgres(server: servers.Server) -> Iterator[Ask]:
    import psycopg

    login = {"user": servers.USER, "password": servers.PASSWORD, "dbname": servers.DATABASE}
    with psycopg.connect(host="127.0.0.1", port=server.port, autocommit=True, **login) as database:

        def ask(sql: str) -> Answer:
            with suppress(psycopg.Error):
                cursor = database.execute(sql.encode())
                return cursor.description[0].name if cursor.description else "", cursor.fetchone() or ()
            return None

        yield ask


def grammar(kind: str) -> templates.Grammar:
    """Return the grammar that a task on such a server reads its template with."""
    return templates.grammar("mysql" if kind in ("mariadb", "dolt") else kind, is_dolt=kind == "dolt")


def comments(sql: str, language: templates.Grammar) -> list[str]:
    """Return the comments that the template's reader finds."""
    return [piece for kind, piece in templates.pieces(sql, language) if kind == "comment"]


def where_it_differs(say: Callable[[str], tuple[object, object]]) -> dict[str, tuple[object, object]]:
    """Return the characters for which our word and the server's, the two that ``say`` gives, are not the same."""
    return {char: said for char in CHARS if (said := say(char))[0] != said[1]}


# ---------------------------------------------------------------------------------------------- templates of tasks


def test_what_makes_two_dashes_a_comment(served: tuple[str, Ask]) -> None:
    """``--`` before each character is a comment to the reader of templates where it is one to the server."""
    kind, ask = served

    def say(char: str) -> tuple[object, object]:
        sql = f"select 2 --{char}0\n, 2 --{char}7\n"
        answer = ask(sql)
        return comments(sql, grammar(kind)) == [f"--{char}0", f"--{char}7"], answer is not None and answer[1] == (2, 2)

    assert where_it_differs(say) == {}


def test_where_a_comment_ends(served: tuple[str, Ask]) -> None:
    """Each character ends a comment of one line to the reader of templates where it does to the server."""
    kind, ask = served

    def say(char: str) -> tuple[object, object]:
        sql = f"select 2 -- x{char}-1"
        answer = ask(sql)
        return comments(sql, grammar(kind)) == [f"-- x{char}-1"], answer is not None and answer[1] == (2,)

    assert where_it_differs(say) == {}


def test_what_is_white_space_and_what_is_a_name(served: tuple[str, Ask]) -> None:
    """A character between a name and a comma is white space, or a part of the name, to us as to the server."""
    kind, ask = served

    def say(char: str) -> tuple[object, object]:
        answer = ask(f"select 1 as a{char}, 2")
        name = "" if answer is None else answer[0].lower()
        theirs = "space" if name == "a" else "name" if name == f"a{char}".lower() else "neither"
        called = effects._CALLED.search(f"{effects._code(f'a{char}', grammar(kind))}(")
        ours = "space" if char in templates.BLANKS else "neither" if called is None or called[1] == "a" else "name"
        return ours, theirs

    # Where the server refuses the character, which of the two we take it for changes nothing.
    found = {char: said for char, said in where_it_differs(say).items() if char not in f"{UNSEEN}'\"`["}
    refused = {char for char, said in found.items() if said[1] == "neither"}
    assert set(found) == refused
    assert kind == "dolt" or refused <= set("\v\ufeff")


@pytest.mark.parametrize("char", LOOKALIKES)
@pytest.mark.parametrize(("word", "letter"), [("insert", "i"), ("insert", "s"), ("like", "k"), ("is", "s")])
def test_keywords_are_ascii(served: tuple[str, Ask], char: str, word: str, letter: str) -> None:
    """A letter that folds to an ASCII one makes no keyword, neither for us nor for the server."""
    kind, ask = served
    looks = word.replace(letter, char, 1)
    assert ask(f"select 1 {looks} 1") is None
    assert word not in (effects._code(f"select 1 {looks} 1", grammar(kind)) or "")


QUOTES = [
    "select 'a''b', 2",
    "select 'a\\', 2 -- '\n",
    "select 'a\\'', 2",
    "select e'a\\', 2 -- '\n, 3",
    "select \u00a0e'a\\', 2 -- '\n, 3 from (select 1 as \u00a0e) q",
    "select $e'a\\', 2",
    "select 1 as a$$, 2 as b$$",
    "select $$a', 2$$, 3",
    "select 1$$a', 2$$, 3",
    "select $\u00e9$a', 2$\u00e9$, 3",
    "select $a b$, 3 $a b$",
    "select 1 as \u00e9$$, 2 as b$$",
    "select /* a /* b */ 2 */ 3",
    "select /* a */ 2 */ 3",
    "select 1 # , 2\n",
    "select 1 // 2\n, 3",
    "select 1 -- a\r, 2",
    "select 1 as `a\\`, 2 as `b`",
    'select 1 as "a\\", 2 as "b"',
    "select 1 as [a'], 2 as [b']",
    "select 1 ` 2 ` 3",
    "select 1 /*! , 2 */",
    "select u&'a\\', 2 -- '\n, 3",
    "select n'a\\', 2 -- '\n, 3",
]


@pytest.mark.parametrize("sql", QUOTES)
def test_quotes_and_comments_end_where_they_do(served: tuple[str, Ask], sql: str) -> None:
    """A statement has as many columns as it has commas in what we take for code, or the server refuses it."""
    kind, ask = served
    answer = ask(sql)
    found = list(templates.pieces(sql, grammar(kind)))
    if answer is not None and not any(piece_kind in ("hint", "open", "unclear") for piece_kind, _ in found):
        code = "".join(piece for piece_kind, piece in found if piece_kind == "code")
        assert len(answer[1]) == 1 + code.count(","), found
    assert "".join(piece for _, piece in found) == sql


@pytest.mark.parametrize("mode", ["ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES"])
@pytest.mark.parametrize("kind", ["mariadb", "dolt_server"])
def test_quotes_follow_the_mode(request: pytest.FixtureRequest, kind: str, mode: str) -> None:
    """The same under the modes that change what quotes and backslashes mean."""
    with _session(request.getfixturevalue(kind), mode=mode) as ask:
        language = templates.grammar("mysql", sql_mode=mode, is_dolt=kind == "dolt_server")
        for sql in QUOTES:
            answer = ask(sql)
            code = "".join(piece for piece_kind, piece in templates.pieces(sql, language) if piece_kind == "code")
            if answer is not None and "/*!" not in sql:
                assert len(answer[1]) == 1 + code.count(","), sql


@pytest.mark.parametrize("charset", ["latin1", "cp1251", "hebrew", "latin7", "macroman", "gbk", "sjis"])
def test_other_character_sets_are_not_guessed_at(mariadb: servers.Server, charset: str) -> None:
    """Where texts do not travel in UTF-8, two dashes before ana letter that is not ASCII's are refused."""
    language = templates.grammar("mysql", utf8=False)
    with _session(mariadb, charset) as ask:
        for char in CHARS:
            answer = ask(f"select 2 --{char}0\n, 2 --{char}7\n")
            found = [kind for kind, _ in templates.pieces(f"select 2 --{char}0\n, 1", language)]
            if answer is not None and "unclear" not in found:
                assert ("comment" in found and char != "\n") == (answer[1] == (2, 2)), repr(char)
    with pytest.raises(InvalidTask, match="servers disagree what is code"):
        templates.parse("select 1 --\u00a0{{ .inputs.x }}", language)


def test_a_comment_that_is_run_is_not_guessed_at() -> None:
    """Behind /*! with quotes or comments in it no value is bound: where it ends hangs on the server's version."""
    mysql = templates.grammar("mysql")
    for inside in ("/* ", "'", '"', "`", "-- \n", "# \n"):
        with pytest.raises(InvalidTask, match="servers disagree what is code"):
            templates.parse(f"select 1 /*!999999 {inside}*/ + {{{{ .inputs.x }}}}", mysql)
        assert effects.effect(f"select 1 /*!999999 {inside}*/", mysql) == "anything"
    assert len(templates.parse("select /*!40001 SQL_NO_CACHE */ {{ .inputs.x }}", mysql)) > 1


def test_white_space_of_python_hides_nothing_from_a_task_that_only_reads() -> None:
    """What stands behind two dashes and white space of Unicode's is code to MariaDB, and judged as such."""
    mysql = templates.grammar("mysql")
    assert effects.effect("select 1 --\u00a0 from t into outfile '/tmp/x'", mysql) == "anything"
    assert effects.effect("select f\u00a0count(1)", mysql) == "calls"
    assert effects.effect("select wee\u212a(1)", mysql) == "calls"
    assert effects.effect("select \u017fleep(1)", mysql) == "calls"
    assert effects.effect("select 1 // \n", templates.grammar("mysql", is_dolt=True)) == "reads"
    assert effects.effect("select 1 -- x\rinto outfile '/tmp/x'", templates.grammar("postgresql")) == "anything"


def test_a_template_with_nul_is_refused() -> None:
    """Some servers end a statement there, and some a comment."""
    with pytest.raises(InvalidTask, match="NUL"):
        templates.parse("delete from t -- \0 {{ .inputs.x }}", templates.grammar("mysql"))
    assert effects.effect("select 1 -- \0 into outfile 'x'", templates.grammar("mysql")) == "anything"


# --------------------------------------------------------------------------------------------- queries of DoltConfig


def ours(sql: str) -> list[str] | None:
    """Return the tokens of a query; None if it is refused."""
    try:
        return [token.text for token in tokens.scan(sql)]
    except tokens.Unreadable:
        return None


def test_a_query_is_cut_as_dolt_cuts_it(dolt_server: servers.Server) -> None:
    """What the gate reads, it reads as Dolt does: a comment, a name, white space; what it cannot read, Dolt cannot."""
    found = []
    with _session(dolt_server) as ask:
        for char in (each for each in CHARS if each not in UNSEEN):
            dashes = ours(f"select 2 --{char}0\n, 2 --{char}7\n")
            answer = ask(f"select 2 --{char}0\n, 2 --{char}7\n")
            if dashes is not None and (dashes == ["select", "2", ",", "2"]) != ((answer or "  ")[1] == (2, 2)):
                found.append(f"--{char!r}")
            if ours(f"select 1 -- x{char}-1") != ["select", "1"] and (answer := ask(f"select 1 -- x{char}-1")):
                found += [f"-- x{char!r}"] * (answer[1] == (1,))
            read, answer = ours(f"select 1 as a{char}, 2"), ask(f"select 1 as a{char}, 2")
            theirs = None if answer is None else ["select", "1", "as", answer[0].split("(")[0], ",", "2"]
            found += [f"a{char!r}: {read} for {theirs}"] * (theirs is not None and read != theirs)
    assert found == []


def test_functions_are_found_under_names_that_look_alike(dolt_server: servers.Server) -> None:
    """Each character that Dolt takes for a letter of a function's name is that letter to the gate, too."""
    forms = {"i": "`p{}`()", "k": "`wee{}`('2024-01-01')", "s": "`{}ign`(1)", "b": "`a{}s`(1)", "n": "`ta{}`(1)"}
    with _session(dolt_server) as ask:
        for char in CHARS[0x40:]:
            for letter, form in forms.items():
                if char not in "`\\" and ask(f"select {form.format(char)}") is not None:
                    assert tokens.folded(char) == letter, f"{char!r} for {letter!r}"
        assert ask("select `wee\u212a`('2024-01-01')") is not None  # otherwise this test could not fail


def test_a_forbidden_function_is_forbidden_in_every_spelling(repo: Path) -> None:
    """A Kelvin sign for the K, a dotted I, a long s: refused as the function that Dolt would call."""
    with connect(repo) as connection:
        head = refs.resolve(repo, None)
        for call, name in (
            ("`get_loc\u212a`('a', 1)", "GET_LOCK"),
            ("`benchmar\u212a`(1, 1)", "BENCHMARK"),
            ("`last_\u0130nsert_id`()", "LAST_INSERT_ID"),
            ("`load_f\u0130le`('/etc/passwd')", "LOAD_FILE"),
            ("`\u017fleep`(1)", "SLEEP"),
            ("`dolt_chec\u212aout`('main')", "DOLT_CHECKOUT"),
        ):
            with pytest.raises(errors.QueryRefused, match=rf"{name}\(\)"):
                query_pinning.pin(connection, head, f"select {call}")


@pytest.mark.parametrize(
    "half", ["1e-- 5\n", "1.5e-- 5\n", ".5e+- 5", "1.e-- 5\n", "1e", "0x", "0x-- 5\n", "x'4g'", "b'12'", "1e+"]
)
def test_half_a_number_is_refused(dolt_server: servers.Server, half: str) -> None:
    """To Dolt ``1e-- 5`` is the number 1e-, a minus and 5; read as 1e and a comment, what is behind would be hidden."""
    with pytest.raises(errors.QueryRefused, match="number") as caught:
        validation.parse(f"select {half}", database="db")
    assert caught.value.piece
    assert half.startswith(caught.value.piece)
    with _session(dolt_server) as ask:
        assert ask(f"select {half}") in (None, ("0x", (b"",)), ("0x-- 5", (b"",)))


@pytest.mark.parametrize("whole", ["1e5", "1e-5", "1.5e+5", ".5", "0xff", "x'41'", "b'01'", "1.", "1e5-- 5\n"])
def test_whole_numbers_are_read(whole: str) -> None:
    """Numbers with all their digits are none of these."""
    assert validation.parse(f"select {whole}", database="db").sql


def test_double_quotes_are_refused_where_they_hold_names(repo: Path) -> None:
    """On a server with ANSI_QUOTES a text in double quotes would end elsewhere than where the gate saw it end."""
    hidden = 'select 1 as "x\\", load_file(\'/etc/passwd\') -- "\n'
    head = refs.resolve(repo, None)
    with connect(repo) as connection:
        query_pinning.pin(connection, head, hidden)  # one text, as long as the mode is the usual one
        (before,) = connection.query("SELECT @@SESSION.sql_mode")[0]
        connection.execute("SET SESSION sql_mode = 'ANSI_QUOTES'")
        with pytest.raises(errors.QueryRefused, match="ANSI_QUOTES") as caught:
            query_pinning.pin(connection, head, hidden)
        assert caught.value.piece == '"'
        with pytest.raises(errors.QueryRefused, match="ANSI_QUOTES"):
            query_pinning.pin(connection, head, "select * from dolt_query_diff('select \"a\"', 'select 1')")
        query_pinning.pin(connection, head, "select 'plain'")
        connection.execute("SET SESSION sql_mode = %s", before)
