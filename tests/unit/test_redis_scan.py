"""What is there from the start of a scan to its end is found by it."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.machine import PeerId
from shoal.table.messages import Ballot
from shoal.table.protocol import Table
from shoal.table.redis.scanner import FEW, MAX_SORTED, Scanner


def table() -> Table:
    made = Table(Ballot(1, 1, PeerId("p"), 1), Random(0), logged=False)
    made.begin(1000)
    return made


def key(number: int, tag: int) -> bytes:
    return b"{%d}%d" % (tag, number)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 1 << 32),
    count=st.sampled_from([1, 7, 100, 1000]),
    scans=st.integers(1, MAX_SORTED + 2),
)
def test_what_stays_is_found(seed: int, count: int, scans: int) -> None:
    """Several scans at once, in slots with many keys and with few, amid changes."""
    rng, kept = Random(seed), table()
    stays = [key(n, tag) for tag in range(3) for n in range(rng.choice([3, FEW * 5]))]
    for each in stays:
        kept.put(each, b"")
    scanner = Scanner(kept)
    cursors: dict[int, int] = dict.fromkeys(range(scans), 0)
    found: dict[int, set[bytes]] = {scan: set() for scan in cursors}
    while cursors:
        scan = rng.choice(list(cursors))
        cursors[scan], keys = scanner.scan(cursors[scan], count)
        assert all(kept.find(each) for each in keys)
        found[scan].update(keys)
        if not cursors[scan]:
            del cursors[scan]
        for _ in range(rng.randrange(20)):
            other = key(rng.randrange(1000, 2000), rng.randrange(4))
            if rng.random() < 0.5:
                kept.put(other, b"")
            else:
                kept.drop(other)
            kept.put(rng.choice(stays), b"again")
    assert all(set(stays) <= each for each in found.values())


def test_a_slot_with_many_is_split() -> None:
    kept = table()
    for number in range(10_000):
        kept.put(key(number, 1), b"")
    cursor, keys = Scanner(kept).scan(0, 10)
    assert len(keys) == 10
    another = Scanner(kept)  # As after a restart: the cursor is all there is.
    cursor, more = another.scan(cursor, 10_000)
    assert not set(keys) & set(more)
    assert len(keys) + len(more) + len(another.scan(cursor, 10_000)[1]) == 10_000


@pytest.mark.parametrize("cursor", [1, 16383, 16384, (1 << 64) - 1, 1 << 63])
def test_any_cursor_comes_to_an_end(cursor: int) -> None:
    kept = table()
    kept.put(b"k", b"")
    scanner = Scanner(kept)
    for _ in range(10):
        cursor, _ = scanner.scan(cursor, 10)
        if not cursor:
            return
    pytest.fail("it goes on for ever")
