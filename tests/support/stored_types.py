"""The types whose values travel as files of rows, each with limits and odd values, and a table of all of them."""

from __future__ import annotations

from flytekitplugins.dolt.repository.connections import Connection


def integers(bits: int) -> tuple[list[str], list[str]]:
    """Return the limits and what lies around zero, with a sign and without."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return [str(low), "-1", "0", "1", str(high)], ["0", "1", str(high), str(2**bits - 1)]


VALUES: dict[str, tuple[str, list[str]]] = {
    "TINYINT(1)": ("int8", ["0", "1", "-128", "127"]),
    "TINYINT": ("int8", integers(8)[0]),
    "TINYINT UNSIGNED": ("uint8", integers(8)[1]),
    "SMALLINT": ("int16", integers(16)[0]),
    "SMALLINT UNSIGNED": ("uint16", integers(16)[1]),
    "MEDIUMINT": ("int32", integers(24)[0]),
    "MEDIUMINT UNSIGNED": ("uint32", integers(24)[1]),
    "INT": ("int32", integers(32)[0]),
    "INT UNSIGNED": ("uint32", integers(32)[1]),
    "BIGINT": ("int64", integers(64)[0]),
    "BIGINT UNSIGNED": ("uint64", integers(64)[1]),
    "BIT(7)": ("uint64", ["b'0'", "b'1111111'"]),
    "BIT(64)": ("uint64", ["b'0'", "b'" + "1" * 64 + "'"]),
    "FLOAT": ("float32", ["0.1", "-0.0", "3.4028234e38", "1.4e-45", "16777217", "-1e-7"]),
    "DOUBLE": ("float64", ["0.1", "-0.0", "1.7976931348623157e308", "5e-324", "1e23", "-9007199254740993"]),
    "DECIMAL(10,2)": ("decimal128(10, 2)", ["0", "-0.01", "99999999.99", "-99999999.99", "1.5", "100"]),
    "DECIMAL(38,0)": ("decimal128(38, 0)", ["0", "9" * 38, "-" + "9" * 38, "18446744073709551616"]),
    "DECIMAL(38,30)": ("decimal128(38, 30)", ["0.000000000000000000000000000001", "-99999999." + "9" * 30, "7"]),
    "DECIMAL(39,2)": ("decimal256(39, 2)", ["0", "-0.01", "9" * 37 + ".99", "-" + "9" * 37 + ".99", "1.5"]),
    "DECIMAL(65,0)": ("decimal256(65, 0)", ["0", "9" * 65, "-" + "9" * 65, "-1", str(2**128), str(-(2**192))]),
    "DECIMAL(65,30)": ("decimal256(65, 30)", ["0." + "0" * 29 + "1", "-" + "9" * 35 + "." + "9" * 30, "7", "-7.25"]),
    "CHAR(5)": ("string", ["''", "'a'", "'é😀'", "' b'", "'b  '"]),
    "VARCHAR(300)": ("string", ["''", "'a'", "' é😀 '", "REPEAT('x', 300)", r"'\0\n\t\\'"]),
    "VARCHAR(30) CHARACTER SET latin1": ("string", ["''", "'é'"]),
    "TEXT": ("string", ["''", "'a'", "'é😀'", "REPEAT('é', 32767)"]),
    "LONGTEXT": ("string", ["''", "'a'", "REPEAT('long ', 60000)"]),
    "BINARY(4)": ("binary", ["''", "x'00ff00'", "x'00000000'", "'abcd'"]),
    "VARBINARY(40)": ("binary", ["''", "x'00ff00'", "x'" + "fe" * 40 + "'"]),
    "BLOB": ("binary", ["''", "x'00ff00'", "x'" + "fe" * 65_535 + "'"]),
    "LONGBLOB": ("binary", ["''", "x'" + "00ff" * 100_000 + "'"]),
    "DATE": ("date32", ["'1000-01-01'", "'1969-12-31'", "'1970-01-01'", "'2024-02-29'", "'9999-12-31'"]),
    "DATETIME": ("timestamp[us]", ["'1000-01-01'", "'1969-12-31 23:59:59'", "'9999-12-31 23:59:59'"]),
    "DATETIME(3)": ("timestamp[us]", ["'2024-02-29 01:02:03.456'", "'1969-12-31 23:59:59.999'"]),
    "DATETIME(6)": ("timestamp[us]", ["'1000-01-01 00:00:00.000001'", "'9999-12-31 23:59:59.999999'"]),
    "TIMESTAMP": ("timestamp[us]", ["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'"]),
    "TIMESTAMP(6)": ("timestamp[us]", ["'2001-02-03 04:05:06.000007'"]),
    "TIME": ("duration[us]", ["'00:00:00'", "'-838:59:59'", "'838:59:59'", "'-00:00:01'"]),
    "TIME(6)": ("duration[us]", ["'12:34:56.000001'", "'-12:34:56.999999'"]),
    "YEAR": ("int16", ["0", "1901", "2155", "2024"]),
    "JSON": (
        "json",
        [
            "'[-0.0, 9007199254740993, 1e21, 0.1]'",
            "'null'",
            "'{}'",
            """'{"b": [1, 2.5, null, "é"], "a": {"c": true}}'""",
            "'\"text\"'",
            "'1e300'",
        ],
    ),
}
NAMES = dict(zip(VALUES, (f"c{number}" for number in range(len(VALUES))), strict=True))


def every_type(connection: Connection, key: str) -> None:
    """Make a table with a column of each type; each value is in some row, and so is a row of NULL."""
    columns = "".join(f", {NAMES[kind]} {kind}" for kind in VALUES)
    connection.execute(f"CREATE TABLE every (id INT{key}{columns})")
    count = max(len(values) for _, values in VALUES.values())
    rows = [", ".join(values[i % len(values)] for _, values in VALUES.values()) for i in range(count)]
    rows.append(", ".join(["NULL"] * len(VALUES)))
    connection.execute("INSERT INTO every VALUES " + ", ".join(f"({i}, {row})" for i, row in enumerate(rows)))
