"""A catalog: records by key, each until nobody has spoken for it for its lifetime.

Updates and the time go in, what is to be kept of it comes out. The invariant: a record
is here if and only if an update of it was taken within its lifetime, and not before one
lifetime after the start is any that came from the history let go.

A key is where an update came from, its port, name and uuid, as in the catalogs of
CCTools; so whoever sends can only speak for their own address.
"""

import math
from bisect import bisect_left, insort
from heapq import heappop, heappush

from shoal.catalog.messages import (
    LIFETIME_S,
    MAX_READY_BYTES,
    MAX_RECORDS,
    MAX_TABLE_BYTES,
    Change,
    Entry,
    Fields,
    Forgotten,
    Heard,
    entry_of,
)
from shoal.catalog.updates import decode
from shoal.core.machine import Emit
from shoal.errors import MalformedMessage, Overloaded

Effects = list[Emit[Change]]

# That a record was heard again, unchanged, is kept so often in its lifetime: a history
# that said it each time would grow by a gigabyte a day.
KEPT_AGAIN = 4


class Catalog:
    """Who offers what, as far as they have said so lately."""

    def __init__(self, now: float, *, lifetime_s: int = LIFETIME_S) -> None:
        self.lifetime_s = lifetime_s
        self.entries: dict[str, Entry] = {}
        self.version = 0  # Changes with anything that an answer could show.
        self.taken = self.refused = self.junk = 0
        self._started = now
        self._size_bytes = 0
        self._by_type: dict[str, dict[str, Entry]] = {}
        self._by_update: dict[tuple[str, str | None, int], Entry] = {}
        self._expiries: list[tuple[float, str]] = []
        self._order: list[tuple[str, str]] = []
        self._ready_bytes = 0

    @property
    def deadline(self) -> float:
        """When the next record may end."""
        return self._expiries[0][0] if self._expiries else math.inf

    def wake(self, now: float, *, most: float = math.inf) -> Effects:
        """Let go of records that nobody has spoken for: of so many at most."""
        effects: Effects = []
        while self._expiries and self._expiries[0][0] <= now and len(effects) < most:
            due, key = heappop(self._expiries)
            entry = self.entries.get(key)
            if entry is None or entry.due != due:
                continue
            if entry.expires > now:  # It was heard again.
                self._look_then(entry, entry.expires)
                continue
            self._drop(entry)
            effects.append(Emit(Forgotten(key, now)))
        return effects

    def offer(self, data: bytes, address: str, host: str | None, now: float) -> Effects:
        """Take an update from that address; `MalformedMessage` if it is none."""
        # 64 bits that nobody can foresee; who meets them twice hides their own update.
        update = hash(data)
        known = self._by_update.get((address, host, update))
        if known is not None:
            return self._hear_again(known, now)
        try:
            fields = decode(data)
        except MalformedMessage:
            self.junk += 1
            raise
        entry = entry_of(
            fields,
            address=address,
            host=host,
            heard=int(now),
            lifetime_s=self.lifetime_s,
        )
        entry.update, entry.host = update, host
        self._take(entry, now)
        return [Emit(Heard(entry.key, entry.text, now))]

    def load(self, entry: Entry) -> None:
        """Take a record from the history, as it was."""
        self._put(entry, max(entry.heard, self._started) + entry.lifetime_s)

    # Answers

    def in_order(self) -> list[Entry]:
        """All records by name, large letters as small ones."""
        entries = self.entries
        return [entries[key] for _, key in self._order]

    def of_types(self, types: frozenset[str] | None) -> list[Entry]:
        """Records of these types in order; of any if none are named."""
        if types is None:
            return self.in_order()
        groups = [self._by_type.get(each, {}).values() for each in sorted(types)]
        if sum(map(len, groups)) > len(self.entries) // 8:  # Sorting takes longer.
            return [entry for entry in self.in_order() if entry.type in types]
        return sorted((entry for group in groups for entry in group), key=order)

    def fields_of(self, entry: Entry) -> Fields:
        """The record as filters want it, kept so while there is room."""
        if entry.fields_ready is None and self.entries.get(entry.key) is entry:
            room = MAX_READY_BYTES - self._ready_bytes
            self._ready_bytes += entry.make_ready(room)
        return entry.fields

    # Records

    def _hear_again(self, entry: Entry, now: float) -> Effects:
        self.taken += 1
        self.version += 1
        entry.heard = int(now)
        entry.expires = now + entry.lifetime_s
        if now - entry.kept < entry.lifetime_s / KEPT_AGAIN:
            return []
        entry.kept = int(now)
        return [Emit(Heard(entry.key, entry.text, now))]

    def _take(self, entry: Entry, now: float) -> None:
        old = self.entries.get(entry.key)
        size = self._size_bytes + entry.size_bytes - (old.size_bytes if old else 0)
        if (old is None and len(self.entries) >= MAX_RECORDS) or size > MAX_TABLE_BYTES:
            self.refused += 1
            raise Overloaded(
                f"record {entry.key}: the catalog is full, with {len(self.entries):,} "
                "records; wait until some end"
            )
        self.taken += 1
        entry.kept = int(now)
        self._put(entry, now + entry.lifetime_s)

    def _put(self, entry: Entry, expires: float) -> None:
        old = self.entries.get(entry.key)
        entry.expires = expires
        if old is not None:
            self._unlink(old)
            entry.due = old.due
        else:
            insort(self._order, order(entry))
        if expires < entry.due:
            self._look_then(entry, expires)
        self.entries[entry.key] = entry
        self._by_type.setdefault(entry.type, {})[entry.key] = entry
        if entry.update is not None:
            self._by_update[entry.address, entry.host, entry.update] = entry
        self._size_bytes += entry.size_bytes
        self.version += 1

    def _look_then(self, entry: Entry, at: float) -> None:
        entry.due = at
        heappush(self._expiries, (at, entry.key))

    def _drop(self, entry: Entry) -> None:
        self._unlink(entry)
        del self.entries[entry.key]
        del self._order[bisect_left(self._order, order(entry))]
        self.version += 1

    def _unlink(self, entry: Entry) -> None:
        group = self._by_type[entry.type]
        del group[entry.key]
        if not group:
            del self._by_type[entry.type]
        if entry.update is not None:
            self._by_update.pop((entry.address, entry.host, entry.update), None)
        self._size_bytes -= entry.size_bytes
        self._ready_bytes -= entry.ready_bytes
        entry.fields_ready, entry.ready_bytes = None, 0


def order(entry: Entry) -> tuple[str, str]:
    """By name, large letters as small ones."""
    return entry.name.lower(), entry.key
