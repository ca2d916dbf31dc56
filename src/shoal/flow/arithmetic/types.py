"""What every node of an expression gives: its form, and how many rows or a number.

No table of types is kept: each operation is tried on ones of its arguments' types, so
the answer is NumPy's. Numbers written in the text have no type of their own, like
Python's; what operators make of such numbers alone is again such a number.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec import Struct

from shoal.errors import BadExpression
from shoal.flow.arithmetic.operations import LIBRARY, TYPES, Operand, Operation
from shoal.flow.language.expressions import (
    Call,
    Constant,
    Dataset,
    Expression,
    Input,
    Tagged,
)
from shoal.flow.language.grammar import show
from shoal.flow.language.spelling import nearest
from shoal.flow.messages import DatasetRecord, Form, Shape

Formed = Callable[[Dataset | Tagged], DatasetRecord]


class Typed(Struct, frozen=True):
    """A node of the tree, and what is known of what it gives."""

    key: str  # Equal for nodes that give the same.
    text: str  # As the user wrote it, for people.
    form: Form
    rows: int | None = None  # None: it is a number.
    operation: str = ""
    arguments: tuple["Typed", ...] = ()
    constant: Constant | None = None
    record: DatasetRecord | None = None
    apart: bool = False  # Made by a step of its own.

    @property
    def is_reduction(self) -> bool:
        """Does it make a number from rows?"""
        return bool(self.operation) and self.known.algebra == "reduction"

    @property
    def known(self) -> Operation:
        """The operation of a call."""
        return LIBRARY[self.operation]

    @property
    def described(self) -> str:
        """Itself and its form, for an error."""
        if self.rows is None:
            return f"`{self.text}` is a number"
        return f"`{self.text}` has {self.rows:,} rows of {worded(self.form)}"


def check(expression: Expression, formed: Formed) -> Typed:
    """The tree with its types, or `BadExpression` where they do not go together."""
    match expression:
        case Dataset() | Tagged():
            return _leaf(expression, formed(expression))
        case Constant(value):
            kind = np.asarray(value).dtype
            return Typed(
                repr(value), show(expression), _form(kind), constant=expression
            )
        case Input():
            raise BadExpression("an input belongs into a plan, not into an expression")
        case Call(operation, arguments):
            if operation not in LIBRARY:
                near = nearest(operation, LIBRARY)
                raise BadExpression(f"no operation `{operation}`{near}")
            typed = tuple(check(each, formed) for each in arguments)
            return call(operation, typed, show(expression))


def call(operation: str, arguments: tuple[Typed, ...], text: str) -> Typed:
    """The node of an operation on these."""
    known = LIBRARY[operation]
    if not known.least <= len(arguments) <= known.most:
        raise BadExpression(f"`{text}`: `{operation}` takes {known.takes}")
    if known.algebra == "reduction":
        return _reduction(operation, arguments[0], text)
    if operation in _PYTHON and all(each.constant for each in arguments):
        return _folded(operation, arguments, text)
    rows, trailing = _aligned(arguments, text)
    kind = _tried(known, arguments, text)
    key = f"{operation}({', '.join(each.key for each in arguments)})"
    return Typed(key, text, Form(kind.str, trailing), rows, operation, arguments)


def worded(form: Form) -> str:
    """A form, for people: `float64`, or `float64 (3, 2)`."""
    name = np.dtype(form.kind).name
    return f"{name} {form.trailing}" if form.trailing else name


def type_name(form: Form) -> str:
    """The operation that makes a number of this type."""
    return np.dtype(form.kind).name


def _form(kind: np.dtype[Any]) -> Form:
    return Form(kind.str)


def _leaf(leaf: Dataset | Tagged, record: DatasetRecord) -> Typed:
    try:
        name = np.dtype(record.form.kind).name
    except TypeError:
        name = ""
    if name not in TYPES:
        raise BadExpression(
            f"`{show(leaf)}` has elements of type {record.form.kind!r}, and only "
            f"these can be computed with: {', '.join(TYPES)}"
        )
    return Typed(f"#{record.id}", show(leaf), record.form, record.rows, record=record)


# Rows


def _aligned(arguments: tuple[Typed, ...], text: str) -> tuple[int | None, Shape]:
    """How many rows of which shape, if they are alike but for lengths of one."""
    many = [each for each in arguments if each.rows is not None]
    if not many:
        return None, ()
    first, trailing = many[0], many[0].form.trailing
    for other in many[1:]:
        if other.rows != first.rows:
            raise _unlike(first, other, text, "rows must be equal")
        shapes = trailing, other.form.trailing
        if len(shapes[0]) != len(shapes[1]) or not all(map(_fits, *shapes)):
            raise _unlike(first, other, text, "their shapes must be equal or 1")
        trailing = tuple(map(_wider, *shapes))
    return first.rows, trailing


def _fits(one: int, other: int) -> bool:
    return one == other or 1 in (one, other)


def _wider(one: int, other: int) -> int:
    return other if one == 1 else one


def _unlike(one: Typed, other: Typed, text: str, rule: str) -> BadExpression:
    return BadExpression(f"{one.described}, {other.described}: for `{text}` {rule}")


# Types


def _tried(known: Operation, arguments: tuple[Typed, ...], text: str) -> np.dtype[Any]:
    """The type of its result on ones of their types."""
    try:
        with np.errstate(all="ignore"):
            result = known.function(*map(_one, arguments))
    except (TypeError, ValueError, ArithmeticError) as error:
        described = ", ".join(each.described for each in arguments)
        raise BadExpression(
            f"{described}: NumPy has no `{text}` of these: {_first(error)}"
        ) from error
    return np.asarray(result).dtype.newbyteorder("=")


def _one(node: Typed) -> Operand:
    if node.constant is not None:
        return node.constant.value
    kind = np.dtype(node.form.kind)
    return kind.type(1) if node.rows is None else np.ones(1, kind)


def _first(error: Exception) -> str:
    return (str(error.args[-1]).splitlines() or [type(error).__name__])[0][:300]


def _reduction(operation: str, argument: Typed, text: str) -> Typed:
    if argument.rows is None:
        raise BadExpression(f"`{text}`: {argument.described} already")
    if np.dtype(argument.form.kind).kind == "c":
        raise BadExpression(
            f"`{text}`: a result that is a number is a real one; "
            "reduce real(…) and imag(…) by themselves"
        )
    empty = not argument.rows * math.prod(argument.form.trailing)
    if empty and operation in ("min", "max"):
        raise BadExpression(
            f"`{text}`: {argument.described}: no elements have no {operation}"
        )
    kind = _tried(LIBRARY[operation], (argument,), text)
    key = f"{operation}({argument.key})"
    return Typed(key, text, _form(kind), None, operation, (argument,))


# Numbers as they are written

_PYTHON: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "power": operator.pow,
    "negative": operator.neg,
    "positive": operator.pos,
    "invert": operator.invert,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "bitwise_and": operator.and_,
    "bitwise_or": operator.or_,
    "bitwise_xor": operator.xor,
}


def _folded(operation: str, arguments: tuple[Typed, ...], text: str) -> Typed:
    values = [each.constant.value for each in arguments if each.constant]
    try:
        value = _calculated(operation, values)
    except (TypeError, ArithmeticError) as error:
        raise BadExpression(f"`{text}`: {_first(error)}") from error
    if isinstance(value, complex) or not -(2**63) <= _whole(value) < 2**64:
        raise BadExpression(f"`{text}` is no real number of at most 64 bits")
    constant = Constant(value)
    return Typed(repr(value), text, _form(np.asarray(value).dtype), constant=constant)


def _calculated(operation: str, values: list[Operand]) -> Operand:
    if operation == "invert" and isinstance(values[0], bool):
        return not values[0]
    if operation == "power" and all(isinstance(value, int) for value in values):
        base, exponent = values
        if exponent * abs(base).bit_length() > 128 and abs(base) > 1:
            raise OverflowError("it takes more than 64 bits")
    return _PYTHON[operation](*values)


def _whole(value: Operand) -> int:
    return value if isinstance(value, int) else 0
