"""Rows from one peer to another: bytes over a stream, read and written off the loop.

What moves is counted by whoever receives it.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Raw

from shoal.core.machine import PeerId
from shoal.core.wire import decoded
from shoal.errors import ChangedFile, ShoalError, Unreachable
from shoal.flow.messages import Source, Wanted, row_bytes
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
        self.received_bytes = 0

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
                self.received_bytes += len(chunk)
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
    """The bytes of these rows, as they lie in the file; `OSError` if they do not."""
    size = row_bytes(source.form)
    at = source.offset + source.start * size
    end = source.offset + source.stop * size
    file = await asyncio.to_thread(os.open, source.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while at < end:
            length = min(PIECE_BYTES, end - at)
            piece = await asyncio.to_thread(os.pread, file, length, at)
            if not piece:
                raise OSError(f"{source.path} ends before its rows do")
            _expect_unchanged(source, os.fstat(file))
            yield piece
            at += len(piece)
    finally:
        os.close(file)


def _expect_unchanged(source: Source, stat: os.stat_result) -> None:
    """What was added is what is sent."""
    stamp = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
    if source.stamp is not None and stamp != source.stamp:
        raise ChangedFile(
            f"file {source.path}: it was changed after it was added; add it again "
            "with --replace"
        )
