"""Every change of some keys, told to who watches them when it is safe.

Who begins to watch is told what each key has, and from then on every change after that,
once and in order: nobody is told of a change twice, or of one that is taken back. When
that cannot be kept up, since somebody else answers for a key, the watcher is told so.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from shoal.table.messages import MAX_KEY_BYTES, UNIT_BITS
from shoal.table.protocol import Table
from shoal.table.redis.listeners import Holder, hold
from shoal.table.redis.replies import CommandError
from shoal.table.slots import slot_of

# As many as the channels that one client may listen to.
MAX_WATCHED = 1 << 16


class Watcher(Protocol):
    """One who may watch."""

    watched: dict[bytes, None]

    def changed(self, key: bytes, value: bytes | None, sequence: int) -> None:
        """A key that it watches has that now."""

    def lost(self, keys: list[bytes]) -> None:
        """What becomes of these is not told any more."""


class Admitted(Holder, Protocol):
    """A client that may watch so many keys."""

    watched: dict[bytes, None]


def admit(client: Admitted, key: bytes) -> None:
    """May it watch one key more?"""
    if len(key) > MAX_KEY_BYTES:
        raise CommandError(f"ERR a key has {MAX_KEY_BYTES} bytes at most")
    if len(client.watched) >= MAX_WATCHED:
        raise CommandError(f"ERR a client watches at most {MAX_WATCHED} keys")
    hold(client, client.watched, key)


class Feed:
    """Who watches which keys, each from which change on."""

    def __init__(
        self,
        table: Table | None = None,
        *,
        unwatched: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        """`table`: whose changes these are, if this peer answers for the keys.

        `unwatched` is told of a key that nobody watches any more.
        """
        self._table = table
        self._unwatched = unwatched
        self._watchers: dict[bytes, dict[Watcher, int]] = {}
        self._units: dict[int, dict[bytes, None]] = {}  # The keys, by unit.

    def __contains__(self, key: bytes) -> bool:
        return key in self._watchers

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._watchers)

    def add(self, watcher: Watcher, key: bytes, since: int) -> None:
        """Tell it of every change of the key after that one."""
        if key not in self._watchers:
            self._units.setdefault(slot_of(key) >> UNIT_BITS, {})[key] = None
        self._watchers.setdefault(key, {})[watcher] = since
        if self._table:
            self._table.feed = self

    def drop(self, watcher: Watcher, key: bytes) -> None:
        """Tell it of that key no more, if it was told."""
        watchers = self._watchers.get(key, {})
        if watchers.pop(watcher, None) is not None and not watchers:
            self._end(key)
            self._unwatched(key)

    def forget(self, watcher: Watcher) -> None:
        """It watches nothing any more."""
        for key in watcher.watched:
            self.drop(watcher, key)

    def changed(self, key: bytes, value: bytes | None, sequence: int) -> None:
        """A key has that now."""
        for watcher, since in list(self._watchers.get(key, {}).items()):
            if sequence > since:
                watcher.changed(key, value, sequence)

    def flushed(self, sequence: int) -> None:
        """No key has anything now."""
        for key in list(self._watchers):
            self.changed(key, None, sequence)

    def closed(self, unit: int) -> None:
        """Somebody else may answer for its keys from now on."""
        self.lose(list(self._units.get(unit, ())))

    def lose(self, keys: Iterable[bytes]) -> None:
        """What becomes of these cannot be told: let those who watch them know."""
        lost: dict[Watcher, list[bytes]] = {}
        for key in keys:
            for watcher in self._watchers.get(key, ()):
                lost.setdefault(watcher, []).append(key)
            if key in self._watchers:
                self._end(key)
        for watcher, some in lost.items():
            watcher.lost(some)

    def _end(self, key: bytes) -> None:
        del self._watchers[key]
        unit = slot_of(key) >> UNIT_BITS
        del self._units[unit][key]
        if not self._units[unit]:
            del self._units[unit]
        if self._table and not self._watchers:
            self._table.feed = None
