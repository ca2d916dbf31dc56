"""Large payloads between two peers: chunks on a connection of their own.

A stream shares nothing with the link but the peer, so that it cannot delay a probe
or a request; TCP's own flow control holds back whoever is too fast. Chunks go either
way; an empty frame ends one's own side.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import cast

import msgspec
from msgspec import Raw, Struct

from shoal.core.flight import Topic
from shoal.core.frames import framed
from shoal.core.machine import PeerId
from shoal.core.wire import decoded
from shoal.errors import MalformedMessage, Unanswered, Unreachable

# What one side should send at a time, and may.
CHUNK_BYTES = 1 << 16
MAX_CHUNK_BYTES = 1 << 20

# What may wait to be read, and to be written, before the other side is held back.
WINDOW_BYTES = 1 << 18

# What a stream may move in one turn of the loop, that is within some 50 us. The event
# loop would read up to 32 buffers in a row, and every request would wait for them.
TURN_BYTES = 1 << 17

_HEAD_BYTES = 4

# Who begins a stream says at once what it is about.
OPENING_S = 10.0

# A stream on which nothing moves for so long is dead.
IDLE_S = 60.0


class Opening(Struct, array_like=True, frozen=True):
    """The first frame of a stream: what it is about."""

    topic: Topic
    head: Raw


_opening = msgspec.msgpack.Decoder(Opening)
_encode = msgspec.msgpack.Encoder().encode


class Stream(asyncio.BufferedProtocol):
    """One stream, on either side. Bytes are received where their chunk will be."""

    def __init__(
        self, peer: PeerId, opened: Callable[["Stream", Opening], None] | None
    ) -> None:
        """`opened` on the side that did not open it: called with what it is about."""
        self.peer = peer
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[bytearray] = deque()
        self._waiting_bytes = 0
        self._read_bytes = 0
        self._moved_bytes = 0
        self._written_bytes = 0
        self._paused = False
        self._ended = False
        self._broken: Exception | None = None
        self._arrival = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.received_bytes = 0
        self.sent_bytes = 0
        self._filling = bytearray(_HEAD_BYTES)
        self._unfilled = memoryview(self._filling)
        self._in_head = True

    # For applications

    async def send(self, chunk: bytes) -> None:
        """Send a chunk, when the other side has room for it."""
        for start in range(0, len(chunk), MAX_CHUNK_BYTES):
            await self._write(chunk[start : start + MAX_CHUNK_BYTES])

    async def end(self) -> None:
        """Say that nothing more comes from us."""
        await self._wait(self._room)
        self._transport.write(framed(b""))

    async def chunks(self) -> AsyncIterator[bytearray]:
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
        self._transport.writelines((len(chunk).to_bytes(_HEAD_BYTES), chunk))
        self._written_bytes += len(chunk)
        if self._written_bytes >= TURN_BYTES:
            self._written_bytes = 0
            await asyncio.sleep(0)  # Let others have their turn.

    async def _wait(self, event: asyncio.Event) -> None:
        if self._broken:
            raise self._broken
        while not event.is_set():
            moved = self._moved_bytes
            try:
                async with asyncio.timeout(IDLE_S):
                    await event.wait()
            except TimeoutError:
                if moved != self._moved_bytes:
                    continue  # Slow, but not dead.
                why = f"nothing moved on a stream with {self.peer} for {IDLE_S:.0f} s"
                raise Unanswered(why) from None
        if self._broken and not (event is self._arrival and self._chunks):
            raise self._broken

    def _next(self) -> bytearray:
        chunk = self._chunks.popleft()
        self._waiting_bytes -= len(chunk)
        self._regulate()
        return chunk

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over from the link that greeted on it."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(WINDOW_BYTES)
        if self._opened:
            self._loop.call_later(OPENING_S, self._expire)

    def _expire(self) -> None:
        if self._opened:
            self.abort()

    def open(self, topic: str, head: bytes) -> None:
        """Say what the stream is about."""
        self._transport.write(framed(_encode(Opening(topic, Raw(head)))))

    def get_buffer(self, _: int) -> memoryview:
        """Where the next bytes belong."""
        return self._unfilled

    def buffer_updated(self, count: int) -> None:
        """Keep whole chunks, and hold the other side back when there are many."""
        if not self._read_bytes:
            self._loop.call_soon(self._next_turn)
        self._read_bytes += count
        self._moved_bytes += count
        self._unfilled = self._unfilled[count:]
        if not self._unfilled:
            self._filled(self._filling)
        self._regulate()

    def feed(self, data: bytes) -> None:
        """Take what came before the connection was a stream."""
        rest = memoryview(data)
        while rest:
            count = min(len(rest), len(self._unfilled))
            self._unfilled[:count] = rest[:count]
            self.buffer_updated(count)
            rest = rest[count:]

    def _filled(self, whole: bytearray) -> None:
        if not self._in_head:
            self._expect(_HEAD_BYTES, in_head=True)
            self._take(whole)
            return
        size = int.from_bytes(whole)
        if size > MAX_CHUNK_BYTES:
            self._break(f"a chunk of {size} bytes is longer than {MAX_CHUNK_BYTES}")
        self._ended = self._ended or size == 0
        self._expect(size or _HEAD_BYTES, in_head=size == 0)
        self._arrival.set()

    def _expect(self, size_bytes: int, *, in_head: bool) -> None:
        self._filling = bytearray(min(size_bytes, MAX_CHUNK_BYTES))
        self._unfilled = memoryview(self._filling)
        self._in_head = in_head

    def _take(self, chunk: bytearray) -> None:
        if self._opened:
            opened, self._opened = self._opened, None
            try:
                opened(self, decoded(_opening, chunk))
            except MalformedMessage as error:
                self._break(str(error))
            return
        self.received_bytes += len(chunk)
        self._waiting_bytes += len(chunk)
        self._chunks.append(chunk)
        self._arrival.set()

    def _next_turn(self) -> None:
        self._read_bytes = 0
        self._regulate()

    def _regulate(self) -> None:
        """Read on only while there is room, and no more than a turn allows."""
        full = self._waiting_bytes >= WINDOW_BYTES or self._read_bytes >= TURN_BYTES
        if full != self._paused and not self._transport.is_closing():
            self._paused = full
            if full:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _break(self, why: str) -> None:
        self._broken = MalformedMessage(why)
        self._transport.abort()
        self._arrival.set()

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
