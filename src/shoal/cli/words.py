"""How a prompt shows bytes, and reads them: what is shown can be typed.

Plain text is itself. Between quotation marks, as Redis's own prompt has it, \\n \\r \\t
\\" \\\\ and \\xNN stand for what a line cannot hold; "None" so written is a text.
"""

import re

from hiredis import ProtocolError

from shoal.errors import Misuse
from shoal.table.redis import inline

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"(?= |\Z)')

_ESCAPES = {
    ord("\n"): r"\n",
    ord("\r"): r"\r",
    ord("\t"): r"\t",
    ord('"'): r"\"",
    ord("\\"): r"\\",
}


def readable(data: bytes) -> str:
    """Bytes in a line."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    plain = text.isprintable() and text == text.strip() and not text.startswith('"')
    return text if text and plain and text != "None" else _quoted(data)


def split(text: str) -> tuple[str, str]:
    """The first word, as it was typed, and the rest."""
    if quoted := _QUOTED.match(text):
        return quoted[0], text[quoted.end() + 1 :]
    word, _, rest = text.partition(" ")
    return word, rest


def meant(text: str) -> bytes:
    """The bytes that somebody typed."""
    if not text.startswith('"'):
        return text.encode(errors="surrogateescape")
    try:
        [data] = inline.split(text.encode(errors="surrogateescape"))
    except (ProtocolError, ValueError):
        raise Misuse(
            f"value {text}: the quotation marks do not match; write "
            r'"a \"quoted\" value", or one that does not begin with a mark'
        ) from None
    return data


def _quoted(data: bytes) -> str:
    letters = [
        _ESCAPES.get(byte) or (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}")
        for byte in data
    ]
    return f'"{"".join(letters)}"'
