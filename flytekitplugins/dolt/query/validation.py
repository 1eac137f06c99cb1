"""What a query of the user's may be: one statement that only reads, of this database, at commits that can be named.

Pure. `parse` refuses everything else and says why; what would mean another commit tomorrow is found by `moving`. The
rules look at `tokens`, because only they are the server's own reading; sqlglot, which reads a copy with everything
Dolt-like blanked out, says what kind of statement it is and which names are qualified. The text that is sent is the
user's, but for what is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from ..errors import QueryRefused
from ..model import query_parameters
from ..model.naming import HASH, is_hash
from ..model.sql_text import quote
from . import tokens
from .moving_parts import Finder, Reference, is_known, needs_commits
from .statements import Statement
from .tokens import Edit, Token, folded

_HASH = re.compile(rf"(?<![0-9a-v]){HASH}(?![0-9a-v])")
_STARTS = "SELECT, WITH, TABLE, VALUES, SHOW, DESCRIBE or EXPLAIN"

_FORBIDDEN_CALLS = {
    "LOAD_FILE": "reads files of the server",
    "GET_LOCK": "holds a lock",
    "RELEASE_LOCK": "lets go of a lock",
    "RELEASE_ALL_LOCKS": "lets go of locks",
    "IS_FREE_LOCK": "looks at locks",
    "IS_USED_LOCK": "looks at locks",
    "SLEEP": "only keeps the server busy",
    "BENCHMARK": "only keeps the server busy",
    "LAST_INSERT_ID": "looks at what the session did before",
    "FOUND_ROWS": "looks at what the session did before",
    "LAST_INSERT_UUID": "looks at what the session did before",
    "CONNECTION_ID": "is another one for each session",
    "ROW_COUNT": "looks at what the session did before",
    "MASTER_POS_WAIT": "waits for a replica",
    "SOURCE_POS_WAIT": "waits for a replica",
    "WAIT_FOR_EXECUTED_GTID_SET": "waits for a replica",
    "DOLT_TEST_RUN": "runs statements that are stored in a table",
    "DOLT_BRANCH_STATUS": "looks at branches as they are, not at a commit",
    "DOLT_PREVIEW_MERGE_CONFLICTS": "looks at branches as they are, not at a commit",
    "DOLT_PREVIEW_MERGE_CONFLICTS_SUMMARY": "looks at branches as they are, not at a commit",
}
_HARMLESS_DOLT_CALLS = {
    "DOLT_VERSION",
    "DOLT_STORAGE_FORMAT",
    "DOLT_HASHOF_TABLE",
    "DOLT_REFLOG",
    "DOLT_JSON_DIFF",
    "DOLT_JOIN_COST",
}
_WRITES = (
    exp.DML,
    exp.DDL,
    exp.Command,
    exp.Into,
    exp.Lock,
    exp.Drop,
    exp.Alter,
    exp.Set,
    exp.Use,
    exp.Transaction,
    exp.Commit,
    exp.Rollback,
    exp.Kill,
    exp.TruncateTable,
)
_READS = (exp.Query, exp.Values)
_SYSTEM_DATABASES = {"information_schema", "mysql", "performance_schema", "sys"}
_BEFORE_A_QUERY = {"UNION", "INTERSECT", "EXCEPT", "ALL", "DISTINCT"}
_SELECT_OPTIONS = {
    "ALL",
    "DISTINCT",
    "DISTINCTROW",
    "STRAIGHT_JOIN",
    "HIGH_PRIORITY",
    "SQL_SMALL_RESULT",
    "SQL_BIG_RESULT",
    "SQL_BUFFER_RESULT",
    "SQL_NO_CACHE",
    "SQL_CALC_FOUND_ROWS",
}
_SELECT_ENDS = {
    "FROM",
    "WHERE",
    "GROUP",
    "HAVING",
    "ORDER",
    "LIMIT",
    "UNION",
    "INTERSECT",
    "EXCEPT",
    "WINDOW",
}


@dataclass(frozen=True)
class Query:
    """A statement that was found harmless, and what moves in it."""

    sql: str
    """As the user wrote it, without a semicolon."""
    references: tuple[Reference, ...] = ()
    fixed: tuple[Edit, ...] = ()
    """What is replaced in any case: the database's own name before names, which would lead to uncommitted rows."""
    double_quoted: bool = False
    """Whether a text in it stands in double quotes, which to a server with the mode ANSI_QUOTES hold a name."""
    items: tuple[tuple[int, int], ...] = field(default=(), repr=False)
    """Columns of the result that have no name but their own text."""

    def pinned(self, meanings: Sequence[str]) -> str:
        """Return the statement with the SQL in ``meanings`` in place of its references, columns named as before."""
        edits = [Edit(at.start, at.end, meaning) for at, meaning in zip(self.references, meanings, strict=True)]
        return tokens.edited(self.sql, _with_names(self.sql, [*self.fixed, *edits], self.items))


