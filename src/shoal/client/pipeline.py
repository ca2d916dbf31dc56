"""A connection shared by coroutines: what one turn of the loop asks leaves together.

Replies come in the order of the requests, so whoever asked first is told first; a call
costs a future and no task. One timer watches the oldest call. A call that is given up
or cancelled keeps its place in the row, and its reply is dropped when it comes.
"""

import asyncio
import math
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Any, cast

from hiredis import ProtocolError, Reader, ReplyError

from shoal.client import replies
from shoal.core.address import parse
from shoal.core.machine import Address
from shoal.errors import Overloaded, ShoalError, Unreachable

# So many calls wait for their replies at most.
MAX_WAITING = 100_000

# Of one call for many keys, so many are asked before the first reply is awaited.
AT_ONCE = 1000

# Beyond this unsent, callers wait until the peer has read some of it.
MAX_UNSENT_BYTES = 16 << 20

# However many deadlines come, they are looked at no more often: the row is long.
LOOK_S = 0.05

_MORE = object()

Answer = asyncio.Future[Any]


class Pipeline(asyncio.Protocol):
    """One connection, from its making to its loss."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, float, Answer]] = deque()
        self._unsent: list[bytes] = []
        self._reader = Reader(notEnoughData=_MORE)
        self._watch: asyncio.TimerHandle | None = None
        self._look_at = math.inf
        self._room = asyncio.Event()
        self._room.set()
        self.lost = False

    def send(self, request: bytes, patience_s: float) -> Answer:
        """Ask at the end of this turn; the reply is to come."""
        if len(self._waiting) >= MAX_WAITING:
            raise Overloaded(
                f"peer {self._address}: {MAX_WAITING} calls wait for it, and this was "
                "not asked; wait for some of them first"
            )
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(request)
        answer: Answer = self._loop.create_future()
        until = self._loop.time() + patience_s
        self._waiting.append((until, patience_s, answer))
        if until < self._look_at:
            self._look(until)
        return answer

    @property
    def blocked(self) -> bool:
        """Is more unsent than the peer reads?"""
        return not self._room.is_set()

    async def wait_for_room(self) -> None:
        """Until the peer has read what was sent, or will not."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._room.wait()
        except TimeoutError:
            raise Overloaded(
                f"peer {self._address}: it reads nothing, and this was not asked; "
                "is it well? see: shoal status"
            ) from None

    def close(self) -> None:
        """Hang up."""
        self._transport.close()
        self._end(replies.lost(self._address, "it was closed here", asked=True))

    def _flush(self) -> None:
        # What is left unsent when the connection goes was not asked, but who asked
        # has been told that nobody knows, which is safe.
        requests, self._unsent = self._unsent, []
        if not self.lost:
            self._transport.write(b"".join(requests))

    def _look(self, at: float) -> None:
        """See then who has waited long enough."""
        if self._watch:
            self._watch.cancel()
        self._look_at, self._watch = at, self._loop.call_at(at, self._give_up)

    def _give_up(self) -> None:
        """Tell those who have waited long enough; they keep their places."""
        now = self._loop.time()
        self._look_at = earliest = math.inf
        for until, patience_s, answer in self._waiting:
            if answer.done():
                continue
            if until <= now:
                answer.set_exception(replies.unanswered(self._address, patience_s))
            elif until < earliest:
                earliest = until
        if earliest < math.inf:
            self._look(max(earliest, now + LOOK_S))

    # What the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The peer is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(MAX_UNSENT_BYTES)

    def data_received(self, data: bytes) -> None:
        """Tell each caller, in their order."""
        feed, next_reply, waiting = self._reader.feed, self._reader.gets, self._waiting
        try:
            feed(data)
            while (reply := next_reply()) is not _MORE:
                if not waiting:  # Said unasked, before it hangs up.
                    raise ProtocolError(str(reply))
                _, _, answer = waiting.popleft()
                if answer.done():
                    continue
                if reply.__class__ is ReplyError:
                    answer.set_exception(replies.failure(self._address, reply))
                else:
                    answer.set_result(reply)
        except ProtocolError:
            self._transport.abort()
            self._end(replies.foreign(self._address))

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody knows what became of what is under way."""
        self._end(replies.lost(self._address, error, asked=True))

    def pause_writing(self) -> None:
        """The peer reads more slowly than we ask."""
        self._room.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._room.set()

    def _end(self, error: ShoalError) -> None:
        self.lost = True
        self._room.set()
        if self._watch:
            self._watch.cancel()
        waiting, self._waiting = self._waiting, deque()
        for _, _, answer in waiting:
            if not answer.done():
                answer.set_exception(error)


class Pipelines:
    """The connection there is, or a new one when it was lost."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._now: Pipeline | None = None
        self._connecting = asyncio.Lock()

    async def ask(
        self, request: bytes, *, again: bool = True, timeout_s: float | None = None
    ) -> Any:  # noqa: ANN401 - it is whatever the reply is.
        """One reply; asked once more if the connection breaks, and `again`."""
        line = self._now
        if line is None or line.lost or line.blocked:
            line = await self.ready()
        try:
            return await line.send(request, timeout_s or self.timeout_s)
        except Unreachable:
            if not again:
                raise
        line = await self.ready()
        return await line.send(request, timeout_s or self.timeout_s)

    async def ask_all(
        self, asked: Iterable[bytes], *, again: bool, timeout_s: float | None
    ) -> list[Any]:
        """A reply to each, in their order; raises the first error when all are told."""
        calls = iter(asked)
        found: list[Any] = []
        while some := list(islice(calls, AT_ONCE)):
            told = await self._ask_together(some, timeout_s)
            lost = [n for n, reply in enumerate(told) if isinstance(reply, Unreachable)]
            if again and lost:
                anew = await self._ask_together([some[n] for n in lost], timeout_s)
                for n, reply in zip(lost, anew, strict=True):
                    told[n] = reply
            for reply in told:
                if isinstance(reply, BaseException):
                    raise reply
            found += told
        return found

    async def _ask_together(
        self, requests: list[bytes], timeout_s: float | None
    ) -> list[Any]:
        line, patience_s = await self.ready(), timeout_s or self.timeout_s
        sent = [line.send(each, patience_s) for each in requests]
        return await asyncio.gather(*sent, return_exceptions=True)

    async def ready(self) -> Pipeline:
        """A connection with room for a request."""
        line = self._now
        if line is None or line.lost:
            async with self._connecting:
                line = self._now
                if line is None or line.lost:
                    line = self._now = await self._connect()
        if line.blocked:
            await line.wait_for_room()
        return line

    def close(self) -> None:
        """Hang up."""
        if self._now:
            self._now.close()

    async def _connect(self) -> Pipeline:
        host, port = parse(self.address)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.timeout_s):
                _, line = await loop.create_connection(
                    lambda: Pipeline(self.address, self.timeout_s), host, port
                )
        except TimeoutError:
            cause = "it does not answer"
            raise replies.lost(self.address, cause, asked=False) from None
        except OSError as error:
            raise replies.lost(self.address, error, asked=False) from None
        return line
