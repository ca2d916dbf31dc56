"""Tells catalogs that somebody is here: at once, each minute, and when they leave.

Each catalog is told by a task of its own, so that one that is down delays no other, and
is told again soon after it returned.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal

from shoal.catalog.announcements import INTERVAL_S, announcement
from shoal.catalog.messages import Fields
from shoal.core.address import parse
from shoal.core.machine import Address

log = logging.getLogger(__name__)

Way = Literal["tcp", "udp"]

# As CCTools' own programs have it; a catalog in the next room answers in a millisecond.
TELL_S = 5.0

# Nobody waits long for somebody who leaves.
FAREWELL_S = 2.0

# A catalog that is down is tried again so soon, then half as often, and so on.
RETRY_S = 2.0


class Announcer:
    """One peer's word to several catalogs."""

    def __init__(
        self,
        catalogs: Sequence[Address],
        describe: Callable[[], Fields],
        *,
        way: Way = "tcp",
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._catalogs = list(catalogs)
        self._describe = describe
        self._way = way
        self._interval_s = interval_s
        self._loop = asyncio.get_running_loop()
        self._troubles: dict[Address, str] = {}  # Said once, until they change.
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        for catalog in self._catalogs:
            self._tasks.append(self._loop.create_task(self._keep_telling(catalog)))

    async def leave(self) -> None:
        """Say goodbye to all at once, and no more."""
        for task in self._tasks:
            task.cancel()
        data = announcement(self._describe(), leaving=True)
        farewells = (self._tell(each, data) for each in self._catalogs)
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await asyncio.gather(*farewells)

    async def _keep_telling(self, catalog: Address) -> None:
        due, retry_s = self._loop.time(), RETRY_S
        while True:
            if await self._tell(catalog, announcement(self._describe())):
                due, retry_s = max(due + self._interval_s, self._loop.time()), RETRY_S
            else:
                due = self._loop.time() + retry_s
                retry_s = min(2 * retry_s, self._interval_s)
            await asyncio.sleep(due - self._loop.time())

    async def _tell(self, catalog: Address, data: bytes) -> bool:
        """Send it; false if it was surely not taken."""
        host, port = parse(catalog)
        why = ""
        try:
            async with asyncio.timeout(TELL_S):
                if self._way == "udp":
                    await self._cast(host, port, data)
                else:
                    await self._stream(host, port + 1, data)
        except (OSError, TimeoutError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or str(error) or "no answer"
        if why != self._troubles.get(catalog, ""):
            self._troubles[catalog] = why
            said = f"was not told: {why}" if why else "is told again"
            log.warning("catalog %s %s", catalog, said)
        return not why

    async def _stream(self, host: str, port: int, data: bytes) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(data)
            writer.write_eof()
            await reader.read()  # Its end says that it has read ours.
        finally:
            writer.close()

    async def _cast(self, host: str, port: int, data: bytes) -> None:
        transport, _ = await self._loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(host, port)
        )
        transport.sendto(data)
        transport.close()
