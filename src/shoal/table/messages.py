"""What the table is made of: keys, the values they have, and in what order they got
them. The same words are in memory, in the log and, between peers, on the wire.
"""

from typing import Literal, NewType

from msgspec import Struct

from shoal.core.machine import PeerId

Voter = NewType("Voter", str)

MAX_KEY_BYTES = 64 << 10
MAX_VALUE_BYTES = 8 << 20

SLOTS = 16384

# always    told when it survives a crash of the machine
# interval  told when it survives a crash of the process; synced each second
# none      told when it survives a crash of the process; synced by the system
Durability = Literal["always", "interval", "none"]

# A deadline is in milliseconds since 1970, by the owner's clock; this one never comes.
NEVER = 0


class Ballot(Struct, frozen=True, array_like=True, order=True):
    """Somebody's tenure of slots. No two tenures share one."""

    view: int
    counter: int
    peer: PeerId
    start: int


class Entry(Struct, frozen=True, gc=False):
    """What a key has. Its version is (ballot, sequence): no two values share one."""

    value: bytes
    deadline_ms: int
    ballot: Ballot
    sequence: int


# One key's new value, or its tombstone: slot, key, sequence, deadline_ms, value. A bare
# tuple, since each write makes one.
Record = tuple[int, bytes, int, int, bytes | None]


class Group(Struct, frozen=True, array_like=True, tag=0):
    """Records of one tenure, in the order they were made.

    `flushed`: all keys older than these records are gone.
    """

    ballot: Ballot
    records: list[Record]
    flushed: bool = False


class Grave(Struct, frozen=True, gc=False):
    """What a key has that was deleted where others keep copies: it is not forgotten.

    Else a copy that missed the deletion would bring the old value back.
    """

    ballot: Ballot
    sequence: int


# Sixteen neighbouring slots are placed, owned and moved together.
UNIT_BITS = 4
UNITS = SLOTS >> UNIT_BITS


# What a peer has bound itself to, in the log between its records, in order.


class Birth(Struct, frozen=True, array_like=True, tag=1):
    """When this log began: who has lost one is somebody else."""

    start: int


class Promise(Struct, frozen=True, array_like=True, tag=2):
    """Nothing is accepted for these units under a lower ballot any more."""

    ballot: Ballot
    units: list[int]


class Sealing(Struct, frozen=True, array_like=True, tag=3):
    """These units have moved, in that view: only their new replicas count."""

    view: int
    units: list[int]


class Forgetting(Struct, frozen=True, array_like=True, tag=4):
    """Nothing before this counts for these units: others keep them."""

    units: list[int]


class Member(Struct, frozen=True, array_like=True):
    """Who votes and keeps copies, and on which machine.

    A voter is a peer with its log: `name~birth`.
    """

    voter: Voter
    host: str


class Recovery(Struct, frozen=True, array_like=True):
    """Somebody founded the network anew from its own copy, by force."""

    at: int  # In seconds since 1970.
    by: PeerId


# Views that follow each other are of one era. Who founds a network anew begins another:
# no honest view ever comes to such a number, and who finds one of a later era than its
# own knows that it was left behind.
ERA = 1_000_000


class View(Struct, frozen=True, array_like=True, tag=5):
    """The members of the table that the members before them agreed on; eldest first."""

    number: int
    members: tuple[Member, ...]
    replicas: int = 3
    recovered: tuple[Recovery, ...] = ()

    @property
    def era(self) -> int:
        """Which it is of."""
        return self.number // ERA

    @property
    def first(self) -> bool:
        """Does its era begin with it?"""
        return self.number % ERA == 1


class Vote(Struct, frozen=True, array_like=True, tag=6):
    """What a member has promised and accepted of the view that comes next."""

    number: int
    promised: Ballot
    accepted: Ballot | None = None
    view: View | None = None


Note = Birth | Promise | Sealing | Forgetting | View | Vote
Item = Group | Note
