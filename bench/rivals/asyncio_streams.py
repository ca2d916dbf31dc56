"""A rival: asyncio's own streams on uvloop, no more than an echo needs.

Frames are a length, a number and a body. One at a time they are read as they come.
In flight a future waits for each number; whatever one read brings is cut up and
answered with one write, and what one turn of the loop asks is written together, which
takes half of what a write for each takes.
"""

import asyncio
import struct
import sys
import time
from asyncio import Future, StreamReader, StreamWriter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvloop

from bench.comparison import answer_at, obey

HOST = "127.0.0.1"
BODY = b"x" * 64
HEAD = struct.Struct(">IQ")
READ_BYTES = 1 << 18
ASK_S = 10.0

ECHO, SINK = b"e", b"s"
SIZE = struct.Struct(">Q")


def frames(data: bytearray) -> Iterator[tuple[int, bytes]]:
    """Every whole frame, as its number and itself; what is not whole stays."""
    start, end = 0, len(data)
    while end - start >= HEAD.size:
        size, number = HEAD.unpack_from(data, start)
        stop = start + HEAD.size + size
        if stop > end:
            break
        yield number, bytes(data[start:stop])
        start = stop
    del data[:start]


async def answer() -> None:
    """Echo, or swallow, until ended."""
    server = await asyncio.start_server(serve, HOST, 0, limit=READ_BYTES)
    port = server.sockets[0].getsockname()[1]
    answer_at(str(port))
    await server.serve_forever()


async def serve(reader: StreamReader, writer: StreamWriter) -> None:
    """One connection."""
    try:
        if await reader.readexactly(1) == ECHO:
            await echo(reader, writer)
        else:
            await swallow(reader, writer)
    except asyncio.IncompleteReadError:
        writer.close()


async def echo(reader: StreamReader, writer: StreamWriter) -> None:
    """Send every frame back."""
    kept = bytearray()
    while data := await reader.read(READ_BYTES):
        kept += data
        writer.write(b"".join([frame for _, frame in frames(kept)]))
        await writer.drain()


async def swallow(reader: StreamReader, writer: StreamWriter) -> None:
    """Take as many bytes as are announced, and say so."""
    (left,) = SIZE.unpack(await reader.readexactly(SIZE.size))
    while left:
        left -= len(await reader.read(READ_BYTES))
    writer.write(ECHO)


class Asker:
    """Does what it is told on connections to the other side."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = 0
        self._waiting: dict[int, Future[bytes]] = {}
        self._outgoing: list[bytes] = []
        self._writer: StreamWriter

    async def one_at_a_time(self, seconds: float) -> dict[str, float]:
        """As many round trips as fit, each read with as little as will do."""
        reader, writer = await self._open(ECHO)
        count, begun = 0, time.perf_counter()
        while time.perf_counter() < begun + seconds:
            count += 1
            writer.write(HEAD.pack(len(BODY), count) + BODY)
            size, _ = HEAD.unpack(await reader.readexactly(HEAD.size))
            await reader.readexactly(size)
        writer.close()
        return {"operations": count, "seconds": time.perf_counter() - begun}

    async def in_flight(self, seconds: float, window: int) -> dict[str, float]:
        """As many round trips as fit, so many at a time."""
        reader, self._writer = await self._open(ECHO)
        taking = asyncio.ensure_future(self._take(reader))
        begun = time.perf_counter()
        counts = await asyncio.gather(
            *(self._call_until(begun + seconds) for _ in range(window))
        )
        taken_s = time.perf_counter() - begun
        taking.cancel()
        self._writer.close()
        return {"operations": sum(counts), "seconds": taken_s}

    async def _call_until(self, end: float) -> int:
        count, loop = 0, asyncio.get_running_loop()
        while time.perf_counter() < end:
            self._numbers = number = self._numbers + 1
            self._waiting[number] = future = loop.create_future()
            if not self._outgoing:
                loop.call_soon(self._flush)
            self._outgoing.append(HEAD.pack(len(BODY), number) + BODY)
            await future
            count += 1
        return count

    def _flush(self) -> None:
        self._writer.write(b"".join(self._outgoing))
        self._outgoing.clear()

    async def _take(self, reader: StreamReader) -> None:
        kept = bytearray()
        while data := await reader.read(READ_BYTES):
            kept += data
            for number, frame in frames(kept):
                self._waiting.pop(number).set_result(frame)

    async def stream(self, size_bytes: int, chunk_bytes: int) -> dict[str, float]:
        """Stream so much, until the other side has it all."""
        chunk, begun = b"x" * chunk_bytes, time.perf_counter()
        reader, writer = await self._open(SINK)
        writer.write(SIZE.pack(size_bytes))
        for _ in range(size_bytes // chunk_bytes):
            writer.write(chunk)
            await writer.drain()
        await reader.readexactly(1)
        writer.close()
        return {"operations": size_bytes, "seconds": time.perf_counter() - begun}

    async def _open(self, kind: bytes) -> tuple[StreamReader, StreamWriter]:
        async with asyncio.timeout(ASK_S):
            reader, writer = await asyncio.open_connection(HOST, self._port)
        writer.write(kind)
        return reader, writer


def ask(port: int) -> None:
    """Obey, on one loop."""
    asker = Asker(port)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        def on_loop(deed: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
            async def limited(**how: Any) -> Any:
                async with asyncio.timeout(how.get("seconds", 0) + ASK_S):
                    return await deed(**how)

            return lambda **how: runner.run(limited(**how))

        obey(
            {
                "one at a time": on_loop(asker.one_at_a_time),
                "in flight": on_loop(asker.in_flight),
                "stream": on_loop(asker.stream),
            }
        )


if __name__ == "__main__":
    if sys.argv[1] == "answer":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as listener:
            listener.run(answer())
    else:
        ask(int(sys.argv[2]))
