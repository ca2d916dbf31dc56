"""Numbers as Redis reads and writes them."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.table.redis import extended
from shoal.table.redis.integers import GREATEST, LEAST, integer
from shoal.table.redis.replies import CommandError


@given(st.integers(LEAST, GREATEST))
def test_every_integer_is_read(number: int) -> None:
    assert integer(b"%d" % number) == number


@given(st.text("0123456789+- .ex_", max_size=22))
def test_an_integer_is_written_in_one_way(text: str) -> None:
    try:
        number = int(text)
        wanted = number if str(number) == text else None
    except ValueError:
        wanted = None
    if wanted is not None and LEAST <= wanted <= GREATEST:
        assert integer(text.encode()) == wanted
    else:
        with pytest.raises(CommandError):
            integer(text.encode())


@pytest.mark.parametrize(
    ("one", "other", "total"),
    [
        (b"3.0e3", b"200", b"3200"),
        (b"0.1", b"0.2", b"0.3"),
        (b"10.50", b"0.1", b"10.6"),
        (b"1", b"1e-20", b"1"),
        (b"-0.1", b"0.1", b"0"),
        (b"0", b"-1e-30", b"0"),
        (b"100000000000000000000", b"1", b"100000000000000000000"),
        (b"9007199254740993", b"0.5", b"9007199254740993.5"),
        (b"0x1p3", b".5", b"8.5"),
        (b"1e18", b"0.3", b"1000000000000000000.3125"),
    ],
)
def test_sums_have_64_bits(one: bytes, other: bytes, total: bytes) -> None:
    assert (
        extended.write(extended.add(extended.parse(one), extended.parse(other)))
        == total
    )


WRONG = b"abc,,1e,1e+,.,0x,1_0,1 , 1,nan,1e5000,-1e4933,1e-4952,++1,--1,1e5.5,0xg"


@pytest.mark.parametrize("word", [*WRONG.split(b","), b"1\0", b"9" * 5120, b"inf1"])
def test_what_is_no_number(word: bytes) -> None:
    with pytest.raises(ValueError, match=r"no|out|too"):
        extended.parse(word)


@pytest.mark.parametrize("word", [b"inf", b"-Infinity", b"+INF"])
def test_what_is_infinite(word: bytes) -> None:
    assert extended.parse(word) is None
    with pytest.raises(extended.Infinite):
        extended.add(None, extended.parse(b"1"))


def test_what_becomes_too_large() -> None:
    largest = extended.parse(b"1.1e4932")
    with pytest.raises(extended.Infinite):
        extended.add(largest, largest)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_is_exact(number: float) -> None:
    # All its digits: the few of its name are rounded twice on their way to a double.
    parsed = extended.parse(str(Decimal(number)).encode())
    assert parsed is not None
    assert parsed == Fraction(number)
    assert float(parsed) == number


def test_thousands_of_digits_are_read_and_written() -> None:
    word = b"1" + b"0" * 4900
    number = extended.parse(word)
    assert number is not None
    assert len(extended.write(number)) == len(word)


@pytest.mark.parametrize(
    "word", [b"1e40000", b"1e-40000", b"9" * 5000 + b"e5000", b"0x1p20000"]
)
def test_what_is_far_out_is_none_and_takes_no_time(word: bytes) -> None:
    with pytest.raises(ValueError, match="out of range"):
        extended.parse(word)
