"""What peers say to one another about records, and how a record lies on the disk.

A version is the tenure of the keeper that made it and a count within that tenure. A
tenure is an epoch, higher than any its keeper had heard of, and ten random bits, since
on the two sides of a partition two keepers may begin the same epoch.
"""

import re
from random import Random
from typing import Annotated

from msgspec import Meta, Struct

from shoal.core.wire import COUNT

MAX_BODY_BYTES = 1 << 20

# A network keeps so many: 100,000 jobs, and the datasets. Then nothing new is created.
MAX_RECORDS = 120_000

# Of what was removed it is remembered that it was, of the last so many: who was away
# during so many removals may bring one back.
MAX_REMOVED = 50_000

# Two sides of a partition, each full; more is invented.
MAX_KEPT = 2 * (MAX_RECORDS + MAX_REMOVED)

# A repeated request is known again unless so many changes of that record came between.
MAX_CHANGES = 8

KIND_PATTERN = r"^[a-z][a-z0-9-]{0,23}\Z"
ID_PATTERN = r"^[!-.0-~]{1,64}\Z"  # Printable, without spaces and slashes.

Count = Annotated[int, COUNT]
# A million takeovers. What is beyond was invented: our own stay below it.
_COUNT_BITS, _SALT_BITS, _MAX_EPOCH = 32, 10, 2**20 - 2
_END = (_MAX_EPOCH + 1) << _SALT_BITS

Version = Annotated[int, Meta(ge=0, lt=_END << _COUNT_BITS)]
Tenure = Annotated[int, Meta(ge=0, lt=_END)]
Kind = Annotated[str, Meta(pattern=KIND_PATTERN)]
Id = Annotated[str, Meta(pattern=ID_PATTERN)]
Body = Annotated[bytes, Meta(max_length=MAX_BODY_BYTES)]

# Versions


def tenure_of(version: int) -> int:
    """Whose keeper made it."""
    return version >> _COUNT_BITS


def first_of(tenure: int) -> int:
    """The first version of a tenure."""
    return tenure << _COUNT_BITS


def above(tenure: int, rng: Random) -> int:
    """A tenure of the next epoch."""
    epoch = min((tenure >> _SALT_BITS) + 1, _MAX_EPOCH)
    return epoch << _SALT_BITS | rng.getrandbits(_SALT_BITS)


# Records


class Change(Struct, frozen=True, array_like=True, gc=False):
    """Which request made a version: asked again, it has the same answer."""

    request: Count
    version: Version


Changes = Annotated[tuple[Change, ...], Meta(min_length=1, max_length=MAX_CHANGES)]


class Entry(Struct, frozen=True, array_like=True):
    """A record as it is kept and sent. Without a body it was removed."""

    kind: Kind
    id: Id
    changes: Changes
    body: Body | None

    @property
    def version(self) -> int:
        """What it has now."""
        return self.changes[-1].version

    @property
    def rank(self) -> tuple[int, int]:
        """What decides between two: two keepers may have made one version."""
        last = self.changes[-1]
        return last.version, last.request

    def made_by(self, request: int) -> int | None:
        """Which version that request made, as far as it is remembered."""
        made = (each.version for each in self.changes if each.request == request)
        return next(made, None)


# Requests to the keeper, and its answers


class Create(Struct, frozen=True, array_like=True, tag=1):
    """Keep this under a new name."""

    kind: Kind
    id: Id
    body: Body


class Read(Struct, frozen=True, array_like=True, tag=2):
    """What stands there?"""

    kind: Kind
    id: Id


class Swap(Struct, frozen=True, array_like=True, tag=3):
    """Put this, or nothing, in the place of that version."""

    kind: Kind
    id: Id
    version: Version
    body: Body | None


What = Create | Read | Swap


class Ask(Struct, frozen=True, array_like=True, tag=1):
    """Please do this. `tenure` is the last one that the asker was told of."""

    tenure: Tenure
    request: Count
    what: What


class Done(Struct, frozen=True, array_like=True, tag=2):
    """It is changed, and safe."""

    request: Count
    version: Version


