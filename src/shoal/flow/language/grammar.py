"""Text to expressions and back; nothing here is ever given to Python to evaluate.

Precedences are Python's. Where a reader of NumPy and a reader of mathematics would
understand different things (`a < b < c`), the text is refused with the reading meant.
"""

from typing import NamedTuple

from shoal.core.pointing import complain
from shoal.errors import BadExpression
from shoal.flow.arithmetic.operations import ALIASES, LIBRARY
from shoal.flow.language.expressions import (
    MAX_DEPTH,
    Call,
    Constant,
    Dataset,
    Expression,
    Number,
    Tagged,
)
from shoal.flow.language.lexer import Token, tokens, whole_number
from shoal.flow.language.notation import BINARY, COMPARISON, POWER, UNARY, UNARY_LEVEL
from shoal.flow.language.notation import show as show
from shoal.flow.language.spelling import nearest

# A level of a tree takes so much at most: a right side in parentheses, or a call.
_MAX_NESTING = 3 * MAX_DEPTH + 3

_WORDS: dict[str, Number] = {
    "nan": float("nan"),
    "inf": float("inf"),
    "True": True,
    "False": False,
}
_PYTHON = {
    "and": "write `&`, with each side in parentheses",
    "or": "write `|`, with each side in parentheses",
    "not": "write `~`",
}


def parse(text: str) -> Expression:
    """What a text means, or `BadExpression`, which shows where it is wrong."""
    parser = _Parser(text)
    grown = parser.binary(0)
    if parser.next.kind != "end":
        raise parser.unexpected("an operator, such as `+`, or the end")
    return grown.expression


class _Grown(NamedTuple):
    """A part of the tree, how deep it is, and where in the text it began."""

    expression: Expression
    depth: int
    began: int


