"""One client's connection: what it says goes to its talk, what it is told goes back.

Answers leave in order, each when what it rests on is safe. A client that does not read
is not read from; one that still does not read is cut off.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import time
from typing import Protocol, cast

from shoal.table.protocol import Table
from shoal.table.talk import Talk
from shoal.table.turns import Turn

log = logging.getLogger(__name__)

# Unread by the client up to this, its requests are still answered.
BACKLOG_BYTES = 1 << 20

# Unread news of channels up to this is kept for it; Redis's limit for subscribers.
NEWS_BYTES = 32 << 20

# A client that has read nothing for so long will not.
PATIENCE_S = 60.0

# The batch that answers rest on, the answers, and how many they are.
_Waiting = tuple[int, bytes | Turn, int]


class Waiter(Protocol):
    """Who waits for changes to be safe."""

    def release(self) -> bool:
        """More may be safe, or refused; false if there is more to wait for."""


class Committing(Protocol):
    """What a connection needs of whoever commits changes."""

    def wait(self, waiter: Waiter) -> None:
        """Call `release` when more is safe."""

    def count(self, answered: int) -> None:
        """So many requests more were answered."""


class Connection(asyncio.Protocol):
    """Carries one conversation."""

    def __init__(
        self,
        table: Table,
        committing: Committing,
        make_talk: Callable[["Connection"], Talk],
        settled: Callable[[], None],
    ) -> None:
        self._table = table
        self._committing = committing
        self._make_talk = make_talk
        self._settled: Callable[[], None] | None = settled
        self._waiting: deque[_Waiting] = deque()
        self._patience: asyncio.TimerHandle | None = None
        self._blocked = False
        self._finished = False  # It asks no more.
        self._due = False  # It is gone on with soon.
        self._early = b""  # Said while others answer: not heard yet.
        self._held = 0  # Bytes of answers that wait.

    @property
    def address(self) -> str:
        """Where the client calls from."""
        peer = self._transport.get_extra_info("peername") or ("?", 0)
        return f"{peer[0]}:{peer[1]}"

    @property
    def called(self) -> str:
        """Where it calls to."""
        here = self._transport.get_extra_info("sockname") or ("?", 0)
        return f"{here[0]}:{here[1]}"

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection over from the door."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(BACKLOG_BYTES)
        self._table.begin(time())
        self._talk = self._make_talk(self)

    def data_received(self, data: bytes) -> None:
        """Answer what the client asks."""
        table, talk = self._table, self._talk
        if talk.ended:
            return
        if talk.turn:  # Others still answer what it said before.
            self._early += data
            self._transport.pause_reading()
            return
        table.begin(time())
        try:
            replies = talk.hear(data)
        except Exception:
            # Remote bytes have found a bug: it is told loudly, and costs one client.
            log.exception("client %s met a bug of ours", self.address)
            self.cut("what it asked could not be answered")
            return
        ticket = table.rests_on
        if talk.turn:
            self._send(talk.turn, ticket)
        elif replies:
            self._committing.count(talk.answered)
            self.settle()
            if ticket or self._waiting:
                self._hold(ticket, replies, talk.answered)
                self._committing.wait(self)
            else:
                self._transport.write(replies)
        elif ticket:
            self._committing.wait(self)  # Done without a word, but done.
        if table.burdened:  # Nobody may change more than the disk takes.
            self._transport.pause_reading()
            self._committing.wait(self)
        if talk.ended or talk.paused or self._finished:
            self._pause()

    def eof_received(self) -> bool:
        """It asks no more; what it asked is still answered."""
        self._finished = True
        self._pause()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """It has gone."""
        self._waiting.clear()
        if self._patience:
            self._patience.cancel()
        self._talk.close()

    def settle(self) -> None:
        """Its first request was whole: the door has nothing more to watch for."""
        if self._settled:
            self._settled()
            self._settled = None

    # Answers

    def _hold(self, ticket: int, replies: bytes, count: int) -> None:
        """Keep answers back, and not more of them than may be unread."""
        self._waiting.append((ticket, replies, count))
        self._held += len(replies)
        if self._held > BACKLOG_BYTES:
            self._transport.pause_reading()

    def _send(self, turn: Turn, ticket: int) -> None:
        """Others answer a part of it; nothing more is heard until they have."""
        self._committing.count(self._talk.answered)
        self.settle()
        self._waiting.append((ticket, turn, 0))
        turn.send(self._landed)
        if ticket:
            self._committing.wait(self)
        if not turn.left:
            self._landed()

    def _landed(self) -> None:
        """All others have answered."""
        if self._waiting:
            self.release()

    def release(self) -> bool:
        """More may be safe, or refused. False if answers are still waiting."""
        waiting, fate = self._waiting, self._table.fate
        ready: list[bytes] = []
        while waiting and (why := fate(waiting[0][0])) is not None:
            _, replies, count = waiting.popleft()
            if isinstance(replies, Turn):
                if why:
                    replies.refuse(why, self._talk.refused(1, why))
                if replies.left:
                    waiting.appendleft((0, replies, 0))
                    break
                self._talk.turn = None
                ready.append(replies.told())
                continue
            self._held -= len(replies)
            if why:
                replies = self._talk.refused(count, why)
            ready.append(replies)
        if ready and not self._transport.is_closing():
            self._transport.write(b"".join(ready))
        self._read_on()
        self._pause()
        return not (waiting or self._table.burdened)

    def push(self, news: bytes) -> None:
        """Tell the client something it did not ask just now."""
        if self._transport.is_closing():
            return
        if self._waiting:
            self._hold(0, news, 0)
        else:
            self._transport.write(news)
        if self._transport.get_write_buffer_size() + self._held > NEWS_BYTES:
            self.cut(f"{NEWS_BYTES >> 20} MiB of news are unread")

    # Clients that do not read

    def pause_writing(self) -> None:
        """The client does not read: let its requests wait too."""
        self._blocked = True
        self._transport.pause_reading()
        self._wait_for_reader(self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """It has caught up."""
        self._blocked = False
        if self._patience:
            self._patience.cancel()
        self._read_on()
        self._pause()

    def _pause(self) -> None:
        """Go on with what is left, or end, once the client has what it was told."""
        if self._transport.is_closing():
            return
        if (self._talk.paused or self._early) and not self._talk.ended:
            self._transport.pause_reading()
            if self._may_go_on() and not self._due:
                self._due = True
                asyncio.get_running_loop().call_soon(self._go_on)
        elif (self._talk.ended or self._finished) and not self._waiting:
            self._transport.close()

    def _go_on(self) -> None:
        self._due = False
        paused = self._talk.paused
        if not (paused or self._early) or self._transport.is_closing():
            return
        if self._may_go_on():
            early = b""
            if not paused:
                early, self._early = self._early, b""
            self.data_received(early)
            self._read_on()

    def _may_go_on(self) -> bool:
        """Is not too much unread, kept back, or waiting for the disk or for others?"""
        if self._blocked or self._talk.turn or self._table.burdened:
            return False
        return self._held <= BACKLOG_BYTES

    def _read_on(self) -> None:
        if self._may_go_on() and not (self._talk.paused or self._early):
            self._transport.resume_reading()

    def _wait_for_reader(self, unread: int) -> None:
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(PATIENCE_S, self._judge, unread)

    def _judge(self, unread: int) -> None:
        left = self._transport.get_write_buffer_size()
        if left < unread:
            self._wait_for_reader(left)
        else:
            self.cut(f"it has read nothing for {PATIENCE_S:g} s")

    def cut(self, why: str) -> None:
        """End it, whatever it was still to be told."""
        log.warning("client %s is cut off: %s", self.address, why)
        self._transport.abort()
