"""Where a SCAN stands, all of it in its cursor: a slot, and a place within.

Slots are taken in order. The keys of a slot with few of them are given together; of one
with many, in the order of their checksums, and the cursor holds the next one. A key
that is there all the time has one slot and one checksum, so it is given.
"""

from bisect import bisect_left
from collections.abc import Iterator
from zlib import crc32

from shoal.table.messages import SLOTS
from shoal.table.protocol import Table

# A slot with so many is given as a whole.
FEW = 64

# More are not looked at in one call, nor more bytes of keys.
MAX_COUNT = 1 << 13
MAX_BYTES = 4 << 20

# Slots whose keys are kept in order, for scans that are in the midst of them.
MAX_SORTED = 4

_SLOT_BITS = 14

_Sorted = list[tuple[int, bytes]]


class Scanner:
    """Walks through all keys, a portion at a time."""

    def __init__(self, table: Table) -> None:
        self._table = table
        # Sorting anew for each portion would make a slot's scan quadratic. Whoever
        # enters a slot sorts it, so a key that was there then is in every later order.
        self._sorted: dict[int, _Sorted] = {}

    def scan(self, cursor: int, count: int) -> tuple[int, list[bytes]]:
        """The keys of a portion, and the next one's cursor: 0 if that was the last."""
        slot, place = cursor & (SLOTS - 1), cursor >> _SLOT_BITS
        count = min(count, MAX_COUNT)
        found: list[bytes] = []
        looked = size = 0
        while slot < SLOTS and looked < count and size < MAX_BYTES:
            if place or len(self._table.here(slot)) > FEW:
                keys, place = self._portion(slot, place, count - looked)
            else:
                keys = list(self._table.here(slot))
            found += keys
            looked += len(keys)
            size += sum(map(len, keys))
            if place:
                break
            slot += 1
        living = self._living(found)
        return (place << _SLOT_BITS | slot if slot < SLOTS else 0), list(living)

    def _portion(self, slot: int, place: int, count: int) -> tuple[list[bytes], int]:
        """Some keys of a slot from a place on, and the next place: 0 at its end."""
        order = self._order(slot, entered=not place)
        begin = end = bisect_left(order, (place, b""))
        size = 0
        while end < len(order) and end - begin < count and size < MAX_BYTES:
            checksum = order[end][0]
            while end < len(order) and order[end][0] == checksum:
                size += len(order[end][1])
                end += 1
        keys = [key for _, key in order[begin:end]]
        if end < len(order):
            return keys, order[end][0]
        self._sorted.pop(slot, None)
        return keys, 0

    def _order(self, slot: int, *, entered: bool) -> _Sorted:
        if entered:
            self._sorted.pop(slot, None)
        if slot not in self._sorted:
            if len(self._sorted) >= MAX_SORTED:
                del self._sorted[next(iter(self._sorted))]
            keys = self._table.here(slot)
            self._sorted[slot] = sorted((crc32(key), key) for key in keys)
        return self._sorted[slot]

    def _living(self, keys: list[bytes]) -> Iterator[bytes]:
        """Those that are still there and have not ended."""
        table = self._table
        for key in keys:
            if table.find(key):
                yield key
