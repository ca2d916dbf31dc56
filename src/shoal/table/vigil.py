"""What this peer watches at one other, for its own clients.

What is asked is answered in the order of asking. One message that says which keys is
under way at a time, so that none overtakes another.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import chain

from msgspec import Struct

from shoal.core.machine import PeerId
from shoal.table.redis.server import Client
from shoal.table.tidings import MAX_TOGETHER, TOGETHER_BYTES, Watch


class Waiter(Struct, eq=False):
    """A client that is to be told what a key has."""

    client: Client
    key: bytes
    answer: Callable[[bytes], None]
    patient_until: float


class Vigil:
    """At one peer, until anything goes wrong."""

    def __init__(self, to: PeerId, session: int) -> None:
        self.to = to
        self.session = session
        self.opened = False
        self.asking = False  # Which keys: a message is under way.
        self.keys: dict[bytes, None] = {}  # Of which we are told.
        self._wanted: dict[bytes, list[Waiter]] = {}  # Not asked for yet.
        self._unwanted: dict[bytes, None] = {}
        self._asked: dict[bytes, deque[list[Waiter]]] = {}

    @property
    def idle(self) -> bool:
        """Does nobody want anything of it any more?"""
        return not (self.keys or self._wanted or self._asked)

    def want(self, waiter: Waiter) -> None:
        """Ask what its key has."""
        self._wanted.setdefault(waiter.key, []).append(waiter)

    def unwant(self, key: bytes) -> None:
        """Nobody watches that key any more, though one may be about to."""
        self.keys.pop(key, None)
        if key not in self._asked:
            self._unwanted[key] = None

    def ask(self) -> Watch | None:
        """What to say next, if anything; `asked` when it is heard."""
        if self.asking or not (self._wanted or self._unwanted):
            return None
        begun = _some(self._wanted)
        for key in begun:
            waiters = self._wanted.pop(key)
            self._asked.setdefault(key, deque()).append(waiters)
        # What is wanted again is given up before, and not after.
        ended = _some(self._unwanted, begun)
        for key in ended:
            del self._unwanted[key]
        self.asking = True
        return Watch(self.session, not self.opened, ended, begun)

    def answered(self, key: bytes) -> list[Waiter]:
        """Who waited for this answer."""
        if key not in self._asked:
            return []
        waiters = self._asked[key].popleft()
        if not self._asked[key]:
            del self._asked[key]
        return waiters

    def give_up(self) -> list[Waiter]:
        """All who wait for any answer: there will be none."""
        waiters = [each for some in self._wanted.values() for each in some]
        for asked in self._asked.values():
            waiters += [each for some in asked for each in some]
        self._wanted.clear()
        self._asked.clear()
        return waiters


def _some(keys: Mapping[bytes, object], first: Iterable[bytes] = ()) -> list[bytes]:
    """As many as travel together, these before all others."""
    some: dict[bytes, None] = {}
    size = 0
    for key in chain((key for key in first if key in keys), keys):
        if len(some) == MAX_TOGETHER or size > TOGETHER_BYTES:
            break
        if key not in some:
            some[key] = None
            size += len(key)
    return list(some)