class Found(Struct, frozen=True, array_like=True, tag=3):
    """This stands there."""

    request: Count
    entry: Entry | None


class Declined(Struct, frozen=True, array_like=True, tag=4):
    """It was not done: an error's name, and why."""

    request: Count
    error: Annotated[str, Meta(max_length=32)]
    why: Annotated[str, Meta(max_length=400)]


class NotNow(Struct, frozen=True, array_like=True, tag=5):
    """I am not the keeper, or do not serve you yet: try again."""

    request: Count


class Reign(Struct, frozen=True, array_like=True, tag=6):
    """I am the keeper, and I know what you know: name this tenure when you ask.

    `oath` is what you gave with what I know; if you had another keeper since, I do not.
    """

    tenure: Tenure
    oath: Count


# Copies

# What a message holds of entries: the last may exceed it, so a frame has room.
ENTRIES_BYTES = 1 << 20
MAX_ENTRIES = 1024

Entries = Annotated[tuple[Entry, ...], Meta(max_length=MAX_ENTRIES)]


class Told(Struct, frozen=True, array_like=True, tag=7):
    """These have changed."""

    entries: Entries


# At 100,000 records a parcel is 400 of them: 20 kB to list where one record differs.
PARCELS = 256

# Listed at once: parcels until they are so many rows. One parcel may be all there is.
LISTED_ROWS = 4096

MAX_FETCHED = 256

Parcel = Annotated[int, Meta(ge=0, lt=PARCELS)]
Parcels = Annotated[tuple[Parcel, ...], Meta(max_length=PARCELS)]
Sum = Annotated[int, Meta(ge=0, lt=2**62)]


class Name(Struct, frozen=True, array_like=True):
    """What a record is found by."""

    kind: Kind
    id: Id


class Row(Struct, frozen=True, array_like=True, gc=False):
    """Which version somebody has."""

    kind: Kind
    id: Id
    version: Version
    request: Count


class Compare(Struct, frozen=True, array_like=True, tag=8):
    """My sums over these parcels: what do you have where yours differ?"""

    number: Count
    tenure: Tenure  # The highest heard of.
    parcels: Parcels
    sums: Annotated[tuple[Sum, ...], Meta(max_length=PARCELS)]


class Listing(Struct, frozen=True, array_like=True, tag=9):
    """All I have of some parcels that differ. `rest`: the others that do."""

    number: Count
    tenure: Tenure
    oath: Count  # A number of this allegiance if you are my keeper, else 0.
    rows: Annotated[tuple[Row, ...], Meta(max_length=MAX_KEPT)]
    rest: Parcels


class Fetch(Struct, frozen=True, array_like=True, tag=10):
    """Please send me these."""

    number: Count
    names: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=MAX_FETCHED)]


class Fetched(Struct, frozen=True, array_like=True, tag=11):
    """What I have of the first so many that you asked for."""

    number: Count
    entries: Entries
    answered: Count


Answer = Done | Found | Declined
RecordsMessage = (
    Ask
    | Done
    | Found
    | Declined
    | NotNow
    | Reign
    | Told
    | Compare
    | Listing
    | Fetch
    | Fetched
)

_KIND, _ID = re.compile(KIND_PATTERN), re.compile(ID_PATTERN)


def mistake_in(what: What) -> str | None:
    """Why it cannot be asked, if it cannot."""
    if not _KIND.match(what.kind):
        return f"kind {what.kind!r}: a letter, then up to 23 letters, digits and -"
    if not _ID.match(what.id):
        return f"id {what.id!r}: 1 to 64 printable characters, no space and no /"
    body = None if isinstance(what, Read) else what.body
    if body is not None and len(body) > MAX_BODY_BYTES:
        cause = f"a body of {len(body)} bytes, and 1 MiB is the most"
        return f"record {what.kind}/{what.id}: {cause}; make a dataset of it"
    if isinstance(what, Swap) and not 0 <= what.version < _END << _COUNT_BITS:
        return f"version {what.version}: no record ever had it; read the record again"
    return None
