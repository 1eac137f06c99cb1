"""How long and how branched functions are: over the limits fails, near them wants a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from radon.complexity import cc_visit
from radon.visitors import Class, Function

PACKAGES = Path(__file__).parents[2] / "flytekitplugins"

MOST_BRANCHES, MOST_LINES = 15, 60
"""Over these a function is to be split, for whatever reason it is so."""

MANY_BRANCHES, MANY_LINES = 12, 40
"""Over these it stands below, with the reason."""

REASONS = {
    "dolt/api/scripts.py:write": "most of it is the docstring",
    "dolt/api/uri.py:_config": "one line for each parameter of an address",
    "dolt/api/uri.py:_parameters": "one branch for each kind of state that an address names",
    "dolt/codec/arrow_tables.py:_encode_column": "one branch for each kind of Arrow type",
    "dolt/codec/notes.py:Note.speaks_of": "one condition for each field of a note",
    "dolt/codec/notes.py:field_from_text": "one branch for each form of a type's text",
    "dolt/codec/pandas_frames.py:_as_category": "each way in which levels do not fit is told apart",
    "dolt/codec/pandas_frames.py:_without_arrays": "one branch for each kind of cell",
    "dolt/codec/pandas_frames.py:storable": "one branch for each kind of Arrow type",
    "dolt/history/conflicts.py:_of_rows": "one branch for each kind of conflict that Dolt does not show right",
    "dolt/history/diffs.py:_table_ref": "what two sides may be, and that they agree",
    "dolt/history/lineages.py:Lineage._tree": "one walk, in which each branch is a line of the picture",
    "dolt/history/lineages.py:_Walk._links": "to follow a link, or to say why it cannot be, is one decision",
    "dolt/history/lineages.py:lineage": "half of it is the docstring",
    "dolt/model/configs.py:DoltConfig.check": "one line for each option",
    "dolt/model/location.py:_server": "one expression that says which part of a URL is missing",
    "dolt/model/location.py:_tls": "one line for each option of TLS",
    "dolt/model/options.py:_checked": "one branch for each kind of option",
    "dolt/query/moving_parts.py:Finder._as_of_expression": "one branch for each form of AS OF",
    "dolt/query/moving_parts.py:Finder._note_clock": "one branch for each form of a clock",
    "dolt/query/validation.py:_Reader._read_show": "one branch for each form of SHOW",
    "dolt/query/validation.py:_compared": "one condition for each kind of token",
    "dolt/history/publishing.py:_verify": "one condition for each thing that is verified",
    "dolt/history/merging.py:merge": "most of it is signature and docstring",
    "dolt/history/note_merging.py:_merged": "one condition for each way in which two notes agree",
    "dolt/history/pushing.py:publish": "the loop of attempts reads better in one piece",
    "dolt/tables/retyped.py:_cast": "one branch for each pair of types that Arrow casts in another way",
    "dolt/tables/fitting.py:_widened": "one branch for each family of types",
    "dolt/tables/fitting.py:fit": "half of it is signature and docstring",
    "doltdb/hiding.py:replaced": "one branch for each form in which a password can stand",
    "sqlalchemy/templates.py:_end": "one branch for each opener",
    "sqlalchemy/templates.py:render": "one branch for each kind of part",
}


def functions() -> Iterator[tuple[str, int, int]]:
    """Give each function by its file and qualified name, with the number of its branches and of its lines."""
    for path in sorted(PACKAGES.rglob("*.py")):
        source = path.read_text()
        defined = [
            node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        ]
        lines = {line: (node.end_lineno or 0) - node.lineno for node in defined for line in _beginnings(node)}
        blocks = [block for block in cc_visit(source) if not getattr(block, "is_method", False)]
        for name, function in _within(blocks):
            yield f"{path.relative_to(PACKAGES)}:{name}", function.complexity, lines[function.lineno]


def _beginnings(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    """Return the lines where radon may say that a function begins: its own, or its first decorator's."""
    return {node.lineno, *(decorator.lineno for decorator in node.decorator_list)}


def _within(blocks: Sequence[Function | Class], prefix: str = "") -> Iterator[tuple[str, Function]]:
    for block in blocks:
        if isinstance(block, Class):
            yield from _within([*block.methods, *block.inner_classes], f"{prefix}{block.name}.")
        else:
            yield f"{prefix}{block.name}", block
            yield from _within(block.closures, f"{prefix}{block.name}.")


def test_no_function_is_over_the_limits() -> None:
    """At most 15 branches and 60 lines, with no exception."""
    over = {
        name: (branches, lines)
        for name, branches, lines in functions()
        if branches > MOST_BRANCHES or lines > MOST_LINES
    }
    assert over == {}


def test_each_function_near_the_limits_has_a_reason() -> None:
    """Over 12 branches or 40 lines a function stands in the list, and nothing else does."""
    near = {name for name, branches, lines in functions() if branches > MANY_BRANCHES or lines > MANY_LINES}
    assert near == set(REASONS)


def test_functions_of_all_packages_are_measured() -> None:
    """Methods, nested functions and plain ones are among them."""
    names = {name for name, _, _ in functions()}
    assert {"dolt/api/scripts.py:read", "dolt/repository/connections.py:Connection.query"} <= names
    assert any(name.startswith("doltdb/") for name in names)
    assert len(names) > 1000
