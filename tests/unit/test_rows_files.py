"""Files of rows as Python reads them: the types that Go has, and nothing of what is damaged."""

from __future__ import annotations

import json
import re
import struct
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from flytekitplugins.dolt.server import builder
from flytekitplugins.dolt.tables import rows_file

TEXT = pa.array(["ab", None, "cde"])
NUMBERS = pa.array([1, 2, 3], pa.int64())


def padded(piece: bytes) -> bytes:
    return piece + bytes(-len(piece) % 64)


def example(batches: int = 2) -> bytes:
    """Return a file with batches of `TEXT` and `NUMBERS`, each piece of which begins at a multiple of 64."""
    header = json.dumps({"columns": [{"name": "t", "type": "string"}, {"name": "n", "type": "int64"}]}).encode()
    file = padded(b"DOLTROW1" + struct.pack("<I", len(header)) + header)
    buffers = [TEXT.buffers()[0][:1], TEXT.buffers()[1][:16], TEXT.buffers()[2][:5], NUMBERS.buffers()[1][:24]]
    batch = padded(struct.pack("<8Q", 3, 1, 1, 16, 5, 0, 0, 24))
    batch += b"".join(padded(buffer.to_pybytes()) for buffer in buffers)
    return file + batches * batch + struct.pack("<2Q", 0, 3 * batches)


def test_go_and_python_have_the_same_types() -> None:
    """The list in types.go, with as many bits for a value; 0 means offsets."""
    source = (builder.MODULE / "types.go").read_text("utf-8")
    (listed,) = re.findall(r"^var typeBits = .*?^}", source, re.MULTILINE | re.DOTALL)
    found = {name: int(bits) for name, bits in re.findall(r'"([^"]+)":\s*(\d+)', listed)}
    ours = {name: 0 if rows_file._has_offsets(kind) else kind.bit_width for name, kind in rows_file.TYPES.items()}
    assert found == ours


def test_go_and_python_have_the_same_decimals() -> None:
    """Names, and how many digits there may be, which is as many as Arrow has."""
    source = (builder.MODULE / "types.go").read_text("utf-8")
    (listed,) = re.findall(r"^var decimalDigitsOf = .*?^}", source, re.MULTILINE | re.DOTALL)
    names = dict(re.findall(r'"([^"]+)":\s*(\w+)', listed))
    digits = {name: int(re.findall(rf"^\s{const} *= (\d+)$", source, re.MULTILINE)[0]) for name, const in names.items()}
    assert digits == {"decimal128": 38, "decimal256": 76}
    assert list(rows_file.DECIMALS) == list(digits)
    for name, most in digits.items():
        assert str(rows_file._type(f"{name}({most}, 2)")) == f"{name}({most}, 2)"
        with pytest.raises(ValueError, match=f"{most}"):
            rows_file._type(f"{name}({most + 1}, 2)")


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_what_is_there_is_read_and_kept(tmp_path: Path, batches: int) -> None:
    """The rows outlive the file, whose buffers they are."""
    path = tmp_path / "rows"
    path.write_bytes(example(batches))
    rows = rows_file.read(path)
    path.unlink()
    rows.validate(full=True)
    assert rows.schema == pa.schema([("t", pa.string()), ("n", pa.int64())])
    assert rows.to_pydict() == {"t": TEXT.to_pylist() * batches, "n": NUMBERS.to_pylist() * batches}


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    """A file that lacks its end, or a part of it, is no file of rows."""
    whole, path = example(), tmp_path / "rows"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(rows_file.DamagedFile):
            rows_file.read(path)


def test_what_is_no_file_of_rows_is_refused(tmp_path: Path) -> None:
    """Another magic, an unknown type, another number of rows."""
    path = tmp_path / "rows"
    for bad in (b"x" + example()[1:], example().replace(b"int64", b"int65"), example()[:-8] + bytes(8)):
        path.write_bytes(bad)
        with pytest.raises(rows_file.DamagedFile):
            rows_file.read(path)


# Written


US = pa.timestamp("us")
COLUMNS = {
    **{
        str(kind): pa.array([0, None, 100, 7, 3], kind)
        for kind in rows_file.TYPES.values()
        if pa.types.is_integer(kind)
    },
    "bool": pa.array([True, None, False, True, True]),
    "float32": pa.array([0.5, None, -0.0, 1e30, 3], pa.float32()),
    "float64": pa.array([0.5, None, -0.0, 1e300, 3]),
    "date32": pa.array([0, None, -1, 20_000, 1], pa.date32()),
    "timestamp[us]": pa.array([0, None, -1, 2**50, 1], US),
    "duration[us]": pa.array([0, None, -1, 2**40, 1], pa.duration("us")),
    "string": pa.array(["", None, "é", "abc" * 50, "x"]),
    "binary": pa.array([b"", None, b"\x00\xff", b"abc" * 50, b"x"]),
    "without nulls": pa.array([1, 2, 3, 4, 5]),
    "nothing but nulls": pa.nulls(5, pa.string()),
}


