"""Numbers from many rows: partials of some, combined in order, finished once.

A partial says what it is of and how many it stands for, in so many bytes whatever the
rows, so that anybody can combine it. Floats are summed as float64, whole numbers as
NumPy sums them, around the end of 64 bits.
"""

import math
import warnings
from collections.abc import Sequence
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import BadExpression, MalformedMessage
from shoal.flow.arithmetic.operations import Operand
from shoal.flow.language.expressions import Number
from shoal.flow.messages import Form

Array = NDArray[Any]

_LAYOUT = Struct("<2sQ8s")  # The value's type, how many elements, the value.
PARTIAL_BYTES = _LAYOUT.size
_KINDS = (b"b1", b"i1", b"i2", b"i4", b"i8", b"u1", b"u2", b"u4", b"u8")
_FLOATS = (b"f2", b"f4", b"f8")


def partial(operation: str, values: Array) -> bytes:
    """What these elements contribute."""
    if operation in ("sum", "mean"):
        return _pack(_total(operation, values), values.size)
    if not values.size:
        return _pack(values.dtype.type(0), 0)
    return _pack(_extreme(operation, values), values.size)


def combine(operation: str, partials: Sequence[bytes]) -> bytes:
    """What they contribute together; the same ones in the same order, the same bits."""
    some = [unpacked for unpacked in map(_unpack, partials) if unpacked[1]]
    if not some:
        return partials[0] if partials else _pack(np.float64(0), 0)
    values = np.array([value for value, _ in some])
    count = sum(count for _, count in some)
    if operation not in ("sum", "mean"):
        return _pack(_extreme(operation, values), count)
    if values.dtype.kind == "f":
        return _pack(np.float64(_accurate(values)), count)
    return _pack(_total(operation, values), count)


def finish(operation: str, combined: bytes, form: Form) -> Number:
    """The number, of that form."""
    value, count = _unpack(combined)
    if operation == "mean":
        return _of(form, _quotient(value, count))
    if operation != "sum" and not count:
        raise BadExpression(
            f"`{operation}` of no elements has no value: is a dataset empty?"
        )
    return _of(form, value)


def _of(form: Form, value: Operand) -> Number:
    number: Number = np.asarray(value).astype(np.dtype(form.kind))[()].item()
    return number


def _quotient(total: Operand, count: int) -> Operand:
    if count:
        return np.float64(total) / count
    warnings.warn("mean of no elements is NaN", RuntimeWarning, stacklevel=2)
    return np.float64(np.nan)


def _total(operation: str, values: Array) -> Operand:
    if operation == "mean" or values.dtype.kind == "f":
        return np.sum(values, dtype=np.float64)
    return np.sum(values, dtype=np.uint64 if values.dtype.kind == "u" else np.int64)


def _extreme(operation: str, values: Array) -> Operand:
    return values.min() if operation == "min" else values.max()


def _accurate(values: Array) -> float:
    """Their sum, rounded once; but NaN, infinite and enormous ones as NumPy adds."""
    try:
        return math.fsum(values)
    except (ValueError, OverflowError):
        return float(np.sum(values))


def _pack(value: Operand, count: int) -> bytes:
    kind = value.dtype
    return _LAYOUT.pack(kind.str[1:].encode(), count, _little(kind, value))


def _little(kind: np.dtype[Any], value: Operand) -> bytes:
    return np.asarray(value).astype(kind.newbyteorder("<")).tobytes()


def _unpack(data: bytes) -> tuple[Any, int]:
    if len(data) == PARTIAL_BYTES:
        kind, count, value = _LAYOUT.unpack(data)
        if kind in _KINDS or kind in _FLOATS:
            form = np.dtype("<" + kind.decode())
            return np.frombuffer(value, form, count=1)[0], count
    raise MalformedMessage(f"{len(data)} bytes are no partial of a reduction")
