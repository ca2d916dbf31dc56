"""What one other peer is to be told of keys here, in order and when it is safe."""

from collections import deque
from collections.abc import Callable

from shoal.table.tidings import TOLD_BYTES, Began, Changed, Declined, Lost, Tiding

# What one peer may leave unheard: as much as a subscriber.
UNHEARD_BYTES = 32 << 20

# What one peer may watch: sixteen clients' worth.
MAX_KEYS = 1 << 20
MAX_KEYS_BYTES = 64 << 20

# What a tiding takes, beside its key and value.
_TIDING_BYTES = 256

_FULL = f"ERR a peer watches at most {MAX_KEYS} keys at another"


class Outbox:
    """One peer's, from the opening of its conversation on."""

    def __init__(self, session: int, more: Callable[["Outbox"], None]) -> None:
        """`more` is called whenever there may be more to tell."""
        self.session = session
        self.watched: dict[bytes, None] = {}
        self._more = more
        self._queue: deque[tuple[int, Tiding]] = deque()
        self._unheard_bytes = 0
        self._keys_bytes = 0
        self._tickets: dict[int, None] = {}  # That tidings rest on, not safe yet.

    @property
    def overfull(self) -> bool:
        """Is more unheard than is kept?"""
        return self._unheard_bytes > UNHEARD_BYTES

    def waits(self, fate: Callable[[int], str | None]) -> bool:
        """Does any tiding rest on a batch that is not safe yet?"""
        for ticket in list(self._tickets):
            if fate(ticket) is not None:
                del self._tickets[ticket]
        return bool(self._tickets)

    # What it watches

    def admit(self, key: bytes) -> bool:
        """Let it watch a key; false if these are too many."""
        if key not in self.watched:
            if (
                len(self.watched) >= MAX_KEYS
                or self._keys_bytes + len(key) > MAX_KEYS_BYTES
            ):
                self._put(Declined(key, _FULL))
                return False
            self._keys_bytes += len(key)
            self.watched[key] = None
        return True

    def drop(self, key: bytes) -> None:
        """It watches that key no more."""
        if key in self.watched:
            del self.watched[key]
            self._keys_bytes -= len(key)

    # What it is told

    def began(
        self, key: bytes, value: bytes | None, sequence: int, ticket: int
    ) -> None:
        """What a key has, which rests on a batch; nothing else is told before it."""
        self._put(Began(key, value, sequence), ticket)

    def declined(self, key: bytes) -> None:
        """The key is elsewhere."""
        self._put(Declined(key, ""))

    def changed(self, key: bytes, value: bytes | None, sequence: int) -> None:
        """A key that it watches has that now."""
        self._put(Changed(key, value, sequence))

    def lost(self, keys: list[bytes]) -> None:
        """What becomes of these is not told any more."""
        for key in keys:
            self.drop(key)
            self._put(Lost(key))

    def _put(self, tiding: Tiding, ticket: int = 0) -> None:
        self._queue.append((ticket, tiding))
        if ticket:
            self._tickets[ticket] = None
        self._unheard_bytes += _size(tiding)
        self._more(self)

    def take(self, fate: Callable[[int], str | None]) -> list[Tiding]:
        """What may be told now, as much as goes at once."""
        told: list[Tiding] = []
        size = 0
        while self._queue and size < TOLD_BYTES:
            ticket, tiding = self._queue[0]
            why = fate(ticket) if ticket else ""
            if why is None:
                break
            self._queue.popleft()
            self._unheard_bytes -= _size(tiding)
            size += _size(tiding)
            told.append(Declined(tiding.key, why) if why else tiding)
        return told


def _size(tiding: Tiding) -> int:
    value = tiding.value if isinstance(tiding, Began | Changed) else None
    return _TIDING_BYTES + len(tiding.key) + len(value or b"")
