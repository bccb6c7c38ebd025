"""R's saved workspaces: small ones written by hand, byte for byte, and what is refused."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from echobook.data.r_files import MalformedR, RValue, read_rda

INTEGERS, DOUBLES, TEXTS, LIST, S4, WRAPPED = 13, 14, 16, 19, 25, 238


def number(value: int) -> bytes:
    return struct.pack(">i", value)


def text(value: str, encoding: str = "utf-8") -> bytes:
    raw, flag = value.encode(encoding), 8 if encoding == "utf-8" else 4
    return number(9 | flag << 12) + number(len(raw)) + raw


def symbol(value: str) -> bytes:
    return number(1) + text(value)


def pair(name: bytes, value: bytes) -> bytes:
    return number(2 | 0x400) + name + value


def integers(*values: int, attributes: bytes = b"") -> bytes:
    flags = INTEGERS | (0x200 if attributes else 0)
    return number(flags) + number(len(values)) + b"".join(map(number, values)) + attributes


def doubles(*values: float) -> bytes:
    return number(DOUBLES) + number(len(values)) + struct.pack(f">{len(values)}d", *values)


END = number(254)


def write(path: Path, body: bytes, version: int = 3, magic: bytes = b"RDX3\nX\n") -> Path:
    head = magic + number(version) + number(0x40302) + number(0x30500)
    head += number(5) + b"UTF-8" if version == 3 else b""
    path.write_bytes(gzip.compress(head + body))
    return path


def test_numbers_texts_and_lists(tmp_path: Path) -> None:
    values = (
        number(LIST)
        + number(2)
        + integers(7)
        + number(TEXTS)
        + number(2)
        + text("é")
        + number(9)
        + number(-1)
    )
    body = (
        pair(symbol("a"), integers(1, -2)) + pair(symbol("b"), doubles(0.5)) + pair(symbol("c"), values) + END
    )
    found = read_rda(write(tmp_path / "x.rda", body))
    np.testing.assert_array_equal(found["a"].value, [1, -2])
    assert found["a"].value.dtype.byteorder in "=|<"
    np.testing.assert_array_equal(found["b"].value, [0.5])
    np.testing.assert_array_equal(found["c"].value[0], [7])
    assert found["c"].value[1] == ["é", None]


def test_version_two_has_no_encoding(tmp_path: Path) -> None:
    path = write(tmp_path / "x.rda", pair(symbol("a"), integers(3)) + END, 2, b"RDX2\nX\n")
    assert read_rda(path)["a"].value.tolist() == [3]


def test_latin_letters(tmp_path: Path) -> None:
    body = pair(symbol("a"), number(TEXTS) + number(1) + text("ü", "latin-1")) + END
    assert read_rda(write(tmp_path / "x.rda", body))["a"].value == ["ü"]


def test_slots_of_an_object_and_symbols_named_by_number(tmp_path: Path) -> None:
    """The second object names the slot by the symbol's number, 2 (1 is the object's own name)."""
    slots = pair(symbol("i"), integers(4, 5)) + END
    again = pair(number(255 | 2 << 8), integers(6)) + END
    body = pair(symbol("m"), number(S4 | 0x200) + slots) + pair(symbol("n"), number(S4 | 0x200) + again) + END
    found = read_rda(write(tmp_path / "x.rda", body))
    assert found["m"].attributes["i"].tolist() == [4, 5]
    assert found["n"].attributes["i"].tolist() == [6]
    assert found["m"].value is None


def test_attributes_of_a_vector(tmp_path: Path) -> None:
    named = integers(1, attributes=pair(symbol("names"), number(TEXTS) + number(1) + text("x")) + END)
    found = read_rda(write(tmp_path / "x.rda", pair(symbol("a"), named) + END))["a"]
    assert isinstance(found, RValue)
    assert found.attributes == {"names": ["x"]}


def wrapped(form: str) -> bytes:
    """A wrapper: class, a state whose last value hangs at the end of the chain, no attributes."""
    kind = number(2) + symbol(form) + END
    state = number(2) + integers(8, 9) + integers(0, 0)
    return number(WRAPPED) + kind + state + END


def test_wrappers_are_taken_off(tmp_path: Path) -> None:
    path = write(tmp_path / "x.rda", pair(symbol("a"), wrapped("wrap_integer")) + END)
    assert read_rda(path)["a"].value.tolist() == [8, 9]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (pair(symbol("a"), number(3)), "x.rda: byte .*: a value of R's kind 3 is not read here"),
        (pair(symbol("a"), wrapped("mmap_real")), "a vector in the form mmap_real is not read here"),
        (pair(symbol("a"), number(INTEGERS) + number(9)), "cut short at byte .*; 36 more were expected"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, body: bytes, message: str) -> None:
    with pytest.raises(MalformedR, match=message):
        read_rda(write(tmp_path / "x.rda", body))


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.rda"
    path.write_bytes(b"plain")
    with pytest.raises(MalformedR, match="expected a gzip file"):
        read_rda(path)
    path.write_bytes(gzip.compress(b"something else"))
    with pytest.raises(MalformedR, match=r"expected R's form .* got b'somethi'"):
        read_rda(path)
