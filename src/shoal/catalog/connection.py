"""Connections of a catalog: one question and its answer, or one update.

Nobody can delay another: each has its own few bytes, and its own deadline.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import cast

from shoal.catalog.answers import Answer
from shoal.catalog.messages import MAX_UPDATE_BYTES
from shoal.catalog.requests import MAX_LINE_BYTES, first_line, heading

# A question fits into one packet; an answer of megabytes crosses a slow line in this.
QUESTION_S = 10.0
ANSWER_S = 60.0

# As genuine catalogs: what has come of an update by then is all there is.
UPDATE_S = 5.0

MAX_HEAD_BYTES = MAX_LINE_BYTES + (8 << 10)

# So much of an answer is handed over at a time: the rest is shared by all who get it.
PIECE_BYTES = 64 << 10

# Inside, of one host: if they all go at once, others wait for 10 ms.
MAX_OF_HOST = 600

# Half-sent updates of everybody together.
MAX_UNFINISHED_BYTES = 16 << 20

# Answers that readers have not taken yet: one of all that a catalog holds.
MAX_UNSENT_BYTES = 36 << 20

# A path, who asks, and the tag of what they have of it already.
Reply = Callable[[str, str, str], Answer | Awaitable[Answer]]


class Room:
    """Who is inside, how many may be, and how many bytes of updates wait for an end."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._inside: dict[asyncio.Transport, str] = {}
        self._of_host: dict[str, dict[asyncio.Transport, None]] = {}
        self._unfinished: dict[asyncio.Transport, int] = {}
        self._reading: dict[asyncio.Transport, Answer] = {}
        self._readers: Counter[int] = Counter()  # Many may read one answer.
        self.unfinished_bytes = 0
        self.unsent_bytes = 0

    def enter(self, transport: asyncio.Transport, host: str) -> None:
        """One more; where there is no room, one goes of the host that has most here.

        A question takes milliseconds: whoever stands here longer than so many others of
        one host only stands.
        """
        if not self._limit:
            transport.abort()
            return
        self._inside[transport] = host
        of_host = self._of_host.setdefault(host, {})
        of_host[transport] = None
        if len(self._inside) > self._limit:
            of_host = max(self._of_host.values(), key=len)
        elif len(of_host) <= MAX_OF_HOST:
            return
        self._show_out(next(iter(of_host)))

    def leave(self, transport: asyncio.Transport) -> None:
        """One less, with all that was kept for them."""
        host = self._inside.pop(transport, None)
        if host is None:
            return
        del self._of_host[host][transport]
        if not self._of_host[host]:
            del self._of_host[host]
        self.forget(transport)
        self._put_down(transport)

    def keep(self, transport: asyncio.Transport, size_bytes: int) -> None:
        """Half an update is longer; where that is too much, the first to begin goes."""
        self.unfinished_bytes += size_bytes
        self._unfinished[transport] = self._unfinished.get(transport, 0) + size_bytes
        while self.unfinished_bytes > MAX_UNFINISHED_BYTES:
            self._show_out(next(iter(self._unfinished)))

    def forget(self, transport: asyncio.Transport) -> None:
        """It is no more, or no more half."""
        self.unfinished_bytes -= self._unfinished.pop(transport, 0)

    def read(self, transport: asyncio.Transport, answer: Answer) -> None:
        """Somebody reads an answer; where that is too much, the slowest goes."""
        self._reading[transport] = answer
        self._readers[id(answer)] += 1
        if self._readers[id(answer)] == 1:
            self.unsent_bytes += answer.size_bytes
        self.make_room(0, but=transport)

    def make_room(
        self, size_bytes: int, *, but: asyncio.Transport | None = None
    ) -> bool:
        """Have slow readers of long answers go, until there is room for so much."""
        if self.unsent_bytes + size_bytes <= MAX_UNSENT_BYTES:
            return True
        # As much again if all have so much.
        little = MAX_UNSENT_BYTES // max(self._limit, 1)
        slow = (
            each
            for each, answer in list(self._reading.items())
            if each is not but and answer.size_bytes > little
        )
        while self.unsent_bytes + size_bytes > MAX_UNSENT_BYTES:
            reader = next(slow, None)
            if reader is None:
                return False
            self._show_out(reader)
        return True

    def _put_down(self, transport: asyncio.Transport) -> None:
        answer = self._reading.pop(transport, None)
        if answer is not None:
            self._readers[id(answer)] -= 1
            if not self._readers[id(answer)]:
                del self._readers[id(answer)]
                self.unsent_bytes -= answer.size_bytes

    def _show_out(self, transport: asyncio.Transport) -> None:
        self.leave(transport)
        transport.abort()

    def close(self) -> None:
        """Show everybody out, and whoever comes yet."""
        self._limit = 0
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
        self._rest: Iterator[memoryview] = iter(())
        self._asked = self._answered = self._paused = False
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody wants to know something."""
        self._transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(QUESTION_S, self._transport.abort)
        self._host = _host_of(transport)
        self._room.enter(self._transport, self._host)

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
            self._task = None  # Its frames know us: a ring that lasts long.
        self._rest = iter(())

    def pause_writing(self) -> None:
        """They read more slowly than we write."""
        self._paused = True

    def resume_writing(self) -> None:
        """They have caught up. A transport does not end while it tells us so."""
        self._paused = False
        self._loop.call_soon(self._write)

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
            known = heading(self._head, b"if-none-match")
            answer = self._reply(path, self._host, known)
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
        if self._transport.is_closing():
            return  # They have gone, or were shown out, while it was made.
        self._answered = True
        if "gzip" in heading(self._head, b"accept-encoding"):
            answer = answer.packed()
        self._transport.write(answer.head(self._date()))
        if method != "HEAD":
            self._rest = _pieces(answer)
            self._room.read(self._transport, answer)
        self._write()

    def _write(self) -> None:
        while self._answered and not self._paused:
            piece = next(self._rest, None)
            if piece is not None:
                self._transport.write(piece)
                continue
            if not self._transport.is_closing():
                self._transport.close()
            return


class Update(asyncio.Protocol):
    """All that somebody sends until they end: one record. There is no answer."""

    def __init__(
        self, room: Room, take: Callable[[bytes, str, Callable[[], None]], None]
    ) -> None:
        """`take` is told what came, from where, and what to do when that counts."""
        self._room = room
        self._take = take
        self._pieces: list[bytes] = []
        self._size_bytes = 0
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has something to tell."""
        self._transport = cast("asyncio.Transport", transport)
        self._address = _host_of(transport)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(UPDATE_S, self._end)
        self._room.enter(self._transport, self._address)

    def data_received(self, data: bytes) -> None:
        """Keep it, unless it is too much."""
        if self._ended:
            return
        self._pieces.append(data)
        self._size_bytes += len(data)
        if self._size_bytes > MAX_UPDATE_BYTES:
            self._forget()
            self._transport.abort()
        else:
            self._room.keep(self._transport, len(data))

    def eof_received(self) -> bool:
        """That was all; the end of our side says that it counts."""
        self._end()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """A connection that was reset has told nothing."""
        self._timer.cancel()
        self._room.leave(self._transport)
        self._forget()

    def _end(self) -> None:
        if self._ended:
            return
        data = b"".join(self._pieces)
        self._forget()
        self._timer.cancel()
        if data and not data.startswith(b"GET "):
            self._take(data, self._address, self._transport.close)
        else:
            self._transport.close()

    def _forget(self) -> None:
        self._ended = True
        self._room.forget(self._transport)
        self._pieces = []


def _pieces(answer: Answer) -> Iterator[memoryview]:
    """One at a time: a thousand readers of hundreds would hold up all with garbage."""
    for part in (*answer.before, answer.body):
        for start in range(0, len(part), PIECE_BYTES):
            yield memoryview(part)[start : start + PIECE_BYTES]


def _host_of(transport: asyncio.BaseTransport) -> str:
    return str((transport.get_extra_info("peername") or ("",))[0])
