"""A text's words."""

import re
from typing import NamedTuple

from shoal.core.pointing import complain
from shoal.errors import BadExpression
from shoal.flow.messages import MAX_TEXT

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<number>(?:\d+(?:_\d+)*(?:\.(?:\d+(?:_\d+)*)?)?|\.\d+(?:_\d+)*)(?:[eE][+-]?\d+)?)
  | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<operator>\*\*|//|<=|>=|==|!=|[-+*/%<>&|^~(),])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_WHOLE = re.compile(r"[0-9_]+\Z")
_MAX_DIGITS = 20  # Of 2^64.

_HINTS = {
    ".": 'a name with dots is written ds("a.b"), an operation plainly: mean(a)',
    "=": "equality is written `==`",
    '"': "the quotes are not closed",
    "'": "the quotes are not closed",
    "<<": "shifts are written left_shift(x, y) and right_shift(x, y)",
    "[": "rows are not picked here: an expression is about whole datasets",
}


class Token(NamedTuple):
    """A word of the text, what it is, and where it begins."""

    kind: str
    word: str
    at: int


def tokens(text: str) -> list[Token]:
    """All words in order, and the end."""
    if len(text) > MAX_TEXT:
        raise BadExpression(
            f"the expression has {len(text):,} characters and may have {MAX_TEXT:,}: "
            "run a part of it first, and name its job in the rest"
        )
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            hint = _HINTS.get(text[at], "expected a name, a number or an operator")
            raise complain(text, at, f"met `{_shown(text[at])}`: {hint}")
        kind, word = match.lastgroup or "", match.group()
        if kind == "string":
            word = _ESCAPED.sub(r"\1", word[1:-1])
        if kind != "space":
            found.append(Token(kind, word, at))
        at = match.end()
    return [*found, Token("end", "", len(text))]


def whole_number(word: str) -> int | None:
    """The number a word stands for, if it is a whole one; enormous ones are cut."""
    if not _WHOLE.match(word):
        return None
    digits = word.replace("_", "").lstrip("0")
    return int(digits[: _MAX_DIGITS + 1] or "0")


def _shown(sign: str) -> str:
    return sign if sign.isprintable() else " "
