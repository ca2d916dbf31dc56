"""Who is told that a key has ended is not told otherwise; and any key by chance."""

from collections import Counter
from random import Random

import pytest

from shoal.core.machine import PeerId
from shoal.table.lines import LinesTalk
from shoal.table.messages import Ballot
from shoal.table.protocol import Table
from shoal.table.redis.talk import RedisTalk
from shoal.table.talk import Talk
from shoal.table.verbs import VerbsTalk
from tests.callers import Deaf, server_of
from tests.conformance.redis_wire import resp

SLOT = b"15891"  # Of the tag t.


@pytest.fixture
def table() -> Table:
    return Table(Ballot(1, 1, PeerId("me"), 1), Random(1), logged=True)


def redis(table: Table) -> Talk:
    return RedisTalk(server_of(table), Deaf())


WALKS: list[tuple[type[Talk] | None, bytes]] = [
    (None, resp([b"KEYS", b"*"])),
    (None, resp([b"SCAN", b"0", b"COUNT", b"100000"])),
    (None, resp([b"RANDOMKEY"])),
    (None, resp([b"CLUSTER", b"COUNTKEYSINSLOT", SLOT])),
    (None, resp([b"CLUSTER", b"GETKEYSINSLOT", SLOT, b"9"])),
    (VerbsTalk, b"\0\0\0\4keys"),
    (LinesTalk, b'{"method":"scan","regex":""}\n'),
]


@pytest.mark.parametrize(("kind", "asked"), WALKS)
def test_who_was_told_that_a_key_is_gone_never_sees_it_again(
    table: Table, kind: type[VerbsTalk | LinesTalk] | None, asked: bytes
) -> None:
    for n in range(100):
        table.put(b"{t}%d" % n, b"v", 5000)
    batch = table.take()
    assert batch
    table.committed(batch.ticket)
    talk = kind(table) if kind else redis(table)
    table.begin(6)
    assert b"{t}" not in talk.hear(asked)
    assert table.rests_on == batch.ticket + 1
    table.begin(4)
    assert [table.find(b"{t}%d" % n) for n in range(100)] == [None] * 100


@pytest.mark.parametrize("key", [b"{t}%d", b"%d"])
def test_any_key_is_as_likely(table: Table, key: bytes) -> None:
    for n in range(50):
        table.put(key % n, b"v")
    for n in range(50):
        table.put(b"{other}%d" % n, b"v")
    found = Counter(table.random_key() for _ in range(20_000))
    assert len(found) == 100
    assert max(found.values()) < 2 * min(found.values())


def test_a_random_key_is_there_whatever_came_and_went(table: Table) -> None:
    rng, keys = Random(2), set[bytes]()
    for n in range(3000):
        table.begin(n // 100)
        key = b"%d" % rng.randrange(20)
        if rng.random() < 0.5:
            table.put(key, b"v")
            keys.add(key)
        else:
            table.drop(key)
            keys.discard(key)
        found = table.random_key()
        assert found in keys if keys else found is None
