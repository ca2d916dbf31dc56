"""One UDP socket: datagrams out to addresses, datagrams in from anywhere."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address
from typing import cast

from shoal.core.address import join, parse
from shoal.core.machine import Address
from shoal.errors import InvalidAddress, MalformedMessage

log = logging.getLogger(__name__)

# Names are looked up once a minute; a network of 1,000 named hosts fits.
RESOLVED_S = 60.0
UNRESOLVED_S = 5.0
MAX_RESOLVED = 2048

Socket = tuple[str, int]


class Datagrams(asyncio.DatagramProtocol):
    """Sends without waiting, and brings what comes."""

    def __init__(
        self, take: Callable[[Address, bytes], None], fail: Callable[[Exception], None]
    ) -> None:
        self._take = take
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._resolved: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._resolving: dict[str, asyncio.Task[None]] = {}
        self.junk = 0
        self.unsent = 0

    def send(self, to: Address, data: bytes) -> None:
        """Send one datagram, unless the host's name is not known yet."""
        try:
            host, port = parse(to)
            if number := self._number(host):
                self._transport.sendto(data, (number, port))
        except (OSError, ValueError, InvalidAddress):
            self.unsent += 1  # Not of our family, or no address: as good as lost.

    def close(self) -> None:
        """Neither send nor receive any more."""
        for task in self._resolving.values():
            task.cancel()
        self._transport.close()

    def _number(self, host: str) -> str | None:
        """The host's number, if it is one or has been looked up."""
        if _is_number(host):
            return host
        until, number = self._resolved.get(host, (0.0, ""))
        if until < self._loop.time() and host not in self._resolving:
            task = self._loop.create_task(self._resolve(host))
            self._resolving[host] = task
            task.add_done_callback(lambda _: self._resolving.pop(host, None))
        return number or None

    async def _resolve(self, host: str) -> None:
        own = self._transport.get_extra_info("socket")
        number, kept_s = "", UNRESOLVED_S
        try:
            found = await self._loop.getaddrinfo(
                host, None, family=own.family, type=own.type
            )
            number, kept_s = str(found[0][4][0]), RESOLVED_S
        except (OSError, UnicodeError) as error:
            log.warning("no address for host %s: %s", host, error)
        self._resolved[host] = (self._loop.time() + kept_s, number)
        while len(self._resolved) > MAX_RESOLVED:
            self._resolved.popitem(last=False)

    # asyncio.DatagramProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket. (Python 3.11's own fails `isinstance` here.)"""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Socket) -> None:
        """Bring one datagram; junk is counted and dropped."""
        try:
            self._take(join(addr[0], addr[1]), data)
        except MalformedMessage:
            self.junk += 1
        except Exception as error:
            self._fail(error)

    def error_received(self, exc: Exception) -> None:
        """Somebody's port is closed. Silence says so too."""


def _is_number(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
