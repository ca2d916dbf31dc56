"""Every change of some keys, told to who watches them when it is safe.

Who begins to watch is told what each key has, and from then on every change after that,
once and in order: nobody is told of a change twice, or of one that is taken back.
"""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from shoal.table.protocol import Table
from shoal.table.redis.listeners import hold
from shoal.table.redis.replies import CommandError, Push, encode

# As many as the channels that one client may listen to.
MAX_WATCHED = 1 << 16


class Watcher(Protocol):
    """One who may watch."""

    version: int
    watched: dict[bytes, None]
    held_bytes: int
    push: Callable[[bytes], None]


W = TypeVar("W", bound=Watcher)


class Feed(Generic[W]):
    """Who watches which keys, each from which change on."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._watchers: dict[bytes, dict[W, int]] = {}

    def add(self, client: W, key: bytes) -> None:
        """Tell it of every change of the key from now on."""
        if len(client.watched) >= MAX_WATCHED:
            raise CommandError(f"ERR a client watches at most {MAX_WATCHED} keys")
        hold(client, client.watched, key)
        self._watchers.setdefault(key, {})[client] = self._table.sequence
        self._table.feed = self

    def forget(self, client: W) -> None:
        """It watches nothing any more."""
        for key in client.watched:
            del self._watchers[key][client]
            client.held_bytes -= len(key)
            if not self._watchers[key]:
                del self._watchers[key]
        client.watched.clear()
        if not self._watchers:
            self._table.feed = None

    def changed(self, key: bytes, value: bytes | None, sequence: int) -> None:
        """A key has that now."""
        for client, since in list(self._watchers.get(key, {}).items()):
            if sequence > since:
                push = Push([b"change", key, value])
                client.push(encode(push, client.version))

    def flushed(self, sequence: int) -> None:
        """No key has anything now."""
        for key in list(self._watchers):
            self.changed(key, None, sequence)
