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
from shoal.errors import ChangedFile, NotFound, ShoalError, Unreachable
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
                if left < 0:
                    break  # Nobody fills a disk with what was not asked for.
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
        file = await asyncio.to_thread(to.open, "xb")
        try:
            async for chunk in self.take(peer, wanted, size_bytes):
                await asyncio.to_thread(file.write, chunk)
        except BaseException:
            await asyncio.to_thread(to.unlink, missing_ok=True)
            raise
        finally:
            await asyncio.to_thread(file.close)


async def read(source: Source) -> AsyncIterator[bytes]:
    """The bytes of these rows; `OSError` or `ChangedFile` if they are not there."""
    size = row_bytes(source.form)
    at = source.offset + source.start * size
    end = source.offset + source.stop * size
    file = await asyncio.to_thread(os.open, source.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while at < end:
            length = min(PIECE_BYTES, end - at)
            piece = await asyncio.to_thread(_piece, file, source, length, at)
            yield piece
            at += len(piece)
    finally:
        os.close(file)


def _piece(file: int, source: Source, length: int, at: int) -> bytes:
    """Some bytes, if the file is as it was even after they were read."""
    piece = os.pread(file, length, at)
    _check(source, os.fstat(file))
    if not piece:
        raise OSError(f"{source.path} ends before its rows do")
    return piece


async def check(source: Source) -> None:
    """Raise unless the file is as it was when it was added."""
    try:
        _check(source, await asyncio.to_thread(os.stat, source.path))
    except OSError as error:
        name = os.path.basename(source.path)
        why = (error.strerror or str(error)).lower()
        raise NotFound(f"file {name}: {why}; add it again") from error


def is_there(source: Source) -> bool:
    """Is the file as it was when it was added?"""
    try:
        _check(source, os.stat(source.path))
    except (OSError, ChangedFile):
        return False
    return True


def _check(source: Source, now: os.stat_result) -> None:
    stamp = now.st_size, now.st_mtime_ns, now.st_ino
    if source.stamp not in (None, stamp):
        raise ChangedFile(
            f"file {os.path.basename(source.path)}: it was changed after it was added; "
            "add it again with --replace"
        )
