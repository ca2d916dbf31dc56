"""What can be done to numbers and rows: the library that every peer has.

Results and their types are NumPy's own, so no table of types is kept here. An
*additive* operation of several arguments means the sum of itself over each.
"""

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any, Literal

import numpy as np

Algebra = Literal["elementwise", "additive", "reduction"]

# An array, one of NumPy's scalars or a Python number: its functions take all alike.
Operand = Any

# As many as a text has room for.
MANY = 10_000


@dataclass(frozen=True, slots=True)
class Operation:
    """A function by name, and what may be assumed of it."""

    name: str
    algebra: Algebra
    least: int  # Arguments it takes at least, and at most.
    most: int
    help: str
    function: Callable[..., Any]

    @property
    def takes(self) -> str:
        """How many arguments, in words."""
        plural = "" if self.most == 1 else "s"
        if self.least == self.most:
            return f"{self.least} argument{plural}"
        return f"{self.least} or more arguments"

    @property
    def version(self) -> str:
        """A digest of its definition: equal on peers that mean the same by its name."""
        terms = (self.name, self.algebra, self.least, self.most, _origin(self.function))
        return blake2b(repr(terms).encode(), digest_size=8).hexdigest()


@cache
def _origin(function: Callable[..., Any]) -> str:
    """The text of our own functions and of what they call of ours; NumPy's by name."""
    if not inspect.isfunction(function) or function.__module__ != __name__:
        return f"numpy.{function.__name__}"
    private = [name for name in function.__code__.co_names if name.startswith("_")]
    called = [globals()[name] for name in private if name in globals()]
    return "".join([inspect.getsource(function), *map(_origin, called)])


# What NumPy does not have under one name


def real2bin(*arguments: Operand) -> Operand:
    """1 where floor(x) is odd, else 0; summed over the arguments."""
    wide = np.uint8 if len(arguments) <= np.iinfo(np.uint8).max else np.uint16
    total = _parity(arguments[0]).astype(wide)
    for argument in arguments[1:]:
        total = total + _parity(argument)
    return total


def _parity(values: Operand) -> Operand:
    values = np.asarray(values)
    if values.dtype.kind == "c":
        raise TypeError("complex numbers have no floor")
    if values.dtype.kind != "f":
        return (values & values.dtype.type(1)).astype(np.uint8)
    if not np.isfinite(values).all():
        warnings.warn(
            "NaN or infinity taken for 0 in real2bin", RuntimeWarning, stacklevel=2
        )
    # Halving is exact, and NaN is less than nothing.
    half = np.floor(values) * values.dtype.type(0.5)
    return (np.floor(half) < half).astype(np.uint8)


def total(*arguments: Operand) -> Operand:
    """The sum of the arguments, element by element."""
    result = np.positive(arguments[0]) if len(arguments) == 1 else arguments[0]
    for argument in arguments[1:]:
        result = np.add(result, argument)
    return result


def real(values: Operand) -> Operand:
    """The real part."""
    return np.asarray(values).real


def imag(values: Operand) -> Operand:
    """The imaginary part."""
    return np.asarray(values).imag


def _cast(name: str) -> Operation:
    kind = np.dtype(name)

    def convert(values: Operand) -> Operand:
        if isinstance(values, int):
            return kind.type(values)
        values = np.asarray(values)
        if values.dtype.kind == "c" and kind.kind not in "cb":
            raise TypeError("take real(…) or imag(…) of complex numbers first")
        if values.dtype.kind == "f" and kind.kind in "iu":
            return _whole(values, kind)[()]
        return values.astype(kind)[()]

    # Its definition is this module's, and differs by the type alone.
    convert.__name__ = name
    return Operation(name, "elementwise", 1, 1, f"as {name}", convert)


def _whole(values: Operand, kind: np.dtype[Any]) -> Operand:
    """Whole numbers of floats. What has none is NumPy's to choose, and it chooses
    by where an element stands; here NaN is 0, and the rest the nearest there is."""
    least, most = np.iinfo(kind).min, np.iinfo(kind).max
    wide = np.trunc(values.astype(np.float64))
    low, high = wide < float(least), wide >= float(most) + (float(most) < 2**53)
    without = low | high | np.isnan(wide)
    if without.any():
        what = f"no {kind.name} for NaN, infinity or what is out of range"
        warnings.warn(what, RuntimeWarning, stacklevel=2)
    whole = np.where(without, 0.0, wide).astype(kind)
    return np.where(high, kind.type(most), np.where(low, kind.type(least), whole))


