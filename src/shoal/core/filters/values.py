"""What operators do to values: 64-bit integers, C's division, strings by their bytes.

Whatever has no value raises `NoValue`. An integer beside a double becomes one; a number
beside a string is written out; else unequal types are merely unequal.
"""

import math
from collections.abc import Callable

from shoal.core.filters.expressions import Value
from shoal.core.filters.lexer import MAX_STRING
from shoal.errors import NoValue

Charge = Callable[[int], None]

_TOP, _BITS = 1 << 63, (1 << 64) - 1
_KINDS = {
    bool: "boolean",
    int: "integer",
    float: "double",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


def kind(value: Value) -> str:
    """What CCTools calls its type."""
    return _KINDS[type(value)]


def wrapped(number: int) -> int:
    """As 64 bits hold it."""
    return ((number + _TOP) & _BITS) - _TOP


def are_equal(left: Value, right: Value, charge: Charge) -> bool:
    """Of one type and the same, numbers but for their type; two objects: `NoValue`."""
    if type(left) is dict and type(right) is dict:
        raise NoValue("objects cannot be compared")
    if type(left) is list and type(right) is list:
        return _are_alike(left, right, charge)
    if {type(left), type(right)} == {int, float}:
        return float(left) == float(right)  # type: ignore[arg-type]
    return type(left) is type(right) and left == right


def _are_alike(left: Value, right: Value, charge: Charge) -> bool:
    """Within lists and objects types count too."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list) and isinstance(right, list):
        charge(len(left))
        return len(left) == len(right) and all(
            _are_alike(one, other, charge)
            for one, other in zip(left, right, strict=True)
        )
    if isinstance(left, dict) and isinstance(right, dict):
        charge(len(left))
        return left.keys() == right.keys() and all(
            _are_alike(value, right[key], charge) for key, value in left.items()
        )
    return left == right


_ORDERS: dict[str, Callable[[int], bool]] = {
    "<": lambda order: order < 0,
    "<=": lambda order: order <= 0,
    ">": lambda order: order > 0,
    ">=": lambda order: order >= 0,
}


def compare(sign: str, left: Value, right: Value) -> bool:
    """Two numbers or two strings; nothing else has an order."""
    if isinstance(left, str) and isinstance(right, str):
        return _ORDERS[sign]((left > right) - (left < right))
    if is_number(left) and is_number(right):
        one, other = _pair(left, right)
        if math.isnan(one) or math.isnan(other):
            return False
        return _ORDERS[sign]((one > other) - (one < other))
    raise NoValue(f"{kind(left)} {sign} {kind(right)}: they have no order")


def is_number(value: Value) -> bool:
    """Truth is none."""
    return type(value) in (int, float)


def _pair(left: Value, right: Value) -> tuple[float, float] | tuple[int, int]:
    if type(left) is int and type(right) is int:
        return left, right
    return float(left), float(right)  # type: ignore[arg-type]


def calculate(sign: str, left: Value, right: Value, charge: Charge) -> Value:
    """+ - * / %: of numbers; and + of strings and lists."""
    if is_number(left) and is_number(right):
        one, other = _pair(left, right)
        if isinstance(one, int) and isinstance(other, int):
            return _of_integers(sign, one, other)
        return _of_doubles(sign, one, other)
    if sign == "+":
        return _add(left, right, charge)
    raise NoValue(f"{kind(left)} {sign} {kind(right)}: types that do not go together")


def _of_integers(sign: str, one: int, other: int) -> int:
    match sign:
        case "+":
            return wrapped(one + other)
        case "-":
            return wrapped(one - other)
        case "*":
            return wrapped(one * other)
    if other == 0:
        raise NoValue("division by zero")
    quotient = abs(one) // abs(other)  # Towards zero.
    quotient = -quotient if (one < 0) != (other < 0) else quotient
    return wrapped(quotient) if sign == "/" else one - quotient * other


def _of_doubles(sign: str, one: float, other: float) -> float:
    match sign:
        case "+":
            return one + other
        case "-":
            return one - other
        case "*":
            return one * other
    if other == 0:
        raise NoValue("division by zero")
    if sign == "/":
        return one / other
    if not (abs(one) < _TOP and 1 <= abs(other) < _TOP):
        raise NoValue("% of doubles that are no 64-bit integers")
    return float(_of_integers("%", int(one), int(other)))


def _add(left: Value, right: Value, charge: Charge) -> Value:
    if isinstance(left, list) and isinstance(right, list):
        if len(left) + len(right) > MAX_STRING:
            raise NoValue(f"a list longer than {MAX_STRING:,}")
        charge(len(left) + len(right))
        return [*left, *right]
    if isinstance(left, str) or isinstance(right, str):
        whole = written(left) + written(right)
        charge(len(whole))
        return bounded(whole)
    raise NoValue(f"{kind(left)} + {kind(right)}: types that do not go together")


def bounded(text: str) -> str:
    """A string that CCTools could hold, or `NoValue`."""
    if len(text) > MAX_STRING:
        raise NoValue(f"a string longer than {MAX_STRING:,}")
    return text


def written(value: Value) -> str:
    """A single value as text."""
    match value:
        case str():
            return value
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return f"{value:.16g}"
    raise NoValue(f"{kind(value)}: it cannot be written into a string")
