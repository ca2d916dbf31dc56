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

    def rank(self, key: str) -> Rank:
        """What a line of it must exceed to tell something new."""
        if entry := self._catalog.entries.get(key):
            return entry.stamp, False, entry.mark
        if ended := self._catalog.ended.get(key):
            return ended.stamp, True, ended.mark
        return NOWHERE

    def sums(self, now: float) -> tuple[int, ...]:
        """A sum for each parcel, that the order does not change."""
        sums = [0] * PARCELS
        for key, entry in self._catalog.entries.items():
            if is_shared(entry):
                said = entry.mark + 2 * entry.stamp * _SPREAD & _MASK
                sums[parcel_of(key)] += (said ^ (said >> 31)) * _STIR
        for key, ended in self._catalog.ended.items():
            if ended.until <= now:  # Else each would remind the other for ever.
                continue
            said = ended.mark + (2 * ended.stamp + 1) * _SPREAD & _MASK
            sums[parcel_of(key)] += (said ^ (said >> 31)) * _STIR
        return tuple(each & _MASK for each in sums)

    def by_parcel(self, parcels: Iterable[int]) -> dict[int, list[str]]:
        """All keys of these parcels."""
        found: dict[int, list[str]] = {parcel: [] for parcel in parcels}
        if found:
            for known in (self._catalog.entries, self._catalog.ended):
                for key in known:
                    if (parcel := parcel_of(key)) in found:
                        found[parcel].append(key)
        return found

    def lines(self, keys: Iterable[str], now: float) -> Iterator[Line]:
        """What is known of those of them that are known."""
        for key in keys:
            entry, ended = self._catalog.entries.get(key), self._catalog.ended.get(key)
            if entry and is_shared(entry):
                yield Line(key, entry.stamp, entry.mark, *left_ms(entry, now))
            elif ended and not entry and ended.until > now:
                left = _milliseconds(ended.until - now)
                yield Line(key, ended.stamp, ended.mark, left, 0, ended=True)


def is_shared(entry: Entry) -> bool:
    """Can others read it? What is longest grows by who it is from."""
    size_bytes = len(entry.before) + len(entry.after) + FRAMING_BYTES
    return size_bytes <= MAX_UPDATE_BYTES


def parcel_of(key: str) -> int:
    """In which parcel a key is summed up."""
    return crc32(key.encode()) % PARCELS


def left_ms(entry: Entry, now: float) -> tuple[int, int]:
    """How long it lives, and how much of that is because we were away."""
    return _milliseconds(entry.expires - now), _milliseconds(entry.away_s)


def _milliseconds(seconds: float) -> int:
    return max(0, min(int(seconds * 1000), MAX_MS))
