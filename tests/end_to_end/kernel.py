"""Operations that hurt the worker that carries them out, and some of NumPy's.

Preloaded by workers under test, in the place of the real ones.
"""

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

import shoal.flow.arithmetic
from shoal.flow.language.expressions import Call, Constant, Expression, Input
from shoal.flow.messages import Form

Rows = NDArray[Any]
Given = Callable[[int, int], Rows] | int | float | bool

CHUNK_ROWS = 1000


def rows_of(
    expression: Expression, given: Sequence[Given], form: Form, rows: int
) -> Iterator[Rows]:
    for start in range(0, rows, CHUNK_ROWS):
        stop = min(start + CHUNK_ROWS, rows)
        found = np.asarray(_of(expression, given, start, stop))
        yield found.astype(form.kind, copy=False)


def partial_of(
    expression: Expression,
    given: Sequence[Given],
    form: Form,
    rows: int,
    reduction: str,
) -> bytes:
    assert reduction == "sum"
    chunks = rows_of(expression, given, form, rows)
    return np.float64(sum(float(chunk.sum()) for chunk in chunks)).tobytes()


@contextmanager
def collected(told: dict[str, int]) -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for each in caught:
        text = str(each.message)
        told[text] = told.get(text, 0) + 1


def remarks(told: dict[str, int]) -> tuple[str, ...]:
    return tuple(f"{text} ({count} times)" for text, count in told.items())


def _of(expression: Expression, given: Sequence[Given], start: int, stop: int) -> Any:
    match expression:
        case Input(place):
            leaf = given[place]
            return leaf(start, stop) if callable(leaf) else leaf
        case Constant(value):
            return value
        case Call("leave"):
            os._exit(3)
        case Call("depart"):
            sys.exit("so long")
        case Call("spin", (argument,)):
            while start:  # The first chunk is let through.
                pass
            return _of(argument, given, start, stop)
        case Call(operation, arguments):
            values = [_of(each, given, start, stop) for each in arguments]
            return getattr(np, operation)(*values)
    raise AssertionError(expression)


sys.modules["shoal.flow.arithmetic.kernel"] = sys.modules[__name__]
setattr(shoal.flow.arithmetic, "kernel", sys.modules[__name__])  # noqa: B010 - mypy knows better.
