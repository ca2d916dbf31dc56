"""What one capability needs of another, made of what a peer has."""

import asyncio
import os
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Raw

from shoal.catalog.announcer import Announcer
from shoal.catalog.ports import bind_catalog
from shoal.catalog.service import CatalogService
from shoal.core.address import LOOPBACK
from shoal.core.machine import PeerId
from shoal.members.service import MembersService
from shoal.net.asking import Handler
from shoal.net.home import Home
from shoal.net.host import owner
from shoal.net.links import Links
from shoal.net.stream import Stream
from shoal.net.streams import Serve, Streams
from shoal.settings import PeerSettings
from shoal.version import VERSION

# Newcomers come in crowds; contacts are written once for all of them.
REMEMBER_S = 3.0


class Network:
    """Links, streams and members, as whoever asks other peers needs them."""

    def __init__(
        self, me: PeerId, links: Links, streams: Streams, members: MembersService
    ) -> None:
        self._me = me
        self._links = links
        self._streams = streams
        self._members = members

    def ask(
        self, to: PeerId, topic: str, body: bytes, *, within_s: float
    ) -> asyncio.Future[Raw]:
        """Ask a peer."""
        return self._links.asking.ask(to, topic, body, within_s=within_s)

    def serve(self, topic: str, handler: Handler) -> None:
        """Say who answers requests."""
        self._links.serve(topic, handler)

    def on_post(self, topic: str, take: Callable[[PeerId, Raw], None]) -> None:
        """Say who takes what needs no answer."""
        self._links.on_post(topic, take)

    def serve_stream(self, topic: str, serve: Serve) -> None:
        """Say who serves streams."""
        self._streams.serve(topic, serve)

    def post(self, to: PeerId, topic: str, body: bytes) -> None:
        """Send what needs no answer."""
        self._links.post(to, topic, body)

    async def open(self, to: PeerId, topic: str, head: bytes) -> Stream:
        """Begin a stream with a peer."""
        return await self._streams.open(to, topic, head)

    def present(self) -> list[PeerId]:
        """Who is here, ourselves among them."""
        return list(dict.fromkeys([self._me, *self._members.present()]))


class Cataloguing:
    """A peer's part in catalogs: what it tells them, and the one it may be itself."""

    def __init__(
        self,
        settings: PeerSettings,
        home: Home,
        me: PeerId,
        *,
        host: str,
        port: int,
        fail: Callable[[Exception], None],
    ) -> None:
        """`host` is this machine's identity; `port` is where the peer is reached."""
        self._settings = settings
        self._home = home
        self._about = {"host": host, "uuid": me, "port": port}
        self._fail = fail
        self._announcer = Announcer(settings.catalogs, self._describe)
        self.service: CatalogService | None = None
        self._sockets: list[socket.socket] = []
        if settings.catalog_port is not None:
            everybody = "0.0.0.0" if settings.public else LOOPBACK
            self._sockets = bind_catalog(everybody, settings.catalog_port)

    @property
    def port(self) -> int | None:
        """Of our own catalog."""
        return self._sockets[0].getsockname()[1] if self._sockets else None

    async def start(self, network: Network) -> None:
        """Open our own, if there is to be one, and tell others that we are here.

        Our own shares with those of its network.
        """
        if self._sockets:
            disk = self._home.files("catalog")
            self.service = CatalogService(fail=self._fail, disk=disk)
            await self.service.open(*self._sockets)
            self.service.share(network)
        self._announcer.start()

    async def stop(self) -> None:
        """Say goodbye, then close."""
        await self._announcer.leave()
        if self.service:
            await self.service.close()

    def _describe(self) -> dict[str, Any]:
        """What strangers may know. The table is a hash table, and is looked for so."""
        return {
            "type": "hashtable",
            "name": socket.gethostname(),
            "project": self._settings.project,
            "owner": owner(),
            "version": VERSION,
            **self._about,
            "cpus": os.cpu_count(),
            "memory": _memory_mb(),
            "disk": _disk_mb(self._home.directory),
            "load": _load(),
        }


def _disk_mb(directory: Path) -> int | None:
    """What is free; nothing if the disk does not say."""
    with suppress(OSError):
        return shutil.disk_usage(directory).free >> 20
    return None


def _load() -> float | None:
    with suppress(OSError):
        return round(os.getloadavg()[0], 2)
    return None


def _memory_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


class Contacts:
    """Whom to call at the next start, kept as members come and go."""

    def __init__(self, home: Home, members: MembersService) -> None:
        self._loop = asyncio.get_running_loop()
        self._home = home
        self._members = members
        self._due: asyncio.TimerHandle | None = None

    def remember_soon(self) -> None:
        """Somebody has come or gone."""
        if self._due is None:
            self._due = self._loop.call_later(REMEMBER_S, self._remember)

    def stop(self) -> None:
        """Remember now what is to be remembered, and no more."""
        if self._due:
            self._due.cancel()
            self._remember()

    def _remember(self) -> None:
        """Off the loop, since it waits for a disk."""
        self._due = None
        present = self._members.present().values()
        if present:
            addresses = [profile.address for profile in present]
            self._loop.run_in_executor(None, self._home.remember, addresses)
