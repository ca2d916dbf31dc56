"""Who of our network is on the local one? Asked and answered by multicast DNS.

Only how to find a first address: who is a member, members know. Each peer says which
project it is of, and whether it has a network or looks for one. Of those who look at
the same moment the first by name founds it, and the others wait for it, so that two
that start together found one.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from zeroconf import IPVersion, NonUniqueNameException, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from shoal.core import address as addresses
from shoal.core.machine import Address, PeerId
from shoal.errors import InvalidAddress, NotListening

log = logging.getLogger(__name__)

TYPE = "_shoal._tcp.local."

# An answer takes up to 0.12 s, and a question that was lost is asked again after 1 s
# and then 2; who starts takes 0.5 s to be heard of.
LOOK_S = 4.0

# A peer that founds a network is up in a second; who waits longer waits for nobody.
FOUND_S = 10.0

# Who was cut off while others said where they are hears it then.
AGAIN_S = 60.0

STEP_S = 0.1
ASK_MS = 3000
CLOSE_S = 2.0

# More peers than we are made for: what else is said is somebody's joke.
MAX_SEEN = 1000
MAX_CONTACTS = 8

# Who is no peer may take seconds to show it; of so many it is asked.
MAX_ASKED = 64


# Says which of these are peers at all.
Among = Callable[[list[Address]], Awaitable[Sequence[Address]]]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What a peer on the local network says of itself."""

    peer: str
    project: str
    network: str  # Empty while it looks for one.
    address: Address


