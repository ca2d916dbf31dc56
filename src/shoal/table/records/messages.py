"""What peers say to one another about records, and how a record lies on the disk.

Records lie in a table of their own, in sixty-four of its units. A version is a count
within a unit: it rises with each change of any of its records, and no two share one.
"""

import re
from typing import Annotated

from msgspec import Meta, Struct

from shoal.core.wire import COUNT
from shoal.table.messages import Ballot
from shoal.table.replication.messages import Said

MAX_BODY_BYTES = 1 << 20

# A network keeps so many: 100,000 jobs, and the datasets. Then nothing new is created.
MAX_RECORDS = 120_000

# All bodies together: every peer has them in memory. A tenth of a small machine's.
MAX_TOTAL_BYTES = 1 << 30

# So few that who owns one serves some thousand records, and so many that each of twenty
# peers owns three.
UNITS = 64

# Of what was removed it is remembered that it was, of the last so many in each unit:
# who was away during so many removals may show one again, and is told when it asks.
MAX_REMOVED = 800

# All boards hold, the memory of what was removed too; more is invented.
MAX_KEPT = 2 * MAX_RECORDS + UNITS * MAX_REMOVED

# Nobody claims for longer without saying again that it is there.
MAX_CLAIM_S = 3600.0

# A repeated request is known again unless so many changes of that record came between.
MAX_CHANGES = 8

KIND_PATTERN = r"^[a-z][a-z0-9-]{0,23}\Z"
ID_PATTERN = r"^[!-.0-~]{1,64}\Z"  # Printable, without spaces and slashes.

Count = Annotated[int, COUNT]
Version = Annotated[int, COUNT]
Seconds = Annotated[float, Meta(ge=0, le=MAX_CLAIM_S)]
Kind = Annotated[str, Meta(pattern=KIND_PATTERN)]
Id = Annotated[str, Meta(pattern=ID_PATTERN)]
Body = Annotated[bytes, Meta(max_length=MAX_BODY_BYTES)]

# Records


class Change(Struct, frozen=True, array_like=True, gc=False):
    """Which request made a version: asked again, it has the same answer."""

    request: Count
    version: Version


Changes = Annotated[tuple[Change, ...], Meta(min_length=1, max_length=MAX_CHANGES)]


class Claim(Struct, frozen=True, array_like=True, gc=False):
    """Somebody has it for itself, until so long after it last said so."""

    token: Version
    seconds: Seconds


class Entry(Struct, frozen=True, array_like=True):
    """A record as its owners know it. Without a body it was removed."""

    kind: Kind
    id: Id
    version: Version
    body: Body | None
    changes: Changes
    claim: Claim | None = None

    def made_by(self, request: int) -> int | None:
        """Which version that request made, as far as it is remembered."""
        made = (each.version for each in self.changes if each.request == request)
        return next(made, None)


# Requests to whoever owns a record, and its answers


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
    token: Version = 0  # Of the asker's claim; without one nobody's is minded.


class Take(Struct, frozen=True, array_like=True, tag=4):
    """Let me have it for myself so long; or still, under that token.

    Of no seconds: I need it no more.
    """

    kind: Kind
    id: Id
    seconds: Seconds
    token: Version = 0


What = Create | Read | Swap | Take


class Ask(Struct, frozen=True, array_like=True, tag=1):
    """Please do this, if you own it under that ballot.

    `again`: somebody was asked before under another, and may have done it.
    """

    ballot: Ballot
    request: Count
    again: bool
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
    """I do not own it under that ballot, or not surely: try again."""

    request: Count


# Replication


class Vote(Struct, frozen=True, array_like=True, tag=6):
    """What replicas of the table of records say to each other."""

    said: Said


# Boards

# What a message holds of lines: the last may exceed it, so a frame has room.
LINES_BYTES = 1 << 20
MAX_LINES = 1024


class Line(Struct, frozen=True, array_like=True):
    """A record as a board has it: what was decided, and not how."""

    kind: Kind
    id: Id
    version: Version
    body: Body | None


Lines = Annotated[tuple[Line, ...], Meta(max_length=MAX_LINES)]


class Told(Struct, frozen=True, array_like=True, tag=7):
    """These have changed."""

    lines: Lines


# Four of each unit. At 100,000 records a parcel is 400 of them: 20 kB to list where one
# record differs.
PARCELS = 4 * UNITS

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


class Compare(Struct, frozen=True, array_like=True, tag=8):
    """My sums over these parcels: what do you have where yours differ?"""

    number: Count
    parcels: Parcels
    sums: Annotated[tuple[Sum, ...], Meta(max_length=PARCELS)]


class Listing(Struct, frozen=True, array_like=True, tag=9):
    """All I have of some parcels that differ. `rest`: the others that do.

    `sure`: I own all that you compared, and have all that was decided of it.
    """

    number: Count
    sure: bool
    rows: Annotated[tuple[Row, ...], Meta(max_length=MAX_KEPT)]
    rest: Parcels


class Fetch(Struct, frozen=True, array_like=True, tag=10):
    """Please send me these."""

    number: Count
    names: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=MAX_FETCHED)]


class Fetched(Struct, frozen=True, array_like=True, tag=11):
    """What I have of the first so many that you asked for."""

    number: Count
    lines: Lines
    answered: Count


Answer = Done | Found | Declined
RecordsMessage = (
    Ask
    | Done
    | Found
    | Declined
    | NotNow
    | Vote
    | Told
    | Compare
    | Listing
    | Fetch
    | Fetched
)

_KIND, _ID = re.compile(KIND_PATTERN), re.compile(ID_PATTERN)
_VERSIONS = range(2**62)


def mistake_in(what: What) -> str | None:
    """Why it cannot be asked, if it cannot."""
    if not _KIND.match(what.kind):
        return f"kind {what.kind!r}: a letter, then up to 23 letters, digits and -"
    if not _ID.match(what.id):
        return f"id {what.id!r}: 1 to 64 printable characters, no space and no /"
    body = what.body if isinstance(what, Create | Swap) else None
    if body is not None and len(body) > MAX_BODY_BYTES:
        cause = f"a body of {len(body)} bytes, and 1 MiB is the most"
        return f"record {what.kind}/{what.id}: {cause}; make a dataset of it"
    if isinstance(what, Swap) and what.version not in _VERSIONS:
        return f"version {what.version}: no record ever had it; read the record again"
    if isinstance(what, Swap | Take) and what.token not in _VERSIONS:
        return f"token {what.token}: no claim ever had it; claim the record again"
    if isinstance(what, Take) and not 0 <= what.seconds <= MAX_CLAIM_S:
        return f"a claim of {what.seconds} s: an hour is the most; renew it"
    return None
