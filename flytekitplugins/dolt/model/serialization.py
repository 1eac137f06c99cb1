"""How a value of this package travels: as a plain dictionary, by itself or inside dataclasses and pydantic models.

`Portable` is what the classes of `configs` inherit. It answers to whatever takes a dataclass apart on the way, each in
its own words: mashumaro and dataclasses_json (for flytekit), pydantic, and makers of JSON schemas. No I/O.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, TypeVar

from mashumaro.types import SerializableType

from ...doltdb.redaction import discreet, shown
from ..errors import InvalidConfig
from . import trust
from .nesting import MAX_CONFIG, is_deep, is_nested_deep

_T = TypeVar("_T")
_V = TypeVar("_V", bound="Portable")


class _NotByFields:
    """Prevents dataclasses_json from making values field by field, which loses some of them."""

    @staticmethod
    @discreet
    def handle_from_dict(cls: type[Any], kvs: Mapping[str, Any]) -> Mapping[str, Any]:
        raise InvalidConfig(
            f"Cannot read {shown(dict(kvs))!r} as a {cls.__name__} within that dataclass. Make the dataclass a "
            "subclass of mashumaro.mixins.json.DataClassJSONMixin, which reads it."
        )


@functools.cache
def _json_schema(kind: type[Any]) -> dict[str, Any]:
    from mashumaro.jsonschema import build_json_schema

    return build_json_schema(kind).to_dict()


class Portable(SerializableType):
    """What a value needs to travel: a plain dictionary both ways, also inside a dataclass or pydantic model."""

    class Config:
        """What mashumaro is told: a value may have more entries than there are fields, as the commit of a table."""

        json_schema: ClassVar[dict[str, Any]] = {"additionalProperties": None}

    dataclass_json_config: ClassVar[dict[str, Any]] = {"undefined": SimpleNamespace(value=_NotByFields)}

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are set as plain values, ready for JSON."""
        here: Any = self  # the classes that inherit this are dataclasses
        given = {f.name: trust.plain(getattr(self, f.name)) for f in dataclasses.fields(here)}
        return {name: value for name, value in given.items() if value is not None}

    @classmethod
    @discreet
    def from_dict(cls: type[_V], d: Mapping[str, Any]) -> _V:
        """Return the value whose `to_dict` is ``d``.

        Raises:
            InvalidConfig: an entry is unknown, missing or of the wrong kind.
        """
        return from_fields(cls, d)

    def to_json(self) -> str:
        """Return `to_dict` as JSON text with sorted keys."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    @discreet
    def from_json(cls: type[_V], text: str) -> _V:
        """Return the value whose `to_json` is ``text``.

        Raises:
            InvalidConfig: an entry is unknown, missing or of the wrong kind, or it is nested too deep.
        """
        if is_deep(text, MAX_CONFIG):
            raise _too_deep(cls)
        return cls.from_dict(json.loads(text))

    def _serialize(self) -> dict[str, Any]:
        return self.to_dict()

    @classmethod
    @discreet
    def _deserialize(cls: type[_V], value: Any) -> _V:
        return cls.from_dict(value)

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Return the JSON schema of what `to_dict` returns; it is a part of that of a dataclass or pydantic model."""
        kind: Any = cls  # for mypy, to which a class of unhashable values is unhashable
        return copy.deepcopy(_json_schema(kind))

    @classmethod
    def has_json_schema(cls, schema: object) -> bool:
        """Whether a JSON schema, as a part of that of a dataclass or pydantic model, is the one of this class."""
        if not isinstance(schema, dict) or schema.get("title") != cls.__name__:
            return False
        return bool(schema.get("properties", {}).keys() == cls.json_schema().get("properties", {}).keys())

    @classmethod
    @discreet
    def _validated(cls: type[_V], value: Any) -> _V:
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            check_nesting(cls, value)
            raise InvalidConfig(
                f"Cannot take {shown(value)!r} for a {cls.__name__}: it is neither one nor its to_dict()."
            )
        return cls._deserialize(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Tell pydantic to take a value or its `to_dict`, and to write the latter. Only pydantic calls this."""
        from pydantic_core import SchemaSerializer, core_schema

        written = core_schema.plain_serializer_function_ser_schema(cls._serialize)
        # Where no type is declared pydantic would write a dataclass by its fields: without a commit, but with rows.
        cls.__pydantic_serializer__ = SchemaSerializer(core_schema.any_schema(serialization=written))  # type: ignore[attr-defined]
        return core_schema.no_info_plain_validator_function(
            cls._validated, ref=f"{cls.__module__}.{cls.__qualname__}", serialization=written
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        return cls.json_schema()


class OneOfSeveral(Portable):
    """A value of which there are several classes: its dictionary says which one under ``_type``."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are set, and the name of the class under ``_type``, so that it comes back as such."""
        return {"_type": type(self).__name__} | super().to_dict()

    @classmethod
    @discreet
    def from_dict(cls: type[_V], d: Mapping[str, Any]) -> _V:
        """Return the value that ``d`` describes, in the class that it names.

        Raises:
            InvalidConfig: ``_type`` names no class of this kind, or one that is not a ``cls``; an entry is unknown or
                missing.
        """
        check_nesting(cls, d)
        kinds: list[type[Any]] = cls.__mro__[cls.__mro__.index(OneOfSeveral) - 1].__subclasses__()
        name = d.get("_type", cls.__name__)
        kind = next((kind for kind in kinds if kind.__name__ == name and issubclass(kind, cls)), None)
        if kind is None:
            raise InvalidConfig(
                f"Cannot read {shown(dict(d))!r} as a {cls.__name__}: its '_type' is {name!r}. "
                f"Known are {', '.join(sorted(kind.__name__ for kind in kinds))}."
            )
        return from_fields(kind, {k: v for k, v in d.items() if k != "_type"})


def check_nesting(cls: type[Any], given: object) -> None:
    """Raise where what is to become a ``cls`` is nested deeper than any value here, and could not even be printed.

    Raises:
        InvalidConfig: it is.
    """
    if is_nested_deep(given, MAX_CONFIG):
        raise _too_deep(cls)


def _too_deep(cls: type[Any]) -> InvalidConfig:
    return InvalidConfig(
        f"Cannot read a {cls.__name__}: its lists and dictionaries are nested over {MAX_CONFIG} deep. Give one that "
        "to_dict() or to_json() made."
    )


def from_fields(cls: type[_T], given: Mapping[str, Any]) -> _T:
    """Return a ``cls``, which is a dataclass, with these fields, which came from outside of the program.

    Raises:
        InvalidConfig: a field is unknown or missing.
    """
    check_nesting(cls, given)
    kind: Any = cls
    known = [f.name for f in dataclasses.fields(kind) if f.init]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InvalidConfig(
            f"Cannot build a {cls.__name__}: it has no {', '.join(map(repr, unknown))}. Known are {', '.join(known)}."
        )
    try:
        return cls(**trust.arrived(given))
    except TypeError as error:
        raise InvalidConfig(f"Cannot build a {cls.__name__} from {shown(dict(given))!r}: {error}.") from error


def with_sorted_keys(value: Any) -> Any:
    """Return fields by ascending name, also within others, so that equal values travel as equal bytes."""
    return {k: with_sorted_keys(value[k]) for k in sorted(value)} if isinstance(value, dict) else value
