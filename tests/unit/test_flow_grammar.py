"""Text to expressions and back, and what is said of text that is none."""

import math
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import BadExpression
from shoal.flow.arithmetic.operations import LIBRARY
from shoal.flow.language.expressions import (
    MAX_DEPTH,
    Call,
    Constant,
    Dataset,
    Expression,
    Tagged,
)
from shoal.flow.language.grammar import parse, show
from shoal.flow.language.notation import depth
from shoal.flow.messages import MAX_TEXT

numbers = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.just(math.nan),
)
leaves = st.one_of(
    st.builds(Constant, numbers),
    st.builds(Dataset, st.text(min_size=1, max_size=20)),
    st.builds(Dataset, st.sampled_from(["a", "nan", "True", "and", "mean", "j0b"])),
    st.builds(Tagged, st.text(min_size=1, max_size=20)),
)


def calls(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    def of(name: str) -> st.SearchStrategy[Expression]:
        known = LIBRARY[name]
        some = st.lists(inner, min_size=known.least, max_size=min(known.most, 4))
        return st.builds(Call, st.just(name), some.map(tuple))

    return st.sampled_from(sorted(LIBRARY)).flatmap(of)


expressions: st.SearchStrategy[Expression] = st.recursive(leaves, calls, max_leaves=20)


@settings(max_examples=500, deadline=None)
@given(expressions)
def test_what_is_shown_is_read_as_the_same(expression: Expression) -> None:
    again = parse(show(expression))
    assert show(again) == show(expression)
    # Two NaN are not equal, and their texts are.
    assert again == expression or "nan" in show(expression)


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=200) | st.text("ab1.()+-*/<=&|~%^,\"' \\", max_size=200))
def test_junk_is_read_or_refused(text: str) -> None:
    with suppress(BadExpression):
        assert depth(parse(text)) <= MAX_DEPTH


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("a+b*2**-c", "a + (b * (2 ** (-c)))"),
        ("-a**2", "-(a ** 2)"),
        ("-2**2", "-(2 ** 2)"),
        ("a-b-c", "(a - b) - c"),
        ("a**b**c", "a ** (b ** c)"),
        ("a % b // c", "(a % b) // c"),
        ("a | b ^ c & d", "a | (b ^ (c & d))"),
        ("a & b < c + d", "(a & b) < (c + d)"),
        ("~a & -b", "(~a) & (-b)"),
        ("mod(a, b) + absolute(c)", "remainder(a, b) + abs(c)"),
        ("1_000.5e3 + .5 + 1.", "1000500.0 + 0.5 + 1.0"),
    ],
)
def test_operators_bind_as_in_python(text: str, meant: str) -> None:
    assert parse(text) == parse(meant)


def test_leaves_are_told_apart() -> None:
    text = 'total(a, ds("exp-1/2"), tag(\'x"y\'), nan, -inf, True, -1, mean)'
    assert parse(text) == Call(
        "total",
        (
            Dataset("a"),
            Dataset("exp-1/2"),
            Tagged('x"y'),
            parse("nan"),
            Constant(-math.inf),
            Constant(True),
            Constant(-1),
            Dataset("mean"),
        ),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "met the end: expected a dataset"),
        ("a +", "met the end"),
        ("(a", "expected `)`"),
        ("mean(a", "expected `,` or `)`"),
        ("a b", "met `b`: expected an operator"),
        ("1.5.2", "met `.2`"),
        ("a < b < c", "(a < b) & (b < c)"),
        ("a > 1 & b > 2", "(a > 1) & (b > 2)"),
        ("maen(a)", "did you mean `mean`"),
        ("std(a)", "sqrt(mean((x - mean(x)) ** 2))"),
        ("count(a)", "tells the rows"),
        ("nothing_like_it(a)", "`shoal operations`"),
        ("min(a, b)", "minimum(x, y)"),
        ("sqrt()", "takes 1 argument, not 0"),
        ("real2bin()", "takes 1 or more arguments"),
        ("a and b", "write `&`"),
        ("not a", "write `~`"),
        ("np.mean(a)", 'ds("a.b")'),
        ("a = b", "`==`"),
        ("a[0]", "whole datasets"),
        ('ds("abc', "not closed"),
        ("ds(abc)", "in quotes"),
        ('tag("")', "1 to 100 characters"),
        ("18446744073709551616", "64 bits"),
        ("-9223372036854775809", "64 bits"),
        ("9" * 5000, "64 bits"),
    ],
)
def test_errors_say_what_was_met_and_meant(text: str, said: str) -> None:
    with pytest.raises(BadExpression) as caught:
        parse(text)
    assert said in str(caught.value)


def test_the_caret_stands_below_what_is_wrong() -> None:
    with pytest.raises(BadExpression) as caught:
        parse("temps +\n maen(b)")
    _, line, caret = str(caught.value).splitlines()
    assert line[caret.index("^") :].startswith("maen")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000,
        "-" * 5000 + "a",
        "abs(" * 2000,
        "+".join("a" * 5000),
        "2**" * 3000 + "a",
        "a-(" * 3000,
        "~(-" * 3000,
    ],
)
def test_what_is_too_deep_is_refused(text: str) -> None:
    with pytest.raises(BadExpression, match="deeper than 64 levels"):
        parse(text)


def test_all_that_is_deep_enough_is_read() -> None:
    for opening in ("-(", "abs(", "a - (", "2 ** (", "abs(a - "):
        levels = (MAX_DEPTH - 1) // (2 if opening == "abs(a - " else 1)
        text = opening * levels + "b" + ")" * levels
        assert parse(show(parse(text))) == parse(text)


def test_a_text_has_a_limit() -> None:
    with pytest.raises(BadExpression, match="10,001 characters"):
        parse(" " * (MAX_TEXT + 1))
