"""What the comparison with Redis excuses, and what it does not."""

import pytest

from tests.conformance.redis_meaning import excuse
from tests.conformance.redis_wire import Words, resp


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(text), text)


SLOT = b"*1\r\n*3\r\n:0\r\n:%d\r\n*2\r\n$1\r\na\r\n:%d\r\n"
NODE = b"%b 127.0.0.1:1@1 myself,master - 0 0 %d connected %b\n"


@pytest.mark.parametrize(
    ("words", "theirs", "alike", "other"),
    [
        (
            [b"CONFIG", b"GET", b"*"],
            resp([b"port", b"1", b"save", b""]),
            resp([b"port", b"2", b"save", b""]),
            resp([b"port", b"2", b"save", b"1"]),
        ),
        (
            [b"INFO"],
            bulk(b"role:master\r\ntcp_port:1\r\ndb0:keys=1,expires=0\r\n"),
            bulk(b"role:master\r\ntcp_port:2\r\ndb0:keys=1\r\n"),
            bulk(b"role:master\r\ntcp_port:1\r\ndb0:keys=2\r\n"),
        ),
        (
            [b"CLUSTER", b"SLOTS"],
            SLOT % (16383, 50_000),
            SLOT % (16383, 50_001),
            SLOT % (16382, 50_000),
        ),
        (
            [b"CLUSTER", b"NODES"],
            bulk(NODE % (b"a" * 40, 0, b"0-16383")),
            bulk(NODE % (b"b" * 40, 1, b"0-16383")),
            bulk(NODE % (b"a" * 40, 0, b"0-16382")),
        ),
        (
            [b"CLUSTER", b"MYID"],
            bulk(b"a" * 40),
            bulk(b"b" * 40),
            bulk(b"b" * 39 + b"!"),
        ),
        (
            [b"SCAN", b"0"],
            b"*2\r\n" + bulk(b"0") + resp([b"k"]),
            b"*2\r\n" + bulk(b"7") + resp([]),
            b"*2\r\n" + bulk(b"x") + resp([b"k"]),
        ),
    ],
    ids=lambda each: b" ".join(each).decode() if isinstance(each, list) else "",
)
def test_what_is_compared_of_replies_that_differ(
    words: Words, theirs: bytes, alike: bytes, other: bytes
) -> None:
    assert excuse(words, theirs, alike)
    assert excuse(words, theirs, other) is None


def test_a_key_of_another_slot_is_never_excused() -> None:
    assert excuse([b"CLUSTER", b"KEYSLOT", b"k"], b":1\r\n", b":2\r\n") is None
