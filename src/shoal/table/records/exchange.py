"""Two copies made level: sums first, then versions, then only what is lacking.

Who lacks something pulls, a megabyte at a time, each asked for when the last has come:
so a large copy fills no link, and is as fast as the slower of the two. Whoever answers
keeps nothing in mind.
"""

import math
from collections.abc import Iterable
from itertools import count

from msgspec import Struct

from shoal.core.machine import PeerId
from shoal.table.records.messages import (
    ENTRIES_BYTES,
    LISTED_ROWS,
    MAX_ENTRIES,
    MAX_FETCHED,
    PARCELS,
    Compare,
    Entry,
    Fetch,
    Fetched,
    Listing,
    Name,
    Row,
)
from shoal.table.records.shelf import Shelf

# A step of a pull that takes longer has failed.
PATIENCE_S = 2.0

# What an entry weighs beside its body.
ENTRY_BYTES = 256


class Pull(Struct):
    """What we do not know yet of what another has."""

    number: int
    began: float
    due: float
    listed: bool = False
    oath: int = 0  # What came with the first listing.
    lacking: list[Name] = []
    rest: tuple[int, ...] = ()


class Exchange:
    """Pulls under way, one from each peer at most."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._numbers = count(1)
        self._pulls: dict[PeerId, Pull] = {}
        self.oaths: dict[PeerId, int] = {}  # Of pulls that have ended.
        self.heard = 0  # The highest tenure that anybody has told us of.

    @property
    def deadline(self) -> float:
        """When the next pull has failed."""
        return min((pull.due for pull in self._pulls.values()), default=math.inf)

    @property
    def tenure(self) -> int:
        """The highest there is, as far as we know."""
        return max(self.heard, self._shelf.tenure)

    def pulling(self, peers: Iterable[PeerId]) -> bool:
        """Is a pull from any of these under way?"""
        return any(peer in self._pulls for peer in peers)

    # Who pulls

    def begin(self, peer: PeerId, now: float) -> Compare | None:
        """Find out what a peer has that we lack, unless that is under way."""
        if peer in self._pulls:
            return None
        pull = Pull(next(self._numbers), now, now + PATIENCE_S)
        self._pulls[peer] = pull
        return self._compare(pull, tuple(range(PARCELS)))

    def listed(
        self, peer: PeerId, listing: Listing, now: float
    ) -> Compare | Fetch | None:
        """Versions came: what to ask next, or nothing if the pull has ended."""
        pull = self._pulls.get(peer)
        if pull is None or pull.number != listing.number or pull.lacking:
            return None
        self.heard = max(self.heard, listing.tenure)
        pull.rest = listing.rest
        # Of several listings the first counts: it may lack what came after it.
        if not pull.listed:
            pull.oath, pull.listed = listing.oath, True
        newer = (row for row in listing.rows if self._shelf.lacks(row))
        pull.lacking = [Name(row.kind, row.id) for row in newer]
        return self._go_on(peer, pull, now)

    def fetched(
        self, peer: PeerId, fetched: Fetched, now: float
    ) -> Compare | Fetch | None:
        """Entries came, and were learned: what to ask next, if anything."""
        pull = self._pulls.get(peer)
        if pull is None or pull.number != fetched.number or not pull.lacking:
            return None
        del pull.lacking[: max(1, fetched.answered)]
        return self._go_on(peer, pull, now)

    def drop(self, peer: PeerId) -> None:
        """What we know of it is of the past."""
        self._pulls.pop(peer, None)
        self.oaths.pop(peer, None)

    def expire(self, now: float) -> list[PeerId]:
        """Give up those that have failed; from whom they were."""
        failed = [peer for peer, pull in self._pulls.items() if pull.due <= now]
        for peer in failed:
            del self._pulls[peer]
        return failed

    def _go_on(self, peer: PeerId, pull: Pull, now: float) -> Compare | Fetch | None:
        pull.due = now + PATIENCE_S
        # A number is asked once: what comes late is not taken for the next answer.
        pull.number = next(self._numbers)
        if pull.lacking:
            return Fetch(pull.number, tuple(pull.lacking[:MAX_FETCHED]))
        if pull.rest:
            return self._compare(pull, pull.rest)
        self.oaths[peer] = self._pulls.pop(peer).oath
        return None

    def _compare(self, pull: Pull, parcels: tuple[int, ...]) -> Compare:
        sums = tuple(self._shelf.sums[parcel] for parcel in parcels)
        return Compare(pull.number, self.tenure, parcels, sums)

    # Who is pulled from

    def is_level(self, compare: Compare) -> bool:
        """Do we have the same?"""
        return not self._differing(compare)

    def _differing(self, compare: Compare) -> list[int]:
        pairs = zip(compare.parcels, compare.sums, strict=False)
        return [parcel for parcel, sum_ in pairs if self._shelf.sums[parcel] != sum_]

    def compared(self, compare: Compare, oath: int) -> Listing:
        """What we have of the parcels that differ."""
        self.heard = max(self.heard, compare.tenure)
        differing = self._differing(compare)
        rows: list[Row] = []
        while differing and len(rows) < LISTED_ROWS:
            rows += self._shelf.rows(differing.pop(0))
        return Listing(compare.number, self.tenure, oath, tuple(rows), tuple(differing))

    def fetch(self, fetch: Fetch) -> Fetched:
        """What was asked for, as much as a message holds."""
        entries, weight, answered = list[Entry](), 0, 0
        for name in fetch.names:
            if weight >= ENTRIES_BYTES:
                break
            answered += 1
            if entry := self._shelf.safe(name.kind, name.id):
                entries.append(entry)
                weight += weigh(entry)
        return Fetched(fetch.number, tuple(entries), answered)


def weigh(entry: Entry) -> int:
    """What it takes in a message, at most."""
    return ENTRY_BYTES + len(entry.body or b"")


def parcelled(entries: Iterable[Entry]) -> Iterable[tuple[Entry, ...]]:
    """Entries in portions of what a message holds."""
    portion, weight = list[Entry](), 0
    for entry in entries:
        portion.append(entry)
        weight += weigh(entry)
        if weight >= ENTRIES_BYTES or len(portion) == MAX_ENTRIES:
            yield tuple(portion)
            portion, weight = [], 0
    if portion:
        yield tuple(portion)
