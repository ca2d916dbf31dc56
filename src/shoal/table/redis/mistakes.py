"""What is wrong with a request's form, as Redis words it."""

import ast
import re

import hiredis

_FOREIGN = re.compile(r'got (".*") as reply type byte', re.DOTALL)

# What hiredis makes of the forms that may not stand in a request.
_MARKS: tuple[tuple[type, str], ...] = (
    (bool, "#"),
    (int, ":"),
    (float, ","),
    (list, "*"),
    (dict, "%"),
    (hiredis.ReplyError, "-"),
)


def worded(wrong: hiredis.ProtocolError) -> str:
    """hiredis's words, as Redis says them."""
    said = str(wrong)
    if "ulti-bulk" in said:
        return "invalid multibulk length"
    if "ulk string" in said:
        return "invalid bulk length"
    if found := _FOREIGN.search(said):
        byte = ast.literal_eval("b" + found[1])
        return _expected(byte.decode(errors="surrogateescape"))
    return said


def misplaced(words: object) -> hiredis.ProtocolError:
    """Something other than words stands where words are expected."""
    for word in words if isinstance(words, list) else []:
        for kind, mark in _MARKS:
            if isinstance(word, kind):
                return hiredis.ProtocolError(_expected(mark))
        if word is None:
            return hiredis.ProtocolError("invalid bulk length")
    return hiredis.ProtocolError("expected '$'")


def _expected(got: str) -> str:
    return f"expected '$', got '{got}'"
