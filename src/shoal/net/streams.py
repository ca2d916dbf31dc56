"""Large payloads between two peers: chunks on a connection of their own.

A stream shares nothing with the link but the peer, so that it cannot delay a probe
or a request; TCP's own flow control holds back whoever is too fast. Chunks go either
way; an empty frame ends one's own side.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import msgspec
from msgspec import Raw, Struct

from shoal.core.flight import Topic
from shoal.core.frames import FrameReader, framed
from shoal.core.machine import PeerId
from shoal.errors import MalformedMessage, Unanswered, Unreachable
from shoal.net.link import Link

# Long enough to keep the cost per chunk small, short enough that reading one does
# not hold up the loop: 64 KiB take about 20 us.
CHUNK_BYTES = 1 << 16
MAX_CHUNK_BYTES = 1 << 20

# What may wait to be read, and to be written, before the other side is held back.
WINDOW_BYTES = 1 << 20

# A stream on which nothing moves for so long is dead.
IDLE_S = 60.0


class Opening(Struct, array_like=True, frozen=True):
    """The first frame of a stream: what it is about."""

    topic: Topic
    head: Raw


_opening = msgspec.msgpack.Decoder(Opening)
_encode = msgspec.msgpack.Encoder().encode


class Stream(asyncio.Protocol):
    """One stream, on either side."""

    def __init__(
        self, peer: PeerId, opened: Callable[["Stream", Opening], None] | None
    ) -> None:
        """`opened` on the side that did not open it: called with what it is about."""
        self.peer = peer
        self._opened = opened
        self._reader = FrameReader(MAX_CHUNK_BYTES)
        self._chunks: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._ended = False
        self._broken: Exception | None = None
        self._arrival = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.received_bytes = 0
        self.sent_bytes = 0

    # For applications

    async def send(self, chunk: bytes) -> None:
        """Send a chunk, when the other side has room for it."""
        for start in range(0, len(chunk), MAX_CHUNK_BYTES):
            await self._write(chunk[start : start + MAX_CHUNK_BYTES])

    async def end(self) -> None:
        """Say that nothing more comes from us."""
        await self._wait(self._room)
        self._transport.write(framed(b""))

    async def chunks(self) -> AsyncIterator[bytes]:
        """Everything the other side sends, until its end."""
        while True:
            if self._chunks:
                yield self._next()
            elif self._ended:
                return
            else:
                self._arrival.clear()
                await self._wait(self._arrival)

    def close(self) -> None:
        """Both sides have what they want."""
        self._transport.close()

    def abort(self) -> None:
        """Drop everything, now."""
        self._transport.abort()

    async def _write(self, chunk: bytes) -> None:
        await self._wait(self._room)
        self.sent_bytes += len(chunk)
        self._transport.write(len(chunk).to_bytes(4))
        self._transport.write(chunk)

    async def _wait(self, event: asyncio.Event) -> None:
        if self._broken:
            raise self._broken
        if not event.is_set():
            try:
                async with asyncio.timeout(IDLE_S):
                    await event.wait()
            except TimeoutError:
                why = f"nothing moved on a stream with {self.peer} for {IDLE_S:.0f} s"
                raise Unanswered(why) from None
        if self._broken and not (event is self._arrival and self._chunks):
            raise self._broken

    def _next(self) -> bytes:
        chunk = self._chunks.popleft()
        before, self._waiting_bytes = (
            self._waiting_bytes,
            self._waiting_bytes - len(chunk),
        )
        if before >= WINDOW_BYTES > self._waiting_bytes and not self._broken:
            self._transport.resume_reading()
        return chunk

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over from the link that greeted on it."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(WINDOW_BYTES)

    def open(self, topic: str, head: bytes) -> None:
        """Say what the stream is about."""
        self._transport.write(framed(_encode(Opening(topic, Raw(head)))))

    def data_received(self, data: bytes) -> None:
        """Keep chunks, and hold the other side back when there are many."""
        try:
            for body in self._reader.feed(data):
                self._take(body)
        except (MalformedMessage, msgspec.MsgspecError) as error:
            self._broken = MalformedMessage(str(error))
            self._transport.abort()
        self._arrival.set()

    def _take(self, body: bytes) -> None:
        if self._opened:
            opened, self._opened = self._opened, None
            opened(self, _opening.decode(body))
        elif not body:
            self._ended = True
        else:
            self.received_bytes += len(body)
            before = self._waiting_bytes
            self._waiting_bytes += len(body)
            self._chunks.append(body)
            if before < WINDOW_BYTES <= self._waiting_bytes:
                self._transport.pause_reading()

    def pause_writing(self) -> None:
        """The other side is slow."""
        self._room.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._room.set()

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever waits is told."""
        why = f"the stream with {self.peer} broke"
        self._broken = self._broken or Unreachable(why)
        self._arrival.set()
        self._room.set()


Serve = Callable[[Stream, Raw], Awaitable[None]]


class Streams:
    """The streams of a peer, served by topic."""

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        self._handlers: dict[str, Serve] = {}
        self._fail = fail
        self._tasks: set[asyncio.Task[None]] = set()

    def serve(self, topic: str, handler: Serve) -> None:
        """Say who serves streams of a topic."""
        self._handlers[topic] = handler

    def accept(self, link: Link, rest: bytes) -> None:
        """A greeted connection is to be a stream that the other side opens."""
        self._take_over(link, Stream(link.peer, self._opened), rest)

    def begin(self, link: Link, topic: str, head: bytes) -> Stream:
        """A greeted connection is to be a stream that we open."""
        stream = Stream(link.peer, None)
        self._take_over(link, stream, b"")
        stream.open(topic, head)
        return stream

    def stop(self) -> None:
        """End them all."""
        for task in self._tasks:
            task.cancel()

    @staticmethod
    def _take_over(link: Link, stream: Stream, rest: bytes) -> None:
        link.transport.set_protocol(stream)
        stream.connection_made(link.transport)
        if rest:
            stream.data_received(rest)

    def _opened(self, stream: Stream, opening: Opening) -> None:
        handler = self._handlers.get(opening.topic)
        if handler is None:
            stream.abort()
            return
        task = asyncio.ensure_future(self._serve(handler, stream, opening.head))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, handler: Serve, stream: Stream, head: Raw) -> None:
        try:
            await handler(stream, head)
        except (Unreachable, Unanswered, MalformedMessage):
            stream.abort()
        except Exception as error:
            stream.abort()
            self._fail(error)
