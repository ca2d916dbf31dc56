"""The board: all records of the network, as one peer has heard of them.

Every peer has one, in memory, whatever it keeps copies of. The invariant: all that is
on a board was decided, by whoever owned it then. So of two versions the higher one is
the later, whoever tells of it, and a board is late but never wrong.
"""

from collections.abc import Iterator
from heapq import heappop, heappush

import msgspec
from xxhash import xxh3_64_intdigest

from shoal.core.wire import decoded
from shoal.table.records.messages import (
    MAX_KEPT,
    MAX_RECORDS,
    MAX_REMOVED,
    MAX_TOTAL_BYTES,
    PARCELS,
    UNITS,
    Entry,
    Row,
)
from shoal.table.records.names import parcel_of, parcel_of_name, unit_of

encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Entry)


class Held(msgspec.Struct, frozen=True, gc=False):
    """A line of it; `value` is the record as the table has it."""

    row: Row
    removed: bool
    value: bytes


class Board:
    """What this peer has heard of the network's records."""

    def __init__(
        self, max_removed: int = MAX_REMOVED, max_records: int = MAX_RECORDS
    ) -> None:
        self.sums = [0] * PARCELS
        self.learned: list[Entry] = []  # Nobody is told yet.
        self.size_bytes = 0
        self._size = 0
        self._max_removed = max_removed
        self._max_records = max_records
        self._parcels: list[dict[str, Held]] = [{} for _ in range(PARCELS)]
        self._kinds: dict[str, dict[str, Held]] = {}
        # Heaps, one for each unit; some are there again.
        self._removed: list[list[tuple[int, str]]] = [[] for _ in range(UNITS)]

    @property
    def living(self) -> int:
        """How many there are."""
        return sum(map(len, self._kinds.values()))

    @property
    def has_room(self) -> bool:
        """May more be created?"""
        few = self.living < self._max_records
        return few and self.size_bytes < MAX_TOTAL_BYTES

    def learn(self, entry: Entry, value: bytes | None = None) -> bool:
        """This was decided: take it over if it is newer than what is here."""
        row = Row(entry.kind, entry.id, entry.version)
        had = self._held(entry.kind, entry.id)
        full = had is None and self._size >= MAX_KEPT
        if full or not self.lacks(row):
            return False
        if had:
            self._let_go(had)
        self._take_up(Held(row, entry.body is None, value or encode(entry)))
        self.learned.append(entry)
        return True

    def has(self, name: str, value: bytes) -> bool:
        """Is it that very value? Quick, and not always right about equal ones."""
        held = self._parcels[parcel_of_name(name)].get(name)
        return held is not None and held.value is value

    def all_of(self, kind: str) -> Iterator[Entry]:
        """All of a kind that were not removed."""
        for held in list(self._kinds.get(kind, {}).values()):
            yield decoded(_decoder, held.value)

    def find(self, kind: str, id: str) -> Entry | None:  # noqa: A002
        """What stands there, removed or not."""
        held = self._held(kind, id)
        return decoded(_decoder, held.value) if held else None

    def rows(self, parcel: int) -> list[Row]:
        """What a parcel holds."""
        return [held.row for held in self._parcels[parcel].values()]

    def lacks(self, row: Row) -> bool:
        """Is that newer than what is here?"""
        held = self._held(row.kind, row.id)
        return held is None or held.row.version < row.version

    def _held(self, kind: str, id: str) -> Held | None:  # noqa: A002
        return self._parcels[parcel_of(kind, id)].get(f"{kind}/{id}")

    def _take_up(self, held: Held) -> None:
        row = held.row
        name, parcel = f"{row.kind}/{row.id}", parcel_of(row.kind, row.id)
        self._parcels[parcel][name] = held
        self.sums[parcel] ^= _print(row)
        self.size_bytes += len(held.value)
        self._size += 1
        if not held.removed:
            self._kinds.setdefault(row.kind, {})[row.id] = held
            return
        unit = unit_of(row.kind, row.id)
        heappush(self._removed[unit], (row.version, name))
        while len(self._removed[unit]) > self._max_removed:
            version, name = heappop(self._removed[unit])
            kind, _, id_ = name.partition("/")
            old = self._held(kind, id_)
            if old and old.row.version == version:
                self._let_go(old)

    def _let_go(self, held: Held) -> None:
        row = held.row
        parcel = parcel_of(row.kind, row.id)
        del self._parcels[parcel][f"{row.kind}/{row.id}"]
        self.sums[parcel] ^= _print(row)
        self.size_bytes -= len(held.value)
        self._size -= 1
        if not held.removed:
            del self._kinds[row.kind][row.id]


def _print(row: Row) -> int:
    text = f"{row.kind}/{row.id} {row.version}"
    return xxh3_64_intdigest(text.encode()) >> 2  # As many bits as travel.
