"""Ours: two peers as the composer makes them, reduced to what carries messages."""

import asyncio
import os
import socket
import sys
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import quantiles
from typing import Any

import msgspec
import uvloop
from msgspec import Raw

from bench.comparison import US, answer_at, obey
from shoal.core import address as addresses
from shoal.core.hello import SECRET_BYTES, Membership
from shoal.core.identity import SEED_BYTES, Identity
from shoal.core.machine import Address, PeerId
from shoal.net.door import FRAMES, Reception
from shoal.net.links import Links
from shoal.net.stream import CHUNK_BYTES, Stream
from shoal.net.streams import Streams

ASKER = Identity(b"a" * SEED_BYTES, "asker")
ANSWERER = Identity(b"b" * SEED_BYTES, "answerer")

ECHO, SINK = "echo", "sink"
BODY = msgspec.msgpack.encode(b"x" * 62)  # 64 bytes with its head.
CHUNK = b"x" * CHUNK_BYTES
NOTHING = b"\xc0"

# Far beyond any figure here: a call that takes so long is a failure, not a slow one.
ASK_S = 10.0

# The loop's timers count milliseconds.
PACE_S = 0.001


class Corner:
    """One peer of two: links and streams behind a door."""

    def __init__(self, identity: Identity, other: Address | None) -> None:
        self._other = other
        self._listening = socket.create_server((addresses.LOOPBACK, 0), backlog=128)
        self.address = addresses.join(*self._listening.getsockname())
        membership = Membership(identity, "bench", bytes(SECRET_BYTES))
        self.links = Links(
            membership,
            self.address,
            self,
            refused=lambda peer: fail(ConnectionRefusedError(peer)),
            fail=fail,
        )
        self.streams = Streams(self.links, fail)
        self._reception = Reception({FRAMES: self.links.accept}, 128)

    async def listen(self) -> None:
        """Open the door."""
        loop = asyncio.get_running_loop()
        await loop.create_server(self._reception.door, sock=self._listening)

    def knows(self, _: PeerId) -> bool:
        """The only other one."""
        return True

    def locate(self, _: PeerId) -> Address | None:
        """The only other one."""
        return self._other

    def relays(self, _: PeerId) -> list[PeerId]:
        """Nobody else is there."""
        return []


def fail(error: Exception) -> None:
    """End, loudly: what a broken peer does is not worth measuring."""
    traceback.print_exception(error)
    os._exit(1)


async def answer() -> None:
    """Echo requests and swallow streams until ended."""
    corner = Corner(ANSWERER, None)
    corner.links.serve(ECHO, lambda _, body: bytes(body))
    corner.streams.serve(SINK, swallow)
    await corner.listen()
    answer_at(corner.address)
    await asyncio.get_running_loop().create_future()


async def swallow(stream: Stream, _: Raw) -> None:
    """Read a stream to its end, and say how long it was."""
    async for _chunk in stream.chunks():
        pass
    await stream.send(str(stream.received_bytes).encode())
    await stream.end()


class Asker:
    """Does what it is told to the peer that answers."""

    def __init__(self, corner: Corner, address: Address) -> None:
        self._corner = corner
        self._links = corner.links
        self._address = address

    def call(self) -> asyncio.Future[Raw]:
        """One round trip."""
        return self._links.ask(ANSWERER.peer, ECHO, BODY, within_s=ASK_S)

    async def in_flight(self, seconds: float, window: int) -> dict[str, float]:
        """As many round trips as fit, so many at a time."""
        begun = time.perf_counter()
        counts = await asyncio.gather(
            *(self._call_until(begun + seconds) for _ in range(window))
        )
        return {"operations": sum(counts), "seconds": time.perf_counter() - begun}

    async def _call_until(self, end: float) -> int:
        count = 0
        while time.perf_counter() < end:
            await self.call()
            count += 1
        return count

    async def stream(self, size_bytes: int) -> dict[str, float]:
        """Stream so much, until the other side has it all."""
        begun = time.perf_counter()
        async with self._sink(size_bytes) as stream:
            for _ in range(size_bytes // CHUNK_BYTES):
                await stream.send(CHUNK)
        return {"operations": size_bytes, "seconds": time.perf_counter() - begun}

    @asynccontextmanager
    async def _sink(self, size_bytes: int | None = None) -> AsyncIterator[Stream]:
        stream = await self._corner.streams.open(ANSWERER.peer, SINK, NOTHING)
        yield stream
        await stream.end()
        came = int(b"".join([chunk async for chunk in stream.chunks()]))
        assert size_bytes in (None, came), f"{came} of {size_bytes} bytes came"
        stream.close()

    async def p99(self, calls: int, streaming: bool) -> dict[str, float]:
        """Of small calls, one each millisecond; with a stream beside them, or not."""
        enough = asyncio.Event()
        pump = asyncio.ensure_future(self._pump(enough)) if streaming else None
        times = []
        for _ in range(calls):
            begun = time.perf_counter()
            await self.call()
            times.append(time.perf_counter() - begun)
            await asyncio.sleep(PACE_S)
        enough.set()
        if pump:
            await pump
        return {"p99_us": quantiles(times, n=100)[-1] * US}

    async def _pump(self, enough: asyncio.Event) -> None:
        async with self._sink() as stream:
            while not enough.is_set():
                await stream.send(CHUNK)


def ask(address: Address) -> None:
    """Obey, on one loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        asker = runner.run(begin(address))

        def on_loop(deed: Any) -> Any:
            return lambda **how: runner.run(deed(**how))

        obey(
            {
                "in flight": on_loop(asker.in_flight),
                "stream": on_loop(asker.stream),
                "p99": on_loop(asker.p99),
            }
        )


async def begin(address: Address) -> Asker:
    """The side that dials."""
    corner = Corner(ASKER, address)
    await corner.listen()
    return Asker(corner, address)


if __name__ == "__main__":
    if sys.argv[1] == "answer":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as listener:
            listener.run(answer())
    else:
        ask(Address(sys.argv[2]))
