"""What all conversations with Redis's clients share."""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from shoal.core.machine import Address, PeerId
from shoal.table.messages import Durability
from shoal.table.protocol import Table
from shoal.table.redis.commands import Commands
from shoal.table.redis.events import Events
from shoal.table.redis.feed import Feed, Watcher
from shoal.table.redis.listeners import Listeners
from shoal.table.redis.replies import CommandError, Push, encode
from shoal.table.redis.scanner import Scanner
from shoal.table.routes import Abroad, AtHome

# What a client that listens to channels may say in the protocol's second version,
# where news and replies look the same.
_LISTENING = frozenset(
    [
        *("PING", "FEED", "QUIT", "RESET"),
        *("SUBSCRIBE", "UNSUBSCRIBE", "PSUBSCRIBE", "PUNSUBSCRIBE"),
    ]
)


class Caller(Protocol):
    """The connection a client came by."""

    @property
    def address(self) -> str:
        """Where it calls from."""

    @property
    def called(self) -> str:
        """Where it called to."""

    def push(self, news: bytes) -> None:
        """Tell it something it did not ask for."""

    def settle(self) -> None:
        """Its first request was whole, though it is not answered."""

    def cut(self, why: str) -> None:
        """End it."""


class Surroundings(Struct, frozen=True):
    """The peer around the table: what INFO, CONFIG and CLUSTER tell of it."""

    name: PeerId
    address: str
    process: int
    since: float
    durability: Durability
    memory_bytes: Callable[[], int]
    processor_s: Callable[[], tuple[float, float]]


class Client:
    """One client: who it is and what it has chosen."""

    def __init__(
        self, number: int, since_ms: int, caller: Caller, push: Callable[[bytes], None]
    ) -> None:
        self.number = number
        self.since_ms = since_ms
        self.caller = caller
        self.push = push
        self.version = 2
        self.name = b""
        self.library = b""
        self.library_version = b""
        self.spared = False  # CLIENT NO-EVICT: remembered, though nobody is evicted.
        self.reading = False  # READONLY: remembered, though any peer answers.
        self.mute = False
        self.channels: dict[bytes, None] = {}
        self.patterns: dict[bytes, None] = {}
        self.watched: dict[bytes, None] = {}
        self.held_bytes = 0  # Of all these names.
        self.gone = False
        self._cut = False
        # Nothing is special about its next command.
        self.plain = True
        self._skip = False

    @property
    def listening(self) -> bool:
        """Does it listen to any channel, or watch any key?"""
        return bool(self.channels or self.patterns or self.watched)

    def changed(self, key: bytes, value: bytes | None, sequence: int) -> None:
        """A key that it watches has that now."""
        self.push(encode(Push([b"change", key, value]), self.version))

    def lost(self, keys: list[bytes]) -> None:
        """It would miss changes of these, and is cut off to know it."""
        if not self._cut:
            self._cut = True
            self.caller.cut("changes of keys that it watches may be missed")

    def settle(self) -> None:
        """Something was chosen: find out whether anything is special now."""
        apart = self.version == 2 and self.listening
        self.plain = not (self.mute or self._skip or apart)

    def skip(self) -> None:
        """The next command gets no reply."""
        self._skip = True
        self.settle()

    def silent(self) -> bool:
        """Is this the command that gets no reply?"""
        if not self._skip:
            return False
        self._skip = False
        self.settle()
        return True

    def check(self, command: str) -> None:
        """May it say that now?"""
        if self.plain or self.version > 2 or not self.listening:
            return
        if command not in _LISTENING:
            raise CommandError(
                f"ERR Can't execute '{command.lower()}': only (P|S)SUBSCRIBE / "
                "(P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
            )


class Afar(Protocol):
    """What keeps watch over keys that are at other peers."""

    def watch(
        self, client: Client, key: bytes, answer: Callable[[bytes], None]
    ) -> None:
        """Answer what the key has, once; then tell the client what becomes of it."""

    def forget(self, watcher: Watcher) -> None:
        """It watches nothing any more."""


class Nowhere:
    """There are no other peers."""

    def watch(
        self, client: Client, key: bytes, answer: Callable[[bytes], None]
    ) -> None:
        """None ever is elsewhere."""
        raise AssertionError("all keys are here")

    def forget(self, watcher: Watcher) -> None:
        """Nobody watches."""


class RedisServer:
    """The table as Redis's clients see it."""

    def __init__(
        self,
        table: Table,
        commands: Commands,
        surroundings: Surroundings,
        abroad: Abroad | None = None,
    ) -> None:
        self.table = table
        self.abroad = abroad or AtHome(surroundings.name, Address(surroundings.address))
        self.commands = commands
        self.surroundings = surroundings
        self.clients: dict[int, Client] = {}
        self.listeners: Listeners[Client] = Listeners()
        # Tells other peers what is published here.
        self.spread: Callable[[bytes, bytes], None] = lambda *_: None
        self.events = Events(table, self.listeners.publish)
        self.feed = Feed(table)
        self.afar: Afar = Nowhere()
        self.scanner = Scanner(table)
        self.answered = 0  # So many commands.
        self.welcomed = 0  # So many clients.

    def welcome(self, caller: Caller, push: Callable[[bytes], None]) -> Client:
        """One more client; `push` reaches it unasked."""
        self.welcomed += 1
        client = Client(self.welcomed, self.table.now_ms, caller, push)
        self.clients[client.number] = client
        return client

    def forget(self, client: Client) -> None:
        """It has gone."""
        client.gone = True
        self.listeners.forget(client)
        self.watch_no_more(client)
        self.clients.pop(client.number, None)

    def watch_no_more(self, client: Client) -> None:
        """It watches nothing any more, wherever it is."""
        self.feed.forget(client)
        self.afar.forget(client)
        client.held_bytes -= sum(map(len, client.watched))
        client.watched.clear()
