"""Where a filter means something else than everybody expects, and how to say so."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from shoal.core.filters.expressions import Expression
from shoal.core.pointing import complain
from shoal.errors import BadExpression

# Operators that bind equally, the tightest first; then `or`, then `and`.
LEVELS = (("*", "/", "%"), ("+", "-"), ("==", "!=", "<", "<=", ">", ">="))


class Grown(NamedTuple):
    """A part of the tree, its depth, and which part of the text it came from."""

    expression: Expression
    depth: int
    at: int
    end: int


def check_chain(
    text: str, operands: Sequence[Grown], signs: Sequence[str], level: int
) -> None:
    """Refuse 10 - 4 - 3: here it is 9, and 3 to everybody else."""
    for place, (left, right) in enumerate(pairwise(signs)):
        both = {left, right}
        if both <= {*LEVELS[level]} and both & {"-", "/", "%"}:
            a, b, c = (_piece(text, part) for part in operands[place : place + 3])
            one, other = (
                f"{a} {left} ({b} {right} {c})",
                f"({a} {left} {b}) {right} {c}",
            )
            what = f"`{left}` beside `{right}`"
            raise _unclear(text, operands[place].at, what, one, other)


def mixed(text: str, operands: Sequence[Grown], signs: Sequence[str]) -> BadExpression:
    """Here `or` binds tighter, and looser to everybody else."""
    one = _grouped(text, operands, signs, "and")
    other = _grouped(text, operands, signs, "or")
    return _unclear(text, operands[0].at, "`and` beside `or`", one, other)


def _unclear(text: str, at: int, what: str, one: str, other: str) -> BadExpression:
    return complain(
        text, at, f"{what}: write {one}, as CCTools understands it, or {other}"
    )


def _grouped(
    text: str, operands: Sequence[Grown], signs: Sequence[str], loose: str
) -> str:
    """The text with parentheses around all that the tighter of two operators joins."""
    groups = [[operands[0]]]
    for sign, operand in zip(signs, operands[1:], strict=True):
        if sign == loose:
            groups.append([operand])
        else:
            groups[-1].append(operand)
    pieces = [text[group[0].at : group[-1].end] for group in groups]
    return f" {loose} ".join(
        f"({piece})" if len(group) > 1 else piece
        for piece, group in zip(pieces, groups, strict=True)
    )


def _piece(text: str, part: Grown) -> str:
    return text[part.at : part.end]
