"""The library: what it means, whatever the types and the pieces."""

import math
import warnings
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadExpression, MalformedMessage
from shoal.flow.arithmetic.kernel import (
    CHUNK_ELEMENTS,
    collected,
    number_of,
    partial_of,
    remarks,
    rows_of,
)
from shoal.flow.arithmetic.operations import LIBRARY, TYPES, real2bin
from shoal.flow.arithmetic.reductions import PARTIAL_BYTES, combine, finish, partial
from shoal.flow.language.expressions import Call, Input, Number
from shoal.flow.language.grammar import parse
from shoal.flow.messages import Form

REAL = [name for name in TYPES if not name.startswith("complex")]


# real2bin


@pytest.mark.parametrize("name", REAL)
def test_real2bin_is_floor_modulo_two(name: str) -> None:
    values = np.arange(0 if name[0] in "bu" else -50, 100).astype(name)
    if name.startswith("float"):
        values = values / values.dtype.type(4)
    result = real2bin(values)
    assert result.dtype == np.uint8
    assert result.tolist() == [math.floor(value) % 2 for value in values.tolist()]


@pytest.mark.parametrize("number", [2.0**53 + 2, -(2.0**60), 1e300, 5e-324, -5e-324])
def test_real2bin_of_large_and_small_floats(number: float) -> None:
    assert real2bin(np.array([number])).tolist() == [math.floor(number) % 2]


def test_real2bin_takes_what_is_no_number_for_nothing_and_warns() -> None:
    with pytest.warns(RuntimeWarning, match="NaN or infinity"):
        result = real2bin(np.array([np.nan, np.inf, -np.inf, 3.5]))
    assert result.tolist() == [0, 0, 0, 1]


def test_real2bin_of_many_has_room_for_them() -> None:
    one = np.array([1])
    assert real2bin(one, one).tolist() == [2]
    assert real2bin(*[one] * 255).dtype == np.uint8
    assert real2bin(*[one] * 256).dtype == np.uint16
    assert real2bin(*[one] * 256).tolist() == [256]


def test_complex_numbers_have_no_floor() -> None:
    with pytest.raises(TypeError, match="floor"):
        real2bin(np.array([1j]))


# The library


def test_every_operation_is_described_and_has_a_version() -> None:
    versions = [known.version for known in LIBRARY.values()]
    assert len(set(versions)) == len(LIBRARY)
    assert all(known.help and known.takes for known in LIBRARY.values())
    assert all(known.name == name for name, known in LIBRARY.items())


@pytest.mark.parametrize("name", [name for name in TYPES if "int" in name])
def test_a_whole_number_that_is_none_has_a_rule(name: str) -> None:
    info = np.iinfo(name)
    floats = np.array([np.nan, np.inf, -np.inf, 1e300, -1e300, 7.9])
    with pytest.warns(RuntimeWarning, match="out of range"):
        result = LIBRARY[name].function(floats)
    assert result.tolist() == [0, info.max, info.min, info.max, info.min, 7]


# Reductions


def reduced(operation: str, pieces: list[Any]) -> Number:
    form = Form(getattr(np, operation)(np.ones(1, pieces[0].dtype)).dtype.str)
    partials = [partial(operation, piece) for piece in pieces]
    return finish(operation, combine(operation, partials), form)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["int64", "uint64", "int8", "bool"]),
    st.lists(st.integers(0, 1000), min_size=1, max_size=50),
    st.lists(st.integers(0, 50), max_size=4),
)
def test_whole_numbers_reduce_exactly(
    name: str, values: list[int], cuts: list[int]
) -> None:
    array = (np.array(values) * (2**62 if name == "int64" else 1)).astype(name)
    pieces = np.split(array, sorted(min(cut, len(array)) for cut in cuts))
    for operation in ("sum", "min", "max"):
        assert reduced(operation, pieces) == getattr(np, operation)(array)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200),
    st.lists(st.integers(0, 200), max_size=5),
)
def test_sums_of_floats_are_as_good_as_they_can_be(
    values: list[float], cuts: list[int]
) -> None:
    array = np.array(values)
    pieces = np.split(array, sorted(min(cut, len(array)) for cut in cuts))
    margin = 1e-15 * len(values) * math.fsum(map(abs, values))
    assert abs(reduced("sum", pieces) - math.fsum(values)) <= margin
    assert reduced("min", pieces) == array.min()
    assert reduced("max", pieces) == array.max()


