"""Numbers with 64 bits of mantissa: what C calls `long double` on x86, and what
INCRBYFLOAT adds with. Python has none, so they are exact fractions, rounded after each
step as the hardware rounds.
"""

import re
from fractions import Fraction
from math import log2

MANTISSA_BITS = 64
LEAST_EXPONENT = -16445  # Of the smallest number there is.
GREATEST_EXPONENT = 16384  # Of the first power of two that is too large.

# Longer words are no numbers, whatever is in them.
MAX_WORD_BYTES = 5 * 1024

# Exponents beyond this are out of range, whatever the digits are: of sixteen, each is
# worth four.
_FAR = 8 * MAX_WORD_BYTES

_DECIMALS = 17

_DECIMAL = re.compile(rb"([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?\Z")
_HEX = re.compile(
    rb"([+-]?)0[xX]([0-9a-fA-F]*)(?:\.([0-9a-fA-F]*))?(?:[pP]([+-]?\d+))?\Z"
)
_INFINITE = re.compile(rb"[+-]?inf(?:inity)?\Z", re.IGNORECASE)


class Infinite(Exception):
    """It is too large to be a number."""


def parse(word: bytes) -> Fraction | None:
    """The number a word says, nothing if it says infinite; ValueError if it is none."""
    if len(word) >= MAX_WORD_BYTES:
        raise ValueError("too long")
    if _INFINITE.match(word):
        return None
    if found := _HEX.match(word):
        exact = _exact(found, digits_base=16, digit_scale=16, scale=2)
    elif found := _DECIMAL.match(word):
        exact = _exact(found, digits_base=10, digit_scale=10, scale=10)
    else:
        raise ValueError("not a number")
    try:
        number = rounded(exact)
    except Infinite:
        raise ValueError("out of range") from None
    if exact and not number:
        raise ValueError("too small")
    return number


def add(one: Fraction | None, other: Fraction | None) -> Fraction:
    """Their sum; `Infinite` if it is too large, or none."""
    if one is None or other is None:
        raise Infinite
    return rounded(one + other)


def write(number: Fraction) -> bytes:
    """As people write it: at most seventeen decimals, no zeros at the end."""
    scaled = round(abs(number) * 10**_DECIMALS)
    whole, part = divmod(scaled, 10**_DECIMALS)
    sign = "-" if number < 0 and scaled else ""
    decimals = f"{part:0{_DECIMALS}}".rstrip("0")
    return f"{sign}{_digits(whole)}{'.' if decimals else ''}{decimals}".encode()


def rounded(exact: Fraction) -> Fraction:
    """The nearest number there is; of two, the even one."""
    if not exact:
        return exact
    size = abs(exact)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < _power(2, exponent):
        exponent -= 1
    unit = _power(2, max(exponent - MANTISSA_BITS + 1, LEAST_EXPONENT))
    number = round(exact / unit) * unit
    if abs(number) >= _power(2, GREATEST_EXPONENT):
        raise Infinite
    return number


def _exact(
    found: re.Match[bytes], *, digits_base: int, digit_scale: int, scale: int
) -> Fraction:
    sign, whole, part, exponent = (each or b"" for each in found.groups())
    if not whole and not part:
        raise ValueError("no digits")
    digits = _number(whole + part, digits_base)
    if not digits:
        return Fraction(0)
    shown = int(exponent[:12] or b"0")
    if abs(shown) > _FAR or not _near(digits, digit_scale, shown, scale, len(part)):
        raise ValueError("out of range")
    number = digits * _power(scale, shown) * _power(digit_scale, -len(part))
    return -number if sign == b"-" else number


def _near(digits: int, digit_scale: int, shown: int, scale: int, part: int) -> bool:
    """May it be a number there is? Powers of what is far out take long."""
    digit_bits, scale_bits = log2(digit_scale), log2(scale)
    exponent = digits.bit_length() + shown * scale_bits - part * digit_bits
    return LEAST_EXPONENT - 99 < exponent < GREATEST_EXPONENT + 99


def _number(digits: bytes, base: int) -> int:
    """Python refuses to read thousands of decimal digits at once."""
    value = 0
    for at in range(0, len(digits), 1000):
        piece = digits[at : at + 1000]
        value = value * base ** len(piece) + int(piece, base)
    return value


def _digits(number: int) -> str:
    """And to write them."""
    pieces = []
    while number >= 10**1000:
        number, piece = divmod(number, 10**1000)
        pieces.append(f"{piece:01000}")
    return "".join([str(number), *reversed(pieces)])


def _power(base: int, exponent: int) -> Fraction:
    if exponent < 0:
        return Fraction(1, base**-exponent)
    return Fraction(base**exponent)