def bind(query: Query, given: Mapping[str, object]) -> str:
    """Return the statement with each ``:name`` replaced by its value as an SQL literal, columns named as before."""
    found = tokens.scan(query.sql)
    edits = []
    for index, token in enumerate(found):
        if token.kind == "parameter":
            alone = index > 0 and found[index - 1].is_mark("(") and found[index + 1].is_mark(")")
            value = query_parameters.sql_literal(given[token.value], in_parentheses=alone)
            edits.append(Edit(token.start, token.end, value))
    return tokens.edited(query.sql, _with_names(query.sql, edits, query.items))


def _with_names(sql: str, edits: list[Edit], items: Sequence[tuple[int, int]]) -> list[Edit]:
    changed = [(start, end) for start, end in items if any(start <= edit.start < end for edit in edits)]
    return [*edits, *(Edit(end, end, f" AS {quote(sql[start:end])}") for start, end in changed)]


def parse(sql: str, *, database: str, given: Mapping[str, object] | None = None) -> Query:
    """Return the query that ``sql`` is, for the database of this name and the parameters that are given.

    Raises:
        QueryRefused: it is not exactly one statement that only reads, or reads what no commit holds, or its parameters
            are not those that are given; or it cannot be told, because the parser does not know what it says.
    """
    return _Reader(sql, database, given or {}).query()


@dataclass(frozen=True)
class Source:
    """A table that a query reads."""

    table: str
    commit: str | None
    """The hash of its own ``AS OF``; None is the commit that the whole query is read at."""


def sources(sql: str) -> tuple[Source, ...]:
    """Return the tables that a query reads, each once, as far as it names them: not those behind views and functions.

    Raises:
        QueryRefused: it cannot be told.
    """
    return _Reader(sql, "", {}).sources()


def commits(sql: str) -> list[str]:
    """Return the hashes of the commits that a pinned query reads tables at, other than its own, each once."""
    if re.search(r"\bof\b", sql, re.IGNORECASE) is None:
        return []
    within = "dolt_query_diff" in sql.lower()  # its queries are texts
    found: dict[str, None] = dict.fromkeys(_HASH.findall(sql)) if within else {}
    return list(found | {source.commit: None for source in sources(sql) if source.commit is not None})


def plain_tables(sql: str, *, own: str, commit: str) -> list[str] | None:
    """Return the names that a query, itself at ``own``, reads at ``commit``; None where it may read others, too.

    Dolt's own tables and functions, and statements that show what is there, are not told apart.
    """
    try:
        found = sources(sql)
    except QueryRefused:
        return None
    return (
        [source.table for source in found if (source.commit or own) == commit]
        if found and "dolt_" not in sql.lower()
        else None
    )


