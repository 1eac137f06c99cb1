"""The rows of a real server, taken from the stream: the same as the driver reads, in the clear and over TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from certificates import Authority
from dolt_server import PASSWORD, USER, DoltServer

from flytekitplugins.doltdb import driver, text_rows

QUERY = """
WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < 900)
SELECT n, IF(n % 3 = 0, NULL, n * 0.5), REPEAT('ä', n % 200), '', REPEAT('x', IF(n % 300 = 7, 70000, 0)) FROM numbers
"""


def rows_of(connection: driver.Connection, sql: str) -> list[tuple[bytes | None, ...]]:
    connection.query(sql, unbuffered=True)
    count = len(connection.columns())
    pieces = text_rows.pieces(connection, take_apart=lambda rows: text_rows.taken_apart(rows, count))
    return [row for piece in pieces for row in zip(*(column.to_pylist() for column in piece), strict=True)]


@pytest.mark.parametrize("has_tls", [False, True])
def test_they_are_what_the_driver_reads(tmp_path: Path, has_tls: bool) -> None:
    """Value by value, and the connection goes on behind them; so it does behind a statement that is refused."""
    authority = Authority(tmp_path)
    certificate = authority.sign("127.0.0.1") if has_tls else None
    context = ssl.create_default_context(cafile=str(authority.ca)) if has_tls else None
    with DoltServer(tmp_path / "shop", certificate) as server:
        connection = driver.logged_in(
            server.host, server.port, user=USER, password=PASSWORD, tls=context, has_authority=has_tls, timeout_s=60
        )
        connection.query("USE shop")
        with connection.printing():
            connection.query(QUERY)
            expected = connection.rows()
        assert len(expected) == 900
        assert rows_of(connection, QUERY) == expected
        with pytest.raises(driver.Error):
            rows_of(connection, "SELECT nothing FROM nowhere")
        assert rows_of(connection, f"{QUERY} WHERE n > 1000") == []
        assert rows_of(connection, "SELECT 'done'") == [(b"done",)]
        connection.hang_up()
