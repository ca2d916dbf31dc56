"""What the owner of a unit bears in mind, as long as it owns it: versions and claims.

A claim is kept with its record; when its holder was last heard is only here. A new
owner has heard of all holders when it began: a claim may last longer, and not shorter.

The holder counts its seconds from when it asked, by its own clock, and the owner counts
them from when it heard of it, by its own and a little longer: as long as no clock is
wrong by more than two seconds in a hundred, it has ended for its holder before another
has the record.
"""

from collections.abc import Callable, Iterable
from heapq import heapify, heappop, heappush

import msgspec

from shoal.table.records.messages import (
    Entry,
    Id,
    Kind,
    Version,
)

# 1.02 / 0.98: the owner's clock may be that much faster than the holder's.
DRIFT = 1.041


class Head(msgspec.Struct, frozen=True, array_like=True):
    """An entry, its body as it is written."""

    kind: Kind
    id: Id
    version: Version
    body: msgspec.Raw

    @property
    def removed(self) -> bool:
        """Has it no body?"""
        return bytes(self.body) == b"\xc0"


class Tenure:
    """One unit's."""

    def __init__(self, now: float, stored: Iterable[tuple[bytes, Head]]) -> None:
        """`stored`: all keys of the unit, and what they have."""
        self._began = now
        self._heard: dict[str, float] = {}
        self._highest = 0
        self._removed: list[tuple[int, bytes]] = []
        for key, head in stored:
            self._highest = max(self._highest, head.version)
            if head.removed:
                self._removed.append((head.version, key))
        heapify(self._removed)

    def next_version(self) -> int:
        """One above all that any record of the unit has had."""
        self._highest += 1
        return self._highest

    # What was removed

    def bury(self, version: int, key: bytes) -> None:
        """It is remembered that it was removed."""
        heappush(self._removed, (version, key))

    def forget(self, drop: Callable[[int, bytes], None], most: int) -> None:
        """Remember no more than the last of them."""
        while len(self._removed) > most:
            drop(*heappop(self._removed))

    # Claims

    def hear(self, entry: Entry, now: float) -> None:
        """Who claims it is there."""
        self._heard[f"{entry.kind}/{entry.id}"] = now

    def left_s(self, entry: Entry, now: float) -> float:
        """How long it is not to be another's yet."""
        if entry.claim is None:
            return 0.0
        heard = self._heard.get(f"{entry.kind}/{entry.id}", self._began)
        return max(0.0, heard + DRIFT * entry.claim.seconds - now)

    def unclaim(self, entry: Entry) -> None:
        """It is nobody's."""
        self._heard.pop(f"{entry.kind}/{entry.id}", None)
