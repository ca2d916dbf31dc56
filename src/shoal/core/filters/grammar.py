"""Text to a filter, exactly as CCTools reads it; and strictly, for our own commands.

`or` binds tighter than `and`, and every operator is right associative: 10-4-3 is 9.
What other people's programs send must mean what it means there; what a person writes
here is refused where that differs from what everybody expects. Text that ends within
a list or an object gives what was complete, and text after the end is ignored.
"""

from collections.abc import Callable
from typing import TypeVar

from shoal.core.filters.clarity import LEVELS, Grown, check_chain, mixed
from shoal.core.filters.expressions import (
    MAX_DEPTH,
    Binary,
    Call,
    Constant,
    Expression,
    Failure,
    Junction,
    Listing,
    Lookup,
    Mapping,
    Name,
    Slice,
    Unary,
)
from shoal.core.filters.lexer import Lexer, Token, number
from shoal.core.pointing import complain
from shoal.errors import BadExpression

_LEVEL = {sign: n for n, signs in enumerate(LEVELS) for sign in signs}
_LEVEL |= {"or": len(LEVELS), "and": len(LEVELS) + 1}
_UNARY = ("not", "-", "+")
_ATOMS = {"true": True, "false": False, "null": None}

_NO_LOOPS = "list comprehensions are not offered: look at one place, such as x[0]"


def parse(text: str, *, strict: bool = False) -> Expression:
    """What a text means, or `BadExpression`, which shows where it is wrong.

    `strict`: refuse what means something else than it seems, brackets that are not
    closed, and text after the end.
    """
    parser = _Parser(text, strict=strict)
    found = parser.expression()
    if found is None:
        raise complain(text, len(text), "expected a value, and it ends")
    if strict and parser.next.kind != "end":
        raise complain(text, parser.next.at, "expected an operator or the end")
    return found.expression


_PartT = TypeVar("_PartT")