class Lan:
    """What we say on the local network, and what others say there."""

    def __init__(
        self, zeroconf: AsyncZeroconf, peer: PeerId, project: str, host: str
    ) -> None:
        self._zeroconf = zeroconf
        self._peer = peer
        self._project = project
        self._host = host
        self._network = ""
        self._seen: dict[str, Neighbour] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._warned: dict[str, None] = {}
        self._said: AsyncServiceInfo | None = None
        self._repeating: asyncio.Task[None] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, peer: PeerId, project: str, host: str) -> AsyncIterator["Lan"]:
        """Hear and be heard while the block runs. `host` is where others dial us."""
        address = _number_of(host)
        version = IPVersion.V6Only if ":" in address else IPVersion.V4Only
        try:
            # By this interface alone: a name that is heard on two belongs to one.
            zeroconf = AsyncZeroconf(interfaces=[address], ip_version=version)
            await zeroconf.zeroconf.async_wait_for_start()
        except OSError as error:
            raise NotListening(
                f"address {address}: it cannot be heard of on the local network "
                f"({(error.strerror or str(error)).lower()}); listen at this machine's "
                "own address there, or leave --lan out"
            ) from error
        lan = cls(zeroconf, peer, project, address)
        # Kept as long as we live: a browser that is let go hears nothing more.
        lan._browser = AsyncServiceBrowser(
            zeroconf.zeroconf, TYPE, handlers=[lan._changed]
        )
        try:
            yield lan
        finally:
            await lan._close()

    async def find(self, network: str, peers_among: Among) -> list[Address]:
        """Where our network is, or any of our project if we are of none yet.

        Nobody, if we are to found it. Anybody may say anything: who is no peer hides
        no other, and keeps nobody from waiting for who founds it.
        """
        await self._say("", addresses.join(self._host, 0))
        loop = asyncio.get_running_loop()
        begin, asked = loop.time(), dict[Address, None]()
        while True:
            some = self._some(network, asked) if len(asked) < MAX_ASKED else []
            if some:
                asked |= {each.address: None for each in some}
                began = loop.time()
                peers = await peers_among([each.address for each in some])
                begin += loop.time() - began  # That was no waiting for who founds it.
                if there := [each for each in some if each.address in peers]:
                    return _of_one_network(there)
                continue
            waited_s = loop.time() - begin
            first = min([self._peer, *self._looking()])
            if waited_s > LOOK_S + FOUND_S or (
                waited_s > LOOK_S and first == self._peer
            ):
                return []
            await asyncio.sleep(STEP_S)

    async def announce(self, network: str, address: Address) -> None:
        """Say where our network is."""
        self._network = network
        await self._say(network, address)
        for each in self._seen.values():
            self._compare(each)
        self._repeating = asyncio.get_running_loop().create_task(
            self._repeat(network, address)
        )

    async def _repeat(self, network: str, address: Address) -> None:
        while True:
            await asyncio.sleep(AGAIN_S)
            await self._say(network, address)

    # What others say

    def _some(self, network: str, asked: Container[Address]) -> list[Neighbour]:
        """A few of each network that may be ours, whom nobody has asked yet."""
        found: dict[str, list[Neighbour]] = {}
        for each in self._seen.values():
            ours = each.network and each.project == self._project
            if ours and network in ("", each.network) and each.address not in asked:
                found.setdefault(each.network, []).append(each)
        many = max(1, MAX_CONTACTS // max(1, len(found)))
        some = [each for name in sorted(found) for each in found[name][:many]]
        return some[:MAX_CONTACTS]

    def _looking(self) -> list[str]:
        return [
            each.peer
            for each in self._seen.values()
            if not each.network and each.project == self._project
        ]

    def _changed(
        self,
        zeroconf: Zeroconf,
        service_type: str,
        name: str,
        state_change: ServiceStateChange,
    ) -> None:
        if state_change is ServiceStateChange.Removed:
            self._seen.pop(name, None)
        elif name not in self._asking and len(self._seen) < MAX_SEEN:
            task = asyncio.get_running_loop().create_task(self._ask(name))
            self._asking[name] = task
            task.add_done_callback(lambda _: self._asking.pop(name, None))

    async def _ask(self, name: str) -> None:
        info = AsyncServiceInfo(TYPE, name)
        if not await info.async_request(self._zeroconf.zeroconf, ASK_MS):
            return
        neighbour = _read(info.decoded_properties)
        if neighbour and neighbour.peer != self._peer:
            self._seen[name] = neighbour
            self._compare(neighbour)

    def _compare(self, neighbour: Neighbour) -> None:
        """Two networks of one project do not become one by themselves: say so."""
        other = neighbour.network
        apart = self._network and other and other != self._network
        if apart and neighbour.project == self._project and other not in self._warned:
            self._warned[other] = None
            log.warning(
                "two networks of project %r are on this local network: %s, which is "
                "ours, and %s, at %s; they stay two: to have one, stop the peers of "
                "either and start them with --join and another --dir",
                *(self._project, self._network, other, neighbour.address),
            )

    # What we say

    async def _say(self, network: str, address: Address) -> None:
        text = {
            "peer": self._peer,
            "project": self._project,
            "network": network,
            "address": address,
        }
        info = AsyncServiceInfo(
            TYPE,
            f"{self._peer}.{TYPE}",
            port=addresses.parse(address)[1],
            properties=text,
            parsed_addresses=[self._host],
            server=f"{self._peer}.local.",
        )
        before, self._said = self._said, info
        try:
            if before is None:
                await (await self._zeroconf.async_register_service(info))
            else:
                await (await self._zeroconf.async_update_service(info))
        except NonUniqueNameException:
            log.warning("another on the local network calls itself %s", self._peer)

    async def _close(self) -> None:
        for task in [*self._asking.values(), self._repeating]:
            if task:
                task.cancel()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._browser.async_cancel()
                await self._zeroconf.async_close()  # Says goodbye.
        except TimeoutError:
            log.info("the local network was not told that we leave")

    _browser: AsyncServiceBrowser


def _of_one_network(there: list[Neighbour]) -> list[Address]:
    """Of the first by name, should there be two."""
    chosen = min(each.network for each in there)
    return [each.address for each in there if each.network == chosen]


def _read(said: dict[str, str | None]) -> Neighbour | None:
    """What a peer says, if it says all of it."""
    peer, network = said.get("peer") or "", said.get("network") or ""
    try:
        host, port = addresses.parse(said.get("address") or "")
    except InvalidAddress:
        return None
    if not peer or (network and not port):
        return None
    return Neighbour(
        peer, said.get("project") or "", network, addresses.join(host, port)
    )


def _number_of(host: str) -> str:
    """The numbers of an address that may be a name."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise InvalidAddress(
            f"address {host}: no host of that name is known here; say a number"
        ) from error
    return str(found[0][4][0])
