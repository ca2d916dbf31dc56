"""Commands typed by hand: words between blanks, quoted as Redis quotes them."""

import re

import hiredis

MAX_LINE_BYTES = 64 << 10

# Quotes may begin within a word, and end it. What is blank before a word is more than
# what ends one.
_WORD = re.compile(
    rb"""\s*+([^ \n\r\t"']*+)(?:"((?:[^"\\]|\\.)*)"(?=\s|\Z)"""
    rb"""|'((?:[^'\\]|\\'?+)*)'(?=\s|\Z)|(?=[ \n\r\t]|\Z))""",
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_SPECIAL = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


def split(line: bytes) -> list[bytes]:
    """The words of a line; none if it is blank."""
    words: list[bytes] = []
    at, end = 0, len(line.rstrip(b" \n\r\t"))
    while at < end and not line[at:end].isspace():
        found = _WORD.match(line, at, end)
        if not found:
            raise hiredis.ProtocolError("unbalanced quotes in request")
        begun, quoted, single = found.groups()
        if quoted is not None:
            words.append(begun + _ESCAPE.sub(_unescape, quoted))
        elif single is not None:
            words.append(begun + single.replace(b"\\'", b"'"))
        else:
            words.append(begun)
        at = found.end()
    return words


def _unescape(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if len(code) == 3:
        return bytes([int(code[1:], 16)])
    return _SPECIAL.get(code, code)
