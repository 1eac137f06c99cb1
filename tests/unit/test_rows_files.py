"""Files of rows as Python reads them: the types that Go has, and nothing of what is damaged."""

from __future__ import annotations

import json
import re
import struct
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
