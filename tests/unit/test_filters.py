"""The filter language: exactly CCTools', bounded, and strict where people write it."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.filters.expressions import MAX_DEPTH, Junction
from shoal.core.filters.grammar import parse
from shoal.core.filters.lexer import MAX_STRING, MAX_TEXT
from shoal.core.filters.meaning import Filter
from shoal.errors import BadExpression, NoValue
from tests.unit.filters import ALL, INVALID, NOTHING, RECORD


@pytest.mark.parametrize(("text", "wanted"), ALL)
def test_a_filter_comes_to(text: str, wanted: Any) -> None:
    read = Filter(text)
    if wanted is NOTHING:
        with pytest.raises(NoValue):
            read.value(RECORD)
    else:
        found = read.value(RECORD)
        assert (found, type(found)) == (wanted, type(wanted))
    assert read.means(RECORD) is (wanted is True)


@pytest.mark.parametrize("text", INVALID)
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(BadExpression):
        Filter(text)


def test_there_are_enough_of_them() -> None:
    assert len(ALL) >= 150
    assert len({text for text, _ in ALL}) == len(ALL)


PIECES = [
    *("cpus", "type", "tags", "deep", "nosuch", "len", "like", "range", "error", "for"),
    *("1", "0", "-1", "2.5", "1e999", '"a"', '"["', "true", "null", '"\\u0041"'),
    *("and", "or", "not", "==", "!=", "<", "+", "-", "*", "/", "%", ".", ",", ":"),
    *("(", ")", "[", "]", "{", "}", ";", "#", "\n", '"', "\\", "@", "é"),
]
junk = st.text(max_size=100) | st.lists(st.sampled_from(PIECES), max_size=40).map(
    " ".join
)


@settings(max_examples=1500, deadline=None)
@given(junk, st.booleans())
def test_junk_is_refused_or_has_a_value_or_none(text: str, strict: bool) -> None:
    with suppress(BadExpression, NoValue):
        Filter(text, strict=strict).value(RECORD)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=10,
)


@settings(max_examples=1000, deadline=None)
@given(
    st.sampled_from(["a+b", "a==b", "a<b", "a[b]", "-a", "a and b", "not a", "a/b"])
    | st.sampled_from(["a%b", "like(a,b)", "range(a)", "join(a,b)", "format(a,b)"])
    | st.sampled_from(["a[b:]", "keys(a)", "ceil(a)", "basename(a,b)", "schema(a)"]),
    json_values,
    json_values,
)
def test_whatever_records_hold(text: str, one: Any, other: Any) -> None:
    with suppress(NoValue):
        Filter(text).value({"a": one, "b": other})


@pytest.mark.parametrize(
    "text", ["(" * 100_000, "[" * 9_000, "-" * 9_000, "a.f(" * 3000]
)
def test_depth_and_length_are_bounded(text: str) -> None:
    with pytest.raises(BadExpression):
        Filter(text)


@pytest.mark.parametrize(
    "wrap",
    [("(", ")"), ("[", "]"), ("not ", ""), ("1+", ""), ("len(", ")"), ("x[", "]")],
)
def test_the_deepest_is_read_and_evaluated(wrap: tuple[str, str]) -> None:
    deepest = 0
    for depth in range(1, MAX_DEPTH + 1):
        text = wrap[0] * depth + "cpus" + wrap[1] * depth
        with suppress(BadExpression):
            parse(text)
            deepest = depth
            with suppress(NoValue):
                Filter(text).value(RECORD)
    assert MAX_DEPTH // 2 <= deepest < MAX_DEPTH


def test_chains_of_or_nest_to_no_depth() -> None:
    names = [f'factory_name=="{n}"' for n in range(500)]
    text = f'type=="wq_manager" && ({" || ".join(names)})'
    assert len(text) < MAX_TEXT
    assert not Filter(text).means({**RECORD, "factory_name": "x"})
    assert Filter(text).means({**RECORD, "factory_name": "499"})
    assert isinstance(parse(text), Junction)


def test_work_is_bounded() -> None:
    large: dict[str, Any] = {"a": "x" * 60_000, "l": [[0] * 1000] * 1000}
    for text in ('a+a=="x"', "l==l", "l+l==l+l", " or ".join(['like(a,"y")'] * 300)):
        with pytest.raises(NoValue):
            Filter(text).value(large)
    assert Filter('a+"y" != a').means(large)
    with pytest.raises(BadExpression, match="words"):
        Filter("[" + "1," * 3000 + "]")
    assert len("x" * 60_000) * 2 > MAX_STRING


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ('type=="a"', ["a"]),
        ('"a"==type', ["a"]),
        ('true and ((type=="a") or (type=="b"))', ["a", "b"]),
        ('type=="a" and type=="b"', []),
        ('cpus>4 and type=="a"', ["a"]),
        ('type=="a" or cpus>4', None),
        ('not type=="a"', None),
        ("true", None),
        ('type!="a"', None),
    ],
)
def test_the_types_that_can_be_meant(text: str, types: list[str] | None) -> None:
    found = Filter(text).types
    assert (None if found is None else sorted(found)) == types


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ('owner=="a"', [("owner", "a")]),
        ('"a"==owner and cpus>4 and (b=="c" and true)', [("b", "c"), ("owner", "a")]),
        ('owner=="a" or b=="c"', []),
        ('not owner=="a"', []),
        ('owner==1 and b!="c" and d[0]=="e"', []),
    ],
)
def test_the_strings_that_a_record_must_have(text: str, strings: list[Any]) -> None:
    assert sorted(Filter(text).strings) == strings


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("a or b and c", ["(a or b) and c", "a or (b and c)"]),
        ("a==1 && b<2 || c", ["a==1 && (b<2 || c)", "(a==1 && b<2) || c"]),
        ("10-4-3", ["10 - (4 - 3)", "(10 - 4) - 3"]),
        ("8/4*2 == 4", ["8 / (4 * 2)", "(8 / 4) * 2"]),
        ("1-2*3-4", ["1 - (2*3 - 4)", "(1 - 2*3) - 4"]),
        ("x[8%4%2]", ["8 % (4 % 2)", "(8 % 4) % 2"]),
    ],
)
def test_strictly_both_readings_are_shown(text: str, readings: list[str]) -> None:
    parse(text)
    with pytest.raises(BadExpression) as refused:
        parse(text, strict=True)
    said = str(refused.value).replace("&&", "and").replace("||", "or")
    for reading in readings:
        reading = reading.replace("&&", "and").replace("||", "or")
        assert reading in said
        parse(reading, strict=True)


@pytest.mark.parametrize(
    "text", ["a or (b and c)", "1+2+3", "a and b and c", "2*3*4", "1-2", "a-(b-c)"]
)
def test_strictly_what_is_clear_is_read_the_same(text: str) -> None:
    assert parse(text, strict=True) == parse(text)
    with pytest.raises(BadExpression):
        parse(text + " x", strict=True)


@pytest.mark.parametrize("text", ["len(", "len(name,", "[1,", "[", "{", '{"a":', "[)"])
def test_strictly_what_was_opened_is_closed(text: str) -> None:
    parse(text)
    with pytest.raises(BadExpression, match="expected a value or"):
        parse(text, strict=True)