class _Reader:
    """One look at one statement."""

    def __init__(self, sql: str, database: str, given: Mapping[str, object]) -> None:
        self.statement = Statement(sql, database, given)
        self.tokens = self.statement.tokens
        self.refuse = self.statement.refuse
        self.moving = Finder(self.statement, lambda inner: parse(inner, database=database))
        self.blank = self.moving.blank
        self.fixed: list[Edit] = []
        self.items: list[tuple[int, int]] = []

    def query(self) -> Query:
        self._check_frame()
        read = self._way_of_reading()
        self._check_parameters()
        self._check_calls()
        self.moving.find_as_of()
        self.moving.find_in_calls()
        read()
        return Query(
            self.statement.sql[: self.tokens[-1].end],
            tuple(sorted(self.moving.references, key=lambda reference: reference.start)),
            tuple(self.fixed),
            double_quoted=self._is_double_quoted(),
            items=tuple(self.items),
        )

    def _is_double_quoted(self) -> bool:
        inner = [reference.inner for reference in self.moving.references if reference.inner is not None]
        own = any(token.kind == "text" and token.text.startswith('"') for token in self.tokens)
        return own or any(query.double_quoted for query in inner)

    def sources(self) -> tuple[Source, ...]:
        if not self.tokens or not self._starts_select(0):
            return ()
        self.moving.find_as_of()
        tree = self._tree(0)
        own = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
        found: dict[Source, None] = {}
        for node in tree.find_all(exp.Table):
            name = node.name
            if (
                isinstance(node.this, exp.Identifier)
                and name.lower() not in own
                and not folded(name).startswith("dolt_")
            ):
                found |= dict.fromkeys(self._source(name, node.this.meta.get("start")))
        return tuple(found)

    def _source(self, name: str, start: int | None) -> Iterator[Source]:
        at = next((index for index, token in enumerate(self.tokens) if token.start == start), None)
        behind = self.tokens[at + 1 : at + 4] if at is not None else []
        if [token.word for token in behind[:2]] != ["AS", "OF"]:
            yield Source(name, None)
        elif len(behind) == 3 and is_hash(behind[2].value):
            yield Source(name, behind[2].value)

    def _check_frame(self) -> None:
        if not self.tokens:
            raise self.refuse("there is nothing in it", f"Write one statement that starts with {_STARTS}", piece="")
        if any(token.is_mark(";") for token in self.tokens):
            raise self.refuse(
                "it holds a second statement", "Keep one, and give the other a config of its own", piece=";"
            )

    def _way_of_reading(self) -> Callable[[], None]:
        first = self.tokens[0]
        if first.word == "SHOW":
            return self._read_show
        if first.word in ("DESCRIBE", "DESC", "EXPLAIN"):
            return self._read_describe
        if self._starts_select(0):
            return lambda: self._read_select(0)
        raise self.refuse(f"it starts with {first.text!r}", f"A query starts with {_STARTS}", piece=first.text)

    def _starts_select(self, at: int) -> bool:
        first = self.tokens[at]
        return first.word in ("SELECT", "WITH", "TABLE", "VALUES") or first.is_mark("(")

    def _check_parameters(self) -> None:
        asked = {token.value for token in self.tokens if token.kind == "parameter"}
        missing, unused = sorted(asked - set(self.statement.given)), sorted(set(self.statement.given) - asked)
        if missing:
            without = ", ".join(":" + name for name in missing)
            raise self.refuse(f"there is no value for {without}", "Add it to params of the config", piece=without)
        if unused:
            raise self.refuse(
                f"params has {', '.join(map(repr, unused))}, and the query no such :name",
                "Take it out of params",
                piece="",
            )

    def _check_calls(self) -> None:
        for index, name in self.statement.calls():
            if name in _FORBIDDEN_CALLS:
                raise self.refuse(f"{name}() {_FORBIDDEN_CALLS[name]}", "Take it out: a query reads rows", piece=name)
            if index and self.tokens[index - 1].is_mark("."):
                raise self.refuse(
                    f"{name}() is called with a qualified name", "Call functions by their own names", piece=name
                )
            known = _HARMLESS_DOLT_CALLS | set(self.moving.rules())
            if name.startswith("DOLT_") and name not in known:
                raise self.refuse(
                    f"{name}() is not known to only read", "Take it out, or ask for its support", piece=name
                )

    def _read_show(self) -> None:
        words = [token.word for token in self.tokens]
        at = 1
        while at < len(words) and words[at] in ("FULL", "EXTENDED"):
            at += 1
        what = words[at] if at < len(words) else ""
        at += 1
        if what == "CREATE" and words[at : at + 1] and words[at] in ("TABLE", "VIEW"):
            at = self._table_name(at + 1)
        elif what == "TABLE" and words[at : at + 1] == ["STATUS"]:
            at += 1
        elif what in ("COLUMNS", "FIELDS", "INDEX", "INDEXES", "KEYS") and words[at : at + 1] in (["FROM"], ["IN"]):
            at = self._table_name(at + 1)
        elif what != "TABLES":
            raise self.refuse(
                "this SHOW does not tell of tables",
                "Possible are SHOW TABLES, COLUMNS, INDEX, CREATE TABLE, CREATE VIEW and TABLE STATUS",
                piece=f"SHOW {what}".rstrip(),
            )
        self._read_filter(at)

    def _read_filter(self, at: int) -> None:
        """Check what follows the thing that is shown: AS OF (blanked out), LIKE or WHERE, and no database."""
        rest = [token for index, token in enumerate(self.tokens[at:], at) if index not in self.blank]
        if rest and rest[0].word in ("FROM", "IN"):
            advice = "Leave it out: queries see the database of the config only"
            raise self.refuse("it names a database", advice, piece=rest[0].text)
        if rest and rest[0].word not in ("LIKE", "WHERE"):
            advice = "Use LIKE '...', WHERE ... or AS OF ..."
            raise self.refuse(f"{rest[0].text!r} is not expected there", advice, piece=rest[0].text)
        inner = next((token for token in rest if token.word in ("SELECT", "INTO", "TABLE", "WITH")), None)
        if inner is not None:
            raise self.refuse("its WHERE holds a query", "Compare with plain values there", piece=inner.text)

    def _table_name(self, at: int) -> int:
        """Check a table's name with what qualifies it, and return the index behind it."""
        if at >= len(self.tokens) or self.tokens[at].kind not in ("word", "name"):
            instead = self.tokens[at].text if at < len(self.tokens) else ""
            raise self.refuse("there is no name of a table", "Name one", piece=instead)
        if at + 2 < len(self.tokens) and self.tokens[at + 1].is_mark("."):
            self._check_database(self.tokens[at].value)
            self.fixed.append(Edit(self.tokens[at].start, self.tokens[at + 2].start, ""))
            return at + 3
        return at + 1

    def _read_describe(self) -> None:
        at = 1
        while at < len(self.tokens) and self.tokens[at].word in ("FORMAT", "ANALYZE", "EXTENDED", "PLAN"):
            formatted = self.tokens[at].word == "FORMAT"
            at += 3 if formatted else 1
        if at < len(self.tokens) and self._starts_select(at):
            self._read_select(at)
            self.items = []
            return
        at = self._table_name(at)
        rest = [token for index, token in enumerate(self.tokens[at:], at) if index not in self.blank]
        if len(rest) > 1 or any(token.kind not in ("word", "name", "text") for token in rest):
            advice = "Name a table, or write a SELECT"
            raise self.refuse("only a query or a table can be described", advice, piece=rest[0].text)

    def _read_select(self, start: int) -> None:
        into = next((token for token in self.tokens if token.word in ("INTO", "OUTFILE", "DUMPFILE")), None)
        if into is not None:
            advice = "Take that out: the rows come as a frame"
            raise self.refuse(f"it writes somewhere ({into.text})", advice, piece=into.text)
        tree = self._tree(start)
        if not isinstance(tree, _READS):
            kind = type(tree).__name__
            raise self.refuse(f"it is no query but a {kind}", f"A query starts with {_STARTS}", piece=kind.upper())
        for node in tree.walk():
            if isinstance(node, _WRITES):
                what = "locks rows" if isinstance(node, exp.Lock) else f"holds a statement of the kind {node.key!r}"
                raise self.refuse(f"it {what}", "A query only reads", piece=node.key.upper())
            if isinstance(node, (exp.Table, exp.Column)):
                self._check_qualified(node)
            if isinstance(node, exp.Table):
                self._check_same_for_ever(node)
        self._find_items(tree, start)

    def _tree(self, start: int) -> exp.Expr:
        try:
            found = sqlglot.parse(self._blanked(start), dialect="mysql")
        except SqlglotError as error:
            said = getattr(error, "errors", None) or [{}]
            place = f" near {said[0].get('highlight')!r}" if said[0].get("highlight") else ""
            raise self.refuse(
                f"the parser that checks queries cannot read it{place}",
                "Look for a mistake there; or write it in other words, or put that part into a view",
            ) from error
        except RecursionError as error:
            raise self.refuse("it is nested too deep", "Write it with CTEs, or put parts into views") from error
        except Exception as error:  # the parser's own slips: what it cannot read is not run
            raise self.refuse(
                "the parser that checks queries breaks on it", "Write it in other words, or put that part into a view"
            ) from error
        if len(found) != 1 or found[0] is None:
            raise self.refuse(
                "it holds a second statement", "Keep one, and give the other a config of its own", piece=";"
            )
        return found[0]

    def _blanked(self, start: int) -> str:
        """Return the statement at the same positions for a parser that knows no comments, escapes and no AS OF."""
        shown = [" "] * len(self.statement.sql)
        for index, token in enumerate(self.tokens[start:], start):
            repeated = token.kind == "text" and index > start and self.tokens[index - 1].kind == "text"
            if index not in self.blank and not repeated:
                shown[token.start : token.end] = "FROM " if self._is_table_statement(index, start) else _shown(token)
        return "".join(shown)

    def _is_table_statement(self, index: int, start: int) -> bool:
        """Whether ``TABLE name`` stands there, which some versions of the parser read as a column and its alias."""
        before = self.tokens[index - 1]
        begins = index == start or before.is_mark("(", ")") or before.word in _BEFORE_A_QUERY
        return self.tokens[index].word == "TABLE" and begins

    def _check_qualified(self, node: exp.Table | exp.Column) -> None:
        database, catalog = node.args.get("db"), node.args.get("catalog")
        if catalog:
            name = node.sql("mysql")
            raise self.refuse(f"{name} has too many names", "Write table, or table.column", piece=name)
        if not database:
            return
        at = next((i for i, token in enumerate(self.tokens) if token.start == database.meta.get("start")), None)
        if at is None or at + 2 >= len(self.tokens) or not self.tokens[at + 1].is_mark("."):
            name = node.sql("mysql")
            raise self.refuse(f"{name} is qualified with a database", "Leave the database out", piece=name)
        self._check_database(self.tokens[at].value)
        self.fixed.append(Edit(self.tokens[at].start, self.tokens[at + 2].start, ""))

    def _check_same_for_ever(self, table: exp.Table) -> None:
        """Refuse a table of Dolt's own whose rows at a commit are not known to stay, and pin what says which."""
        if not is_known(table.name):
            raise self.refuse(
                f"{table.name!r} is not known to have the same rows tomorrow, as a table of a commit has",
                "Take it out; docs/queries.md lists the tables of Dolt's own that can be read",
                piece=table.name,
            )
        if needs_commits(table.name) and not all(self._pin_side(table, side) for side in ("to_commit", "from_commit")):
            raise self.refuse(
                f"{table.name!r} is read without saying which two commits are compared",
                "Write beside it: WHERE to_commit = 'revision' AND from_commit = 'revision', each a text, a :parameter "
                "or HASHOF('revision'); or use dolt_diff('from', 'to', 'table')",
                piece=table.name,
            )

    def _pin_side(self, table: exp.Table, side: str) -> bool:
        """Note the revisions that a column of ``table`` must be equal to; False where it need not be equal to any."""
        found = [self._index(column) for column in _compared(table) if folded(column.name) == side]
        return bool(found) and all(at is not None and self.moving.note_compared(at) for at in found)

    def _index(self, node: exp.Expr) -> int | None:
        start = node.this.meta.get("start")
        return next((index for index, token in enumerate(self.tokens) if token.start == start), None)

    def _check_database(self, name: str) -> None:
        if name.lower() == self.statement.database.lower():
            return
        if name.lower() in _SYSTEM_DATABASES:
            advice = "Use SHOW TABLES, SHOW COLUMNS and DESCRIBE, which do"
            raise self.refuse(f"{name!r} does not follow the commit that is read", advice, piece=name)
        if "/" in name or "@" in name:
            advice = "Write: table AS OF 'revision'"
            raise self.refuse(f"{name!r} is a database at a revision", advice, piece=name)
        raise self.refuse(
            f"the database {name!r} is not the repository's ({self.statement.database!r})",
            "Read it with a config of its own, and join the frames",
            piece=name,
        )

    def _find_items(self, tree: exp.Expr, start: int) -> None:
        """Note the columns of the result whose name is their text, which must stay so when parts are replaced."""
        while isinstance(tree, exp.SetOperation):
            tree = tree.this
        ranges = self._selected(start)
        selected = tree.expressions if isinstance(tree, exp.Select) else []
        if len(ranges) == len(selected):
            pairs = zip(ranges, selected, strict=True)
            self.items = [
                (self.tokens[left].start, self.tokens[right - 1].end)
                for (left, right), item in pairs
                if left < right and (self._is_clock(item) or not isinstance(item, (exp.Alias, exp.Star, exp.Column)))
            ]

    def _is_clock(self, item: exp.Expr) -> bool:
        """Whether a column of the result is a clock without parentheses, of which the parser knows only some."""
        at = self._index(item) if isinstance(item, exp.Column) and not item.table else None
        return at is not None and self.moving.is_clock(at)

    def _selected(self, start: int) -> list[tuple[int, int]]:
        """Return the select list of the first SELECT that is in no parentheses, as ranges of tokens."""
        depth, begin, end = 0, None, len(self.tokens)
        for index in range(start, len(self.tokens)):
            token = self.tokens[index]
            depth += token.is_mark("(") - token.is_mark(")")
            if depth == 0 and begin is None and token.word == "SELECT":
                begin = index + 1
            elif depth == 0 and begin is not None and token.word in _SELECT_ENDS:
                end = index
                break
        if begin is None:
            return []
        while begin < end and self.tokens[begin].word in _SELECT_OPTIONS:
            begin += 1
        cuts = [begin - 1, *self.statement.commas(begin, end), end]
        return [(left + 1, right) for left, right in pairwise(cuts)]


