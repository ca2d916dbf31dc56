"""Random expressions, datasets that lie about, and what NumPy says of them."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.core.machine import PeerId
from shoal.flow.arithmetic.kernel import Reader, number_of, partial_of, rows_of
from shoal.flow.arithmetic.operations import LIBRARY, TYPES
from shoal.flow.arithmetic.reductions import combine, finish
from shoal.flow.language.expressions import (
    Call,
    Constant,
    Dataset,
    Expression,
    Number,
    Tagged,
)
from shoal.flow.messages import (
    DatasetRecord,
    Form,
    Part,
    Plan,
    Product,
    Reduction,
    Rows,
    Step,
    Value,
)
from shoal.flow.plans.stepping import VALUE_BYTES

Array = NDArray[Any]

ASKED = PeerId("asked")


@dataclass
class World:
    """Datasets, and which peer holds which parts of them."""

    arrays: dict[str, Array]
    records: dict[Dataset | Tagged, DatasetRecord]
    present: dict[PeerId, int]

    @property
    def parts(self) -> dict[str, tuple[Part, Array]]:
        """Every part by its id, with its rows."""
        found = {}
        for leaf, record in self.records.items():
            assert isinstance(leaf, Dataset)
            start = 0
            for part in record.parts:
                rows = self.arrays[leaf.name][start : start + part.rows]
                found[part.id] = part, rows
                start += part.rows
        return found


def record_of(
    name: str, array: Array, cuts: list[int], holders: list[tuple[PeerId, ...]]
) -> DatasetRecord:
    """A dataset cut before these rows, its parts held like that."""
    borders = [0, *cuts, len(array)]
    form = Form(array.dtype.str, array.shape[1:])
    parts = tuple(
        Part(
            f"{name}{index}",
            stop - start,
            array[start:stop].nbytes,
            f"{name}.npy",
            held,
        )
        for index, (start, stop, held) in enumerate(
            zip(borders, borders[1:], holders, strict=False)
        )
    )
    return DatasetRecord(f"id{name}", name, 1, form, parts)


def world_of(arrays: dict[str, Array], rng: Random) -> World:
    """The datasets in 1 to 6 parts each, on 1 to 8 peers."""
    peers = [PeerId(f"s{number}") for number in range(rng.randint(1, 8))]
    records: dict[Dataset | Tagged, DatasetRecord] = {}
    for name, array in arrays.items():
        cuts = sorted(rng.randint(0, len(array)) for _ in range(rng.randint(0, 5)))
        holders = [
            tuple(rng.sample(peers, rng.randint(1, min(3, len(peers)))))
            for _ in range(len(cuts) + 1)
        ]
        records[Dataset(name)] = record_of(name, array, cuts, holders)
    return World(arrays, records, {peer: rng.randint(0, 3) for peer in peers})


# What NumPy says


class Senseless(Exception):
    """NumPy has no answer, or none that we promise to give."""


class Oracle:
    """Evaluates a tree with NumPy on whole arrays.

    `numbers` are what the reductions of a plan came to: each that NumPy's is close to
    is taken in its place, so that whatever follows must be equal bit for bit.
    """

    def __init__(
        self, arrays: Mapping[str, Array], numbers: list[tuple[str, Number]] | None
    ) -> None:
        self._arrays = arrays
        self._numbers = numbers

    def answer(self, expression: Expression) -> Any:
        """An array, a NumPy scalar, or a Python number of constants alone."""
        match expression:
            case Dataset(name):
                return self._arrays[name]
            case Constant(value):
                return value
            case Call(operation, arguments):
                values = [self.answer(argument) for argument in arguments]
                return self._applied(operation, values)
        raise AssertionError(expression)

    def _applied(self, operation: str, values: list[Any]) -> Any:
        bare = all(type(value) in (int, float, bool) for value in values)
        if bare and operation in _PYTHON:
            return _python(operation, values)
        if LIBRARY[operation].algebra == "reduction":
            return self._reduced(operation, values[0])
        try:
            return _numpy(operation, values)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise Senseless from error

    def _reduced(self, operation: str, values: Any) -> Any:
        if np.ndim(values) == 0 or values.dtype.kind == "c":
            raise Senseless
        if not values.size and operation in ("min", "max"):
            raise Senseless
        exact, margin = _with_margin(operation, values)
        if self._numbers is None:
            return exact
        for name, number in self._numbers:
            if name == operation and _is_close(number, exact, margin):
                return exact.dtype.type(number)
        raise AssertionError(f"{operation} is {exact}, not one of {self._numbers}")


def _with_margin(operation: str, values: Array) -> tuple[Any, float]:
    """NumPy's reduction, and how far another order of summing may be from it."""
    exact = getattr(np, operation)
    kind = exact(np.ones(1, values.dtype)).dtype
    if operation in ("min", "max") or kind.kind in "iu":
        return exact(values), 0.0
    wide = values.astype(np.float64)
    size = float(np.sum(np.abs(wide)))
    if np.isinf(size) and np.isfinite(wide).all():
        raise Senseless  # By way of infinity or not: that depends on the order.
    if operation == "mean":
        size /= values.size or 1
    # Narrow floats are summed as wide ones, and rounded once.
    wanted = exact(wide).astype(kind)
    return wanted, 8 * np.finfo(np.float64).eps * size + float(abs(np.spacing(wanted)))