class _Parser:
    """Reads one text, with one word to look ahead at.

    Nothing instead of a part means that the text, or a bracket, ended before it.
    """

    def __init__(self, text: str, *, strict: bool) -> None:
        self._lexer = Lexer(text)
        self._text = text
        self._strict = strict
        self._nesting = 0
        self._ahead: Token | None = None
        self._end = 0  # Of what was read last.

    @property
    def next(self) -> Token:
        """The next word; it is not looked for before somebody asks."""
        if self._ahead is None:
            self._ahead = self._lexer.scan()
        return self._ahead

    def expression(self) -> Grown | None:
        """Operands and the operators between them, folded by how tight these bind."""
        self._nest(self.next.at)
        found = self._operation()
        self._nesting -= 1
        return found

    def _operation(self) -> Grown | None:
        operands, signs = list[Grown](), list[str]()
        while True:
            operand = self._unary()
            if operand is None:
                return None
            operands.append(operand)
            if not self._is(*_LEVEL):
                break
            signs.append(self._take().word)
        if self._is(";"):
            self._take()
        return self._fold(operands, signs)

    def _fold(self, operands: list[Grown], signs: list[str]) -> Grown:
        for level in range(len(LEVELS)):
            operands, signs = self._fold_level(operands, signs, level)
        return self._junction(operands, signs)

    def _fold_level(
        self, operands: list[Grown], signs: list[str], level: int
    ) -> tuple[list[Grown], list[str]]:
        """From the right: each takes what has grown there."""
        if self._strict:
            check_chain(self._text, operands, signs, level)
        grown, left = [operands[-1]], list[str]()
        for operand, sign in zip(reversed(operands[:-1]), reversed(signs), strict=True):
            if _LEVEL[sign] == level:
                right = grown.pop()
                node = Binary(sign, operand.expression, right.expression)
                depth = 1 + max(operand.depth, right.depth)
                grown.append(self._grow(node, depth, operand.at, right.end))
            else:
                grown.append(operand)
                left.append(sign)
        return grown[::-1], left[::-1]

    def _junction(self, operands: list[Grown], signs: list[str]) -> Grown:
        """`or` first, then `and`; each level is one node, however many stand there."""
        if self._strict and "and" in signs and "or" in signs:
            raise mixed(self._text, operands, signs)
        groups, group = [], [operands[0]]
        for sign, operand in zip(signs, operands[1:], strict=True):
            if sign == "or":
                group.append(operand)
            else:
                groups.append(self._join("or", group))
                group = [operand]
        return self._join("and", [*groups, self._join("or", group)])

    def _join(self, sign: str, parts: list[Grown]) -> Grown:
        if len(parts) == 1:
            return parts[0]
        node = Junction(sign, tuple(part.expression for part in parts))
        depth = 1 + max(part.depth for part in parts)
        return self._grow(node, depth, parts[0].at, parts[-1].end)

    def _unary(self) -> Grown | None:
        if self._is("error"):
            return self._failure()
        if not self._is(*_UNARY):
            return self._postfix()
        sign = self._take()
        self._nest(sign.at)
        operand = self._unary()
        self._nesting -= 1
        if operand is None:
            return None
        node = _signed(sign.word, operand.expression)
        return self._grow(node, operand.depth + 1, sign.at, operand.end)

    def _failure(self) -> Grown | None:
        began = self._take()
        self._expect("(")
        if self._postfix() is None:
            return None
        self._expect(")")
        return self._grow(Failure(), 1, began.at, self._end)

    # Postfix

    def _postfix(self) -> Grown | None:
        grown = self._atom()
        while grown is not None:
            if self._is("["):
                grown = self._index(grown)
            elif self._is("("):
                grown = self._call(grown, None)
            elif self._is("."):
                grown = self._method(grown)
            else:
                break
        return grown

    def _index(self, of: Grown) -> Grown | None:
        self._take()
        start = end = None
        if not self._is(":"):
            start = self.expression()
            if start is None:
                return None
        sliced = self._is(":")
        if sliced:
            self._take()
            if not self._is("]"):
                end = self.expression()
                if end is None:
                    return None
        self._expect("]")
        depth = 1 + max(part.depth for part in (of, start, end) if part)
        if not sliced:
            assert start, "what is no slice has a place"
            node: Expression = Lookup(of.expression, start.expression)
        else:
            ends = [part and part.expression for part in (start, end)]
            node = Slice(of.expression, *ends)
        return self._grow(node, depth, of.at, self._end)

    def _method(self, of: Grown) -> Grown | None:
        """x.f(y) is f(x, y)."""
        self._take()
        if self.next.kind != "name":
            raise self._unexpected("a function's name")
        return self._call(self._name(), of)

    def _call(self, called: Grown, first: Grown | None) -> Grown | None:
        if not isinstance(called.expression, Name):
            raise complain(self._text, called.at, "only a name can be called")
        self._expect("(")
        given = self._parts(")")
        parts = [first, *given] if first else given
        depth = 1 + max((part.depth for part in parts), default=0)
        node = Call(called.expression.name, tuple(part.expression for part in parts))
        return self._grow(node, depth, (first or called).at, self._end)

    # Atoms

    def _atom(self) -> Grown | None:
        token = self.next
        if token.kind == "end" or self._is(")"):
            self._take()
            return None
        if token.kind == "name":
            return self._name()
        if token.kind == "string":
            self._take()
            return self._grow(Constant(token.word), 1, token.at, token.end)
        if token.kind == "number":
            value = number(self._take().word)
            return self._grow(Constant(value), 1, token.at, token.end)
        if self._is("("):
            return self._parenthesis()
        if self._is("["):
            return self._listing()
        if self._is("{"):
            return self._mapping()
        raise self._unexpected("a value")

    def _name(self) -> Grown:
        token = self._take()
        node: Expression = Name(token.word)
        if token.word in _ATOMS:
            node = Constant(_ATOMS[token.word])
        return self._grow(node, 1, token.at, token.end)

    def _parenthesis(self) -> Grown | None:
        began = self._take()
        inner = self.expression()
        if inner is None:
            return None
        self._expect(")")
        return inner._replace(at=began.at, end=self._end)

    def _listing(self) -> Grown:
        began = self._take()
        parts = self._parts("]")
        depth = 1 + max((part.depth for part in parts), default=0)
        node = Listing(tuple(part.expression for part in parts))
        return self._grow(node, depth, began.at, self._end)

    def _parts(self, closing: str) -> list[Grown]:
        """What stands between commas; an end after one is as good as a bracket."""
        return self._until(closing, self.expression)

    def _mapping(self) -> Grown:
        began = self._take()
        pairs = self._until("}", self._pair)
        depths = (max(key.depth, value.depth) for key, value in pairs)
        depth = 1 + max(depths, default=0)
        node = Mapping(
            tuple((key.expression, value.expression) for key, value in pairs)
        )
        return self._grow(node, depth, began.at, self._end)

    def _pair(self) -> tuple[Grown, Grown] | None:
        key = self.expression()
        if key is None:
            return None
        self._expect(":")
        value = self.expression()
        return None if value is None else (key, value)

    def _until(self, closing: str, read: Callable[[], _PartT | None]) -> list[_PartT]:
        found = list[_PartT]()
        while not self._is(closing):
            part = read()
            if part is None and self._strict:
                raise self._unexpected(f"a value or `{closing}`")
            if part is None:
                return found
            found.append(part)
            if self._is(closing):
                break
            if not self._is(","):
                raise self._unexpected(f"`,` or `{closing}`")
            self._take()
        self._take()
        return found

    # Words

    def _nest(self, at: int) -> None:
        self._nesting += 1
        if self._nesting > MAX_DEPTH:
            raise self._too_deep(at)

    def _grow(self, node: Expression, depth: int, at: int, end: int) -> Grown:
        if depth > MAX_DEPTH:
            raise self._too_deep(at)
        return Grown(node, depth, at, end)

    def _too_deep(self, at: int) -> BadExpression:
        return complain(self._text, at, f"deeper than {MAX_DEPTH} levels: ask for less")

    def _unexpected(self, wanted: str) -> BadExpression:
        token = self.next
        met = "the end" if token.kind == "end" else f"`{token.word}`"
        advice = _NO_LOOPS if token.word == "for" else f"expected {wanted}"
        return complain(self._text, token.at, f"met {met}: {advice}")

    def _is(self, *signs: str) -> bool:
        return self.next.kind == "sign" and self.next.word in signs

    def _expect(self, sign: str) -> None:
        if not self._is(sign):
            raise self._unexpected(f"`{sign}`")
        self._take()

    def _take(self) -> Token:
        token = self.next
        if token.kind != "end":
            self._ahead = None
        self._end = token.end
        return token


def _signed(sign: str, operand: Expression) -> Expression:
    """A sign before a number is a part of it."""
    if isinstance(operand, Constant) and type(operand.value) in (int, float):
        if sign == "+":
            return operand
        if sign == "-":
            return Constant(-operand.value)  # type: ignore[operator]
    return Unary(sign, operand)
