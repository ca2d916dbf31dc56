"""The composer: one identity, one port, and the capabilities introduced to each other.

Everything that knows more than one capability is here, and nothing else is.
"""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from shoal.core import address as addresses
from shoal.core.hello import Membership
from shoal.core.machine import Address, PeerId
from shoal.flow.service import FlowService
from shoal.introductions import Cataloguing, Contacts, Network
from shoal.members.facts import MemberFound, MemberLeft, MemberLost, MembersFact
from shoal.members.messages import Profile, Reason
from shoal.members.service import TOPIC, MemberRecord, MembersService
from shoal.net.datagrams import Datagrams
from shoal.net.door import FRAMES, HTTP, JSON, RESP, TEXT, Reception
from shoal.net.home import Home
from shoal.net.host import bind, bind_shared, connection_limit, machine_identity
from shoal.net.links import Links
from shoal.net.streams import Streams
from shoal.reachability import Reachability
from shoal.settings import PeerSettings
from shoal.sharing import Sharing
from shoal.table.fixed import FixedGroup
from shoal.table.records.service import TOPIC as RECORDS
from shoal.table.records.service import RecordsService
from shoal.table.replication.owners import Owners
from shoal.table.service import TableService
from shoal.table.storage import Log, Memory, Storage
from shoal.version import VERSION
from shoal.web.api import Pages
from shoal.web.flow import FlowPages
from shoal.web.guard import Guard
from shoal.web.metrics import Metrics
from shoal.web.server import Web
from shoal.web.table import TablePages

log = logging.getLogger(__name__)

# Each peer keeps links to the three peers that follow it by name.
SUCCESSORS = 3

# A goodbye has left the machine by then, and most of the network has heard it.
FAREWELL_S = 0.1


