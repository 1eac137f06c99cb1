"""Reports loads and saves to the observer that a config names: a row in a table, or a call of a function.

The entries are those of the earlier plugin. A load is told when rows are fetched, a save when it is committed.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from ..errors import InvalidConfig
from ..model import provenance, runtime, trust
from ..model.configs import CallbackMeta, DoltMeta, NewBranch, Pinned
from ..repository import refs, remotes
from ..tables import writing
from . import publishing

if TYPE_CHECKING:
    from ..model.configs import DoltConfig

MESSAGE = "Note what was loaded and saved"
"""First line of the commits that add to the table of `DoltMeta`."""


def tell(kind: Literal["load", "save"], table: Pinned, *, changed: bool = False) -> None:
    """Tell who is named by the table's ``meta_conf``, if anybody is; ``changed`` says that a save made a commit.

    Raises:
        InvalidConfig: the function cannot be imported.
        DoltError: the row could not be stored; what was loaded or saved stays so.
    """
    meta = table.config.meta_conf
    if meta is None:
        return
    entry = _entry(kind, table, changed=changed)
    if isinstance(meta, DoltMeta):
        _note(meta, entry)
    elif isinstance(meta, CallbackMeta):
        _function(meta)(entry)


def _entry(kind: str, table: Pinned, *, changed: bool) -> dict[str, Any]:
    config, commit = table.config, table.commit
    (found,) = refs.log(remotes.location_at(config, commit, history=False), commit.hash, limit=1)
    # The message of a config is for its commits, and a save that changed nothing names a commit of somebody else.
    mine = found.message if changed else runtime.current().commit_message(replace(config, message=None), None)
    origin = provenance.parse(mine or "")
    return {
        "kind": kind,
        "db_path": str(config.db_path),
        "tablename": config.tablename,
        "sql": config.sql,
        "branch": commit.branch,
        "from_commit": found.parents[0] if changed and found.parents else commit.hash,
        "to_commit": commit.hash,
        "timestamp": datetime.now(timezone.utc).replace(tzinfo=None),
        "context_id": origin.execution.id if origin.execution is not None else None,
    }


def _note(meta: DoltMeta, entry: dict[str, Any]) -> None:
    import pandas as pd

    texts = {name: pd.array([value], dtype="str") for name, value in entry.items() if name != "timestamp"}
    row = pd.DataFrame({**texts, "timestamp": pd.array([entry["timestamp"]], dtype="datetime64[us]")})
    options = writing.WriteOptions(mode="append")
    rows = writing.TableWrite.of(meta.tablename, row, options)
    statements = publishing.Statements(writing.statements(options))
    policy = NewBranch(meta.branch) if meta.branch is not None else None
    job = publishing.WriteJob(meta.tablename, MESSAGE, rows.apply, statements, puts_rows=True)
    publishing.write(refs.locate(meta.db_path), policy, job)


def _function(meta: CallbackMeta) -> Any:
    fn = trust.function(meta.fn) if isinstance(meta.fn, trust.Arrived) else meta.fn
    if callable(fn):
        return fn
    module, _, name = str(meta.fn).partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise InvalidConfig(f"Cannot call {meta.fn!r}: {error}. Give CallbackMeta a function of a module.") from error
    return found


def check(config: DoltConfig) -> None:
    """Raise unless who is to be told can be told, before anything is read or written.

    Raises:
        InvalidConfig: the function cannot be imported.
        UntrustedInput: the function is named by a value that arrived, and the code does not allow it.
        RepositoryNotFound: the repository of the table is not there.
    """
    if isinstance(config.meta_conf, DoltMeta):
        refs.locate(config.meta_conf.db_path)
    elif isinstance(config.meta_conf, CallbackMeta):
        _function(config.meta_conf)
