"""Commands typed by hand: words between blanks, quoted as Redis quotes them."""

import re

import hiredis

MAX_LINE_BYTES = 64 << 10

_WORD = re.compile(
    rb"""\s*(?:"((?:[^"\\]|\\.)*)"(?=\s|\Z)|'((?:[^'\\]|\\.)*)'(?=\s|\Z)|([^\s"']\S*))""",
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_SPECIAL = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


def split(line: bytes) -> list[bytes]:
    """The words of a line; none if it is blank."""
    words, at, line = [], 0, line.rstrip()
    while at < len(line):
        found = _WORD.match(line, at)
        if not found:
            raise hiredis.ProtocolError("unbalanced quotes in request")
        quoted, single, plain = found.groups()
        if quoted is not None:
            words.append(_ESCAPE.sub(_unescape, quoted))
        elif single is not None:
            words.append(single.replace(b"\\'", b"'"))
        else:
            words.append(plain)
        at = found.end()
    return words


def _unescape(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if len(code) == 3:
        return bytes([int(code[1:], 16)])
    return _SPECIAL.get(code, code)
