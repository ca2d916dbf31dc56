"""Carries one step out over its rows, chunk by chunk.

Chunks are so many elements whatever their types and wherever the rows came from: so
the same rows give the same partial, bit for bit, however the plan was made.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from shoal.errors import BadExpression
from shoal.flow.arithmetic.operations import LIBRARY, Operand
from shoal.flow.arithmetic.reductions import Array, combine, partial
from shoal.flow.language.expressions import Call, Constant, Expression, Input, Number
from shoal.flow.language.grammar import show
from shoal.flow.messages import Form

# Rows of an input, from one up to another.
Reader = Callable[[int, int], Array]

# Of the widest type, 16 bytes, this makes 4 MiB: what a processor's cache holds.
CHUNK_ELEMENTS = 2**18

# So many partials are kept before they are made one.
_PARTIALS = 1024

# So many different warnings are told of a step.
_MAX_WARNINGS = 20


def rows_of(
    expression: Expression, given: Sequence[Reader | Number], form: Form, rows: int
) -> Iterator[Array]:
    """The rows that the step makes, in order, a chunk at a time."""
    program, kind = _Program(expression, given), np.dtype(form.kind)
    for start, stop in _chunks(form, rows):
        result = np.asarray(program.run(start, stop)).astype(kind, copy=False)
        yield np.ascontiguousarray(result)


def partial_of(
    expression: Expression,
    given: Sequence[Reader | Number],
    form: Form,
    rows: int,
    reduction: str,
) -> bytes:
    """The partial of a reduction over the rows of the step."""
    program, kind = _Program(expression, given), np.dtype(form.kind)
    partials = [partial(reduction, np.empty(0, kind))] if not rows else []
    for start, stop in _chunks(form, rows):
        result = np.asarray(program.run(start, stop)).astype(kind, copy=False)
        partials.append(partial(reduction, result))
        if len(partials) == _PARTIALS:
            partials = [combine(reduction, partials)]
    return combine(reduction, partials)


def number_of(expression: Expression, values: Sequence[Number]) -> Number:
    """What an expression of numbers alone comes to."""
    result: Number = np.asarray(_Program(expression, values).run(0, 0))[()].item()
    return result


@contextmanager
def collected(told: dict[str, int]) -> Iterator[None]:
    """Count warnings by their text instead of printing them."""

    def count(message: Warning | str, *_: object, **__: object) -> None:
        text = str(message)[:200]
        if text in told or len(told) < _MAX_WARNINGS:
            told[text] = told.get(text, 0) + 1

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = count
        yield


def remarks(told: dict[str, int]) -> tuple[str, ...]:
    """The warnings with their counts, for people."""
    return tuple(
        text if count == 1 else f"{text} ({count:,} times)"
        for text, count in told.items()
    )


def _chunks(form: Form, rows: int) -> Iterator[tuple[int, int]]:
    size = max(1, CHUNK_ELEMENTS // max(1, math.prod(form.trailing)))
    for start in range(0, rows, size):
        yield start, min(start + size, rows)


class _Order(NamedTuple):
    """One call of a program: which registers it takes, fills, and leaves unneeded."""

    operation: str
    takes: tuple[int, ...]
    fills: int
    frees: tuple[int, ...] = ()


class _Program:
    """An expression as a list of calls, equal subexpressions once.

    What depends on numbers alone is computed when it is made.
    """

    def __init__(
        self, expression: Expression, given: Sequence[Reader | Number]
    ) -> None:
        self._given = given
        self._registers: list[Operand] = []
        self._readers: dict[int, Reader] = {}
        self._orders: dict[int, _Order] = {}
        self._places: dict[str, int] = {}
        self._result = self._place(expression)
        self._free()

    def run(self, start: int, stop: int) -> Operand:
        """The result for these rows."""
        registers = self._registers.copy()
        for place, reader in self._readers.items():
            registers[place] = reader(start, stop)
        for order in self._orders.values():
            values = [registers[place] for place in order.takes]
            registers[order.fills] = _applied(order.operation, values)
            for place in order.frees:
                registers[place] = None
        return registers[self._result]

    def _place(self, expression: Expression) -> int:
        """The register of a node, which is made if there is none yet."""
        key = show(expression)
        if key not in self._places:
            self._places[key] = self._new(expression)
        return self._places[key]

    def _new(self, expression: Expression) -> int:
        match expression:
            case Constant(value):
                return self._keep(value)
            case Input(place) if place < len(self._given):
                return self._keep_given(self._given[place])
            case Call(operation, arguments) if operation in LIBRARY:
                takes = tuple(self._place(argument) for argument in arguments)
                return self._keep_call(operation, takes)
        raise BadExpression(f"`{show(expression)}` has no place in a step")

    def _keep_given(self, given: Reader | Number) -> int:
        if not callable(given):
            return self._keep(given)
        place = self._keep(None)
        self._readers[place] = given
        return place

    def _keep_call(self, operation: str, takes: tuple[int, ...]) -> int:
        if not any(place in self._readers or place in self._orders for place in takes):
            values = [self._registers[place] for place in takes]
            return self._keep(_applied(operation, values))
        place = self._keep(None)
        self._orders[place] = _Order(operation, takes, place)
        return place

    def _keep(self, value: Operand) -> int:
        self._registers.append(value)
        return len(self._registers) - 1

    def _free(self) -> None:
        """Let each call drop what no later one takes: memory holds what is needed."""
        needed = {self._result}
        for place, order in reversed(list(self._orders.items())):
            frees = tuple(each for each in order.takes if each not in needed)
            self._orders[place] = order._replace(frees=frees)
            needed.update(order.takes)


def _applied(operation: str, values: list[Operand]) -> Operand:
    try:
        return LIBRARY[operation].function(*values)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise BadExpression(f"`{operation}`: {error}"[:500]) from error
