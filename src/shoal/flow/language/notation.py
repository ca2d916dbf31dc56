"""How operations are written: their signs, and how tightly these bind."""

import re
from typing import NamedTuple

from shoal.errors import BadExpression
from shoal.flow.language.expressions import (
    MAX_DEPTH,
    Call,
    Constant,
    Dataset,
    Expression,
    Input,
    Tagged,
)


class Sign(NamedTuple):
    """An operator's operation, and how tightly it binds."""

    operation: str
    level: int


COMPARISON = 1
UNARY_LEVEL = 7
_POWER_LEVEL = 8
_ATOM = 9

POWER = "power"
BINARY = {
    "<": Sign("less", COMPARISON),
    "<=": Sign("less_equal", COMPARISON),
    ">": Sign("greater", COMPARISON),
    ">=": Sign("greater_equal", COMPARISON),
    "==": Sign("equal", COMPARISON),
    "!=": Sign("not_equal", COMPARISON),
    "|": Sign("bitwise_or", 2),
    "^": Sign("bitwise_xor", 3),
    "&": Sign("bitwise_and", 4),
    "+": Sign("add", 5),
    "-": Sign("subtract", 5),
    "*": Sign("multiply", 6),
    "/": Sign("divide", 6),
    "//": Sign("floor_divide", 6),
    "%": Sign("remainder", 6),
}
UNARY = {"-": "negative", "+": "positive", "~": "invert"}

_BINARY_SIGNS = {sign.operation: (word, sign.level) for word, sign in BINARY.items()}
_UNARY_SIGNS = {operation: word for word, operation in UNARY.items()}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z_0-9]*\Z")

# Words that mean something else than a dataset of that name.
RESERVED = ("nan", "inf", "True", "False", "and", "or", "not")


def show(expression: Expression) -> str:
    """The text that `parse` reads as this expression."""
    if depth(expression) > MAX_DEPTH * 2:
        raise BadExpression(f"the expression is deeper than {MAX_DEPTH} levels")
    return _shown(expression)[0]


def depth(expression: Expression) -> int:
    """How many levels the tree has."""
    deepest, waiting = 0, [(expression, 1)]
    while waiting:
        node, level = waiting.pop()
        deepest = max(deepest, level)
        if isinstance(node, Call):
            waiting += [(argument, level + 1) for argument in node.arguments]
    return deepest


def _shown(expression: Expression) -> tuple[str, int]:
    """Its text, and how tightly it holds together."""
    match expression:
        case Constant(value):
            text = repr(value)
            return text, UNARY_LEVEL if text.startswith("-") else _ATOM
        case Dataset(name) if _IDENTIFIER.match(name) and name not in RESERVED:
            return name, _ATOM
        case Dataset(name):
            return f"ds({_quoted(name)})", _ATOM
        case Tagged(tag):
            return f"tag({_quoted(tag)})", _ATOM
        case Input(place):
            return f"#{place}", _ATOM
        case Call(operation, arguments):
            return _shown_call(operation, arguments)


def _shown_call(operation: str, arguments: tuple[Expression, ...]) -> tuple[str, int]:
    match arguments:
        case (left, right) if operation == POWER:
            base, exponent = _held(left, _ATOM), _held(right, UNARY_LEVEL)
            return f"{base} ** {exponent}", _POWER_LEVEL
        case (left, right) if operation in _BINARY_SIGNS:
            sign, level = _BINARY_SIGNS[operation]
            # A comparison does not go on with another one, on neither side.
            first = _held(left, level + (level == COMPARISON))
            return f"{first} {sign} {_held(right, level + 1)}", level
        case (Constant() as number,) if operation == "negative":
            return f"-({_shown(number)[0]})", UNARY_LEVEL
        case (operand,) if operation in _UNARY_SIGNS:
            sign = _UNARY_SIGNS[operation]
            return f"{sign}{_held(operand, UNARY_LEVEL)}", UNARY_LEVEL
    inner = ", ".join(_shown(argument)[0] for argument in arguments)
    return f"{operation}({inner})", _ATOM


def _held(expression: Expression, level: int) -> str:
    text, holds = _shown(expression)
    return text if holds >= level else f"({text})"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
