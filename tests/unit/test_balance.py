"""A million keys lie evenly on the peers of a network, as owned and as kept."""

from binascii import crc_hqx
from collections import Counter

import pytest

from shoal.table.messages import SLOTS, UNIT_BITS, Member, View, Voter
from shoal.table.replication.views import Circles

KEYS = 1_000_000


@pytest.fixture(scope="module")
def crowds() -> Counter[int]:
    """How many of the keys are in each unit."""
    slots = Counter(crc_hqx(b"key:%d" % n, 0) % SLOTS for n in range(KEYS))
    units: Counter[int] = Counter()
    for slot, count in slots.items():
        units[slot >> UNIT_BITS] += count
    return units


@pytest.mark.parametrize("peers", [3, 10, 50])
def test_a_million_keys_lie_evenly(crowds: Counter[int], peers: int) -> None:
    members = tuple(Member(Voter(f"peer-{n}~1"), f"host-{n}") for n in range(peers))
    circles = Circles(View(1, members)).units
    kept: Counter[str] = Counter()
    for unit, count in crowds.items():
        kept.update(dict.fromkeys(circles[unit].voters, count))
    assert len(kept) == peers
    assert kept.total() == 3 * KEYS
    assert max(kept.values()) <= 1.2 * kept.total() / peers
    assert min(kept.values()) >= 0.8 * kept.total() / peers
