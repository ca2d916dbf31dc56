"""Who comes to a socket is let in: hosts in turn, however many come from one.

The loop's own servers let in one a round, in the order of their coming: whoever comes
behind a crowd then waits for all of it. To take them from the system's queue costs
little, and says where each comes from; the costly part is done for one host, then
another. Of one host who came last is first: who waits longest may have given up.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable

log = logging.getLogger(__name__)

BACKLOG = 4096

# So many are taken from the system's queue, and so many let in, in a round of the loop:
# one millisecond. Others have their turn between.
TAKEN_AT_ONCE = 32
LET_IN_AT_ONCE = 8

# Where no descriptor is left nobody is let in until some may have gone.
BREATH_S = 0.1


_Entering = asyncio.Task[tuple[asyncio.Transport, asyncio.Protocol]]


class Entrance:
    """One listening socket, and who has come to it."""

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[], asyncio.Protocol],
        limit: int,
    ) -> None:
        """`make` is called for each who is let in; so many may wait to be."""
        self._listening = listening
        self._make = make
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, deque[socket.socket]] = {}
        self._count = 0
        self._short = False  # Of descriptors; said once.
        self._largest = ""  # Of those hosts; it may be so no more.
        self._entering = set[_Entering]()
        listening.listen(BACKLOG)
        self._open()

    def _open(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._listening, self._take)

    @property
    def _is_open(self) -> bool:
        return self._listening.fileno() >= 0

    def close(self) -> None:
        """Let nobody more in."""
        if self._is_open:
            self._loop.remove_reader(self._listening)
        self._listening.close()
        while self._count:
            self._next_of(next(iter(self._waiting))).close()

    def _take(self) -> None:
        """Take those who have come; where that is too much, of the largest crowd."""
        idle = not self._count
        for _ in range(TAKEN_AT_ONCE):
            try:
                taken, address = self._listening.accept()
            except BlockingIOError:
                break
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if not self._short:
                    log.warning("nobody is let in until some have gone: %s", error)
                self._short = True
                self._loop.remove_reader(self._listening)
                self._loop.call_later(BREATH_S, self._open)
                break
            self._short = False
            self._add(address[0], taken)
        if idle and self._count:
            self._let_in()

    def _add(self, host: str, taken: socket.socket) -> None:
        those = self._waiting.setdefault(host, deque())
        those.append(taken)
        self._count += 1
        if len(those) > len(self._waiting.get(self._largest, ())):
            self._largest = host
        if self._count > self._limit:
            self._turn_away(self._largest)

    def _turn_away(self, host: str) -> None:
        """Who came first from there."""
        those = self._waiting[host]
        those.popleft().close()
        self._count -= 1
        if not those:
            del self._waiting[host]

    def _next_of(self, host: str) -> socket.socket:
        """Who came last from there; the next turn is another host's."""
        those = self._waiting.pop(host)
        last = those.pop()
        self._count -= 1
        if those:
            self._waiting[host] = those
        return last

    def _let_in(self) -> None:
        for _ in range(min(LET_IN_AT_ONCE, self._count)):
            each = self._next_of(next(iter(self._waiting)))
            each.setblocking(False)
            entering = self._loop.connect_accepted_socket(self._make, each)
            self._entering.add(task := self._loop.create_task(entering))
            task.add_done_callback(self._entered)
        if self._count:
            self._loop.call_soon(self._let_in)

    def _entered(self, task: _Entering) -> None:
        self._entering.discard(task)
        if not task.cancelled():
            task.exception()  # They have gone already.
