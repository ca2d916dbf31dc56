"""Updates by UDP: taken from the socket as fast as they come, worked off meanwhile.

The system drops what finds its buffer full, and tells nobody. So one event empties the
socket into a queue of ours before the first of it is looked at, and the looking stops
for the socket every few milliseconds.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter

# Twenty thousand small datagrams as the system counts them, each with its overhead.
BUFFER_BYTES = 32 << 20
_SO_RCVBUFFORCE = 33  # Beyond the system's limit; for root alone.

MAX_DATAGRAM = 65_536

# One event takes no more, so that others have their turn.
BATCH = 4096
SLICE_S = 0.002

# What waits in our own queue: a burst of forty thousand usual updates, each with what
# Python makes of it.
MAX_BACKLOG_BYTES = 16 << 20
OVERHEAD_BYTES = 250


Then = Callable[[], None]


class Intake:
    """Brings datagrams, each with the address it came from."""

    def __init__(self, own: socket.socket, take: Callable[[bytes, str], None]) -> None:
        self._socket = own
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._room = memoryview(bytearray(MAX_DATAGRAM))
        self._backlog: deque[tuple[bytes, str, Then | None]] = deque()
        self._backlog_bytes = 0
        self._working = False
        self.dropped = 0
        for option in (_SO_RCVBUFFORCE, socket.SO_RCVBUF):
            with suppress(OSError):
                own.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
                break
        self._loop.add_reader(own, self._read)

    def close(self) -> None:
        """Take no more."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._backlog.clear()

    def _read(self) -> None:
        for _ in range(BATCH):
            try:
                size, source = self._socket.recvfrom_into(self._room)
            except BlockingIOError:
                break
            except OSError:
                continue  # An earlier reply of nobody's met a closed port.
            size += OVERHEAD_BYTES
            if self._backlog_bytes + size > MAX_BACKLOG_BYTES:
                self.dropped += 1
                continue
            data = bytes(self._room[: size - OVERHEAD_BYTES])
            self._backlog.append((data, source[0], None))
            self._backlog_bytes += size
        if not self._working:
            self._work()

    def put(self, data: bytes, address: str, then: Then) -> None:
        """Let it wait for its turn behind what is there; `then` it was taken."""
        size = len(data) + OVERHEAD_BYTES
        if self._backlog_bytes + size > MAX_BACKLOG_BYTES:
            self.dropped += 1
            then()
            return
        self._backlog.append((data, address, then))
        self._backlog_bytes += size
        if not self._working:
            self._working = True
            self._loop.call_soon(self._work)

    def _work(self) -> None:
        end = perf_counter() + SLICE_S
        while self._backlog and perf_counter() < end:
            data, address, then = self._backlog.popleft()
            self._backlog_bytes -= len(data) + OVERHEAD_BYTES
            self._take(data, address)
            if then:
                then()
        self._working = bool(self._backlog)
        if self._working:
            self._loop.call_soon(self._work)
