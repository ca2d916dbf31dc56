"""Forms of results, and errors that say whose forms do not go together."""

import numpy as np
import pytest

from shoal.errors import BadExpression
from shoal.flow.arithmetic.types import Typed, check
from shoal.flow.language.expressions import Call, Dataset, Expression, Input, Tagged
from shoal.flow.language.grammar import parse, show
from shoal.flow.messages import DatasetRecord, Form, Part


def formed(leaf: Dataset | Tagged) -> DatasetRecord:
    """A dataset of the form its name says: `f4_10` or `f4_10_3_2`."""
    kind, rows, *trailing = show(leaf).split("_")
    form = Form(f"<{kind}", tuple(map(int, trailing)))
    part = Part("p", int(rows), 0, "p.npy", ())
    return DatasetRecord(show(leaf).replace("_", ""), show(leaf), 1, form, (part,))


def checked(text: str) -> Typed:
    return check(parse(text), formed)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("f4_10 * 2", "f4"),
        ("f4_10 * (1 / 3)", "f4"),
        ("f4_10 * float64(2)", "f8"),
        ("f4_10 * mean(f8_7)", "f8"),
        ("f4_10 - mean(f4_10)", "f4"),
        ("i2_10 / 2", "f8"),
        ("i2_10 + u2_10", "i4"),
        ("f2_10 + i4_10", "f8"),
        ("u1_10 + 1 < f4_10", "b1"),
        ("c8_10 + f8_10", "c16"),
        ("abs(c8_10)", "f4"),
        ("where(b1_10, f4_10, 1)", "f4"),
        ("real2bin(f8_10, i1_10)", "u1"),
        ("sum(i2_10)", "i8"),
        ("sum(u1_10)", "u8"),
        ("mean(f4_10)", "f4"),
        ("mean(b1_10)", "f8"),
        ("min(f2_10)", "f2"),
        ("2 ** 62", "i8"),
    ],
)
def test_types_are_those_of_numpy(text: str, kind: str) -> None:
    assert np.dtype(checked(text).form.kind) == np.dtype(kind)


def test_shapes_of_rows_broadcast() -> None:
    typed = checked("f4_10_3_1 + f4_10_1_2 * 2")
    assert (typed.rows, typed.form.trailing) == (10, (3, 2))
    assert checked("mean(f4_10_3)").rows is None
    assert checked("f4_0 + 1").rows == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "f8_1000 + i4_999",
            "`f8_1000` has 1,000 rows of float64, `i4_999` has 999 rows of int32: "
            "for `f8_1000 + i4_999` rows must be equal",
        ),
        ("f8_10 * f8_1", "rows must be equal"),
        ("f8_10_3 + f8_10_2", "float64 (3,), `f8_10_2` has 10 rows of float64 (2,)"),
        ("f8_10_3 + f8_10", "shapes must be equal or 1"),
        ("f8_10 & f8_10", "NumPy has no `f8_10 & f8_10` of these"),
        ("-b1_10", "NumPy has no `-b1_10`"),
        ("u1_10 + 300", "300 out of bounds"),
        ("real2bin(c8_10)", "no floor"),
        ("mean(3)", "`3` is a number already"),
        ("mean(sum(f8_10))", "`sum(f8_10)` is a number already"),
        ("sum(c8_10)", "reduce real(…) and imag(…)"),
        ("min(f8_0)", "no elements have no min"),
        ("max(f8_5_0)", "no elements have no max"),
        ("f16_10 + 1", "only these can be computed with"),
        ("i3_10 + 1", "only these can be computed with"),
        ("1 / 0 + f8_10", "division by zero"),
        ("2 ** 64", "64 bits"),
        ("(-8) ** 0.5", "no real number"),
        ("10.0 ** 400", "`10.0 ** 400`: "),
        ("9 ** 9 ** 9 ** 9", "64 bits"),
        ("1 & 2.5", "unsupported operand"),
    ],
)
def test_errors_name_the_operation_and_the_forms(text: str, said: str) -> None:
    with pytest.raises(BadExpression) as caught:
        checked(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "expression",
    [
        Input(0),
        Call("nosuch", ()),
        Call("sqrt", ()),
        Call("add", (Dataset("f8_1"),)),
    ],
)
def test_what_no_text_says_is_refused(expression: Expression) -> None:
    with pytest.raises(BadExpression):
        check(expression, formed)
