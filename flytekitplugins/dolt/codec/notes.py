"""What SQL types cannot carry, as one line of JSON in a table's comment: written here, and read from anybody.

A comment is part of a repository and may come from anywhere. So each column's note is held to a schema of its own,
which knows only what `pandas_frames` and `arrow_tables` write; what else stands there is passed over for that column
alone, and said once in the log. Whether the values fit as well is found out where they are restored. Pure, but for
that line.
"""

from __future__ import annotations

import base64
import functools
import json
import logging
import re
import zoneinfo
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import pyarrow as pa

from ..model.nesting import cut

logger = logging.getLogger(__name__)

NOTES_MARK = "flytekitplugins.dolt "
"""What our part of a table's comment starts with; the rest of it is JSON."""

MAX_READ = 2**20
"""Characters of notes that are looked at. We write fewer than 60,000 bytes, to which levels of added rows come."""

MAX_TYPE_DEPTH = 32
"""How deep an Arrow type may be nested; Arrow's own reader takes 64."""

UNFIT = (
    pa.ArrowException,
    ArithmeticError,
    KeyError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What pandas, Arrow and time zones raise for values that are not of the type that a note speaks of."""

_UNITS = ("s", "ms", "us", "ns")
_DTYPE = re.compile(
    r"(?:[Uu]?[Ii]nt(?:8|16|32|64)|float(?:16|32|64)|Float(?:32|64)|bool|boolean|object|str|string"
    r"|string\[(?:python|pyarrow)\]|timedelta64\[(?:s|ms|us|ns)\]|datetime64\[(?:s|ms|us|ns)(?:, (?P<zone>[^\]]+))?\])"
)
ARROW_TEXT = "string[arrow]"
"""Dtype of levels that pandas prints as ``string[pyarrow]``, which is the name of another."""

_OF_LEVELS = re.compile(
    r"[Uu]?[Ii]nt(?:8|16|32|64)|float(?:16|32|64)|Float(?:32|64)|bool|boolean|object|str|string(?:\[(?:python|pyarrow|arrow)\])?"
    r"|(?:u?int(?:8|16|32|64)|halffloat|float|double|bool|string|large_string)\[pyarrow\]"
)
_OFFSET = re.compile(r"(?:UTC)?([+-]\d\d:\d\d)")
FREQUENCY = re.compile(r"(?:-?\d{0,9}[A-Za-z]{1,9}(?:-[A-Za-z0-9]{1,9})*)?", re.ASCII)
"""What the frequency of an index may look like."""

_ZONE = re.compile(r"[A-Za-z][\w+-]{0,31}(?:/[A-Za-z][\w+-]{0,31}){0,3}", re.ASCII)


class Unreadable(ValueError):
    """A part of a note is nothing that we write; the message says which one."""


# ------------------------------------------------------------------------------------------------------- one column


@dataclass(frozen=True)
class Note:
    """What is noted about one column: what pandas has to know, and, in ``type``, what Arrow and Polars have to."""

    dtype: str | None = None
    """Name of the pandas dtype."""
    zone: str | None = None
    """Time zone of ``datetime`` objects, whose dtype is ``object``."""
    unit: str | None = None
    """Unit in which ``timedelta`` objects are stored as numbers."""
    levels: tuple[Any, ...] | None = None
    """Levels of a category."""
    ordered: bool = False
    """Whether these have an order."""
    of: str | None = None
    """Dtype of the levels, where they are no text."""
    json: bool = False
    """Whether the texts are lists and dictionaries."""
    uuid: bool = False
    """Whether the texts are UUIDs."""
    arrow: str | None = None
    """Arrow type of a column with a pandas ``ArrowDtype``, as `field_to_text` writes it."""
    type: str | None = None
    """Arrow type of a column that came from Arrow or Polars, which pandas passes over."""

    def __bool__(self) -> bool:
        """Whether anything is noted."""
        return self != _NOTHING

    @classmethod
    def parse(cls, given: object) -> Note:
        """Return the note that a part of a comment is.

        Raises:
            Unreadable: it is none that we write.
        """
        if not isinstance(given, dict):
            raise Unreadable(f"it is {_short(given)}")
        for name, value in given.items():
            check = _CHECKS.get(name)
            if check is None or not check(value):
                raise Unreadable(f"its {name!r:.40} is {_short(value)}")
        levels = given.get("levels")
        note = cls(**{**given, "levels": None if levels is None else tuple(levels)})
        if not note._is_one_of_ours():
            raise Unreadable(f"it has {', '.join(sorted(given))} together")
        return note

    def check(self) -> None:
        """Raise unless the note is read again as it is written.

        Raises:
            Unreadable: it is not.
        """
        if Note.parse(json.loads(_to_json(self))) != self:
            raise Unreadable("it is read as something else")

    def _is_one_of_ours(self) -> bool:
        for_pandas = [self.dtype is not None, self.levels is not None, self.json, self.uuid, self.arrow is not None]
        about_objects = (self.zone is not None) + (self.unit is not None)
        return (
            sum(for_pandas) <= 1
            and (not about_objects or (about_objects == 1 and self.dtype == "object"))
            and (self.levels is not None or not (self.ordered or self.of))
        )

    def told(self) -> dict[str, Any]:
        """Return what is noted, ready for JSON."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        told = {name: value for name, value in told.items() if value is not None and value is not False}
        return told if self.levels is None else {**told, "ordered": self.ordered}

    @property
    def in_arrow(self) -> pa.DataType | None:
        """The Arrow type that is spoken of, or None where the stored column says it all."""
        told = self.type or self.arrow
        if told is not None:
            return field_from_text(told).type
        if self.zone is not None:
            return pa.timestamp("us", arrow_zone(self.zone))
        if self.unit is not None:
            return pa.duration(self.unit)
        return arrow_type(self.dtype) if self.dtype is not None else None

    def speaks_of(self, kind: pa.DataType) -> bool:
        """Whether a column that is stored as ``kind`` can be what is noted, whatever its values are."""
        if pa.types.is_null(kind):
            return True
        families = {_family_as_stored(field_from_text(text).type) for text in (self.type, self.arrow) if text}
        if self.type is None and self.arrow is None and self.in_arrow is not None:
            families.add(_family_as_stored(self.in_arrow))
        if self.json or self.uuid:
            families.add("text")
        if self.dtype in ("bool", "boolean"):
            families.add("boolean")
        if self.dtype is not None and self.dtype.startswith("str"):
            families.add("text")
        families |= {_family_of_level(level) for level in self.levels or ()}
        # Whole numbers may stand in either kind of column; whether they are whole, the values say.
        numbers = {"integer", "float"} if family(kind) in ("integer", "float") else set()
        return families <= {family(kind), "null"} | numbers

    def hangs_on_values(self, kind: pa.DataType | None) -> bool:
        """Whether only the values can say that they are what is noted, where they are stored as ``kind``."""
        if self.dtype is None or self.zone or self.unit or self.type:
            return bool(self)
        if self.dtype == "object" or self.dtype.startswith("string"):
            return False
        return self.dtype[0].islower() or arrow_type(self.dtype) != kind


_NOTHING = Note()


Meaning = tuple[str, str]
"""What a stored number or text stands for that its SQL type does not say, and in which unit."""


LISTS = "lists or dictionaries"


def meaning(note: Note) -> Meaning | None:
    """Return what the values of a column mean beyond its SQL type, or None where that says it all."""
    kind = note.in_arrow
    if kind is not None and pa.types.is_dictionary(kind):
        kind = kind.value_type
    if kind is not None and pa.types.is_nested(kind):
        return LISTS, str(kind)
    if note.json:
        return LISTS, ""
    if note.uuid:
        return "UUIDs", ""
    if kind is not None and pa.types.is_duration(kind):
        return "durations", kind.unit
    if kind is not None and pa.types.is_timestamp(kind) and kind.tz is not None:
        return "times with a time zone", ""
    return None


def arrow_type(dtype: str) -> pa.DataType | None:
    """Return the Arrow type of a pandas dtype, or None where a stored column is of it already."""
    name, _, inside = dtype.rstrip("]").partition("[")
    if name == "timedelta64":
        return pa.duration(inside)
    if name == "datetime64":
        unit, _, zone = inside.partition(", ")
        return pa.timestamp(unit, arrow_zone(zone) if zone else None)
    return pa.type_for_alias(dtype.lower()) if name.lower().startswith(("int", "uint", "float")) else None


def arrow_zone(zone: str) -> str:
    """Return a time zone as Arrow spells it; pandas writes UTC before an offset."""
    offset = _OFFSET.fullmatch(zone)
    return offset[1] if offset else zone


# Every part of a note by its name. A bool is an int to Python, so types are compared themselves.


def _is_dtype(value: object) -> bool:
    found = _DTYPE.fullmatch(value) if isinstance(value, str) else None
    return found is not None and (found["zone"] is None or _is_zone(found["zone"]))


@functools.lru_cache(maxsize=256)
def _is_zone(value: str) -> bool:
    """Whether it is an offset or a zone of the database; what looks like a path never gets to those that open one."""
    if _OFFSET.fullmatch(value):
        return value[-5:] <= "23:59" and value[-2:] <= "59"
    if not _ZONE.fullmatch(value) or value.lower().startswith("dateutil"):
        return False
    try:
        zoneinfo.ZoneInfo(value)
    except (*UNFIT, EOFError):
        return False
    return True


def _are_levels(value: object) -> bool:
    if not isinstance(value, list):
        return False
    kinds = {type(level) for level in value}
    if len(kinds) > 1 or not kinds <= {str, int, float, bool}:
        return False
    return len(set(value)) == len(value) and all(map(_is_text, value) if kinds == {str} else map(_is_number, value))


def _is_number(value: Any) -> bool:
    return value == value and -(2**63) <= value < 2**64 if isinstance(value, int) else abs(value) < float("inf")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not _SURROGATE.search(value)


_SURROGATE = re.compile("[\ud800-\udfff]")


def _is_field(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        field_from_text(value)
    except UNFIT:
        return False
    return True


_CHECKS = {
    "dtype": _is_dtype,
    "zone": lambda value: isinstance(value, str) and _is_zone(value),
    "unit": lambda value: value in _UNITS,
    "levels": _are_levels,
    "ordered": lambda value: type(value) is bool,
    "of": lambda value: isinstance(value, str) and _OF_LEVELS.fullmatch(value) is not None,
    "json": lambda value: value is True,
    "uuid": lambda value: value is True,
    "arrow": _is_field,
    "type": _is_field,
}


# ------------------------------------------------------------------------------------------------------- Arrow types


def field_to_text(found: pa.Field) -> str:
    """Return an Arrow type, with the metadata of its field and without the name, as text for a note."""
    return base64.b64encode(pa.schema([found.with_name("")]).serialize().to_pybytes()).decode()


_BY_NAME = {
    str(kind): kind
    for kind in (
        *(pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
        *(pa.float16(), pa.float32(), pa.float64(), pa.string(), pa.large_string(), pa.binary(), pa.large_binary()),
        *(pa.date32(), pa.date64(), pa.null()),
        *(make(unit) for make in (pa.timestamp, pa.duration) for unit in _UNITS),
    )
}
"""Arrow types that are noted by their names where a table has so many columns that all has to be short."""


def shorter(text: str) -> str:
    """Return a shorter text that means the same Arrow type, if there is one."""
    found = field_from_text(text)
    is_plain = found.nullable and not found.metadata and _BY_NAME.get(str(found.type)) == found.type
    return str(found.type) if is_plain else text


def field_from_text(text: str) -> pa.Field:
    """Return the field that `field_to_text` wrote down.

    Raises:
        Unreadable: there is another schema in it, or a type of an extension, which may run code to be read.
        ValueError, OSError: it is no schema at all.
    """
    if text in _BY_NAME:
        return pa.field("", _BY_NAME[text])
    raw = base64.b64decode(text, validate=True)
    if b"ARROW:extension" in raw:
        raise Unreadable("it is a type of an extension")
    schema = pa.ipc.read_schema(pa.py_buffer(raw))
    if len(schema) != 1:
        raise Unreadable(f"it is {len(schema)} types")
    found = schema.field(0)
    inner = list(parts_of(found.type))
    if any(b"_PL_" in name for part in inner for name in part.metadata or {}):
        raise Unreadable("it has what Polars notes in an inner type")
    zones = [kind.tz for kind in (found.type, *(part.type for part in inner)) if pa.types.is_timestamp(kind)]
    if not all(zone is None or (_is_zone(zone) and arrow_zone(zone) == zone) for zone in zones):
        raise Unreadable("its time zone is none")
    return found


def parts_of(kind: pa.DataType) -> Iterator[pa.Field]:
    """Give all fields inside a type, without recursion.

    Raises:
        Unreadable: it is nested deeper than `MAX_TYPE_DEPTH`.
    """
    level, depth = [kind], 0
    while level:
        if depth > MAX_TYPE_DEPTH:
            raise Unreadable(f"it is nested over {MAX_TYPE_DEPTH} deep")
        inner = [each.field(position) for each in level for position in range(each.num_fields)]
        inner += [pa.field("", each.value_type) for each in level if pa.types.is_dictionary(each)]
        yield from inner
        level, depth = [part.type for part in inner], depth + 1


_FAMILIES = (
    ("null", pa.types.is_null),
    ("boolean", pa.types.is_boolean),
    ("integer", pa.types.is_integer),
    ("float", pa.types.is_floating),
    ("decimal", pa.types.is_decimal),
    ("timestamp", pa.types.is_timestamp),
    ("date", pa.types.is_date),
    ("time", pa.types.is_time),
    ("text", pa.types.is_string),
    ("text", pa.types.is_large_string),
    ("text", pa.types.is_string_view),
    ("bytes", pa.types.is_binary),
    ("bytes", pa.types.is_large_binary),
    ("bytes", pa.types.is_binary_view),
    ("bytes", pa.types.is_fixed_size_binary),
)


def family(kind: pa.DataType) -> str:
    """Return the name of the types between which no value changes its nature."""
    return next((name for name, belongs in _FAMILIES if belongs(kind)), "other")


_MAX_DIGITS, _MAX_SCALE = 65, 30  # of an SQL decimal


def _family_as_stored(kind: pa.DataType) -> str:
    """Return the family in which `pandas_frames.storable` stores a type; no column is of the family ``""``."""
    if pa.types.is_dictionary(kind):
        return _family_as_stored(kind.value_type)
    if pa.types.is_duration(kind):
        return "integer"
    if pa.types.is_nested(kind):
        return "text"
    if pa.types.is_decimal(kind) and (kind.precision > _MAX_DIGITS or kind.scale > _MAX_SCALE):
        return ""
    found = family(kind)
    return "" if found == "other" else found


def _family_of_level(level: object) -> str:
    return {str: "text", bool: "boolean", int: "integer", float: "float"}[type(level)]


# --------------------------------------------------------------------------------------------------------- one table


@dataclass(frozen=True)
class Notes:
    """What SQL types cannot carry, kept in the table's comment, so that it is versioned, merged and cloned with it."""

    columns: Mapping[str, Note] = field(default_factory=dict)
    """Per column what differs from the rule."""
    index: tuple[str, ...] = ()
    """Columns that are the frame's index."""
    order: tuple[str, ...] = ()
    """The frame's order of columns, where it is not the table's."""
    rows: bool = False
    """Whether `codec.ROW_COLUMN` keeps the order of rows."""
    name: str = ""
    """The name of the frame's columns as a whole, which a pivot gives them."""
    freq: str = ""
    """The frequency of the index, as pandas spells it; what does not hold for the rows that are there is left out."""
    table: str = field(default="", compare=False)
    """The table whose notes they are, for the log."""

    def to_comment(self, own: str = "") -> str:
        """Return a table comment: the user's ``own`` text, and behind it what there is to note."""
        given = {k: v for k, v in vars(self).items() if v and k != "table"}
        text = NOTES_MARK + _to_json(given) if given else ""
        return "\n".join(part for part in (own, text) if part)

    def shorter(self) -> Notes:
        """Return the same notes with the names of Arrow types where they have one."""
        columns = {
            name: replace(note, type=note.type and shorter(note.type), arrow=note.arrow and shorter(note.arrow))
            for name, note in self.columns.items()
        }
        return replace(self, columns=columns)

    @classmethod
    def from_comment(cls, comment: str, *, table: str = "") -> tuple[Notes, str]:
        """Return what a table comment notes, and the user's own text in front of it.

        What is no note of this package is passed over, column by column, and said in the log once for each table.
        """
        own, _, last = comment.rpartition("\n")  # the notes are one line; names and levels in them may hold the mark
        if not last.startswith(NOTES_MARK):
            return cls(), comment
        try:
            given = _from_json(last.removeprefix(NOTES_MARK))
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict):
            passed_over(table, ["all columns"], "it cannot be read")
            return cls(), comment
        listed = given.get("columns", {})
        columns, problems = _columns(listed) if isinstance(listed, dict) else ({}, ["columns"])
        whole = {what: read(given[what]) for what, read in _OF_THE_TABLE.items() if what in given}
        problems += [what for what, found in whole.items() if found is None]
        passed_over(table, problems, "it is nothing that this package writes")
        return cls(columns, table=table, **{what: found for what, found in whole.items() if found is not None}), own

    def without(self, names: Sequence[str], *, reason: str = "the values are not of that type") -> Notes:
        """Return the notes without those about some columns, and say so; by default their values are others."""
        if not names:
            return self
        passed_over(self.table, [f"{name!r:.80}" for name in names], reason)
        return self.forgetting(names)

    def forgetting(self, names: Sequence[str]) -> Notes:
        """Return the notes without those about some columns."""
        columns = {name: note for name, note in self.columns.items() if name not in names}
        return replace(self, columns=columns)


def _columns(given: Mapping[str, Any]) -> tuple[dict[str, Note], list[str]]:
    columns, problems = {}, []
    for name, noted in given.items():
        try:
            if not _is_text(name):
                raise Unreadable("its name is no text")
            columns[name] = Note.parse(noted)
        except Unreadable as error:
            problems.append(f"{name!r:.80} ({error})")
    return columns, problems


def _names(given: object) -> tuple[str, ...] | None:
    """Return a list of different names, or None if it is none."""
    if not isinstance(given, list) or not all(map(_is_text, given)) or len(set(given)) < len(given):
        return None
    return tuple(given)


_OF_THE_TABLE: dict[str, Callable[[object], Any]] = {
    "index": _names,
    "order": _names,
    "rows": lambda given: given if type(given) is bool else None,
    "name": lambda given: given if _is_text(given) else None,
    "freq": lambda given: given if isinstance(given, str) and FREQUENCY.fullmatch(given) else None,
}
"""What a part of a note about the whole table is, by its name; None if it is none that we write."""


_SHOWN = 3
_MAX_SAID = 1024
_said: set[tuple[str, str]] = set()
"""For which tables something is in the log already. A process reads a table often, and nobody wants that many lines."""


def passed_over(table: str, problems: Sequence[str], reason: str) -> None:
    """Say in the log what is passed over: once for a table and a reason, with its first columns."""
    if not problems or (table, reason) in _said or len(_said) > _MAX_SAID:
        return
    _said.add((table, reason))
    about = f"the comment of table {table!r}" if table else "a table's comment"
    more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    what = ", ".join(problems[:_SHOWN]) + more
    logger.warning("Passed over what %s notes about %s: %s. That comes as SQL has it.", about, what, reason)


# -------------------------------------------------------------------------------------------------------------- JSON


_MAX_NESTED = 4
_NOTHING_OF_OURS = object()
"""Stands in the place of a number that is none, and of a value whose name is there twice; no note has it."""


def _to_json(given: object) -> str:
    return json.dumps(given, separators=(",", ":"), ensure_ascii=False, sort_keys=True, default=Note.told)


def _from_json(text: str) -> Any:
    if len(text) > MAX_READ:
        raise Unreadable(f"it is {len(text)} characters")
    return json.loads(cut(text, _MAX_NESTED), object_pairs_hook=_told_apart, parse_constant=lambda _: _NOTHING_OF_OURS)


def _told_apart(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        found[name] = _NOTHING_OF_OURS if name in found else value
    return found


def _short(value: object) -> str:
    """Return a value for the log, whatever it is."""
    if value is _NOTHING_OF_OURS:
        return "no number, or there twice"
    if isinstance(value, (dict, list)):
        return f"a {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