def test_narrow_floats_are_summed_as_wide_ones() -> None:
    array = np.full(10**6, 0.1, np.float32)
    assert reduced("mean", [array]) == float(np.float32(0.1))


@pytest.mark.parametrize("operation", ["sum", "mean", "min", "max"])
def test_nan_stays_nan(operation: str) -> None:
    pieces = [np.array([1.0]), np.array([np.nan]), np.array([np.inf, -np.inf])]
    with np.errstate(invalid="ignore"):
        assert math.isnan(reduced(operation, pieces))


def test_nothing_has_a_sum_and_a_mean_that_is_nan_and_no_least() -> None:
    assert finish("sum", combine("sum", []), Form("<i8")) == 0
    with pytest.warns(RuntimeWarning, match="no elements"):
        assert math.isnan(float(finish("mean", combine("mean", []), Form("<f8"))))
    with pytest.raises(BadExpression, match="no elements"):
        finish("min", combine("min", []), Form("<f8"))
    nothing = np.empty(0)
    assert reduced("max", [nothing, np.array([-5.0]), nothing]) == -5.0


@given(st.binary(max_size=40))
def test_junk_is_no_partial(data: bytes) -> None:
    with suppress(MalformedMessage):
        assert len(combine("sum", [data, data])) == PARTIAL_BYTES


# The kernel


def test_a_step_is_done_in_bounded_chunks() -> None:
    asked: list[int] = []

    def reader(start: int, stop: int) -> Any:
        asked.append(stop - start)
        return np.arange(start, stop)

    rows = 3 * CHUNK_ELEMENTS + 5
    expression = Call("add", (Input(0), Input(0)))
    chunks = list(rows_of(expression, [reader], Form("<i8"), rows))
    assert np.array_equal(np.concatenate(chunks), 2 * np.arange(rows))
    assert asked == [CHUNK_ELEMENTS] * 3 + [5]


def test_a_partial_is_the_same_however_often() -> None:
    values = np.random.default_rng(1).normal(size=2 * CHUNK_ELEMENTS + 77)

    def reader(start: int, stop: int) -> Any:
        return values[start:stop]

    first, second = (
        partial_of(Input(0), [reader], Form("<f8"), len(values), "sum")
        for _ in range(2)
    )
    assert first == second
    total = float(finish("sum", first, Form("<f8")))
    assert total == pytest.approx(math.fsum(values), rel=1e-13)


def test_warnings_are_counted_and_not_printed() -> None:
    told: dict[str, int] = {}
    rows = 2 * CHUNK_ELEMENTS
    expression = Call("log", (Input(0),))
    with warnings.catch_warnings(), collected(told):
        for _ in rows_of(expression, [lambda a, b: np.zeros(b - a)], Form("<f8"), rows):
            pass
    assert remarks(told) == ("divide by zero encountered in log (2 times)",)


def test_what_only_the_values_forbid_is_a_typed_error() -> None:
    expression = Call("power", (Input(0), Input(1)))
    given = [lambda a, b: np.ones(b - a, int), lambda a, b: -np.ones(b - a, int)]
    with pytest.raises(BadExpression, match="negative integer powers"):
        list(rows_of(expression, given, Form("<i8"), 3))
    with pytest.raises(BadExpression, match="no place"):
        number_of(parse("a"), [])
    with pytest.raises(BadExpression, match="no place"):
        number_of(Input(3), [1])
