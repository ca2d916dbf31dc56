"""The functions of the language, but for those that read files, fetch, or loop."""

import math
import posixpath
from collections.abc import Callable, Sequence
from typing import Any

import re2

from shoal.core.filters.expressions import Value
from shoal.core.filters.values import Charge, bounded, kind
from shoal.errors import NoValue

# A list that a filter makes is of no more. A guess: nobody has more processors.
MAX_RANGE = 10_000

# What one pattern's automaton may take; the rest of its time is linear. The worst
# that fits is read in 0.16 ms; with 32 KiB in 1.5.
PATTERN_BYTES = 16 << 10

# Reading a pattern is worth so many letters: 25 of them a record. And a letter beneath
# a pattern may cost a microsecond, ten times another's.
PATTERN_WORK, LETTER_WORK = 4000, 4

_FORMATS: dict[str, tuple[type, str]] = {
    **dict.fromkeys("di", (int, "%d")),
    **{letter: (float, f"%{letter}") for letter in "eEfFgG"},
    "s": (str, "%s"),
}

Function = Callable[[Sequence[Value], Charge], Value]


def _take(given: Sequence[Value], *types: type, least: int | None = None) -> list[Any]:
    """So many arguments of these types, or `NoValue`."""
    least = len(types) if least is None else least
    if not least <= len(given) <= len(types):
        raise NoValue(f"{len(given)} arguments, not {len(types)}")
    for value, wanted in zip(given, types, strict=False):
        if type(value) is not wanted:
            raise NoValue(f"an argument is {kind(value)}")
    return list(given)


def _len(given: Sequence[Value], _: Charge) -> Value:
    if not given or not isinstance(given[0], list):
        raise NoValue("len takes an array")
    return len(given[0])


def _like(given: Sequence[Value], charge: Charge) -> Value:
    """Is the pattern found in the text? Programs write the two in either order."""
    one, other = _take(given, str, str)
    charge(LETTER_WORK * (len(one) + len(other)) + PATTERN_WORK)
    found = [_found(one, other), _found(other, one)]
    if found == [None, None]:
        raise NoValue("like: no pattern that can be read")
    return True in found


def _found(text: str, pattern: str) -> bool | None:
    options = re2.Options()
    options.log_errors, options.max_mem = False, PATTERN_BYTES
    try:
        return re2.search(pattern, text, options) is not None
    except (re2.error, UnicodeError):
        return None


def _range(given: Sequence[Value], charge: Charge) -> Value:
    ends = _take(given, int, int, int, least=1)
    start, stop = (0, ends[0]) if len(ends) == 1 else ends[:2]
    step = ends[2] if len(ends) == 3 else 1
    if step == 0:
        raise NoValue("range: a step of nothing")
    found = range(start, stop, step)
    if len(found) > MAX_RANGE:
        raise NoValue(f"range: more than {MAX_RANGE:,}")
    charge(len(found))
    return list(found)


def _join(given: Sequence[Value], charge: Charge) -> Value:
    parts, *between = _take(given, list, str, least=1)
    if not all(isinstance(part, str) for part in parts):
        raise NoValue("join takes an array of strings")
    blank = between[0] if between else " "
    length = sum(map(len, parts)) + len(blank) * len(parts)
    charge(length)
    return bounded(blank.join(parts))


def _rounded(way: Callable[[float], int]) -> Function:
    def rounded(given: Sequence[Value], _: Charge) -> Value:
        if len(given) != 1 or type(given[0]) not in (int, float):
            raise NoValue("it takes a number")
        number = given[0]
        if isinstance(number, float) and math.isfinite(number):
            return float(way(number))
        return number

    return rounded


def _basename(given: Sequence[Value], charge: Charge) -> Value:
    path, *suffix = _take(given, str, str, least=1)
    charge(len(path))
    base = posixpath.basename(path.rstrip("/")) or ("/" if path else ".")
    return base.removesuffix(suffix[0]) if suffix else base


def _dirname(given: Sequence[Value], charge: Charge) -> Value:
    [path] = _take(given, str)
    charge(len(path))
    folder = posixpath.dirname(path.rstrip("/")).rstrip("/")
    return folder or ("/" if path.startswith("/") else ".")


def _format(given: Sequence[Value], charge: Charge) -> Value:
    if not given or not isinstance(given[0], str):
        raise NoValue("format takes a string first")
    rest, found = list(given[1:]), list[str]()
    letters = iter(given[0])
    for letter in letters:
        if letter == "%":
            letter = _formatted(next(letters, ""), rest)
        charge(len(letter))
        found.append(letter)
    if rest:
        raise NoValue("format: more values than places")
    return bounded("".join(found))


def _formatted(letter: str, rest: list[Value]) -> str:
    if letter == "%":
        return "%"
    wanted, form = _FORMATS.get(letter, (None, ""))
    if not rest or type(rest[0]) is not wanted:
        raise NoValue(f"format: %{letter} and its value do not match")
    return form % rest.pop(0)


def _keys(given: Sequence[Value], charge: Charge) -> Value:
    [mapping] = _take(given, dict)
    charge(len(mapping))
    return list(mapping)


def _values(given: Sequence[Value], charge: Charge) -> Value:
    [mapping] = _take(given, dict)
    charge(len(mapping))
    return list(mapping.values())


def _items(given: Sequence[Value], charge: Charge) -> Value:
    [mapping] = _take(given, dict)
    charge(len(mapping))
    return [[key, value] for key, value in mapping.items()]


def _schema(given: Sequence[Value], charge: Charge) -> Value:
    """The names that objects have, each with the type it has first."""
    [listed] = _take(given, list)
    found: dict[str, Value] = {}
    for each in listed:
        if isinstance(each, dict):
            charge(len(each))
            for key, value in each.items():
                found.setdefault(key, kind(value))
    return found


FUNCTIONS: dict[str, Function] = {
    "len": _len,
    "like": _like,
    "range": _range,
    "join": _join,
    "ceil": _rounded(math.ceil),
    "floor": _rounded(math.floor),
    "basename": _basename,
    "dirname": _dirname,
    "format": _format,
    "keys": _keys,
    "values": _values,
    "items": _items,
    "schema": _schema,
}
