"""The records that one peer has: a hidden table, and an index of what is safe.

What is decided here looks into the table, which knows what is on its way to the disk;
what others are told comes from the index, which does not. So nobody hears of a change
that a full disk takes back. What was learned from others is safe where they have it.
"""

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

import msgspec
from xxhash import xxh3_64_intdigest

from shoal.core.wire import decoded
from shoal.table.messages import NEVER
from shoal.table.protocol import Table
from shoal.table.records.messages import (
    MAX_KEPT,
    MAX_REMOVED,
    PARCELS,
    Entry,
    Row,
    tenure_of,
)

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Entry)


class Held(msgspec.Struct, frozen=True, gc=False):
    """A line of the index; `value` is the very bytes that the table has."""

    row: Row
    removed: bool
    value: bytes


class Shelf:
    """What this peer has of the network's records."""

    def __init__(self, table: Table, max_removed: int = MAX_REMOVED) -> None:
        self.table = table
        self.sums = [0] * PARCELS
        self.highest = 0  # Of all versions ever put here.
        # Safe, and nobody is told yet.
        self.decided: list[Entry] = []
        self.learned: list[Entry] = []
        self._parcels: list[dict[bytes, Held]] = [{} for _ in range(PARCELS)]
        self._kinds: dict[str, dict[str, Held]] = {}
        self._max_removed = max_removed
        self._removed: list[tuple[int, bytes]] = []  # A heap; some are there again.
        self._take_up_all()
        table.feed = self

    @property
    def tenure(self) -> int:
        """The highest that a record here was made in."""
        return tenure_of(self.highest)

    @property
    def living(self) -> int:
        """How many there are."""
        return sum(map(len, self._kinds.values()))

    # What is on its way to the disk, too

    def find(self, kind: str, id: str) -> Entry | None:  # noqa: A002
        """What stands there; `table.rests_on` says what that rests on."""
        found = self.table.find(_key(kind, id))
        return decoded(_decoder, found.value) if found else None

    def put(self, entry: Entry) -> None:
        """Let this stand there once it is safe."""
        self.highest = max(self.highest, entry.version)
        self.table.put(_key(entry.kind, entry.id), _encode(entry), NEVER)

    def learn(self, entries: Iterable[Entry]) -> None:
        """Take over what is newer than what is here, as long as there is room."""
        for entry in entries:
            had = self.find(entry.kind, entry.id)
            if had is None and self.table.size >= MAX_KEPT:
                continue
            if not self.table.burdened and (had is None or had.rank < entry.rank):
                key, value = _key(entry.kind, entry.id), _encode(entry)
                self.learned.append(self._take_up(key, value))
                self.table.put(key, value, NEVER)

    # What others may know

    def all_of(self, kind: str) -> Iterator[Entry]:
        """All of a kind that were not removed."""
        for held in list(self._kinds.get(kind, {}).values()):
            yield decoded(_decoder, held.value)

    def safe(self, kind: str, id: str) -> Entry | None:  # noqa: A002
        """What stands there, removed or not."""
        key = _key(kind, id)
        held = self._parcels[_parcel(key)].get(key)
        return decoded(_decoder, held.value) if held else None

    def rows(self, parcel: int) -> list[Row]:
        """What a parcel holds."""
        return [held.row for held in self._parcels[parcel].values()]

    def lacks(self, row: Row) -> bool:
        """Is that newer than what is here?"""
        key = _key(row.kind, row.id)
        held = self._parcels[_parcel(key)].get(key)
        return held is None or _rank(held.row) < _rank(row)

    # Feed: the table says what is safe

    def changed(self, key: bytes, value: bytes | None, sequence: int) -> None:
        """A key has that now."""
        held = self._parcels[_parcel(key)].get(key)
        if value is None:
            self._let_go(key)
        elif held is None or held.value is not value:
            self.decided.append(self._take_up(key, value))

    def flushed(self, sequence: int) -> None:
        """No key has anything now: never, since nobody can say so here."""
        raise AssertionError("records are not flushed")

    def closed(self, unit: int) -> None:
        """They are all here for ever."""

    def refused(self) -> None:
        """The table is as it was before: so is the index."""
        for parcel in self._parcels:
            parcel.clear()
        self._kinds.clear()
        self._removed.clear()
        self.sums = [0] * PARCELS
        self._take_up_all()

    def forget_removed(self) -> None:
        """Remember no more than the last that were removed."""
        while len(self._removed) > self._max_removed:
            _, key = heappop(self._removed)
            held = self._parcels[_parcel(key)].get(key)
            if held and held.removed and self._stands(key, held):
                self.table.drop(key)

    def _stands(self, key: bytes, held: Held) -> bool:
        found = self.table.find(key)
        return found is not None and found.value is held.value

    def _take_up_all(self) -> None:
        for slot in self.table.slots:
            for key, entry in slot.items():
                self._take_up(key, entry.value)

    def _take_up(self, key: bytes, value: bytes) -> Entry:
        entry = decoded(_decoder, value)
        last = entry.changes[-1]
        row = Row(entry.kind, entry.id, last.version, last.request)
        self._let_go(key)
        held = Held(row, entry.body is None, value)
        self._parcels[_parcel(key)][key] = held
        self.sums[_parcel(key)] ^= _print(row)
        self.highest = max(self.highest, last.version)
        if held.removed:
            heappush(self._removed, (last.version, key))
        else:
            self._kinds.setdefault(entry.kind, {})[entry.id] = held
        return entry

    def _let_go(self, key: bytes) -> None:
        held = self._parcels[_parcel(key)].pop(key, None)
        if held:
            self.sums[_parcel(key)] ^= _print(held.row)
            if not held.removed:
                del self._kinds[held.row.kind][held.row.id]


def _key(kind: str, id: str) -> bytes:  # noqa: A002
    return f"{kind}/{id}".encode()


def _parcel(key: bytes) -> int:
    return xxh3_64_intdigest(key) % PARCELS


def _rank(row: Row) -> tuple[int, int]:
    return row.version, row.request


def _print(row: Row) -> int:
    text = f"{row.kind}/{row.id} {row.version} {row.request}"
    return xxh3_64_intdigest(text.encode()) >> 2  # As many bits as travel.
