"""Patterns as Redis writes them: * ? [a-z] [^a] and a backslash before any of them.

They are other people's, so they are matched in time linear in the key: by comparing
where that suffices, by RE2 elsewhere.
"""

import re
from collections.abc import Callable

import re2

from shoal.table.redis.replies import CommandError

MAX_PATTERN_BYTES = 1 << 10

# Of wildcards times bytes. The worst takes RE2 50 ms over a word of 64 KiB,
# and 0.1 ms over one of a hundred bytes; a name with 36 question marks costs 1,600.
MAX_COST = 1 << 12

# For each pattern; by default it is 8 MiB. RE2 makes do with less, a little slower.
_MEMORY_BYTES = 1 << 18

Matcher = Callable[[bytes], bool]

_WILD = re.compile(rb"\*+|[?\[]")
_SPECIAL = re.compile(rb"[*?\[\\]")
_ANY = rb"(?s:.)"
_NONE = rb"[^\x00-\xff]"


def matcher(pattern: bytes) -> Matcher:
    """Says of each word whether the pattern matches it whole."""
    if len(pattern) > MAX_PATTERN_BYTES:
        raise CommandError(
            f"ERR the pattern has {len(pattern)} bytes, "
            f"the longest are {MAX_PATTERN_BYTES}"
        )
    stem = pattern.rstrip(b"*")
    if not _SPECIAL.search(stem):
        if stem == pattern:
            return pattern.__eq__
        # Redis looks at no pattern once a word is over, so a bare star matches
        # everything but the empty word.
        return lambda word: bool(word) and word.startswith(stem)
    if cost(pattern) > MAX_COST:
        raise CommandError(
            f"ERR the pattern is too costly: its wildcards times its bytes are "
            f"{cost(pattern)}, at most {MAX_COST} are looked for"
        )
    search = _compile(pattern).search
    return lambda word: search(word) is not None


def cost(pattern: bytes) -> int:
    """What it takes to compare a word's byte with it; nothing where words suffice."""
    if not _SPECIAL.search(pattern.rstrip(b"*")):
        return 0
    return len(_WILD.findall(pattern)) * len(pattern)


def translate(pattern: bytes) -> bytes:
    """The same as an expression for RE2, over bytes."""
    pieces: list[bytes] = []
    at = 0
    while at < len(pattern):
        letter = pattern[at : at + 1]
        if letter == b"*":
            if pieces[-1:] != [b"(?s:.*)"]:
                pieces.append(b"(?s:.*)")
        elif letter == b"?":
            pieces.append(_ANY)
        elif letter == b"[":
            piece, at = _class(pattern, at + 1)
            pieces.append(piece)
        else:
            if letter == b"\\" and at + 1 < len(pattern):
                at += 1
            pieces.append(_byte(pattern[at]))
        at += 1
    return b"".join([b"\\A", *pieces, b"\\z"])


def _class(pattern: bytes, at: int) -> tuple[bytes, int]:
    """The class that begins there, and the place of its last byte.

    One that never ends goes to the end of the pattern.
    """
    negated = pattern[at : at + 1] == b"^"
    at += negated
    ranges = []
    while at < len(pattern) and pattern[at : at + 1] != b"]":
        low = high = pattern[at]
        if low == ord("\\") and at + 1 < len(pattern):
            at += 1
            low = high = pattern[at]
        elif pattern[at + 1 : at + 2] == b"-" and at + 2 < len(pattern):
            at += 2
            low, high = sorted((low, pattern[at]))
        ranges.append(_byte(low) + b"-" + _byte(high))
        at += 1
    at = min(at, len(pattern) - 1)
    if not ranges:
        return (_ANY if negated else _NONE), at
    return b"[%b%b]" % (b"^" if negated else b"", b"".join(ranges)), at


def _byte(value: int) -> bytes:
    return b"\\x%02x" % value


def _compile(pattern: bytes) -> "re2._Regexp":
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES
    return re2.compile(translate(pattern), options=options)
