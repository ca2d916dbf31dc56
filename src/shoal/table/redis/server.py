"""What all conversations with Redis's clients share."""

from collections.abc import Callable, Mapping

from shoal.table.protocol import Table
from shoal.table.redis.commands import Command


class Client:
    """One client: who it is and what it has chosen."""

    __slots__ = (
        "address",
        "library",
        "library_version",
        "name",
        "number",
        "push",
        "version",
    )

    def __init__(
        self, number: int, address: str, push: Callable[[bytes], None]
    ) -> None:
        self.number = number
        self.address = address
        self.push = push
        self.version = 2
        self.name = b""
        self.library = b""
        self.library_version = b""


class RedisServer:
    """The table as Redis's clients see it."""

    def __init__(self, table: Table, commands: Mapping[bytes, Command]) -> None:
        self.table = table
        self.commands = commands
        self.clients: dict[int, Client] = {}
        self._next_number = 1

    def welcome(self, address: str, push: Callable[[bytes], None]) -> Client:
        """One more client; `push` reaches it unasked."""
        client = Client(self._next_number, address, push)
        self._next_number += 1
        self.clients[client.number] = client
        return client

    def forget(self, client: Client) -> None:
        """It has gone."""
        self.clients.pop(client.number, None)