class Peer:
    """One peer of a network, from its start to its end."""

    def __init__(
        self, settings: PeerSettings, home: Home, membership: Membership, host: str
    ) -> None:
        self._settings = settings
        self._home = home
        self._alone = not settings.join and not home.contacts()
        self._loop = asyncio.get_running_loop()
        self._started = time.time()
        self.membership = membership
        self.name = membership.identity.peer
        self._host = host
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self.sharing: Sharing | None = None  # None in a fixed group.
        # Where the nodes of our fixed group are, in the order of their ids.
        self._atlas = settings.group.atlas() if settings.group else {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: PeerSettings, home: Home, membership: Membership
    ) -> AsyncIterator["Peer"]:
        """Run a peer while the block runs; say goodbye at its end."""
        peer = cls(settings, home, membership, machine_identity())
        await peer._start()
        try:
            yield peer
        finally:
            await peer._end()

    async def wait_ended(self) -> None:
        """Wait until somebody stops the peer, or a bug ends it."""
        await self._ended

    # Owned: what the owner sees over HTTP

    def status(self) -> dict[str, Any]:
        """Who, where, since when, with whom."""
        catalog = self.catalogs.port
        return {
            "name": self.name,
            "network": self.membership.network,
            "address": self.address,
            "version": VERSION,
            "profile": self._settings.profile,
            "insecure": self._settings.insecure,
            "since": round(self._started, 3),
            "members_alive": self.members_service.size,
            "links": len(self.links.connected()),
            "connections": self.reception.inside,
            "records": self.records.size,
            "keys": self.table_service.table.size,
            "storage": self._settings.storage,
            "durability": self._settings.durability,
            "directory": str(self._home.directory),
            **(self.sharing.status() if self.sharing else {}),
            **({"nodes": len(self._atlas)} if self._settings.group else {}),
            **({"catalog_port": catalog} if catalog else {}),
        }

    def members(self) -> list[MemberRecord]:
        """Everybody we remember."""
        return self.members_service.records()

    def ready(self) -> str | None:
        """Nothing, or what we still wait for."""
        if self._settings.join and self.members_service.size == 1:
            return "the network to answer at " + ", ".join(self._settings.join)
        return self.sharing.waits_for() if self.sharing else None

    def stop(self) -> None:
        """End soon."""
        if not self._ended.done():
            self._ended.set_result(None)

    def fail(self, error: Exception) -> None:
        """End now, loudly: a bug is worse than a missing peer."""
        if not self._ended.done():
            self._ended.set_exception(error)

    # Start and end

    def _notice(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What nobody caught: a bug, unless a connection just broke."""
        loop.default_exception_handler(context)
        error = context.get("exception")
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self.fail(error)

    async def _start(self) -> None:
        self._loop.set_exception_handler(self._notice)
        listening, datagram = bind(self._settings.host, self._settings.port)
        try:
            await self._open(listening, datagram)
        except BaseException:
            listening.close()
            datagram.close()
            raise

    async def _open(self, listening: socket.socket, datagram: socket.socket) -> None:
        settings = self._settings
        host, port = listening.getsockname()[:2]
        self.address = settings.advertise or addresses.join(host, port)
        self._make_catalogs(port)
        self._make_net()
        generation = self._home.next_generation()
        self._make_members(generation)
        self._make_table(generation)
        self._make_records(generation)
        self._make_flow()
        self._make_web(host)
        self.reception = Reception(
            {
                FRAMES: self.links.accept,
                TEXT: self.table_service.verbs_client,
                RESP: self.table_service.redis_client,
                JSON: self.table_service.lines_client,
                HTTP: lambda _: self.web.protocol(),
            },
            settings.max_connections or connection_limit(),
        )
        await self._loop.create_datagram_endpoint(lambda: self.datagrams, sock=datagram)
        if settings.shared_port:
            await self.reception.open(bind_shared(settings.host, settings.shared_port))
        await self.reception.open(listening)
        self._home.announce(
            name=self.name,
            address=self.address,
            network=self.membership.network,
            port=port,
            shared_port=settings.shared_port or 0,
        )
        self.members_service.start()
        self._reachability.start(settings.members.notice_s / 2)
        await self.records.take_up()
        await self.flow.start(settings.data)
        await self.catalogs.start(self.network)

    def _make_net(self) -> None:
        self.datagrams = Datagrams(self._caught, self.fail)
        self.links = Links(
            self.membership,
            self.address,
            self,
            refused=self._refused,
            fail=self.fail,
            inviting=self._settings.insecure and not self._settings.group,
        )
        self.streams = Streams(self.links, self.fail)

    def _make_members(self, generation: int) -> None:
        settings = self._settings
        profile = Profile(
            self.name,
            self.address,
            self._host,
            settings.zone,
            since=int(self._started),
        )
        self.members_service = MembersService(
            profile,
            list(dict.fromkeys([*settings.join, *self._home.contacts()])),
            settings.members,
            generation=generation,
            secret=self.membership.secret,
            wires=self,
            fail=self.fail,
        )
        self._contacts = Contacts(self._home, self.members_service)
        self.members_service.listen(self._attend)
        self.links.on_post(TOPIC, self.members_service.posted)
        self._reachability = Reachability(
            self.links, self.members_service, lambda: self._successors(self.name)
        )
        inside = self.links, self.streams, self.members_service
        self.network = Network(self.name, *inside)

    def _make_table(self, start: int) -> None:
        routes: FixedGroup | Owners = Owners(self.name, self.locate, self.address)
        if self._settings.group:
            routes = FixedGroup(self.name, self._atlas)
        self.table_service = TableService(
            self.name,
            self._storage("table"),
            start=start,
            durability=self._settings.durability,
            fail=self.fail,
            address=self.address,
            routes=routes,
        )
        if isinstance(routes, Owners):
            self.sharing = Sharing(
                *(self.name, self._settings, self._home, routes, self.network),
                host=self._host,
                records=lambda: self.records,
                stop=self.stop,
                fail=self.fail,
            )
            self.table_service.replicate(self.sharing.replication)
        self.table_service.start(self.links)

    def _make_records(self, start: int) -> None:
        self.records = RecordsService(
            *(self.name, self._storage("records")),
            start=start,
            durability=self._settings.durability,
            wires=self,
            fail=self.fail,
            host=self._host,
        )
        self.records.start(founding=self._alone, guest=self._settings.guest)
        self.links.on_post(RECORDS, self.records.posted)

    def _make_flow(self) -> None:
        memory = self._settings.worker_memory_mb
        self.flow = FlowService(
            self.name,
            self._home.directory / "flow",
            self._home.files("flow"),
            records=self.records,
            network=self.network,
            workers=self._settings.workers,
            memory_bytes=memory and memory << 20,
            fail=self.fail,
        )

    def _make_catalogs(self, port: int) -> None:
        advertised = addresses.parse(self.address)[1] or port
        self.catalogs = Cataloguing(
            *(self._settings, self._home, self.name),
            host=self._host,
            port=advertised,
            fail=self.fail,
        )

    def _storage(self, name: str) -> Storage:
        if self._settings.storage == "memory":
            return Memory()
        return Log(self._home.files(name), self.name, Random())

    def _make_web(self, host: str) -> None:
        names = (socket.gethostname().lower(), addresses.parse(self.address)[0].lower())
        guard = Guard(self.membership.secret.hex(), host, names)
        self.web = Web(guard, self.fail)
        self.metrics = Metrics(self.name, self.membership.network)
        Pages(self.web, self, self.metrics.registry, self._measure)
        FlowPages(self.web, self.flow)
        TablePages(self.web, self.sharing)

    async def _end(self) -> None:
        self._reachability.stop()
        self._contacts.stop()
        self.reception.shut()
        await self.catalogs.stop()
        await self.flow.stop()
        await self.records.stop()
        self.members_service.leave(Reason.STOPPED)
        await self.links.close("stopped by its owner")
        await asyncio.sleep(FAREWELL_S)  # The goodbyes need the sockets.
        self.members_service.stop()
        self.streams.stop()
        self.datagrams.close()
        await self.table_service.stop()
        await self.web.close()
        self.reception.close()

    def _measure(self) -> None:
        if self.catalogs.service:
            self.metrics.measure_catalog(self.catalogs.service.figures())
        if self.sharing:
            self.metrics.measure_sharing(self.sharing.standing, self.sharing.pace)
        self.metrics.measure(
            self.members(),
            links=len(self.links.connected()),
            connections=self.reception.inside,
            turned_away=self.reception.turned_away,
            junk=self.datagrams.junk,
            slowness=self.members_service.slowness,
            table=self.table_service.figures(),
            flow=self.flow.figures(),
        )

    # Wires: what members need of the network

    def post(self, to: PeerId, topic: str, body: bytes) -> None:
        """Send over a link."""
        self.links.post(to, topic, body)

    def cast(self, to: Address, data: bytes) -> None:
        """Send a datagram."""
        self.datagrams.send(to, data)

    async def meet(self, address: Address) -> PeerId | None:
        """Dial whoever is there."""
        return await self.links.meet(address)

    # Atlas: what links need of members

    def locate(self, peer: PeerId) -> Address | None:
        """Where to dial a peer, if anybody can."""
        if address := self._atlas.get(peer):
            return address
        profile = self.members_service.profile_of(peer)
        return profile.address if profile and profile.dialable else None

    def knows(self, peer: PeerId) -> bool:
        """Is that a member of our network?"""
        return peer in self._atlas or self.members_service.profile_of(peer) is not None

    def relays(self, peer: PeerId) -> list[PeerId]:
        """Who follows a peer by name has a link to it."""
        return self._successors(peer)

    def _successors(self, of: PeerId) -> list[PeerId]:
        """The first three dialable peers after that one, in the circle of names."""
        present = self.members_service.present()
        dialable = [peer for peer, profile in present.items() if profile.dialable]
        after = sorted((peer < of, peer) for peer in dialable if peer != of)
        return [peer for _, peer in after[:SUCCESSORS]]

    # Introductions

    def _caught(self, source: Address, data: bytes) -> None:
        self.members_service.caught(source, data)

    def _refused(self, peer: PeerId) -> None:
        self.members_service.refused(peer)

    def _attend(self, fact: MembersFact) -> None:
        log.info("%s", fact)
        if isinstance(fact, MemberLost | MemberLeft):
            self.links.forget(fact.peer)
            self.records.gone(fact.peer)
            if self.sharing:
                self.sharing.replication.gone(fact.peer)
            self.flow.lost(fact.peer)
        if isinstance(fact, MemberFound):
            self.links.expect(fact.profile.peer)
            self.records.found(fact.profile.peer)
            if self.sharing:
                self.sharing.replication.found(fact.profile.peer)
        if isinstance(fact, MemberFound | MemberLost | MemberLeft):
            self.links.hold(self._successors(self.name))
            self._contacts.remember_soon()
