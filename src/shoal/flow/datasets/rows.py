"""Rows from one peer to another: bytes over a stream, read and written off the loop.

What moves is counted by whoever receives it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Raw

from shoal.core.machine import PeerId
from shoal.core.wire import decoded
from shoal.errors import ShoalError, Unreachable
from shoal.flow.messages import Source, Wanted, row_bytes
from shoal.flow.work.files import OpenFile
from shoal.net.stream import Stream

TOPIC = "flow-rows"

# Read and written at a time.
PIECE_BYTES = 1 << 20

_wanted = msgspec.msgpack.Decoder(Wanted)


class Streaming(Protocol):
    """What rows need of the network."""

    async def open(self, to: PeerId, topic: str, head: bytes) -> Stream:
        """Begin a stream with a peer."""


class Rows:
    """Gives rows to others, and takes theirs."""

    def __init__(self, streams: Streaming, find: Callable[[Wanted], Source]) -> None:
        """`find` says where wanted rows lie, or raises `NotFound`."""
        self._streams = streams
        self._find = find

    async def give(self, stream: Stream, head: Raw) -> None:
        """Send what is wanted; whoever gets less knows that something broke."""
        with suppress(ShoalError, OSError):
            source = self._find(decoded(_wanted, head))
            async for piece in read(source):
                await stream.send(piece)
        await stream.end()

    async def take(
        self, peer: PeerId, wanted: Wanted, size_bytes: int
    ) -> AsyncIterator[bytes]:
        """What a peer has, exactly so many bytes of it, or `Unreachable`."""
        stream = await self._streams.open(peer, TOPIC, msgspec.msgpack.encode(wanted))
        left = size_bytes
        try:
            async for chunk in stream.chunks():
                left -= len(chunk)
                if left < 0:
                    break  # Nobody fills a disk with what was not asked for.
                yield bytes(chunk)
        finally:
            stream.close()
        if left:
            raise Unreachable(
                f"{peer} sent {size_bytes - left} of {size_bytes} bytes; ask again"
            )

    async def fetch(
        self, peer: PeerId, wanted: Wanted, size_bytes: int, to: Path
    ) -> None:
        """Into a new file, which is removed if they do not all come."""
        file = await asyncio.to_thread(to.open, "xb", 0)
        try:
            async for chunk in self.take(peer, wanted, size_bytes):
                await asyncio.to_thread(file.write, chunk)
        except BaseException:
            await asyncio.to_thread(to.unlink, missing_ok=True)
            raise
        finally:
            await asyncio.to_thread(file.close)


async def read(source: Source) -> AsyncIterator[bytes]:
    """The bytes of these rows, or an error if they are not what was added.

    The last of them are held back until the file has been looked at once more.
    """
    size = row_bytes(source.form)
    at = source.offset + source.start * size
    end = source.offset + source.stop * size
    file = await asyncio.to_thread(OpenFile, source.path, source.stamp)
    try:
        while at < end:
            piece = bytearray(min(PIECE_BYTES, end - at))
            await asyncio.to_thread(file.read, at, memoryview(piece))
            at += len(piece)
            if at == end:
                await asyncio.to_thread(file.check)
            yield bytes(piece)
    finally:
        file.close()
