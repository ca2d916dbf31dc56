"""Peers' links on real sockets, several in one loop, without the rest of a peer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from shoal.core.address import join
from shoal.core.identity import Identity
from shoal.core.machine import Address, PeerId
from shoal.net.door import FRAMES, TEXT, Reception
from shoal.net.home import membership
from shoal.net.links import Links
from shoal.net.streams import Streams
from shoal.table.service import TableService
from shoal.table.storage import Memory

SECRET = b"sixteen bytes of"

Loop = Callable[[], asyncio.AbstractEventLoop]

LOOPS = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(uvloop.new_event_loop, id="uvloop"),
]


def run(loop: Loop, main: Coroutine[Any, Any, None], within_s: float = 20) -> None:
    """Run a test on that kind of loop, and end it in time."""

    async def bounded() -> None:
        async with asyncio.timeout(within_s):
            await main

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(bounded())


async def until(condition: Callable[[], object], within_s: float = 5) -> None:
    """Wait for something that only shows."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - nothing would set an event.
            await asyncio.sleep(0.005)


class Host:
    """One peer's links, its door, and where the others are."""

    def __init__(self, number: int, secret: bytes = SECRET) -> None:
        self.identity = Identity(bytes([number]) * 32, f"peer{number}")
        self.membership = membership(self.identity, secret)
        self.name: PeerId = self.identity.peer
        self.book: dict[PeerId, Address] = {}
        self.relaying: list[PeerId] = []
        self.gone: list[PeerId] = []
        self.bugs: list[Exception] = []
        self.visitors: list[asyncio.StreamWriter] = []

    def locate(self, peer: PeerId) -> Address | None:
        return self.book.get(peer)

    def knows(self, peer: PeerId) -> bool:
        return peer != "invented"

    def relays(self, peer: PeerId) -> list[PeerId]:
        return self.relaying

    async def start(self, *, inviting: bool = False, limit: int = 20_000) -> None:
        self.reception = Reception({}, limit)
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(
            self.reception.door, "127.0.0.1", 0, backlog=1024
        )
        self.port = self.server.sockets[0].getsockname()[1]
        self.address = join("127.0.0.1", self.port)
        self.links = Links(
            self.membership,
            self.address,
            self,
            refused=self.gone.append,
            fail=self.bugs.append,
            inviting=inviting,
        )
        self.streams = Streams(self.links, self.bugs.append)
        table = TableService(
            self.name, Memory(), start=1, durability="none", fail=self.bugs.append
        )
        table.start()
        self.table_service = table
        self.reception.dialects = {
            FRAMES: self.links.accept,
            TEXT: table.verbs_client,
        }

    async def visit(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A plain connection to the door."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.visitors.append(writer)
        return reader, writer

    async def stop(self, *, rudely: bool = False) -> None:
        self.server.close()
        for visitor in self.visitors:
            visitor.close()
        if rudely:
            for twins in self.links.connected().values():
                for link in twins:
                    link.transport.abort()
            self.links._closing = True
        await self.links.close("the test is over")
        self.streams.stop()
        await self.table_service.stop()
        await asyncio.sleep(0.01)
        self.reception.close()


@asynccontextmanager
async def hosts(count: int, *, know: bool = True) -> AsyncIterator[list[Host]]:
    """So many peers of one network; they know one another's addresses."""
    all_hosts = [Host(n + 1) for n in range(count)]
    for host in all_hosts:
        await host.start()
    if know:
        for host in all_hosts:
            host.book = {each.name: each.address for each in all_hosts}
    try:
        yield all_hosts
    finally:
        for host in all_hosts:
            await host.stop()
    assert not [bug for host in all_hosts for bug in host.bugs]


def echo(_: PeerId, body: Any) -> bytes | Awaitable[bytes]:
    """Answer with what was asked."""
    return bytes(body)