_ONE = """
    abs absolute value
    sqrt square root
    cbrt cube root
    square x * x
    reciprocal 1 / x
    exp e ** x
    exp2 2 ** x
    expm1 exp(x) - 1, exact near 0
    log natural logarithm
    log2 logarithm to base 2
    log10 logarithm to base 10
    log1p log(1 + x), exact near 0
    sin sine
    cos cosine
    tan tangent
    arcsin inverse of sin
    arccos inverse of cos
    arctan inverse of tan
    sinh hyperbolic sine
    cosh hyperbolic cosine
    tanh hyperbolic tangent
    arcsinh inverse of sinh
    arccosh inverse of cosh
    arctanh inverse of tanh
    degrees radians to degrees
    radians degrees to radians
    floor the next whole number below
    ceil the next whole number above
    trunc the whole number towards 0
    rint the nearest whole number, as a float
    round the nearest whole number, halves to even
    sign -1, 0 or 1
    signbit is it negative, -0.0 too?
    isnan is it NaN?
    isfinite is it neither infinite nor NaN?
    isinf is it infinite?
    conj complex conjugate
    negative -x
    positive +x
    invert ~x
    logical_not is it 0?
"""

_TWO = """
    add x + y
    subtract x - y
    multiply x * y
    divide x / y
    floor_divide x // y
    remainder x % y, with the sign of y
    fmod x % y, with the sign of x
    power x ** y
    arctan2 the angle of the point (y, x)
    hypot sqrt(x * x + y * y)
    minimum the smaller, NaN if either is
    maximum the larger, NaN if either is
    fmin the smaller, NaN if both are
    fmax the larger, NaN if both are
    copysign x with the sign of y
    logaddexp log(exp(x) + exp(y))
    less x < y
    less_equal x <= y
    greater x > y
    greater_equal x >= y
    equal x == y
    not_equal x != y
    bitwise_and x & y
    bitwise_or x | y
    bitwise_xor x ^ y
    left_shift x * 2 ** y, of whole numbers
    right_shift x // 2 ** y, of whole numbers
    logical_and are both other than 0?
    logical_or is either other than 0?
    logical_xor is one of them other than 0?
    gcd greatest common divisor
    lcm least common multiple
"""

_THREE = """
    where y where x is other than 0, else z
    clip x, but not below y nor above z
"""

_REDUCTIONS = """
    sum the sum of all elements
    mean the mean of all elements
    min the least of all elements
    max the greatest of all elements
"""

# The only types of elements: every machine has them, and all alike.
_TYPES = """
    bool int8 int16 int32 int64 uint8 uint16 uint32 uint64
    float16 float32 float64 complex64 complex128
"""
TYPES = tuple(_TYPES.split())

# Other names that NumPy knows, and what they are called here.
ALIASES = {
    "absolute": "abs",
    "amax": "max",
    "amin": "min",
    "average": "mean",
    "bitwise_not": "invert",
    "conjugate": "conj",
    "deg2rad": "radians",
    "mod": "remainder",
    "pow": "power",
    "rad2deg": "degrees",
    "true_divide": "divide",
}


def _of_numpy(lines: str, algebra: Algebra, arguments: int) -> list[Operation]:
    rows = (line.split(maxsplit=1) for line in lines.strip().splitlines())
    return [
        Operation(name, algebra, arguments, arguments, about, getattr(np, name))
        for name, about in rows
    ]


LIBRARY = {
    operation.name: operation
    for operation in (
        *_of_numpy(_ONE, "elementwise", 1),
        *_of_numpy(_TWO, "elementwise", 2),
        *_of_numpy(_THREE, "elementwise", 3),
        *_of_numpy(_REDUCTIONS, "reduction", 1),
        *map(_cast, TYPES),
        Operation("real", "elementwise", 1, 1, "real part", real),
        Operation("imag", "elementwise", 1, 1, "imaginary part", imag),
        Operation("total", "elementwise", 1, MANY, "x + y + …", total),
        Operation("real2bin", "additive", 1, MANY, "floor(x) % 2, summed", real2bin),
    )
}
