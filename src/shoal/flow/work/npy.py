"""The head of a `.npy` file: what its rows are, and where they begin.

A literal of Python in a frame of bytes. What `numpy.save` writes is read, and of that
only rows of plain numbers; all else is refused by name. Nothing is unpickled, ever.
"""

import ast
import re
from typing import NamedTuple

from shoal.errors import UnreadableFile
from shoal.flow.messages import MAX_DIMENSIONS, Form, row_bytes

MAGIC = b"\x93NUMPY"

# As NumPy's own bound: longer literals could exhaust the parser.
MAX_HEAD_BYTES = 10_000

# Enough to see the whole of any head that is read.
PROBE_BYTES = MAX_HEAD_BYTES + 12

# What `COUNT` may be.
_MAX_BYTES = 2**62 - 1

# Rows begin where the processor likes it; NumPy does the same.
_ALIGNMENT = 64

_SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16)}

_TYPE = re.compile(r"([<>|=]?)([a-zA-Z])([0-9]{0,9})")

_NOT_NUMBERS = {
    "O": "it holds Python objects; save it with a numeric type",
    "V": "it holds records or raw bytes; save each field as a file of its own",
    "U": "it holds text; save it as numbers",
    "S": "it holds text; save it as numbers",
    "a": "it holds text; save it as numbers",
    "M": "it holds dates; save them as numbers: array.astype('int64')",
    "m": "it holds times; save them as numbers: array.astype('int64')",
}


class Head(NamedTuple):
    """What follows the head."""

    form: Form
    rows: int
    offset: int


def npy_head(form: Form, rows: int) -> bytes:
    """The bytes that make a `.npy` file of bare rows, when they stand before them."""
    shape = (rows, *form.trailing)
    literal = f"{{'descr': {form.kind!r}, 'fortran_order': False, 'shape': {shape}, }}"
    start = len(MAGIC) + 4
    total = -(-(start + len(literal) + 1) // _ALIGNMENT) * _ALIGNMENT
    text = literal.ljust(total - start - 1) + "\n"
    return MAGIC + b"\x01\x00" + len(text).to_bytes(2, "little") + text.encode("ascii")


def read_head(data: bytes, name: str) -> Head:
    """What the first bytes of a file say of it."""
    offset, literal = _literal(data, name)
    kind = _kind(literal["descr"], name)
    shape = _shape(literal["shape"], name)
    if not isinstance(literal["fortran_order"], bool):
        raise _malformed(name, "its head does not say in which order its numbers are")
    if literal["fortran_order"] and len(shape) > 1:
        raise UnreadableFile(
            f"file {name}: its columns stand together, not its rows; "
            "save it with numpy.save(file, numpy.ascontiguousarray(array))"
        )
    form = Form(kind, shape[1:])
    if row_bytes(form) * max(1, shape[0]) > _MAX_BYTES:
        raise _malformed(name, f"rows of shape {shape} are on no disk")
    return Head(form, shape[0], offset)


def _literal(data: bytes, name: str) -> tuple[int, dict[str, object]]:
    """Where the rows begin, and what is said of them."""
    start, stop, encoding = _bounds(data, name)
    try:
        text = data[start:stop].decode(encoding)
        # Python 2 wrote its long numbers so.
        found = ast.literal_eval(re.sub(r"\b(\d+)L\b", r"\1", text).strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise _malformed(name, "its head is no literal of Python") from error
    if not isinstance(found, dict) or set(found) != {"descr", "fortran_order", "shape"}:
        raise _malformed(name, "its head says other things than it should")
    return stop, found


def _bounds(data: bytes, name: str) -> tuple[int, int, str]:
    """From where to where the literal goes, and how it is written."""
    if not data.startswith(MAGIC):
        raise UnreadableFile(
            f"file {name}: no .npy file, since it does not begin as one; "
            "write it with numpy.save"
        )
    version = tuple(data[6:8])
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise _malformed(name, f"version {'.'.join(map(str, version))} is not known")
    start = 10 if version == (1, 0) else 12
    size = int.from_bytes(data[8:start], "little")
    if size > MAX_HEAD_BYTES:
        raise _malformed(name, f"a head of {size} bytes is too long")
    if len(data) < start + size:
        raise _malformed(name, "it ends within its head")
    return start, start + size, "utf-8" if version == (3, 0) else "latin-1"


def _kind(described: object, name: str) -> str:
    """The word for a type of number, in one spelling."""
    if isinstance(described, list | tuple):
        raise UnreadableFile(f"file {name}: {_NOT_NUMBERS['V']}")
    found = isinstance(described, str) and _TYPE.match(described)
    if not isinstance(described, str) or not found:
        raise _malformed(name, "its type is no word of NumPy's")
    order, letter, size = found.groups()
    if letter in _NOT_NUMBERS:
        raise UnreadableFile(f"file {name}: {_NOT_NUMBERS[letter]}")
    if found.end() != len(described) or int(size or 0) not in _SIZES.get(letter, ()):
        raise UnreadableFile(
            f"file {name}: {described[:40]!a} is no type that all machines know; "
            "save it with another, such as float64"
        )
    if int(size) == 1:
        return f"|{letter}1"
    if order not in ("<", ">"):
        raise _malformed(name, "its type does not say in which order its bytes are")
    return described


def _shape(said: object, name: str) -> tuple[int, ...]:
    """How many rows, and the shape of each."""
    if not isinstance(said, tuple) or not all(type(length) is int for length in said):
        raise _malformed(name, "its shape is not made of whole numbers")
    if not said:
        raise UnreadableFile(
            f"file {name}: it holds one number and no rows; "
            "save it with numpy.atleast_1d(array)"
        )
    if len(said) > MAX_DIMENSIONS + 1:
        raise _malformed(name, f"it has more than {MAX_DIMENSIONS + 1} dimensions")
    if not all(0 <= length <= _MAX_BYTES for length in said):
        raise _malformed(name, "its shape has lengths that no array has")
    if 0 in said[1:]:
        raise UnreadableFile(
            f"file {name}: its rows hold no numbers; save an array that has some"
        )
    return said


def _malformed(name: str, cause: str) -> UnreadableFile:
    return UnreadableFile(f"file {name}: {cause}; write it again with numpy.save")
