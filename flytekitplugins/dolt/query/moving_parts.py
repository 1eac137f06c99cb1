"""What in a query means another commit, value or time tomorrow: ``AS OF 'main'``, ``HASHOF('x')``, ``NOW()``.

Pure: it is found here and noted as `Reference`; `history.query_pinning` asks the repository what it means now. What
could not be pinned (a revision that is an expression, work that is in no commit) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..model import query_parameters
from ..model.naming import is_hash
from . import tokens
from .statements import Statement
from .tokens import Edit

if TYPE_CHECKING:
    from .validation import Query

ReferenceKind = Literal[
    "revision", "range", "without", "merge_base", "state", "time", "clock", "day", "timer", "epoch", "branch", "query"
]

_CLOCKS: dict[str, ReferenceKind] = {
    "NOW": "clock",
    "CURRENT_TIMESTAMP": "clock",
    "LOCALTIME": "clock",
    "LOCALTIMESTAMP": "clock",
    "SYSDATE": "clock",
    "UTC_TIMESTAMP": "clock",
    "CURDATE": "day",
    "CURRENT_DATE": "day",
    "UTC_DATE": "day",
    "CURTIME": "timer",
    "CURRENT_TIME": "timer",
    "UTC_TIME": "timer",
    "UNIX_TIMESTAMP": "epoch",
}
_BARE_CLOCKS = {
    "CURRENT_TIMESTAMP",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "LOCALTIME",
    "LOCALTIMESTAMP",
    "UTC_TIMESTAMP",
    "UTC_DATE",
    "UTC_TIME",
}
_LOG_FLAGS = {"--parents", "--merges", "--show-signature"}
_LOG_VALUES = {"--min-parents", "-n", "--number", "--decorate"}
_LOG_LISTS = {"--not", "--tables", "-t"}
_UNDECORATED = ("no", "auto")

# Tables of Dolt's own that are the same at a commit forever, because its tables or its history say what is in them,
# or because they tell of uncommitted work, of which a commit has none. Tried on Dolt 1.83 by tests/security.
_OF_A_COMMIT = frozenset(
    """
    dolt_log dolt_diff dolt_column_diff dolt_schemas dolt_procedures dolt_docs dolt_ignore dolt_query_catalog
    dolt_nonlocal_tables dolt_tests dolt_status dolt_status_ignored dolt_constraint_violations
    """.split()  # noqa: SIM905 - a list of quoted names is read by nobody
)
_OF_A_COMMIT_BEGIN = (
    *("dolt_diff_", "dolt_history_", "dolt_blame_", "dolt_conflicts_", "dolt_constraint_violations_", "dolt_ci_"),
)
# Those that no commit holds and that may be read all the same; docs/queries.md says that they move.
_OF_THE_DAY = frozenset(
    {
        "dolt_branches",
        "dolt_remote_branches",
        "dolt_tags",
        "dolt_remotes",
        "dolt_commits",
        "dolt_commit_ancestors",
        "dolt_help",
    }
)
_BETWEEN_COMMITS = "dolt_commit_diff_"
_BETWEEN_REVISIONS = {"DOLT_DIFF", "DOLT_DIFF_STAT", "DOLT_DIFF_SUMMARY", "DOLT_PATCH", "DOLT_SCHEMA_DIFF"}


def needs_commits(table: str) -> bool:
    """Whether the rows of a table are those between two commits that WHERE names, by any name."""
    return tokens.folded(table).startswith(_BETWEEN_COMMITS)


def is_known(table: str) -> bool:
    """Whether a table is a user's own, or one of Dolt's of which is known what its rows follow.

    >>> is_known("users"), is_known("dolt_diff_users"), is_known("dolt_workspace_users")
    (True, True, False)
    """
    name = tokens.folded(table)
    known = name in _OF_A_COMMIT | _OF_THE_DAY or name.startswith((*_OF_A_COMMIT_BEGIN, _BETWEEN_COMMITS))
    return known or not name.startswith("dolt_")


@dataclass(frozen=True)
class Reference:
    """Something in a query that means a commit, a value or a time, and another one tomorrow."""

    start: int
    end: int
    kind: ReferenceKind
    """``revision`` stands for the hash of a revision, ``range`` for two with dots between, ``without`` for one behind
    ``^``, ``merge_base`` for the commit that two have in common, ``state`` for the hash of all tables at one, ``time``
    for the commit that an SQL expression leads to, ``branch`` for the name of the branch; ``clock``, ``day``, ``timer``
    and ``epoch`` for the time in four types; ``query`` for a query in a text, whose references are in `inner`."""
    names: tuple[str, ...] = ()
    """The revisions, or the expression."""
    dots: str = ""
    inner: Query | None = None


class Finder:
    """Goes through one statement and notes what moves in it."""

    def __init__(self, statement: Statement, parse: Callable[[str], Query]) -> None:
        self.statement = statement
        self.tokens = statement.tokens
        self.refuse = statement.refuse
        self._parse = parse
        self.references: list[Reference] = []
        self.blank: set[int] = set()
        """Indices of the tokens of ``AS OF`` and what it leads to, which only Dolt understands."""

    def rules(self) -> Mapping[str, Any]:
        """Return what is looked for in the arguments of a call, by its name."""
        return {
            "HASHOF": self._hash_of,
            "DOLT_HASHOF": self._hash_of,
            "DOLT_HASHOF_DB": self._state_of,
            "DOLT_MERGE_BASE": self._merge_base,
            "HAS_ANCESTOR": self._each_a_revision,
            "DOLT_LOG": self._log_arguments,
            "DOLT_QUERY_DIFF": self._each_a_query,
            "ACTIVE_BRANCH": self._active_branch,
            **dict.fromkeys(_BETWEEN_REVISIONS, self._between_revisions),
        }

    def find_as_of(self) -> None:
        """Note what each ``AS OF`` leads to."""
        for index in range(len(self.tokens) - 1):
            if self.tokens[index].word == "AS" and self.tokens[index + 1].word == "OF":
                before = self.tokens[max(index - 2, 0) : index]
                versioned = [token.word for token in before] in (["FOR", "SYSTEM_TIME"], ["FOR", "VERSION"])
                end = self._as_of_expression(index + 2)
                self.blank.update(range(index - 2 if versioned else index, end))

    def _as_of_value(self, index: int) -> int:
        token, end = self.tokens[index], index + 1
        while end < len(self.tokens) and token.kind == self.tokens[end].kind == "text":
            end += 1  # texts that stand side by side are one
        self._note_value(index, end)
        return end

    def _as_of_expression(self, index: int) -> int:
        """Note what AS OF leads to, and return the index behind it."""
        if index >= len(self.tokens):
            raise self.refuse("AS OF leads to nothing", "Name a revision behind it", piece="AS OF")
        token = self.tokens[index]
        called = index + 1 < len(self.tokens) and self.tokens[index + 1].is_mark("(")
        if token.kind in ("text", "parameter"):
            return self._as_of_value(index)
        if token.kind in ("word", "name") and called:
            return self._as_of_call(index)
        if token.word in _BARE_CLOCKS:
            self._note(index, index + 1, "time", self._bound(index, index + 1))
            return index + 1
        following = self.tokens[index + 1] if index + 1 < len(self.tokens) else None
        typed = following is not None and following.kind == "text" and token.word in ("DATE", "TIME", "TIMESTAMP")
        if token.kind in ("word", "name") and not typed and not (following and following.is_mark(".")):
            self._note_revision(index, index + 1, token.value)
            return index + 1
        raise self.refuse(
            f"AS OF leads to {token.text!r}",
            "Behind it stands a revision as a text or name, a function that gives one or a time (HASHOF('x'), "
            "TIMESTAMP('...'), DATE_SUB(NOW(), ...)), or a :parameter",
            piece=token.text,
        )

    def _as_of_call(self, index: int) -> int:
        end = self.statement.closing(index + 1) + 1
        inside = self.tokens[index:end]
        name = tokens.function_name(inside[0].value)
        if name in ("HASHOF", "DOLT_HASHOF"):
            self._hash_of(index, self.statement.arguments(index))
        elif any(token.word in ("SELECT", "TABLE", "VALUES") or token.kind == "name" for token in inside[1:]):
            raise self.refuse(
                "AS OF leads to something that has to be read first",
                "Name a revision or a time",
                piece=self.statement.text(index, end),
            )
        else:
            self._note(index, end, "time", self._bound(index, end))
        return end

    def _note_value(self, index: int, end: int) -> None:
        """Note the revision or time that is given as a text or a parameter."""
        value = self.statement.value(index, end)
        if isinstance(value, str):
            self._note_revision(index, end, value)
        elif hasattr(value, "year"):
            # A date alone is no time to AS OF: its midnight is.
            text = query_parameters.sql_literal(value).replace("AS DATE)", "AS DATETIME)")
            self._note(index, end, "time", text)
        else:
            raise self.refuse(
                f"AS OF leads to the value {value!r}",
                "Give it the name of a revision, a datetime or a date",
                piece=self.statement.text(index, end),
            )

    def find_in_calls(self) -> None:
        """Note the revisions in the arguments of calls, and the clocks."""
        rules = self.rules()
        for index, name in list(self.statement.calls()):
            if index not in self.blank and name in rules:
                rules[name](index, self.statement.arguments(index))
        for index, token in enumerate(self.tokens):
            if index not in self.blank and token.word in _CLOCKS:
                self._note_clock(index, token.word)

    def _note_clock(self, index: int, name: str) -> None:
        called = index + 1 < len(self.tokens) and self.tokens[index + 1].is_mark("(")
        before = self.tokens[index - 1] if index else None
        if before is not None and (before.is_mark(".") or before.word == "AS"):
            return
        if called:
            end = self.statement.closing(index + 1) + 1
            inside = self.tokens[index + 2 : end - 1]
            if name != "UNIX_TIMESTAMP" or not inside:
                digits = inside[0].text if inside and inside[0].kind == "number" else "0"
                self._note(index, end, _CLOCKS[name], "UTC" if name.startswith("UTC") else "", digits)
        elif name in _BARE_CLOCKS:
            self._note(index, index + 1, _CLOCKS[name], "UTC" if name.startswith("UTC") else "", "0")

    def is_clock(self, index: int) -> bool:
        """Whether the word at an index is a clock that needs no parentheses."""
        return self.tokens[index].word in _BARE_CLOCKS

    def _hash_of(self, index: int, arguments: Sequence[tuple[int, int]]) -> None:
        if len(arguments) == 1:
            self._note_revision(
                index, self.statement.closing(index + 1) + 1, self.statement.revision(*arguments[0]), in_call=True
            )

    def _state_of(self, index: int, arguments: Sequence[tuple[int, int]]) -> None:
        if len(arguments) == 1:
            self._note(index, self.statement.closing(index + 1) + 1, "state", self.statement.revision(*arguments[0]))

    def _merge_base(self, index: int, arguments: Sequence[tuple[int, int]]) -> None:
        names = [self.statement.revision(*argument) for argument in arguments]
        if len(names) == 2:
            self._note(index, self.statement.closing(index + 1) + 1, "merge_base", *names)

    def _each_a_revision(self, _: int, arguments: Sequence[tuple[int, int]]) -> None:
        for argument in arguments:
            self._note_argument(*argument)

    def _between_revisions(self, _: int, arguments: Sequence[tuple[int, int]]) -> None:
        """Note both revisions before a table, or the one text that holds both."""
        if arguments:
            first = self.statement.literal(*arguments[0])
            for argument in arguments[: 1 if first is not None and ".." in first else 2]:
                self._note_argument(*argument)

    def _log_arguments(self, _: int, arguments: Sequence[tuple[int, int]]) -> None:
        option = ""
        for argument in arguments:
            text = self.statement.literal(*argument)
            if text is not None and text.startswith("-"):
                option = self._log_option(text)
            elif option in _LOG_VALUES:
                if option == "--decorate" and text not in _UNDECORATED:
                    raise self.refuse(
                        "DOLT_LOG is to show branches and tags, which move", "Leave --decorate out", piece=option
                    )
                option = ""
            elif option in ("--tables", "-t"):
                self.statement.revision(*argument)  # whatever it is, it is written there
            else:
                self._note_argument(*argument)

    def _log_option(self, text: str) -> str:
        if text not in _LOG_FLAGS | _LOG_VALUES | _LOG_LISTS:
            raise self.refuse(
                f"DOLT_LOG has the option {text!r}, with which it may show another commit tomorrow",
                f"Possible are {', '.join(sorted(_LOG_FLAGS | _LOG_VALUES | _LOG_LISTS))}, each a text of its own",
                piece=text,
            )
        return text

    def note_compared(self, column: int) -> bool:
        """Note the revision that the column at an index is said to be equal to; False where it cannot be told."""
        if self._is_mark(column + 1, "="):
            return self._note_side(column + 2)
        before = column - 3 if self._is_mark(column - 1, ".") else column - 1  # q.to_commit
        alone = before > 1 and self.tokens[before - 2].kind != "text"
        return alone and self._is_mark(before, "=") and self._note_side(before - 1)

    def _is_mark(self, index: int, mark: str) -> bool:
        return 0 <= index < len(self.tokens) and self.tokens[index].is_mark(mark)

    def _note_side(self, index: int) -> bool:
        if self._is_mark(index + 1, "("):
            return self._is_hash_of(index, self.statement.closing(index + 1) + 1)  # noted by itself
        end = index + 1
        while end < len(self.tokens) and self.tokens[index].kind == self.tokens[end].kind == "text":
            end += 1
        name = self.statement.literal(index, end)
        if name is None:
            return False
        if not any(reference.start == self.tokens[index].start for reference in self.references):
            self._note_revision(index, end, name)
        return True

    def _active_branch(self, index: int, arguments: Sequence[tuple[int, int]]) -> None:
        if not arguments:
            self._note(index, self.statement.closing(index + 1) + 1, "branch")

    def _each_a_query(self, _: int, arguments: Sequence[tuple[int, int]]) -> None:
        for start, end in arguments:
            text = self.statement.literal(start, end)
            if text is None:
                raise self.refuse(
                    "DOLT_QUERY_DIFF is given a query that is no text",
                    "Write it as a text",
                    piece=self.statement.text(start, end),
                )
            at = self.tokens[start].start, self.tokens[end - 1].end
            self.references.append(Reference(*at, "query", inner=self._parse(text)))

    def _bound(self, start: int, end: int) -> str:
        """Return a stretch of the statement with its parameters as literals, and with times of the clock in full.

        Commits have times with fractions of a second, so a whole second would be before a commit that was just made.
        """
        first, edits = self.tokens[start].start, []
        for index in range(start, end):
            token = self.tokens[index]
            if token.kind == "parameter":
                edits.append(
                    Edit(token.start, token.end, query_parameters.sql_literal(self.statement.given[token.value]))
                )
            elif _CLOCKS.get(token.word) == "clock":
                called = [after.text for after in self.tokens[index + 1 : index + 3]] == ["(", ")"]
                if called or token.word in _BARE_CLOCKS:
                    edits.append(Edit(token.start, self.tokens[index + 2 * called].end, f"{token.text}(6)"))
        moved = [Edit(edit.start - first, edit.end - first, edit.text) for edit in edits]
        return tokens.edited(self.statement.sql[first : self.tokens[end - 1].end], moved)

    def _note(self, start: int, end: int, kind: ReferenceKind, *names: str, dots: str = "") -> None:
        at = self.tokens[start].start, self.tokens[end - 1].end
        for name in names:
            self._check_committed(name)
        self.references.append(Reference(*at, kind, names, dots))

    def _note_revision(self, start: int, end: int, name: str, *, in_call: bool = False) -> None:
        """Note a revision; a hash that stands there as a text means the same forever, unless it is part of a call."""
        if in_call or not is_hash(name) or self.tokens[start].kind == "parameter":
            self._note(start, end, "revision", name)

    def _is_hash_of(self, start: int, end: int) -> bool:
        """Whether a part of the statement is a call of HASHOF and nothing else."""
        called = tokens.function_name(self.tokens[start].value) in ("HASHOF", "DOLT_HASHOF")
        return called and self.tokens[start + 1].is_mark("(") and self.statement.closing(start + 1) == end - 1

    def _note_argument(self, start: int, end: int) -> None:
        """Note the revision, the two, or the one to leave out, that an argument names."""
        if self._is_hash_of(start, end):
            return  # noted by itself
        name = self.statement.revision(start, end)
        parts = re.split(r"(\.{2,3})", name, maxsplit=1)
        if len(parts) == 3:
            self._note(start, end, "range", parts[0] or "HEAD", parts[2] or "HEAD", dots=parts[1])
        elif name.startswith("^"):
            self._note(start, end, "without", name[1:])
        else:
            self._note_revision(start, end, name)

    def _check_committed(self, name: str) -> None:
        if name in ("WORKING", "STAGED"):
            raise self.refuse(
                f"{name!r} is work that is in no commit, and may be gone tomorrow",
                "Commit it, and name the commit",
                piece=name,
            )
