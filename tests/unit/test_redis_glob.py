"""Patterns against the plainest matcher there is, which tries everything."""

import time
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shoal.table.redis.glob import MAX_PATTERN_BYTES, matcher
from shoal.table.redis.replies import CommandError


def plain(pattern: bytes, word: bytes) -> bool:
    """Redis's rules, one byte at a time; once a word is over, only stars are left."""
    if not pattern:
        return not word
    if not word:
        return False
    if pattern[:1] == b"*":
        rest = pattern.lstrip(b"*")
        return not rest or any(plain(rest, word[at:]) for at in range(len(word)))
    if pattern[:1] == b"?":
        matched, rest = True, pattern[1:]
    elif pattern[:1] == b"[":
        matched, rest = one_of(pattern[1:], word[0])
    else:
        escaped = pattern[:1] == b"\\" and len(pattern) > 1
        matched, rest = pattern[escaped] == word[0], pattern[escaped + 1 :]
    if not matched:
        return False
    return plain(rest, word[1:]) if word[1:] else not rest.strip(b"*")


def one_of(pattern: bytes, byte: int) -> tuple[bool, bytes]:
    """Is the byte of the class that begins the pattern, and what follows the class?"""
    negated = pattern[:1] == b"^"
    pattern = pattern[negated:]
    found = False
    while pattern and pattern[:1] != b"]":
        if pattern[:1] == b"\\" and len(pattern) > 1:
            found |= pattern[1] == byte
            pattern = pattern[2:]
        elif pattern[1:2] == b"-" and len(pattern) > 2:
            low, high = sorted((pattern[0], pattern[2]))
            found |= low <= byte <= high
            pattern = pattern[3:]
        else:
            found |= pattern[0] == byte
            pattern = pattern[1:]
    return found != negated, pattern[1:]


letters = st.sampled_from([bytes([each]) for each in b"ab]^-\\\n\xff"])
pieces = letters | st.sampled_from([b"*", b"?", b"[", b"[^", b"a-b", b"]", b"**"])


@given(st.lists(pieces, max_size=10), st.lists(letters, max_size=7))
@example([b"["], [b"a"])
@example([b"[^"], [b"a"])
@example([b"a*"], [b"a"])
@example([b"*"], [])
def test_it_matches_what_the_plain_one_matches(
    pattern: list[bytes], word: list[bytes]
) -> None:
    one, other = b"".join(pattern), b"".join(word)
    assert matcher(one)(other) == plain(one, other)


@pytest.mark.parametrize("pattern", [b"*a" * 45, b"*a" + b"?" * 60 + b"b"])
def test_no_pattern_takes_long(pattern: bytes) -> None:
    matches = matcher(pattern)
    began = time.process_time()
    assert not matches(bytes(Random(0).choices(b"ab", k=65535)) + b"c")
    assert time.process_time() - began < 1  # Trying everything would take for ever.


@pytest.mark.parametrize("pattern", [b"*a" * 500, b"*" + b"?" * 1000, b"[a]" * 70])
def test_a_costly_pattern_is_refused(pattern: bytes) -> None:
    with pytest.raises(CommandError, match="too costly"):
        matcher(pattern)
    matcher(b"a" * 1000 + b"*" * 20)


def test_a_long_pattern_is_refused() -> None:
    matcher(b"a" * MAX_PATTERN_BYTES)
    with pytest.raises(CommandError, match="the longest are"):
        matcher(b"a" * (MAX_PATTERN_BYTES + 1))