class _Parser:
    """Reads one text, by climbing precedences."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._place = 0
        self._nesting = 0

    @property
    def next(self) -> Token:
        """What comes next; `end` at last."""
        return self._tokens[self._place]

    def unexpected(self, wanted: str) -> BadExpression:
        """The error to raise about what comes next."""
        token = self.next
        met = "the end" if token.kind == "end" else f"`{token.word}`"
        advice = _PYTHON.get(token.word, f"expected {wanted}")
        return complain(self._text, token.at, f"met {met}: {advice}")

    def binary(self, level: int) -> _Grown:
        """Operators that bind at least so tightly, and what they stand between."""
        self._nest(1)
        left = self._unary()
        compared = False
        while (found := BINARY.get(self.next.word)) and found.level >= level:
            if self.next.kind != "operator":
                break
            sign = self._take()
            if found.level == COMPARISON:
                if compared:
                    raise complain(self._text, sign.at, _CHAIN)
                compared = True
            right = self.binary(found.level + 1)
            left = self._call(found.operation, (left, right), left.began)
        self._nesting -= 1
        return left

    def _unary(self) -> _Grown:
        sign = self.next
        if sign.kind != "operator" or sign.word not in UNARY:
            return self._power()
        self._take()
        if sign.word == "-" and (number := self._negative()) is not None:
            return _Grown(Constant(number), 1, sign.at)
        operand = self.binary(UNARY_LEVEL)
        return self._call(UNARY[sign.word], (operand,), sign.at)

    def _negative(self) -> Number | None:
        """The number that a minus stands before, unless it is only a power's base."""
        after = self._tokens[min(self._place + 1, len(self._tokens) - 1)]
        if after.word == "**" and after.kind == "operator":
            return None
        if self.next.kind == "number":
            return -self._number(self._take(), negative=True)
        if self.next.kind == "name" and self.next.word == "inf" and after.word != "(":
            self._take()
            return -float("inf")
        return None

    def _power(self) -> _Grown:
        base = self._primary()
        if self.next.kind != "operator" or self.next.word != "**":
            return base
        self._take()
        exponent = self.binary(UNARY_LEVEL)
        return self._call(POWER, (base, exponent), base.began)

    def _primary(self) -> _Grown:
        token = self.next
        if token.kind == "number":
            value = self._number(self._take(), negative=False)
            return _Grown(Constant(value), 1, token.at)
        if token.kind == "name" and token.word not in _PYTHON:
            return self._named(self._take())
        if token.word == "(" and token.kind == "operator":
            self._take()
            self._nest(1)
            inner = self.binary(0)
            self._nest(-1)
            self._expect(")")
            return inner._replace(began=token.at)
        raise self.unexpected("a dataset, a number, a call or `(`")

    def _named(self, token: Token) -> _Grown:
        if self._is("("):
            return self._called(token)
        if token.word in _WORDS:
            return _Grown(Constant(_WORDS[token.word]), 1, token.at)
        return _Grown(Dataset(token.word), 1, token.at)

    def _called(self, token: Token) -> _Grown:
        self._take()
        if token.word in ("ds", "tag"):
            return self._quoted(token)
        operation = ALIASES.get(token.word, token.word)
        if operation not in LIBRARY:
            known = [*LIBRARY, *ALIASES, "ds", "tag"]
            advice = _INSTEAD.get(token.word) or nearest(token.word, known)
            what = f"no operation `{token.word}`{advice}"
            raise complain(self._text, token.at, what)
        return self._call(operation, self._arguments(), token.at)

    def _arguments(self) -> tuple[_Grown, ...]:
        found: list[_Grown] = []
        self._nest(2)
        while not self._is(")"):
            if found and not self._is(","):
                raise self.unexpected("`,` or `)`")
            if found:
                self._take()
            found.append(self.binary(0))
        self._nest(-2)
        self._take()
        return tuple(found)

    def _quoted(self, token: Token) -> _Grown:
        string = self.next
        if string.kind != "string":
            raise self.unexpected(f'a name in quotes, such as {token.word}("exp-1/2")')
        self._take()
        self._expect(")")
        limit = 200 if token.word == "ds" else 100
        if not 0 < len(string.word) <= limit:
            what = f"{token.word}(…) takes a name of 1 to {limit} characters"
            raise complain(self._text, string.at, what)
        leaf = Dataset(string.word) if token.word == "ds" else Tagged(string.word)
        return _Grown(leaf, 1, token.at)

    def _call(
        self, operation: str, arguments: tuple[_Grown, ...], began: int
    ) -> _Grown:
        known = LIBRARY[operation]
        if not known.least <= len(arguments) <= known.most:
            what = f"`{operation}` takes {known.takes}, not {len(arguments)}"
            raise complain(self._text, began, what + _FEWER.get(operation, ""))
        depth = 1 + max(argument.depth for argument in arguments)
        if depth > MAX_DEPTH:
            raise self._too_deep(began)
        expressions = tuple(argument.expression for argument in arguments)
        return _Grown(Call(operation, expressions), depth, began)

    def _number(self, token: Token, *, negative: bool) -> int | float:
        value = whole_number(token.word)
        if value is None:
            return float(token.word)
        if value > (2**63 if negative else 2**64 - 1):
            what = "a whole number takes at most 64 bits: write it as a float, 1e30"
            raise complain(self._text, token.at, what)
        return value

    def _nest(self, levels: int) -> None:
        self._nesting += levels
        if self._nesting > _MAX_NESTING:
            raise self._too_deep(self.next.at)

    def _too_deep(self, at: int) -> BadExpression:
        what = f"deeper than {MAX_DEPTH} levels: run a part of it first"
        return complain(self._text, at, what + ", or write total(a, b, …) for sums")

    def _is(self, word: str) -> bool:
        return self.next.kind == "operator" and self.next.word == word

    def _expect(self, word: str) -> None:
        if not self._is(word):
            raise self.unexpected(f"`{word}`")
        self._take()

    def _take(self) -> Token:
        token = self.next
        self._place += 1
        return token


_CHAIN = (
    "a chain of comparisons has no one meaning for rows: write (a < b) & (b < c); "
    "and `&` and `|` bind tighter than `<`: write (a > 1) & (b > 2)"
)
_INSTEAD = {
    "std": ": write sqrt(mean((x - mean(x)) ** 2))",
    "var": ": write mean((x - mean(x)) ** 2)",
    "len": ": `shoal datasets NAME` tells the rows; sum(x > 0) counts some",
    "count": ": `shoal datasets NAME` tells the rows; sum(x > 0) counts some",
    "ln": ": it is written log(x)",
    "int": ": it is written int64(x)",
    "float": ": it is written float64(x)",
}
_FEWER = {
    "min": ": the smaller of two is minimum(x, y)",
    "max": ": the larger of two is maximum(x, y)",
}
