"""Whose a key is, as far as this peer knows: what stands between clients and the table.

What is answered may be wrong by the time it is acted upon, and nothing rests on it: a
peer that is asked for a key it does not own does nothing, and says so.
"""

from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

from msgspec import Struct

from shoal.core.machine import Address, PeerId
from shoal.table.messages import SLOTS
from shoal.table.turns import Turn

# How long a client of Redis's protocol waits for somebody to own its key: as long as
# it takes to notice a silent death, and longer than it takes to agree on an heir.
PATIENCE_S = 2.0

LATER = "try again later"


class Place(Enum):
    """Where a key is, if at no other peer."""

    HERE = "here"
    NOBODY = "nobody"  # For the moment: somebody will own it.
    HOPELESS = "hopeless"  # This side of a partition is too small to own it.


HERE: Final = Place.HERE
NOBODY: Final = Place.NOBODY
HOPELESS: Final = Place.HOPELESS

Route = PeerId | Place


class Range(Struct, frozen=True):
    """Slots with one owner, the last included, and who else has copies of them."""

    first: int
    last: int
    owner: PeerId
    replicas: tuple[PeerId, ...] = ()


class Routes(Protocol):
    """Who owns what. `whole`: every key is here, so that nobody need ask."""

    whole: bool
    patience_s: float
    remedy: str  # For whoever is told that nothing was done.

    def owner(self, key: bytes) -> Route:
        """Where a key is now."""

    def ranges(self) -> list[Range]:
        """Where clients of a cluster are to go, by slots."""

    def peers(self) -> list[PeerId]:
        """Everybody who may own something, this peer among them."""

    def address(self, peer: PeerId) -> Address | None:
        """Where clients dial that peer."""

    def attend(self, changed: Callable[[], None]) -> None:
        """Call that whenever keys have found another owner."""


class Alone:
    """All keys are at one peer, which is this one."""

    whole = True
    patience_s = 0.0
    remedy = LATER

    def __init__(self, me: PeerId, address: Address) -> None:
        self._me = me
        self._address = address

    def owner(self, key: bytes) -> Route:
        """Here."""
        return HERE

    def ranges(self) -> list[Range]:
        """All are ours."""
        return [Range(0, SLOTS - 1, self._me)]

    def peers(self) -> list[PeerId]:
        """Nobody else."""
        return [self._me]

    def address(self, peer: PeerId) -> Address | None:
        """Our own."""
        return self._address if peer == self._me else None

    def attend(self, changed: Callable[[], None]) -> None:
        """Nothing ever changes."""


class Abroad(Protocol):
    """What a client's conversation needs of whoever asks other peers."""

    routes: Routes

    def begin(self) -> Turn:
        """A turn of which others are to answer a part."""


class AtHome:
    """There is nobody to ask, and no need to."""

    def __init__(self, me: PeerId, address: Address) -> None:
        self.routes: Routes = Alone(me, address)

    def begin(self) -> Turn:
        """None ever goes anywhere."""
        raise AssertionError("all keys are here")