def written(path: Path, rows: pa.Table) -> pa.Table:
    """Write rows to a file and read them from there."""
    rows_file.write(path, rows)
    found = rows_file.read(path)
    found.validate(full=True)
    path.unlink()
    return found


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Each type, with and without nulls, whole and each part of it, in one chunk and in many."""
    rows = pa.table(COLUMNS)
    for start in range(6):
        for end in range(start, 6):
            part = rows.slice(start, end - start)
            assert written(tmp_path / "rows", part).equals(part)
    several = pa.concat_tables([rows.slice(3), rows.slice(1, 3), rows.slice(5), rows])
    assert written(tmp_path / "rows", several).equals(several)


def test_parts_of_long_columns_are_written(tmp_path: Path) -> None:
    """More rows than a batch has; a part whose bits begin in the middle of a byte."""
    many = pa.table({"b": [n % 3 == 0 for n in range(70_000)], "t": [str(n) if n % 7 else None for n in range(70_000)]})
    for start in (0, 8, 13):
        found = written(tmp_path / "rows", many.slice(start))
        assert found.equals(many.slice(start))
        assert found["b"].num_chunks == 2


@pytest.mark.parametrize("kind", [pa.decimal128(38, 2), pa.decimal256(65, 2)])
def test_decimals_have_the_digits_that_they_need(tmp_path: Path, kind: pa.DataType) -> None:
    """The type says no more than there are, and all the places that the type had."""
    for texts, digits in ((["1.50", None, "-99.25"], 4), (["0.01"], 2), ([None], 2), (["9" * 36 + ".99"], 38)):
        column = pa.array(texts, pa.string()).cast(kind)
        found = written(tmp_path / "rows", pa.table({"d": column}))["d"]
        assert found.type == pa.decimal128(digits, 2)
        assert found.to_pylist() == column.to_pylist()


def test_times_of_day_are_durations(tmp_path: Path) -> None:
    """There is one type for SQL's TIME."""
    found = written(tmp_path / "rows", pa.table({"t": pa.array([0, None, 86_399_999_999], pa.time64("us"))}))
    assert found["t"].cast(pa.int64()).to_pylist() == [0, None, 86_399_999_999]
    assert found["t"].type == pa.duration("us")


@pytest.mark.parametrize(
    "column", [pa.array(["1" * 37 + ".00"]).cast(pa.decimal256(65, 2)), pa.nulls(1), pa.array([1], pa.timestamp("s"))]
)
def test_what_a_file_does_not_have_is_refused(tmp_path: Path, column: pa.Array) -> None:
    """Nothing is written then."""
    with pytest.raises(rows_file.NotCarried, match="'odd'"):
        rows_file.write(tmp_path / "rows", pa.table({"odd": column}))
    assert list(tmp_path.iterdir()) == []


def mapped_bytes(name: str) -> int:
    """Return how much of the files of that name is in this process's memory, as Linux counts it."""
    found, is_it = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            is_it = name in line
        elif is_it and line.startswith("Rss:"):
            found += int(line.split()[1]) * 1024
    return found


def test_what_is_let_go_is_in_no_memory_and_can_be_read_again(tmp_path: Path) -> None:
    """Of a large file that is gone from its folder; what lies elsewhere, and small files, are left alone."""
    count = rows_file._LARGE // 8
    numbers = pa.table({"n": pa.array(range(count), pa.int64()), "t": pa.array(map(str, range(count)), pa.string())})
    for name, rows in (("large.rows", numbers), ("small.rows", numbers.slice(0, 1000))):
        path = tmp_path / name
        rows_file.write(path, rows)
        found = rows_file.read(path)
        path.unlink()
        assert found.equals(rows)
        held = mapped_bytes(name)
        for column in (*found.columns, *rows.columns):
            rows_file.let_go(column)
        if sys.platform == "linux":
            assert held > 0
            assert (mapped_bytes(name) < held / 4) == (name == "large.rows")
        assert found.equals(rows)
    del found, column
    assert list(rows_file._mapped.values()) == []
