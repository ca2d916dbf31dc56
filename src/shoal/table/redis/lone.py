"""A GET or SET that is all a client says: no more is needed to answer most of them.

Looked at by one pattern, it needs no reader of requests and no guard against what a
client might say. What the pattern does not take is not wrong, only left to the reader.
"""

import re

from shoal.table.messages import MAX_KEY_BYTES, MAX_VALUE_BYTES

# A length as hiredis takes it. No key with a CR in it: nothing is tried twice.
_KEY = rb"\$(0|[1-9][0-9]{0,5})\r\n([^\r]*)\r\n"
_VALUE = rb"\$(0|[1-9][0-9]{0,7})\r\n(.*)\r\n"
_GET = re.compile(rb"\*2\r\n\$3\r\n(?:GET|get)\r\n" + _KEY)
_SET = re.compile(rb"\*3\r\n\$3\r\n(?:SET|set)\r\n" + _KEY + _VALUE, re.DOTALL)

# The key; of a SET its value.
Lone = tuple[bytes, bytes | None]


def lone(said: bytes) -> Lone | None:
    """What is got or set, if it is nothing else."""
    if not said.endswith(b"\r\n"):  # Else the pattern would look for it everywhere.
        return None
    if found := _GET.fullmatch(said):
        size, key = found.groups()
        return (key, None) if len(key) == int(size) <= MAX_KEY_BYTES else None
    if found := _SET.fullmatch(said):
        size, key, value_size, value = found.groups()
        if len(key) == int(size) <= MAX_KEY_BYTES:
            fits = len(value) == int(value_size) <= MAX_VALUE_BYTES
            return (key, value) if fits else None
    return None


def same(lone: Lone, words: list[bytes]) -> bool:
    """Has the reader of requests understood the same?"""
    key, value = lone
    return words[1:] == ([key] if value is None else [key, value])
