"""A connection shared by coroutines: what one turn of the loop asks leaves together.

Replies come in the order of the requests, so whoever asked first is told first; a call
costs a future and no task. One timer watches the oldest call. A call that is given up
or cancelled keeps its place in the row, and its reply is dropped when it comes. Where
one is given up, and nothing was heard for the whole time-out, the connection is
dropped: on a path that died in silence nothing else would end it.
"""

import asyncio
import math
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any, cast

from hiredis import ProtocolError, Reader, ReplyError

from shoal.client import replies
from shoal.core.address import parse
from shoal.core.machine import Address
from shoal.errors import Overloaded, Refused, ShoalError, Unreachable

# So many calls wait for their replies at most.
MAX_WAITING = 100_000

# Of one call for many keys, so many are asked before the first reply is awaited.
AT_ONCE = 1000

# Nor is more asked at once than this: a few of the longest values. A guess.
AT_ONCE_BYTES = 4 << 20

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
        self._unsent_bytes = 0
        self._reader = Reader(notEnoughData=_MORE)
        self._watch: asyncio.TimerHandle | None = None
        self._look_at = math.inf
        self._heard = self._loop.time()
        self._paused = False
        self._room = asyncio.Event()
        self._room.set()
        self.lost = False

    def send(self, request: bytes, patience_s: float) -> Answer:
        """Ask at the end of this turn; the reply is to come."""
        if len(self._waiting) >= MAX_WAITING:
            self.refuse_beyond(1)
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(request)
        self._unsent_bytes += len(request)
        if self._unsent_bytes > MAX_UNSENT_BYTES:
            self._room.clear()
        answer: Answer = self._loop.create_future()
        until = self._loop.time() + patience_s
        self._waiting.append((until, patience_s, answer))
        if until < self._look_at:
            self._look(until)
        return answer

    def refuse_beyond(self, count: int) -> None:
        """May so many more wait? Otherwise none of them is asked."""
        if len(self._waiting) + count > MAX_WAITING:
            raise Overloaded(
                f"peer {self._address}: {MAX_WAITING} calls wait for it, and this was "
                "not asked; wait for some of them first"
            )

    @property
    def blocked(self) -> bool:
        """Is more unsent than the peer reads?"""
        return not self._room.is_set()

    async def wait_for_room(self) -> None:
        """Until the peer has read what was sent, or will not."""
        await self._room.wait()

    def close(self) -> None:
        """Hang up."""
        self._transport.close()
        self._end(replies.lost(self._address, "it was closed here", asked=True))

    def _flush(self) -> None:
        # What is left unsent when the connection goes was not asked, but who asked
        # has been told that nobody knows, which is safe.
        requests, self._unsent, self._unsent_bytes = self._unsent, [], 0
        if not self.lost:
            self._transport.write(b"".join(requests))
        if not self._paused:
            self._room.set()

    def _look(self, at: float) -> None:
        """See then who has waited long enough."""
        if self._watch:
            self._watch.cancel()
        self._look_at, self._watch = at, self._loop.call_at(at, self._give_up)

    def _give_up(self) -> None:
        """Tell those who have waited long enough; they keep their places."""
        now = self._loop.time()
        self._look_at = earliest = math.inf
        gave_up = False
        for until, patience_s, answer in self._waiting:
            if answer.done():
                continue
            if until <= now:
                answer.set_exception(replies.unanswered(self._address, patience_s))
                gave_up = True
            elif until < earliest:
                earliest = until
        if gave_up and now + LOOK_S > self._silent_since() + self._timeout_s:
            self._transport.abort()
            self._end(replies.lost(self._address, "it is silent", asked=True))
        elif earliest < math.inf:
            self._look(max(earliest, now + LOOK_S))

    def _silent_since(self) -> float:
        """When it was last heard of, or was asked what it has not answered."""
        until, patience_s, _ = self._waiting[0]
        return max(self._heard, until - patience_s)

    # What the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The peer is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(MAX_UNSENT_BYTES)

    def data_received(self, data: bytes) -> None:
        """Tell each caller, in their order."""
        feed, next_reply, waiting = self._reader.feed, self._reader.gets, self._waiting
        self._heard = self._loop.time()
        try:
            feed(data)
            while (reply := next_reply()) is not _MORE:
                if not waiting:  # Said unasked, before it hangs up.
                    if reply.__class__ is not ReplyError:
                        raise ProtocolError(str(reply))
                    self.lost = True
                    return
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
        self._paused = True
        self._room.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._paused = False
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
        patience_s = timeout_s or self.timeout_s
        until = monotonic() + patience_s
        line = self._now
        if line is None or line.lost or line.blocked:
            line = await self.ready(until)
            patience_s = _left(until)
        try:
            return await line.send(request, patience_s)
        except Unreachable:
            if not again or monotonic() >= until:
                raise
        line = await self.ready(until)
        return await line.send(request, _left(until))

    async def ask_all(
        self, asked: Iterable[bytes], *, again: bool, timeout_s: float | None
    ) -> list[Any]:
        """A reply to each, in their order; raises the first error when all are told.

        They are asked in slices, by a deadline each.
        """
        found: list[Any] = []
        for some in slices(asked, AT_ONCE, AT_ONCE_BYTES):
            until = monotonic() + (timeout_s or self.timeout_s)
            try:
                told = await self._ask_together(some, until)
            except Refused as error:
                raise _in_part(error, len(found)) from None
            lost = [n for n, reply in enumerate(told) if isinstance(reply, Unreachable)]
            if again and lost:
                await self._ask_again(some, told, lost, until)
            for reply in told:
                if isinstance(reply, BaseException):
                    raise reply
            found += told
        return found

    async def _ask_again(
        self, requests: list[bytes], told: list[Any], lost: list[int], until: float
    ) -> None:
        """What was lost, on another connection; else it remains lost."""
        with suppress(Refused, Unreachable):
            anew = await self._ask_together([requests[n] for n in lost], until)
            for n, reply in zip(lost, anew, strict=True):
                told[n] = reply

    async def _ask_together(self, requests: list[bytes], until: float) -> list[Any]:
        """All of them, or none."""
        line = await self.ready(until)
        line.refuse_beyond(len(requests))
        patience_s = _left(until)
        sent = [line.send(each, patience_s) for each in requests]
        return await asyncio.gather(*sent, return_exceptions=True)

    async def ready(self, until: float | None = None) -> Pipeline:
        """A connection with room for a request."""
        try:
            async with asyncio.timeout(_left(until) if until else self.timeout_s):
                line = await self._there()
                while line.blocked:
                    await line.wait_for_room()
                    line = await self._there()
                return line
        except TimeoutError:
            if self._now is None or self._now.lost:
                cause = "it does not answer"
                raise replies.lost(self.address, cause, asked=False) from None
            raise Overloaded(
                f"peer {self.address}: it reads nothing, and this was not asked; "
                "is it well? see: shoal status"
            ) from None

    async def _there(self) -> Pipeline:
        """The connection, made again if it was lost."""
        line = self._now
        if line is None or line.lost:
            async with self._connecting:
                line = self._now
                if line is None or line.lost:
                    line = self._now = await self._connect()
        return line

    def close(self) -> None:
        """Hang up."""
        if self._now:
            self._now.close()

    async def _connect(self) -> Pipeline:
        host, port = parse(self.address)
        loop = asyncio.get_running_loop()
        try:
            _, line = await loop.create_connection(
                lambda: Pipeline(self.address, self.timeout_s), host, port
            )
        except OSError as error:
            raise replies.lost(self.address, error, asked=False) from None
        return line


def _left(until: float) -> float:
    """What is left of the time, to the millisecond, as it is told."""
    return max(0.0, round(until - monotonic(), 3))


def slices(
    requests: Iterable[bytes], count: int, size_bytes: int
) -> Iterator[list[bytes]]:
    """So many at once at most, and no more once they have so many bytes."""
    held: list[bytes] = []
    held_bytes = 0
    for each in requests:
        held.append(each)
        held_bytes += len(each)
        if len(held) >= count or held_bytes >= size_bytes:
            yield held
            held, held_bytes = [], 0
    if held:
        yield held


def _in_part(error: Refused, count: int) -> Refused:
    """Of many, some were asked before."""
    if not count:
        return error
    text = str(error).replace(
        "this was not asked", f"of what was asked only the first {count} were"
    )
    return type(error)(text)
