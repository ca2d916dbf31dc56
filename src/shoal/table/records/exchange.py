"""Two boards made level: sums first, then versions, then only what is lacking.

Who lacks something pulls, a megabyte at a time, each asked for when the last has come:
so a large board fills no link, and is as fast as the slower of the two. Whoever answers
keeps nothing in mind.
"""

import math
from collections.abc import Iterable
from itertools import count

from msgspec import Struct

from shoal.core.machine import PeerId
from shoal.core.records import Record
from shoal.table.records.board import Board
from shoal.table.records.messages import (
    LINES_BYTES,
    LISTED_ROWS,
    MAX_FETCHED,
    MAX_LINES,
    Compare,
    Entry,
    Fetch,
    Fetched,
    Line,
    Listing,
    Name,
    Row,
)

# A step of a pull that takes longer has failed.
PATIENCE_S = 2.0

# What a line weighs beside its body.
LINE_BYTES = 256


class Pull(Struct):
    """What we do not know yet of what another has."""

    number: int
    parcels: tuple[int, ...]
    due: float
    sure: bool = True  # Was all that came from who owns it?
    lacking: list[Name] = []
    rest: tuple[int, ...] = ()


class Exchange:
    """Pulls under way, one from each peer at most."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._numbers = count(1)
        self._pulls: dict[PeerId, Pull] = {}
        self.done: list[tuple[int, ...]] = []  # As their owners have them.

    @property
    def deadline(self) -> float:
        """When the next pull has failed."""
        return min((pull.due for pull in self._pulls.values()), default=math.inf)

    # Who pulls

    def begin(
        self, peer: PeerId, parcels: tuple[int, ...], now: float
    ) -> Compare | None:
        """Find out what a peer has that we lack, unless that is under way."""
        if peer in self._pulls:
            return None
        pull = Pull(next(self._numbers), parcels, now + PATIENCE_S)
        self._pulls[peer] = pull
        return self._compare(pull, parcels)

    def listed(
        self, peer: PeerId, listing: Listing, now: float
    ) -> Compare | Fetch | None:
        """Versions came: what to ask next, or nothing if the pull has ended."""
        pull = self._pulls.get(peer)
        if pull is None or pull.number != listing.number or pull.lacking:
            return None
        pull.rest, pull.sure = listing.rest, pull.sure and listing.sure
        newer = (
            row
            for row in listing.rows
            if self._board.lacks(row.kind, row.id, row.version)
        )
        pull.lacking = [Name(row.kind, row.id) for row in newer]
        return self._go_on(peer, pull, now)

    def fetched(
        self, peer: PeerId, fetched: Fetched, now: float
    ) -> Compare | Fetch | None:
        """Lines came, and were learned: what to ask next, if anything."""
        pull = self._pulls.get(peer)
        if pull is None or pull.number != fetched.number or not pull.lacking:
            return None
        del pull.lacking[: max(1, fetched.answered)]
        return self._go_on(peer, pull, now)

    def drop(self, peer: PeerId) -> None:
        """What we know of it is of the past."""
        self._pulls.pop(peer, None)

    def expire(self, now: float) -> None:
        """Give up those that have failed."""
        failed = [peer for peer, pull in self._pulls.items() if pull.due <= now]
        for peer in failed:
            del self._pulls[peer]

    def _go_on(self, peer: PeerId, pull: Pull, now: float) -> Compare | Fetch | None:
        pull.due = now + PATIENCE_S
        # A number is asked once: what comes late is not taken for the next answer.
        pull.number = next(self._numbers)
        if pull.lacking:
            return Fetch(pull.number, tuple(pull.lacking[:MAX_FETCHED]))
        if pull.rest:
            return self._compare(pull, pull.rest)
        if self._pulls.pop(peer).sure:
            self.done.append(pull.parcels)
        return None

    def _compare(self, pull: Pull, parcels: tuple[int, ...]) -> Compare:
        sums = tuple(self._board.sums[parcel] for parcel in parcels)
        return Compare(pull.number, parcels, sums)

    # Who is pulled from

    def _differing(self, compare: Compare) -> list[int]:
        pairs = zip(compare.parcels, compare.sums, strict=False)
        return [parcel for parcel, sum_ in pairs if self._board.sums[parcel] != sum_]

    def compared(self, compare: Compare, *, sure: bool) -> Listing:
        """What we have of the parcels that differ."""
        differing = self._differing(compare)
        rows: list[Row] = []
        while differing and len(rows) < LISTED_ROWS:
            rows += self._board.rows(differing.pop(0))
        return Listing(compare.number, sure, tuple(rows), tuple(differing))

    def fetch(self, fetch: Fetch) -> Fetched:
        """What was asked for, as much as a message holds."""
        lines, weight, answered = list[Line](), 0, 0
        for name in fetch.names:
            if weight >= LINES_BYTES:
                break
            answered += 1
            if record := self._board.find(name.kind, name.id):
                lines.append(line_of(record))
                weight += weigh(record)
        return Fetched(fetch.number, tuple(lines), answered)


def line_of(record: Record) -> Line:
    """A record as it travels."""
    body = None if record.removed else record.body
    return Line(record.kind, record.id, record.version, body)


def record_of(line: Line | Entry) -> Record:
    """A record as it is known."""
    removed = line.body is None
    return Record(line.kind, line.id, line.version, line.body or b"", removed)


def weigh(record: Record) -> int:
    """What it takes in a message, at most."""
    return LINE_BYTES + len(record.body)


def parcelled(records: Iterable[Record]) -> Iterable[tuple[Line, ...]]:
    """Records in portions of what a message holds."""
    portion, weight = list[Line](), 0
    for record in records:
        portion.append(line_of(record))
        weight += weigh(record)
        if weight >= LINES_BYTES or len(portion) == MAX_LINES:
            yield tuple(portion)
            portion, weight = [], 0
    if portion:
        yield tuple(portion)
