"""What a filter comes to for a record, as functions made once and called for each.

A missing name, types that do not go together and a division by zero are `NoValue`, and
a record for which a filter has none is not meant; but `and` and `or` look at no more
than decides. The work is bounded: whatever costs more than a node is charged for.
"""

from collections.abc import Callable, Mapping

from shoal.core.filters import expressions as ex
from shoal.core.filters import values
from shoal.core.filters.expressions import Expression, Value
from shoal.core.filters.functions import FUNCTIONS
from shoal.core.filters.grammar import parse
from shoal.errors import BadExpression, NoValue

# Elements and letters that a filter may look at in one record, beside its own nodes:
# more than a record of a hundred kilobytes has, and a few milliseconds.
MAX_WORK = 100_000

Record = Mapping[str, Value]
_Made = Callable[[Record], Value]


class _Work:
    """What was looked at beside the nodes, in one record."""

    def __init__(self) -> None:
        self.done = 0

    def charge(self, work: int) -> None:
        self.done += work
        if self.done > MAX_WORK:
            raise NoValue("the record is too large for such a filter")


class Filter:
    """Says which records are meant."""

    def __init__(self, text: str, *, strict: bool = False) -> None:
        """Read it, or raise `BadExpression`."""
        expression = parse(text, strict=strict)
        self._work = _Work()  # What is made knows it, and not us: no ring.
        self._evaluate = self._make(expression)
        self.types = types_of(expression)
        self.strings = strings_of(expression)

    def means(self, record: Record) -> bool:
        """Does it come to true? A number, or a string, is not true."""
        try:
            return self.value(record) is True
        except NoValue:
            return False

    def value(self, record: Record) -> Value:
        """What it comes to, or `NoValue`."""
        self._work.done = 0
        return self._evaluate(record)

    def _make(self, node: Expression) -> _Made:
        match node:
            case ex.Constant(value):
                return lambda _: value
            case ex.Name(name):
                return _look_up(name)
            case ex.Junction(sign, operands):
                made = [self._make(operand) for operand in operands]
                return _junction(made, decides=sign == "or")
            case ex.Binary(sign, left, right):
                return self._binary(sign, self._make(left), self._make(right))
            case ex.Unary(sign, operand):
                return _unary(sign, self._make(operand))
            case ex.Lookup(of, at):
                return _lookup(self._make(of), self._make(at))
            case ex.Slice():
                return self._slice(node)
            case ex.Listing(parts):
                listed = [self._make(part) for part in parts]
                return lambda record: [each(record) for each in listed]
            case ex.Mapping(pairs):
                return _mapping([(self._make(k), self._make(v)) for k, v in pairs])
            case ex.Call(function, arguments):
                return self._call(function, [self._make(each) for each in arguments])
            case ex.Failure():
                return _fail

    def _binary(self, sign: str, left: _Made, right: _Made) -> _Made:
        charge = self._work.charge
        if sign == "==":
            return lambda it: values.are_equal(left(it), right(it), charge)
        if sign == "!=":
            return lambda it: not values.are_equal(left(it), right(it), charge)
        if sign in ("<", "<=", ">", ">="):
            return lambda it: values.compare(sign, left(it), right(it))
        return lambda it: values.calculate(sign, left(it), right(it), charge)

    def _slice(self, node: ex.Slice) -> _Made:
        of, nothing, charge = self._make(node.of), _nothing, self._work.charge
        start = self._make(node.start) if node.start else nothing
        end = self._make(node.end) if node.end else nothing

        def sliced(record: Record) -> Value:
            whole, first, last = of(record), start(record), end(record)
            if not isinstance(whole, list):
                raise NoValue(f"{values.kind(whole)}: only arrays have slices")
            if {type(first), type(last)} - {int, type(None)}:
                raise NoValue("a slice is between integers")
            charge(len(whole))
            return _part(whole, first, last)  # type: ignore[arg-type]

        return sliced

    def _call(self, name: str, arguments: list[_Made]) -> _Made:
        function = FUNCTIONS.get(name)
        if function is None:
            return _unknown(name)
        charge = self._work.charge
        return lambda it: function([each(it) for each in arguments], charge)


def constant(text: str) -> Value:
    """What a text without names, operators and functions stands for."""
    if not _is_constant(parse(text)):
        raise BadExpression("it computes, and only what stands as it is may be here")
    return Filter(text).value({})


