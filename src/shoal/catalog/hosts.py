"""What the hosts are called whose addresses speak to us.

A name server may take seconds to say that it knows nothing. Whoever waits for it waits
alone: updates of other addresses go by.
"""

import asyncio
import re
import socket
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

# A name changes when a machine is moved; one that is missing may be a server's trouble.
KNOWN_S, UNKNOWN_S = 300.0, 60.0
LOOKUP_S = 3.0

MAX_KNOWN = 25_000  # As many as a catalog has records.

# Addresses can be invented: beyond these nobody is looked up, and the sender's word
# for its name counts.
MAX_LOOKUPS = 1000
MAX_WAITING_BYTES = 16 << 20
THREADS = 8

_PRINTABLE = re.compile(r"[!-~]{1,128}\Z")

Then = Callable[[str | None], None]


class Hosts:
    """Looks names up, a few at a time, and remembers them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._known: OrderedDict[str, tuple[float, str | None]] = OrderedDict()
        self._waiting: dict[str, list[tuple[int, Then]]] = {}
        self._waiting_bytes = 0
        self._wanted: deque[str] = deque()
        self._threads = 0

    def ask(self, address: str, size_bytes: int, then: Then) -> None:
        """Say what it is called, at once if that is known; nothing if nobody knows.

        `size_bytes` is what waits with the question.
        """
        known = self._known.get(address)
        if known is not None:
            until, name = known
            if until < self._loop.time():
                self._look_up(address)
            then(name)
        elif self._waiting_bytes + size_bytes <= MAX_WAITING_BYTES and self._look_up(
            address
        ):
            self._waiting_bytes += size_bytes
            self._waiting[address].append((size_bytes, then))
        else:
            then(None)

    def close(self) -> None:
        """Look nothing up any more."""
        self._wanted.clear()

    def _look_up(self, address: str) -> bool:
        """Is it looked up, now or soon?"""
        if address in self._waiting:
            return True
        if len(self._waiting) >= MAX_LOOKUPS:
            return False
        self._waiting[address] = []
        self._wanted.append(address)
        self._loop.call_later(LOOKUP_S, self._resolved, address, None)
        if self._threads < THREADS:
            self._threads += 1
            # Nobody who ends waits for a name server: hence no executor's threads.
            Thread(target=self._work, name="hosts", daemon=True).start()
        return True

    def _work(self) -> None:
        """In a thread: whatever is wanted, until nothing is."""
        while True:
            try:
                address = self._wanted.popleft()
            except IndexError:
                break
            self._tell(self._resolved, address, _name_of(address))
        self._tell(self._rest)

    def _tell(self, call: Callable[..., None], *said: str | None) -> None:
        with suppress(RuntimeError):  # The loop has ended meanwhile.
            self._loop.call_soon_threadsafe(call, *said)

    def _rest(self) -> None:
        """A thread has ended; what was wanted meanwhile begins another."""
        self._threads -= 1
        if self._wanted and self._threads < THREADS:
            self._threads += 1
            Thread(target=self._work, name="hosts", daemon=True).start()

    def _resolved(self, address: str, name: str | None) -> None:
        """The first to come counts: the answer, or the end of our patience."""
        waiting = self._waiting.pop(address, None)
        if waiting is None:
            return
        kept_s = KNOWN_S if name else UNKNOWN_S
        self._known[address] = (self._loop.time() + kept_s, name)
        self._known.move_to_end(address)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        for size_bytes, then in waiting:
            self._waiting_bytes -= size_bytes
            then(name)


def _name_of(address: str) -> str | None:
    try:
        name, _ = socket.getnameinfo((address, 0), socket.NI_NAMEREQD)
    except (OSError, UnicodeError):
        return None
    return name if _PRINTABLE.match(name) else None