def _compared(table: exp.Table) -> Iterator[exp.Column]:
    """Give the columns, of a table or of none that is named, that must be equal to something plain for each row."""
    select = table.find_ancestor(exp.Select)
    joins = [] if select is None else select.args.get("joins") or []
    conditions = [join.args.get("on") for join in joins if not join.side]
    if select is not None and (where := select.args.get("where")) is not None:
        conditions.append(where.this)
    for condition in filter(None, conditions):
        for equal in _conjuncts(condition):
            columns = [side for side in (equal.this, equal.expression) if isinstance(side, exp.Column)]
            if isinstance(equal, exp.EQ) and len(columns) == 1 and columns[0].table in ("", table.alias_or_name):
                yield columns[0]


def _conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    """Give the conditions that all must hold for one that does, in any number of parentheses."""
    waiting = [condition]
    while waiting:
        one = waiting.pop().unnest()
        if isinstance(one, exp.And):
            waiting += [one.left, one.right]
        else:
            yield one


def _shown(token: Token) -> str:
    """Return a token in the form in which any parser reads it, of the same length."""
    if token.kind == "text" and not re.fullmatch(r"(['\"])[\w $.,:\[\]*/-]*\1", token.text):
        return f"'{'x' * (len(token.text) - 2)}'"
    return token.text


def names(sql: str) -> set[str]:
    """Return the names of the parameters in a statement."""
    return {token.value for token in tokens.scan(sql) if token.kind == "parameter"}
