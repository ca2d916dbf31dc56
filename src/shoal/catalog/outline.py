"""A catalog in outline: a line for each record, a sum for each parcel of them.

Two catalogs whose sums are equal know the same, the memory of what has ended too.
"""

from collections.abc import Iterable, Iterator
from zlib import crc32

from shoal.catalog.messages import MAX_UPDATE_BYTES, Entry
from shoal.catalog.protocol import Catalog
from shoal.catalog.shared import MAX_MS, PARCELS, Line

# Head and tail of a record's text hold less beside what they say.
FRAMING_BYTES = 64

# Odd numbers without a pattern, of the golden ratio and of pi.
_SPREAD, _STIR, _MASK = 0x9E3779B97F4A7C15, 0x243F6A8885A308D3, 2**62 - 1

Rank = tuple[int, bool, int]

NOWHERE: Rank = (-1, False, 0)


class Outline:
    """What is known of a catalog's records without reading them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._sums = [0] * PARCELS
        self._parcels: list[dict[str, int]] = [{} for _ in range(PARCELS)]

    def rank(self, key: str) -> Rank:
        """What a line of it must exceed to tell something new."""
        if entry := self._catalog.entries.get(key):
            return entry.stamp, False, entry.mark
        if ended := self._catalog.ended.get(key):
            return ended.stamp, True, ended.mark
        return NOWHERE

    def sums(self) -> tuple[int, ...]:
        """A sum for each parcel, that the order does not change."""
        self._catch_up()
        return tuple(self._sums)

    def keys(self, parcel: int) -> list[str]:
        """All keys of a parcel."""
        self._catch_up()
        return list(self._parcels[parcel])

    def _catch_up(self) -> None:
        """Sum up what changed. All of a full catalog takes 40 ms, that of 5 s one."""
        changed, self._catalog.changed = self._catalog.changed, {}
        for key in changed:
            parcel = parcel_of(key)
            keys, share = self._parcels[parcel], self._share(key)
            gained = share - keys.pop(key, 0)
            self._sums[parcel] = (self._sums[parcel] + gained) & _MASK
            if share:
                keys[key] = share

    def _share(self, key: str) -> int:
        """What a key adds to its sum: nothing if nothing is known of it."""
        stamp, ended, mark = self.rank(key)
        if stamp < 0 or not (ended or is_shared(self._catalog.entries[key])):
            return 0
        said = (mark + (2 * stamp + ended) * _SPREAD) & _MASK
        return (said ^ (said >> 31)) * _STIR & _MASK or 1

    def lines(self, keys: Iterable[str], now: float) -> Iterator[Line]:
        """What is known of those of them that are known."""
        for key in keys:
            entry, ended = self._catalog.entries.get(key), self._catalog.ended.get(key)
            if entry and is_shared(entry):
                yield Line(key, entry.stamp, entry.mark, *left_ms(entry, now))
            elif ended and not entry and ended.until > now:
                # What is due to be forgotten is not told: one would else remind the
                # other, and that one the first, for ever.
                left = _milliseconds(ended.until - now)
                yield Line(key, ended.stamp, ended.mark, left, 0, ended=True)


def is_shared(entry: Entry) -> bool:
    """Can others read it? What is longest grows by who it is from."""
    return entry.text_bytes + FRAMING_BYTES <= MAX_UPDATE_BYTES


def parcel_of(key: str) -> int:
    """In which parcel a key is summed up."""
    return crc32(key.encode()) % PARCELS


def left_ms(entry: Entry, now: float) -> tuple[int, int]:
    """How long it lives, and how much of that is because we were away."""
    return _milliseconds(entry.expires - now), _milliseconds(entry.away_s)


def _milliseconds(seconds: float) -> int:
    return max(0, min(int(seconds * 1000), MAX_MS))
