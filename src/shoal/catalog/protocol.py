"""A catalog: records by key, each until nobody has spoken for it for its lifetime.

Updates and the time go in, what is to be kept of it comes out. The invariant: a record
is here if and only if an update of it was taken within its lifetime, and not before one
lifetime after the start is any that came from the history let go.

A key is where an update came from, its port, name and uuid, as in the catalogs of
CCTools; so whoever sends can only speak for their own address.
"""

import math
from bisect import bisect_left, insort
from heapq import heapify, heappop, heappush

from shoal.catalog.messages import (
    LIFETIME_S,
    MAX_READY_BYTES,
    MAX_RECORDS,
    MAX_TABLE_BYTES,
    MAX_TYPE,
    Change,
    Ended,
    Entry,
    Fields,
    Forgotten,
    Heard,
    entry_of,
    remembered_s,
)
from shoal.catalog.updates import decode
from shoal.core.machine import Emit
from shoal.errors import MalformedMessage, Overloaded

Effects = list[Emit[Change]]

# That a record was heard again, unchanged, is kept so often in its lifetime: a history
# that said it each time would grow by a gigabyte a day.
KEPT_AGAIN = 4

# Times to look that are not worth the work of finding out which still count.
FEW = 1000


class Catalog:
    """Who offers what, as far as they have said so lately."""

    def __init__(self, now: float, *, lifetime_s: int = LIFETIME_S) -> None:
        self.lifetime_s = lifetime_s
        self.entries: dict[str, Entry] = {}
        self.version = 0  # Changes with anything that an answer could show.
        self.taken = self.refused = self.junk = 0
        # For other catalogs, if any are told: what was heard since they were, and
        # whether it is new; what changed since it was summed up; what ended, in order.
        self.shared = False
        self.fresh: dict[str, bool] = {}
        self.changed: dict[str, None] = {}
        self.ended: dict[str, Ended] = {}
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
            effects += self._end(entry, now)
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
        entry.stamp = self._stamp(entry.key, now)
        self._take(entry, now, now + entry.lifetime_s)
        if self.shared:
            self.fresh[entry.key] = True
        return [Emit(Heard(entry.key, entry.text, now))]

    def load(self, entry: Entry) -> None:
        """Take a record from the history, as it was."""
        entry.heard = min(entry.heard, int(self._started))  # A clock was set back.
        entry.stamp = entry.heard * 1000
        entry.away_s = self._started - entry.heard
        self._put(entry, self._started + entry.lifetime_s)

    # From other catalogs

    def is_elder(self, now: float) -> bool:
        """Have we been here so long that whoever lives has told us?"""
        return now - self._started >= self.lifetime_s

    def has_room(self) -> bool:
        """Would one more record be taken?"""
        return (
            len(self.entries) < MAX_RECORDS and self._size_bytes + 1 < MAX_TABLE_BYTES
        )

    def adopt(self, entry: Entry, left_s: float, now: float) -> Effects:
        """Take a record as another catalog heard it."""
        self._take(entry, now, now + min(left_s, entry.lifetime_s))
        return [Emit(Heard(entry.key, entry.text, now))]

    def hear_of(self, entry: Entry, stamp: int, left_s: float, now: float) -> Effects:
        """Another catalog has heard again of what we have too."""
        entry.stamp = stamp
        entry.heard = min(stamp // 1000, int(now))
        entry.expires = now + min(left_s, entry.lifetime_s)
        if entry.expires < entry.due:
            self._look_then(entry, entry.expires)
        self.version += 1
        self.changed[entry.key] = None
        return self._kept_again(entry, now)

    def end(self, key: str, ended: Ended, now: float) -> Effects:
        """Let go of a record that has ended in another catalog."""
        if entry := self.entries.get(key):
            self._drop(entry)
        self.remember(key, ended)
        return [Emit(Forgotten(key, now, ended.stamp, ended.mark))]

    def remember(self, key: str, ended: Ended) -> None:
        """No copy of it may come back; of too many ends the oldest are forgotten."""
        self.ended[key] = ended
        self.changed[key] = None
        if len(self.ended) > MAX_RECORDS:
            oldest = next(iter(self.ended))
            del self.ended[oldest]
            self.changed[oldest] = None

    def forget(self, now: float) -> None:
        """Forget what ended so long ago that no copy of it is left."""
        for key in [key for key, each in self.ended.items() if each.until <= now]:
            del self.ended[key]
            self.changed[key] = None

    def endings(self, now: float) -> list[Change]:
        """What is remembered of what ended, for the history."""
        kept_s = remembered_s(self.lifetime_s)
        return [
            Forgotten(key, min(each.until - kept_s, now), each.stamp, each.mark)
            for key, each in self.ended.items()
        ]

    # Answers

    def in_order(self) -> list[Entry]:
        """All records by name, large letters as small ones."""
        entries = self.entries
        return [entries[key] for _, key in self._order]

    def of_types(self, types: frozenset[str] | None) -> list[Entry]:
        """Records of these types in order; of any if none are named."""
        if types is None:
            return self.in_order()
        types = frozenset(each[:MAX_TYPE] for each in types)
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
        entry.stamp = max(int(now * 1000), entry.stamp + 1)
        entry.away_s = 0.0
        entry.expires = now + entry.lifetime_s
        if entry.expires < entry.due:  # The clock was set back.
            self._look_then(entry, entry.expires)
        if self.shared:
            self.fresh.setdefault(entry.key, False)
            self.changed[entry.key] = None
        return self._kept_again(entry, now)

    def _kept_again(self, entry: Entry, now: float) -> Effects:
        if now - entry.kept < entry.lifetime_s / KEPT_AGAIN:
            return []
        entry.kept = int(now)
        return [Emit(Heard(entry.key, entry.text, now))]

    def _stamp(self, key: str, now: float) -> int:
        """Later than whatever is known of it, though another's clock be fast."""
        known = self.entries.get(key) or self.ended.get(key)
        return max(int(now * 1000), known.stamp + 1 if known else 0)

    def _take(self, entry: Entry, now: float, expires: float) -> None:
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
        self._put(entry, expires)

    def _put(self, entry: Entry, expires: float) -> None:
        old = self.entries.get(entry.key)
        self.ended.pop(entry.key, None)
        entry.expires = expires
        if old is not None:
            self._unlink(old)
            entry.due = old.due
        else:
            insort(self._order, order(entry))
        self.entries[entry.key] = entry
        if expires < entry.due:
            self._look_then(entry, expires)
        self._by_type.setdefault(entry.type, {})[entry.key] = entry
        if entry.update is not None:
            self._by_update[entry.address, entry.host, entry.update] = entry
        self._size_bytes += entry.size_bytes
        self.version += 1
        if self.shared:
            self.changed[entry.key] = None

    def _look_then(self, entry: Entry, at: float) -> None:
        entry.due = at
        heappush(self._expiries, (at, entry.key))
        if len(self._expiries) > 2 * len(self.entries) + FEW:  # Most are outdated.
            self._expiries = [(each.due, key) for key, each in self.entries.items()]
            heapify(self._expiries)

    def _end(self, entry: Entry, now: float) -> Effects:
        if self.shared:
            heard = entry.expires - entry.lifetime_s
            until = heard + remembered_s(self.lifetime_s)
            return self.end(entry.key, Ended(entry.stamp, entry.mark, until), now)
        self._drop(entry)
        return [Emit(Forgotten(entry.key, now))]

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
