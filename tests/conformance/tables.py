"""A table behind a real door, without the rest of a peer."""

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from shoal.core.machine import PeerId
from shoal.net.door import JSON, RESP, TEXT, Reception
from shoal.sim.disk import SimulatedDisk
from shoal.table.forwarder import Wires
from shoal.table.messages import Durability
from shoal.table.routes import Routes
from shoal.table.service import TableService
from shoal.table.storage import Log, Memory, Storage

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Shop:
    """A table that is open to clients."""

    def __init__(
        self,
        storage: Storage | None,
        durability: Durability = "always",
        *,
        name: str = "shop",
        routes: Routes | None = None,
        wires: Wires | None = None,
    ) -> None:
        self.bugs: list[Exception] = []
        self._name = PeerId(name)
        self._routes = routes
        self._links = wires
        self._storage = storage or Memory()
        self._durability = durability
        self._wires: list[asyncio.StreamWriter] = []

    async def open(self) -> None:
        self.service = TableService(
            self._name,
            self._storage,
            start=1,
            durability=self._durability,
            fail=self.bugs.append,
            routes=self._routes,
        )
        self.service.start(self._links)
        self.reception = Reception(
            {
                RESP: self.service.redis_client,
                TEXT: self.service.verbs_client,
                JSON: self.service.lines_client,
            },
            1000,
        )
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self.reception.door, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def visit(self) -> Wire:
        """One more client."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._wires.append(writer)
        return reader, writer

    async def ask(self, wire: Wire, *words: bytes) -> bytes:
        """One command; the first line of its reply."""
        wire[1].write(command(*words))
        return await wire[0].readline()

    async def close(self) -> None:
        self._server.close()
        for wire in self._wires:
            wire.close()
        await self.service.stop()
        self.reception.close()


@asynccontextmanager
async def shop(
    storage: Storage | None = None, durability: Durability = "always"
) -> AsyncIterator[Shop]:
    """Open while the block runs; no bug may show."""
    opened = Shop(storage, durability)
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()
    assert not opened.bugs


def command(*words: bytes) -> bytes:
    """A request as Redis's clients write it."""
    parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"*%d\r\n" % len(words) + b"".join(parts)


class StubbornDisk(SimulatedDisk):
    """Keeps a commit waiting, or says that it is full, until told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False

    def append(self, name: str, data: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device", name)
        super().append(name, data)


def log_on(disk: SimulatedDisk) -> Log:
    """The storage of the shop's peer on such a disk."""
    return Log(disk, PeerId("shop"), Random(0))
