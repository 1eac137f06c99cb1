"""What stands in the source about each field of a class of options: its type, its default, what it does, an example.

Python keeps none of the texts under fields. They are read from the source when somebody asks, so that `help`, a
notebook's ``?`` and docs/configuration.md say what an editor shows, from one place. Nothing is read on import.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from .patterns import pattern

if TYPE_CHECKING:
    import ast

_C = TypeVar("_C", bound=type[Any])

_EXAMPLE = pattern(r"\s*Example: ``(.+?)``\.?\s*\Z")

TITLE = "Fields:"
"""The line of a class's documentation from which on it speaks of the fields."""


@dataclass(frozen=True)
class Described:
    """A field as the source has it; texts are on one line."""

    name: str
    kind: str
    """The annotation."""
    default: str | None
    """The expression of the default; None where the field has to be given."""
    text: str
    """What it does, without the example."""
    example: str
    """The example; empty where there is none."""


def described(cls: _C) -> _C:
    """Have the documentation of ``cls``, a dataclass, end with what stands in the source about its fields."""
    cls.__doc__ = _Documentation(cls.__doc__, cls.__module__, cls.__qualname__)  # type: ignore[assignment]
    return cls


def fields_of(cls: type[Any]) -> tuple[Described, ...]:
    """Return the fields of a class that is `described`, in their order; none where its source is not there."""
    documentation = vars(cls).get("__doc__")
    return documentation.fields() if isinstance(documentation, _Documentation) else ()


class _Documentation:
    """What ``cls.__doc__`` gives: the text of the class, and the fields once they are asked for."""

    def __init__(self, text: str | None, module: str, name: str) -> None:
        self._text, self._module, self._name = text, module, name

    def __get__(self, instance: object, owner: type[Any]) -> str | None:
        fields = [_paragraph(one) for one in self.fields()]
        if not fields:
            return self._text
        import inspect

        return "\n".join([f"{inspect.cleandoc(self._text or '')}\n", TITLE, *fields, ""])

    def fields(self) -> tuple[Described, ...]:
        return _read(self._module, self._name)


def _paragraph(field: Described) -> str:
    import textwrap

    default = "" if field.default is None else f" = {field.default}"
    indent = " " * 8
    text = textwrap.wrap(field.text, 112, initial_indent=indent, subsequent_indent=indent)
    example = [f"{indent}Example: {field.example}"] if field.example else []
    return "\n".join([f"    {field.name}: {field.kind}{default}", *text, *example])


@cache
def _read(module: str, name: str) -> tuple[Described, ...]:
    import ast
    import inspect

    try:
        source = inspect.getsource(sys.modules[module])
    except (OSError, KeyError):  # installed without its source
        return ()
    found = next((one for one in ast.parse(source).body if isinstance(one, ast.ClassDef) and one.name == name), None)
    fields: dict[str, Described] = {}
    for one in _declared(source, found.body if found is not None else []):
        said = fields.get(one.name)
        fields[one.name] = one if said is None else dataclasses.replace(one, text=said.text, example=said.example)
    return tuple(fields.values())


def _declared(source: str, body: list[ast.stmt]) -> Iterator[Described]:
    """Give each declaration with the text under it; what type checkers are told stands before what is run."""
    import ast

    for line, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(line, ast.If):
            yield from _declared(source, line.body)
            yield from _declared(source, line.orelse)
        if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
            continue
        constant = after.value if isinstance(after, ast.Expr) else None
        said = str(constant.value) if isinstance(constant, ast.Constant) else ""
        text = " ".join(said.split())
        example = _EXAMPLE.search(text)
        kind = " ".join((ast.get_source_segment(source, line.annotation) or "").split())
        yield Described(
            name=line.target.id,
            kind=kind[len("InitVar[") : -1] if kind.startswith("InitVar[") else kind,
            default=_default(source, line.value),
            text=text if example is None else text[: example.start()],
            example="" if example is None else example[1],
        )


def _default(source: str, value: ast.expr | None) -> str | None:
    import ast

    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == dataclasses.field.__name__:
        value = next((one.value for one in value.keywords if one.arg == "default"), None)
    return None if value is None else ast.get_source_segment(source, value)
