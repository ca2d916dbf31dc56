"""What the catalogs of one network say to each other of what they have heard."""

from typing import Annotated

from msgspec import Meta, Struct

from shoal.catalog.messages import MAX_RECORDS, MAX_UPDATE_BYTES
from shoal.core.wire import COUNT

# A thousandth of all records differs where one does: few are listed for one.
PARCELS = 512

# What is read in a few milliseconds, so that a thousand records delay nobody.
MAX_LINES = 500
MAX_WANTED = 500
BATCH_BYTES = 64 << 10

# Address, port, name and uuid. Lines of all keys there can be fit into one frame.
MAX_KEY = 300

# A record lives for an hour at most where somebody chose so; a day says everything.
MAX_MS = 86_400_000

Count = Annotated[int, COUNT]
Key = Annotated[str, Meta(min_length=1, max_length=MAX_KEY)]
Milliseconds = Annotated[int, Meta(ge=0, le=MAX_MS)]
Parcels = Annotated[
    tuple[Annotated[int, Meta(ge=0, lt=PARCELS)], ...], Meta(max_length=PARCELS)
]


class Here(Struct, array_like=True, tag=1, frozen=True):
    """I am a catalog too."""


class Compare(Struct, array_like=True, tag=2, frozen=True):
    """What I know, as a sum for each parcel of keys."""

    sums: Annotated[tuple[Count, ...], Meta(min_length=PARCELS, max_length=PARCELS)]


class Line(Struct, array_like=True, frozen=True, gc=False):
    """What is known of a record: when it was heard, what it says, how long it lives.

    `left_ms` is in the clock of nobody: it holds though clocks differ. Of it `away_ms`
    is because a catalog was away. One that has ended is remembered for `left_ms`.
    """

    key: Key
    stamp: Count
    mark: Count
    left_ms: Milliseconds
    away_ms: Milliseconds = 0
    ended: bool = False

    @property
    def rank(self) -> tuple[int, bool, int]:
        """Of two lines the greater holds: all catalogs choose the same."""
        return self.stamp, self.ended, self.mark


class Lines(Struct, array_like=True, tag=3, frozen=True):
    """What I know of these; of some parcels it is all, and I ask for what I lack."""

    lines: Annotated[tuple[Line, ...], Meta(max_length=2 * MAX_RECORDS)]
    parcels: Parcels = ()


class Want(Struct, array_like=True, tag=4, frozen=True):
    """Please tell me these records."""

    number: Count
    keys: Annotated[tuple[Key, ...], Meta(max_length=MAX_WANTED)]


class Shared(Struct, array_like=True, frozen=True):
    """A record, as the catalog shows it that heard it."""

    stamp: Count
    left_ms: Milliseconds
    away_ms: Milliseconds
    text: Annotated[bytes, Meta(max_length=MAX_UPDATE_BYTES)]


class Told(Struct, array_like=True, tag=5, frozen=True):
    """Records, unasked (0) or of the first keys that were asked for."""

    number: Count
    answered: Annotated[int, Meta(ge=0, le=MAX_WANTED)]
    records: Annotated[tuple[Shared, ...], Meta(max_length=MAX_WANTED)]


SpreadMessage = Here | Compare | Lines | Want | Told