def _is_close(number: Number, exact: Any, margin: float) -> bool:
    if not np.isfinite(margin) or not np.isfinite(exact):
        return bool(np.array_equal(number, exact, equal_nan=True))
    return bool(abs(exact.item() - number) <= margin)


_PYTHON: dict[str, Callable[..., Any]] = {
    sign: getattr(operator, name)
    for sign, name in {
        "add": "add",
        "subtract": "sub",
        "multiply": "mul",
        "divide": "truediv",
        "floor_divide": "floordiv",
        "remainder": "mod",
        "power": "pow",
        "negative": "neg",
        "positive": "pos",
        "less": "lt",
        "less_equal": "le",
        "greater": "gt",
        "greater_equal": "ge",
        "equal": "eq",
        "not_equal": "ne",
        "bitwise_and": "and_",
        "bitwise_or": "or_",
        "bitwise_xor": "xor",
    }.items()
}
_PYTHON["invert"] = lambda x: not x if isinstance(x, bool) else ~x


def _python(operation: str, values: list[Any]) -> Any:
    try:
        value = _PYTHON[operation](*values)
    except (TypeError, ArithmeticError) as error:
        raise Senseless from error
    if isinstance(value, complex):
        raise Senseless
    return value


def _numpy(operation: str, values: list[Any]) -> Any:
    match operation:
        case "real2bin":
            bins = [_bin(value) for value in values]
            return sum(bins[1:], start=bins[0])
        case "total" if len(values) > 1:
            result = values[0]
            for value in values[1:]:
                result = np.add(result, value)
            return result
        case "total":
            return np.positive(values[0])
        case "real" | "imag":
            return getattr(np, operation)(np.asarray(values[0]))
        case _ if operation in TYPES:
            return _cast(np.dtype(operation), values[0])
    return getattr(np, operation)(*values)


def _cast(kind: np.dtype[Any], value: Any) -> Any:
    """NumPy's; of floats that no whole number is near, what we say ourselves."""
    array = np.asarray(value)
    if array.dtype.kind == "c" and kind.kind not in "bc":
        raise TypeError
    if array.dtype.kind != "f" or kind.kind not in "iu":
        return kind.type(value)
    info = np.iinfo(kind)
    near = [
        0 if np.isnan(each) else int(min(max(each, float(info.min)), float(info.max)))
        for each in array.astype(np.float64).flat
    ]
    inside = [min(each, info.max) for each in near]
    return np.array(inside, kind).reshape(array.shape)[()]


def _bin(value: Any) -> Any:
    if np.asarray(value).dtype.kind == "c":
        raise TypeError
    finite = np.where(np.isfinite(value), value, np.asarray(value).dtype.type(0))
    return (np.floor(finite) % 2).astype(np.uint8)


# A dumb executor


