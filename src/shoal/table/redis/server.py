"""What all conversations with Redis's clients share."""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from shoal.core.machine import Address, PeerId
from shoal.table.messages import Durability
from shoal.table.protocol import Table
from shoal.table.redis.commands import Commands
from shoal.table.redis.events import Events
from shoal.table.redis.feed import Feed
from shoal.table.redis.listeners import Listeners
from shoal.table.redis.replies import CommandError
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
        # Nothing is special about its next command.
        self.plain = True
        self._skip = False

    @property
    def listening(self) -> bool:
        """Does it listen to any channel, or watch any key?"""
        return bool(self.channels or self.patterns or self.watched)

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
        self.feed: Feed[Client] = Feed(table)
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
        self.listeners.forget(client)
        self.feed.forget(client)
        self.clients.pop(client.number, None)
