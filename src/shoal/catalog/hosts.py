"""What the hosts are called whose addresses speak to us.

A name server may take seconds to say that it knows nothing. Whoever waits for it waits
alone: updates of other addresses go by.
"""

import asyncio
import re
import socket
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

# A name changes when a machine is moved; one that is missing may be a server's trouble.
KNOWN_S, UNKNOWN_S = 300.0, 60.0
LOOKUP_S = 3.0

MAX_KNOWN = 10_000  # As many as a catalog has records.

# Updates that wait for names: a burst of newcomers, at their usual kilobyte.
MAX_WAITING = 10_000

_PRINTABLE = re.compile(r"[!-~]{1,128}\Z")

Then = Callable[[str | None], None]


class Hosts:
    """Looks names up, two at a time, and remembers them."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Of our own: whoever else needs threads does not wait behind a name server.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="hosts")
        self._known: OrderedDict[str, tuple[float, str | None]] = OrderedDict()
        self._waiting: dict[str, list[Then]] = {}
        self._count = 0
        self._tasks: dict[asyncio.Task[None], None] = {}

    def ask(self, address: str, then: Then) -> None:
        """Say what it is called, at once if that is known; nothing if nobody knows."""
        known = self._known.get(address)
        if known is None and self._count < MAX_WAITING:
            self._count += 1
            if address in self._waiting:
                self._waiting[address].append(then)
            else:
                self._waiting[address] = [then]
                self._look_up(address)
            return
        until, name = known or (0.0, None)
        if known and until < self._loop.time() and address not in self._waiting:
            self._waiting[address] = []
            self._look_up(address)
        then(name)

    def close(self) -> None:
        """Look nothing up any more."""
        for task in list(self._tasks):
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _look_up(self, address: str) -> None:
        task = self._loop.create_task(self._resolve(address))
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    async def _resolve(self, address: str) -> None:
        try:
            async with asyncio.timeout(LOOKUP_S):
                found = await self._loop.run_in_executor(
                    self._threads, _name_of, address
                )
        except TimeoutError:
            found = None
        kept_s = KNOWN_S if found else UNKNOWN_S
        self._known[address] = (self._loop.time() + kept_s, found)
        self._known.move_to_end(address)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        waiting = self._waiting.pop(address)
        self._count -= len(waiting)
        for then in waiting:
            then(found)


def _name_of(address: str) -> str | None:
    try:
        name, _ = socket.getnameinfo((address, 0), socket.NI_NAMEREQD)
    except (OSError, UnicodeError):
        return None
    return name if _PRINTABLE.match(name) else None