def _is_constant(node: Expression) -> bool:
    match node:
        case ex.Constant():
            return True
        case ex.Listing(parts):
            return all(map(_is_constant, parts))
        case ex.Mapping(pairs):
            return all(_is_constant(part) for pair in pairs for part in pair)
    return False


def _look_up(name: str) -> _Made:
    def look_up(record: Record) -> Value:
        try:
            return record[name]
        except KeyError:
            raise NoValue(f"{name}: the record has no such name") from None

    return look_up


def _junction(operands: list[_Made], *, decides: bool) -> _Made:
    *first, last = operands

    def junction(record: Record) -> Value:
        for each in first:
            value = each(record)
            if value is decides:
                return decides
            if value is not (not decides):
                raise NoValue("`and` and `or` take what is true or false")
        value = last(record)
        if not isinstance(value, bool):
            raise NoValue("`and` and `or` take what is true or false")
        return value

    return junction


def _unary(sign: str, operand: _Made) -> _Made:
    def unary(record: Record) -> Value:
        value = operand(record)
        match sign, value:
            case "not", bool():
                return not value
            case "+" | "-", bool():
                pass
            case "-", int():
                return values.wrapped(-value)
            case "-", float():
                return -value
            case "+", int() | float() | str():
                return value
        raise NoValue(f"{sign} {values.kind(value)}: there is no such thing")

    return unary


def _lookup(of: _Made, at: _Made) -> _Made:
    def lookup(record: Record) -> Value:
        whole, place = of(record), at(record)
        found: Value
        try:
            if isinstance(whole, dict) and isinstance(place, str):
                found = whole[place]
                return found
            if isinstance(whole, list) and type(place) is int:
                found = whole[place]
                return found
        except LookupError:
            raise NoValue(f"[{place!r:.40}]: it is not there") from None
        raise NoValue(f"{values.kind(whole)}[{values.kind(place)}]: no such lookup")

    return lookup


def _mapping(pairs: list[tuple[_Made, _Made]]) -> _Made:
    def mapping(record: Record) -> Value:
        found: dict[str, Value] = {}
        for key, value in pairs:
            name = key(record)
            if not isinstance(name, str):
                raise NoValue("the keys of an object are strings")
            found.setdefault(name, value(record))
        return found

    return mapping


def _part(whole: list[Value], first: int | None, last: int | None) -> list[Value]:
    """From the one place up to the other; a negative one counts from the end."""
    size = len(whole)
    start = 0 if first is None else first + size * (first < 0)
    end = size if last is None else last + size * (last < 0)
    return [whole[place] for place in range(max(start, 0), min(end, size))]


def _nothing(_: Record) -> Value:
    return None


def _fail(_: Record) -> Value:
    raise NoValue("error(): it has no value")


def _unknown(name: str) -> _Made:
    def unknown(_: Record) -> Value:
        raise NoValue(f"{name}: no such function here")

    return unknown


def types_of(node: Expression) -> frozenset[str] | None:
    """The values of `type` that a meant record may have; nothing if that is unclear."""
    match node:
        case ex.Binary("==", ex.Name("type"), ex.Constant(str(value))):
            return frozenset([value])
        case ex.Binary("==", ex.Constant(str(value)), ex.Name("type")):
            return frozenset([value])
        case ex.Junction("and", operands):
            known = [
                found for each in operands if (found := types_of(each)) is not None
            ]
            return frozenset.intersection(*known) if known else None
        case ex.Junction("or", operands):
            each_one = [types_of(each) for each in operands]
            sure = [found for found in each_one if found is not None]
            return frozenset().union(*sure) if len(sure) == len(each_one) else None
    return None


def strings_of(node: Expression) -> frozenset[tuple[str, str]]:
    """Names, and the strings that a meant record has for them, as far as is clear."""
    match node:
        case ex.Binary("==", ex.Name(name), ex.Constant(str(value))):
            return frozenset([(name, value)])
        case ex.Binary("==", ex.Constant(str(value)), ex.Name(name)):
            return frozenset([(name, value)])
        case ex.Junction("and", operands):
            return frozenset[tuple[str, str]]().union(*map(strings_of, operands))
    return frozenset()
