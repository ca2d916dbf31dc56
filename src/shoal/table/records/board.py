"""The board: all records of the network, as one peer has heard of them.

Every peer has one, in memory, whatever it keeps copies of. The invariant: all that is
on a board was decided, by whoever owned it then. So of two versions the higher one is
the later, whoever tells of it, and a board is late but never wrong.
"""

from heapq import heappop, heappush

from xxhash import xxh3_64_intdigest

from shoal.core.records import Record
from shoal.table.records.messages import (
    MAX_KEPT,
    MAX_RECORDS,
    MAX_REMOVED,
    MAX_TOTAL_BYTES,
    PARCELS,
    UNITS,
    Row,
)
from shoal.table.records.names import parcel_of, unit_of

# What a record takes in memory beside its body: its name, and its place here.
RECORD_BYTES = 500


class Board:
    """What this peer has heard of the network's records."""

    def __init__(
        self, max_removed: int = MAX_REMOVED, max_records: int = MAX_RECORDS
    ) -> None:
        self.sums = [0] * PARCELS
        self.learned: list[Record] = []  # Nobody is told yet.
        self.size_bytes = 0
        self._size = 0
        self._max_removed = max_removed
        self._max_records = max_records
        self._parcels: list[dict[str, Record]] = [{} for _ in range(PARCELS)]
        self._kinds: dict[str, dict[str, Record]] = {}
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

    def learn(self, record: Record) -> bool:
        """This was decided: take it over if it is newer than what is here."""
        had = self._held(record.kind, record.id)
        full = had is None and self._size >= MAX_KEPT
        if full or not self.lacks(record.kind, record.id, record.version):
            return False
        if had:
            self._let_go(had)
        self._take_up(record)
        self.learned.append(record)
        return True

    def all_of(self, kind: str) -> list[Record]:
        """All of a kind that were not removed."""
        return list(self._kinds.get(kind, {}).values())

    def find(self, kind: str, id: str) -> Record | None:  # noqa: A002
        """What stands there, removed or not."""
        return self._held(kind, id)

    def rows(self, parcel: int) -> list[Row]:
        """What a parcel holds."""
        held = self._parcels[parcel].values()
        return [Row(each.kind, each.id, each.version) for each in held]

    def lacks(self, kind: str, id: str, version: int) -> bool:  # noqa: A002
        """Is that newer than what is here?"""
        held = self._held(kind, id)
        return held is None or held.version < version

    def _held(self, kind: str, id: str) -> Record | None:  # noqa: A002
        return self._parcels[parcel_of(kind, id)].get(f"{kind}/{id}")

    def _take_up(self, record: Record) -> None:
        parcel = parcel_of(record.kind, record.id)
        name = f"{record.kind}/{record.id}"
        self._parcels[parcel][name] = record
        self.sums[parcel] ^= _print(record)
        self.size_bytes += RECORD_BYTES + len(record.body)
        self._size += 1
        if not record.removed:
            self._kinds.setdefault(record.kind, {})[record.id] = record
            return
        removed = self._removed[unit_of(record.kind, record.id)]
        heappush(removed, (record.version, name))
        while len(removed) > self._max_removed:
            version, name = heappop(removed)
            kind, _, id_ = name.partition("/")
            old = self._held(kind, id_)
            if old and old.version == version:
                self._let_go(old)

    def _let_go(self, record: Record) -> None:
        parcel = parcel_of(record.kind, record.id)
        del self._parcels[parcel][f"{record.kind}/{record.id}"]
        self.sums[parcel] ^= _print(record)
        self.size_bytes -= RECORD_BYTES + len(record.body)
        self._size -= 1
        if not record.removed:
            del self._kinds[record.kind][record.id]


def _print(record: Record) -> int:
    text = f"{record.kind}/{record.id} {record.version}"
    return xxh3_64_intdigest(text.encode()) >> 2  # As many bits as travel.
