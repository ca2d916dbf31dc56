"""Connections of a catalog: one question and its answer, or one update.

Nobody can delay another: each has its own few bytes, and its own deadline.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from shoal.catalog.answers import Answer, too_busy
from shoal.catalog.messages import MAX_UPDATE_BYTES
from shoal.catalog.requests import MAX_LINE_BYTES, first_line, heading

# A question fits into one packet; an answer of megabytes crosses a slow line in this.
QUESTION_S = 10.0
ANSWER_S = 60.0

# As genuine catalogs: what has come of an update by then is all there is.
UPDATE_S = 5.0

MAX_HEAD_BYTES = MAX_LINE_BYTES + (8 << 10)

# So much of an answer is handed over at a time: the rest is shared by all who get it.
PIECE_BYTES = 256 << 10

# Half-sent updates of everybody together.
MAX_UNFINISHED_BYTES = 64 << 20

# Answers that slow readers have not taken yet, eight of the largest.
MAX_UNSENT_BYTES = 512 << 20

# What is asked, and the tag of what they have of it already.
Reply = Callable[[str, str], Answer | Awaitable[Answer]]


class Room:
    """Who is inside, how many may be, and how many bytes of updates wait for an end."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside: dict[asyncio.Transport, None] = {}
        self.unfinished_bytes = 0
        self.unsent_bytes = 0

    def enter(self, transport: asyncio.Transport) -> None:
        """One more; where there is no room, who has been here longest goes.

        A question takes milliseconds: whoever stands here longer than a thousand others
        only stands.
        """
        self._inside[transport] = None
        if len(self._inside) > self._limit:
            oldest = next(iter(self._inside))
            self.leave(oldest)
            oldest.abort()

    def leave(self, transport: asyncio.Transport) -> None:
        """One less."""
        self._inside.pop(transport, None)

    def close(self) -> None:
        """Show everybody out."""
        for transport in list(self._inside):
            transport.abort()


class Question(asyncio.Protocol):
    """A request of HTTP, and the end of the connection after its answer."""

    def __init__(
        self,
        room: Room,
        reply: Reply,
        date: Callable[[], str],
        fail: Callable[[Exception], None],
    ) -> None:
        self._room = room
        self._reply = reply
        self._date = date
        self._fail = fail
        self._head = b""
        self._rest = memoryview(b"")
        self._asked = self._answered = self._paused = False
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody wants to know something."""
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(QUESTION_S, self._transport.abort)
        self._room.enter(self._transport)

    def data_received(self, data: bytes) -> None:
        """Wait for the end of the head; what comes after it is of no interest."""
        if self._asked:
            return
        self._head += data
        if b"\r\n\r\n" in self._head or b"\n\n" in self._head:
            self._ask()
        elif len(self._head) > MAX_HEAD_BYTES:
            self._transport.abort()

    def eof_received(self) -> bool:
        """Who says no more may listen still."""
        return self._asked

    def connection_lost(self, _: Exception | None) -> None:
        """They have gone."""
        self._timer.cancel()
        self._room.leave(self._transport)
        if self._task:
            self._task.cancel()
        self._room.unsent_bytes -= len(self._rest)
        self._rest = memoryview(b"")

    def pause_writing(self) -> None:
        """They read more slowly than we write."""
        self._paused = True

    def resume_writing(self) -> None:
        """They have caught up."""
        self._paused = False
        self._write()

    def _ask(self) -> None:
        self._asked = True
        self._timer.cancel()
        self._timer = self._loop.call_later(ANSWER_S, self._transport.abort)
        line = first_line(self._head)
        if line is None:
            self._transport.close()
            return
        path, method = line
        try:
            answer = self._reply(path, heading(self._head, b"if-none-match"))
        except Exception as error:
            self._fail(error)
            raise
        if isinstance(answer, Answer):
            self._answer(answer, method)
        else:
            self._task = self._loop.create_task(self._wait(answer, method))

    async def _wait(self, answer: Awaitable[Answer], method: str) -> None:
        try:
            self._answer(await answer, method)
        except Exception as error:
            self._fail(error)

    def _answer(self, answer: Answer, method: str) -> None:
        self._answered = True
        if self._room.unsent_bytes + len(answer.body) > MAX_UNSENT_BYTES:
            answer = too_busy()
        if "gzip" in heading(self._head, b"accept-encoding"):
            answer = answer.packed()
        self._transport.write(answer.head(self._date()))
        if method != "HEAD":
            self._rest = memoryview(answer.body)
            self._room.unsent_bytes += len(self._rest)
        self._write()

    def _write(self) -> None:
        while self._rest and not self._paused:
            piece, self._rest = self._rest[:PIECE_BYTES], self._rest[PIECE_BYTES:]
            self._room.unsent_bytes -= len(piece)
            self._transport.write(piece)
        if self._answered and not self._rest and not self._transport.is_closing():
            self._transport.close()


class Update(asyncio.Protocol):
    """All that somebody sends until they end: one record. There is no answer."""

    def __init__(self, room: Room, take: Callable[[bytes, str], None]) -> None:
        self._room = room
        self._take = take
        self._pieces: list[bytes] = []
        self._size_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has something to tell."""
        self._transport = cast("asyncio.Transport", transport)
        self._address = str((transport.get_extra_info("peername") or ("",))[0])
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(UPDATE_S, self._end)
        self._room.enter(self._transport)

    def data_received(self, data: bytes) -> None:
        """Keep it, unless it is too much."""
        self._pieces.append(data)
        self._size_bytes += len(data)
        self._room.unfinished_bytes += len(data)
        too_much = self._room.unfinished_bytes > MAX_UNFINISHED_BYTES
        if too_much or self._size_bytes > MAX_UPDATE_BYTES:
            self._forget()
            self._transport.abort()

    def eof_received(self) -> bool:
        """That was all."""
        self._end()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """A connection that was reset has told nothing."""
        self._timer.cancel()
        self._room.leave(self._transport)
        self._forget()

    def _end(self) -> None:
        data = b"".join(self._pieces)
        self._forget()
        self._timer.cancel()
        self._transport.close()
        if data and not data.startswith(b"GET "):
            self._take(data, self._address)

    def _forget(self) -> None:
        self._room.unfinished_bytes -= self._size_bytes
        self._pieces, self._size_bytes = [], 0
