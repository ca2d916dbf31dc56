"""A blocking connection to a peer: a request out, a reply back, and nothing between.

One call at a time, whichever thread it comes from, and one deadline for all of it: its
turn, the connection, the request, the reply, and asking again. Where a request is small
and the connection is there, the system keeps the time: a socket with a time-out of
Python's own is asked whether it is ready before every call, which doubles the costs.
Whatever interrupts a call ends its connection, since its reply would be taken for the
next one's. A child of a fork makes its own.
"""

import sys
from os import getpid
from socket import (
    IPPROTO_TCP,
    MSG_PEEK,
    SO_RCVTIMEO,
    SO_SNDTIMEO,
    SOL_SOCKET,
    TCP_NODELAY,
    create_connection,
    socket,
)
from struct import pack
from threading import Lock
from time import monotonic
from typing import Any

from hiredis import ProtocolError, Reader, ReplyError

from shoal.client import replies
from shoal.core.address import parse
from shoal.core.machine import Address
from shoal.errors import Overloaded

# As much as comes at once: what waits is read in few pieces.
CHUNK_BYTES = 64 << 10

# What the system takes at once on a connection on which nothing is under way: the least
# that Linux holds back for one. Sending more may last, and is watched.
SMALL_BYTES = 16 << 10

# Not connected: a patience that nobody has.
NONE_S = 0.0

# A connection on which nothing was changed for so long is looked at before a change is
# sent: a peer may have been restarted meanwhile, and nobody would know what was done.
IDLE_S = 0.5

_MORE = object()


class Wire:
    """A connection that is made when needed, and made again when lost."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._lock = Lock()
        self._process = getpid()
        self._socket: socket | None = None
        self._patience_s = NONE_S  # That the system knows of.
        self._looked = 0.0

    def ask(
        self, request: bytes, *, again: bool = True, timeout_s: float | None = None
    ) -> Any:  # noqa: ANN401 - it is whatever the reply is.
        """One reply; asked once more if the connection breaks, and `again`."""
        patience_s = timeout_s or self.timeout_s
        until = monotonic() + patience_s
        if self._process != getpid():
            self._begin_in_child()
        whole = len(request) <= SMALL_BYTES
        if not self._lock.acquire(False):
            self._wait_for_turn(patience_s)
            whole = False  # Some of the time is over.
        try:
            if patience_s != self._patience_s or not again:
                whole &= self._make_ready(patience_s, until, again=again)
            if whole:
                self._send(request)
                self._feed(self._receive(CHUNK_BYTES) or self._ended())
                reply = self._next()
                if reply is _MORE:
                    reply = self._rest(1, until)[0]
            else:
                [reply] = self._exchange(request, 1, until)
        except BaseException as error:
            [reply] = self._mend(error, request, 1, until, again=again)
        finally:
            self._lock.release()
        if reply.__class__ is ReplyError:
            raise replies.failure(self.address, reply)
        return reply

    def ask_all(
        self,
        requests: bytes,
        count: int,
        *,
        again: bool = True,
        timeout_s: float | None = None,
    ) -> list[Any]:
        """So many replies to so many requests, sent together; raises the first error.

        The requests, or their replies, are to fit into what the system holds back.
        """
        patience_s = timeout_s or self.timeout_s
        until = monotonic() + patience_s
        if self._process != getpid():
            self._begin_in_child()
        self._wait_for_turn(patience_s)
        try:
            self._make_ready(patience_s, until, again=again)
            found = self._exchange(requests, count, until)
        except BaseException as error:
            found = self._mend(error, requests, count, until, again=again)
        finally:
            self._lock.release()
        for reply in found:
            if reply.__class__ is ReplyError:
                raise replies.failure(self.address, reply)
        return found

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            self._drop()

    # One exchange

    def _exchange(self, requests: bytes, count: int, until: float) -> list[Any]:
        """So many replies to what may be long, by one deadline."""
        assert self._socket, "it is ready"
        self._socket.settimeout(_left(until))
        self._send(requests)
        return self._rest(count, until)

    def _rest(self, count: int, until: float) -> list[Any]:
        """Replies until there are so many."""
        assert self._socket, "it is ready"
        found: list[Any] = []
        while len(found) < count:
            reply = self._next()
            if reply is not _MORE:
                found.append(reply)
                continue
            self._socket.settimeout(_left(until))
            self._feed(self._receive(CHUNK_BYTES) or self._ended())
        self._socket.settimeout(None)
        return found

    def _ended(self) -> bytes:
        raise EOFError("it hung up")

    def _mend(
        self,
        error: BaseException,
        request: bytes,
        count: int,
        until: float,
        *,
        again: bool,
    ) -> list[Any]:
        """Ask once more on a new connection, if that may be; else say what is known."""
        ready, patience_s = self._socket is not None, self._patience_s
        self._drop()
        if isinstance(error, BlockingIOError | TimeoutError):
            raise replies.unanswered(self.address, patience_s) from None
        if isinstance(error, ProtocolError):
            raise replies.foreign(self.address) from None
        if not isinstance(error, OSError | EOFError):
            raise error
        if not again or not ready:
            raise replies.lost(self.address, error, asked=ready) from None
        try:
            self._connect(patience_s, until)
            return self._exchange(request, count, until)
        except BaseException as second:
            return self._mend(second, request, count, until, again=False)

    # The connection

    def _make_ready(self, patience_s: float, until: float, *, again: bool) -> bool:
        """Connect if need be; is as much time left as there was?"""
        wire = self._socket
        if wire is not None and not again:
            now = monotonic()
            if now - self._looked > IDLE_S and not _lives(wire):
                wire = None
            self._looked = now
        if wire is None:
            self._connect(patience_s, until)
            return False
        if patience_s != self._patience_s:
            self._bound(wire, patience_s)
        return True

    def _connect(self, patience_s: float, until: float) -> None:
        self._drop()
        try:
            fresh = create_connection(parse(self.address), timeout=_left(until))
        except TimeoutError:
            raise replies.lost(
                self.address, "it does not answer", asked=False
            ) from None
        fresh.settimeout(None)
        fresh.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        self._bound(fresh, patience_s)
        reader = Reader(notEnoughData=_MORE)
        self._send, self._receive = fresh.sendall, fresh.recv
        self._feed, self._next = reader.feed, reader.gets
        self._socket = fresh

    def _bound(self, wire: socket, patience_s: float) -> None:
        """Let the system end a call that takes longer."""
        self._patience_s = patience_s
        whole = int(patience_s)
        bound = pack("@ll", whole, max(1, int((patience_s - whole) * 1e6)))
        if sys.platform == "win32":
            bound = pack("@L", max(1, int(patience_s * 1000)))
        wire.setsockopt(SOL_SOCKET, SO_RCVTIMEO, bound)
        wire.setsockopt(SOL_SOCKET, SO_SNDTIMEO, bound)

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._patience_s = NONE_S

    def _wait_for_turn(self, patience_s: float) -> None:
        if not self._lock.acquire(timeout=patience_s):
            raise Overloaded(
                f"peer {self.address}: other threads used the connection for "
                f"{patience_s:g} s, and nothing was asked; give each its own"
            )

    def _begin_in_child(self) -> None:
        """The parent goes on with its connection, and may have held the lock."""
        self._process, self._lock = getpid(), Lock()
        self._drop()


def _left(until: float) -> float:
    """What is left of the time; nothing would be no bound at all."""
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _lives(wire: socket) -> bool:
    """Is it open, and silent as it ought to be?"""
    wire.setblocking(False)
    try:
        wire.recv(1, MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        wire.setblocking(True)
    return False
