"""What the table is made of: keys, the values they have, and in what order they got
them. The same words are in memory, in the log and, between peers, on the wire.
"""

from typing import Literal

from msgspec import Struct

from shoal.core.machine import PeerId

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


class Group(Struct, frozen=True, array_like=True):
    """Records of one tenure, in the order they were made.

    `flushed`: all keys older than these records are gone.
    """

    ballot: Ballot
    records: list[Record]
    flushed: bool = False