class Executor:
    """Walks a plan in memory, each step at its first executor, counting what moves."""

    def __init__(self, plan: Plan, world: World) -> None:
        self.plan = plan
        self.made: dict[int, Array] = {}
        self.partials: dict[int, bytes] = {}
        self.numbers: dict[int, Number] = {}
        self.moved: dict[tuple[object, ...], int] = {}
        self._parts = world.parts

    def result(self) -> Any:
        """The number, or all rows."""
        waiting = {reduction.number: reduction for reduction in self.plan.reductions}
        for step in self.plan.steps:
            for given in step.given:
                if isinstance(given, Value) and given.reduction in waiting:
                    self._reduce(waiting.pop(given.reduction))
            self._carry_out(step)
        for reduction in waiting.values():
            self._reduce(reduction)
        if self.plan.result is not None:
            numbers = [self.numbers[number] for number in sorted(self.numbers)]
            return number_of(self.plan.result, numbers)
        form = self.plan.form
        empty = np.empty((0, *form.trailing), form.kind)
        return np.concatenate(
            [empty, *(self.made[piece] for piece in self.plan.pieces)]
        )

    def _carry_out(self, step: Step) -> None:
        given = [self._given(each, step) for each in step.given]
        form = step.form
        if step.reduction is None:
            chunks = list(rows_of(step.expression, given, form, step.rows))
            assert all(chunk.dtype == np.dtype(form.kind) for chunk in chunks)
            self.made[step.number] = np.concatenate(chunks)
            assert len(self.made[step.number]) == step.rows
            return
        operation = self.plan.reductions[step.reduction].operation
        partial = partial_of(step.expression, given, form, step.rows, operation)
        self.partials[step.number] = partial
        if step.executors[0] != self.plan.collector:
            self.moved["partial", step.number] = len(partial)

    def _given(self, given: object, step: Step) -> Reader | Number:
        peer = step.executors[0]
        match given:
            case Rows(part, start, stop):
                held, rows = self._parts[part]
                assert all(executor in held.holders for executor in step.executors)
                return _reader(rows[start:stop])
            case Product(number, start, stop):
                rows = self.made[number][start:stop]
                if self.plan.steps[number].executors[0] != peer:
                    self.moved[number, peer] = rows.nbytes
                return _reader(rows)
            case Value(number):
                if peer != self.plan.collector:
                    self.moved["value", number, peer] = VALUE_BYTES
                return self.numbers[number]
        raise AssertionError(given)

    def _reduce(self, reduction: Reduction) -> None:
        partials = [self.partials[number] for number in reduction.steps]
        combined = combine(reduction.operation, partials)
        number = finish(reduction.operation, combined, reduction.form)
        self.numbers[reduction.number] = number


def _reader(rows: Array) -> Reader:
    return lambda start, stop: rows[start:stop]


# Random ones

KINDS = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">f8")
CHOICES = [
    name
    for name, known in LIBRARY.items()
    if known.algebra == "elementwise" and "complex" not in name
]
REDUCTIONS = ("sum", "mean", "min", "max")


def random_array(rng: Random, shape: tuple[int, ...]) -> Array:
    """Elements of any type, some of them special."""
    kind = np.dtype(rng.choice(KINDS))
    dice = np.random.default_rng(rng.getrandbits(32))
    if kind.kind == "f":
        array = dice.normal(0, 10, shape).astype(kind)
        if rng.random() < 0.2 and array.size:
            array.flat[0] = rng.choice([np.nan, np.inf, -np.inf, -0.0])
        return array
    return dice.integers(0, 2 if kind.kind == "b" else 100, shape).astype(kind)


def random_expression(rng: Random, names: list[str], depth: int) -> Expression:
    """A tree of at most so many levels, of which many make no sense."""
    if depth == 0 or rng.random() < 0.1:
        if rng.random() < 0.2:
            return Constant(rng.choice([0, 1, 2, 3, -1, 0.5, -2.5, True]))
        return Dataset(rng.choice(names))
    if rng.random() < 0.15:
        inner = random_expression(rng, names, depth - 1)
        return Call(rng.choice(REDUCTIONS), (inner,))
    if rng.random() < 0.2:
        count = rng.randint(1, 3)
        return Call("real2bin", _arguments(rng, names, depth, count))
    operation = rng.choice(CHOICES)
    count = 3 if operation == "total" else LIBRARY[operation].most
    return Call(operation, _arguments(rng, names, depth, count))


def _arguments(
    rng: Random, names: list[str], depth: int, count: int
) -> tuple[Expression, ...]:
    return tuple(random_expression(rng, names, depth - 1) for _ in range(count))
