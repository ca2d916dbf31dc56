"""A filter's words, read one at a time: what follows its end is never looked at."""

import re
from typing import NamedTuple

from shoal.core.pointing import complain

# A URL is no longer, and no filter that anybody has seen comes near.
MAX_TEXT = 16 << 10

# Each takes 7 us to read: so many hold nobody up. Five hundred names are fewer.
MAX_WORDS = 2500

# As CCTools has it, and as the longest string that its programs can read.
MAX_STRING = 65_535

_BLANK = re.compile(r"(?:[ \t\n\v\f\r]|#[^\n\r]*)*")
_WORD = re.compile(
    r"""
    (?P<string>"(?:[^"\\]|\\.)*")
  | (?P<number>(?:[0-9]|\.(?=[0-9]))(?:[0-9.]|[eE][-+]?)*)
  | (?P<name>[A-Za-z_][A-Za-z_0-9]*)
  | (?P<sign>==|!=|<=|>=|&&|\|\||[-+*/%<>!.,:;(){}\[\]])
    """,
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z")
_ESCAPE = re.compile(r"\\(?:u(.{0,4})|(.))", re.DOTALL)
_ESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}

_SIGNS = {"&&": "and", "||": "or", "!": "not"}
_WORDS = frozenset(["and", "or", "not", "for", "in", "if", "error"])
_HINTS = {
    "=": "equality is written ==",
    "&": "write `and` or &&",
    "|": "write `or` or ||",
    '"': "the quotes are not closed",
    "'": "strings stand in double quotes",
}

MAX_INTEGER = 2**63 - 1


class Token(NamedTuple):
    """A word, what it is, where it begins and ends."""

    kind: str  # string, number, name, sign or end
    word: str
    at: int
    end: int


class Lexer:
    """Gives a text's words in order; the end for ever after the last."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_TEXT:
            what = f"it has {len(text):,} characters and may have {MAX_TEXT:,}"
            raise complain(text, 0, what + ": ask for less")
        self.text = text
        self._place = 0
        self._words = 0

    def scan(self) -> Token:
        """The next word, or `BadExpression` if there is none here."""
        blank = _BLANK.match(self.text, self._place)
        assert blank, "it may be empty"
        at = blank.end()
        if at == len(self.text):
            return Token("end", "", at, at)
        found = _WORD.match(self.text, at)
        if found is None:
            sign = self.text[at]
            hint = _HINTS.get(sign, "nothing begins with it")
            raise complain(self.text, at, f"met {sign!r}: {hint}")
        self._words += 1
        if self._words > MAX_WORDS:
            what = f"it has more than {MAX_WORDS:,} words: ask for less"
            raise complain(self.text, at, what)
        self._place = found.end()
        kind, word = found.lastgroup or "", found.group()
        if kind == "string":
            return self._string(at, found.end())
        if kind == "number" and not _NUMBER.match(word):
            raise complain(self.text, at, f"met {word}: it is no number")
        if kind == "name" and word in _WORDS:
            kind = "sign"
        return Token(kind, _SIGNS.get(word, word), at, found.end())

    def _string(self, at: int, end: int) -> Token:
        """A string; an escaped NUL ends it early, as in C."""
        word, whole = [], self.text[at + 1 : end - 1]
        place = 0
        for escape in _ESCAPE.finditer(whole):
            word.append(whole[place : escape.start()])
            sign = self._escaped(escape, at)
            if not sign:
                self._place = at + 1 + escape.end()
                return Token("string", "".join(word), at, self._place)
            word.append(sign)
            place = escape.end()
        word.append(whole[place:])
        return Token("string", "".join(word), at, end)

    def _escaped(self, escape: re.Match[str], at: int) -> str:
        """What an escape stands for; nothing for a NUL."""
        if escape[1] is None:
            return _ESCAPED.get(escape[2], escape[2])
        try:
            code = int(escape[1], 16) if escape[1].isalnum() else -1
        except ValueError:
            code = -1
        if not 0 <= code <= 0x7F or len(escape[1]) != 4:
            what = f"met \\u{escape[1]}: only 0000 to 007f can be written so"
            raise complain(self.text, at + 1 + escape.start(), what)
        return chr(code) if code else ""


def number(word: str) -> int | float:
    """What a number's word says: whole ones end where 64 bits do."""
    if not word.isdigit():
        return float(word)
    # Only so many digits are looked at: converting thousands takes long.
    return min(int(word.lstrip("0")[:20] or "0"), MAX_INTEGER)
