"""Logging in without telling the password to a server that only asks: it may choose the way, and may be anybody.

Where no verified certificate proves who the server is, a driver may answer its challenges and no more. PyMySQL is told
so by `doltdb.driver`, PostgreSQL's library by an option of its own. Other drivers go by their own rules.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy

from ..doltdb import driver

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine

_LIBPQ = {"psycopg": ("psycopg.pq", "version"), "psycopg2": ("psycopg2.extensions", "libpq_version")}
_OLDEST_LIBPQ = 160000
"""The first version of PostgreSQL's library that can be told which ways to log in are meant."""


def keep_passwords(engine: Engine) -> None:
    """Have an engine whose driver is PyMySQL hand passwords and files to a server only that proved who it is."""
    if engine.url.drivername.endswith("+pymysql"):
        sqlalchemy.event.listen(
            engine, "do_connect", lambda _dialect, _record, args, options: driver.Connection(*args, **options)
        )


def options(url: URL, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells PostgreSQL's library the same; empty for other drivers, and for those that are too old."""
    asked = {**url.query, **given}
    module, version = _LIBPQ.get(url.drivername.partition("+")[2], ("", ""))
    if not module or "require_auth" in asked:
        return {}
    mode = asked.get("sslmode") or os.environ.get("PGSSLMODE")
    if mode == "verify-full" or (mode == "verify-ca" and (asked.get("sslrootcert") or "PGSSLROOTCERT" in os.environ)):
        return {}
    try:
        known = getattr(importlib.import_module(module), version)()
    except ImportError:  # which is said when the engine is made
        return {}
    return {"require_auth": "!password"} if known >= _OLDEST_LIBPQ else {}
