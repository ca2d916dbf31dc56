"""What a peer tells its owner over HTTP: health, figures, members, and to stop."""

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from shoal.members.service import MemberRecord
from shoal.web.server import Answer, Web, reply


class Owned(Protocol):
    """What the pages of a peer show of it."""

    def status(self) -> dict[str, Any]:
        """Who, where, since when, with whom."""

    def members(self) -> list[MemberRecord]:
        """Everybody we remember."""

    def ready(self) -> str | None:
        """Nothing, or what it still waits for."""

    def stop(self) -> None:
        """End soon."""


class Pages:
    """A peer's own pages, put up on its web."""

    def __init__(
        self,
        web: Web,
        peer: Owned,
        registry: CollectorRegistry,
        measure: Callable[[], None],
    ) -> None:
        """`measure` brings the figures of the registry up to date."""
        self._peer = peer
        self._registry = registry
        self._measure = measure
        web.route("GET", "/", self.home)
        web.route("GET", "/healthz", self.healthz)
        web.route("GET", "/readyz", self.readyz)
        web.route("GET", "/metrics", self.metrics)
        web.route("GET", "/api/status", self.status)
        web.route("GET", "/api/members", self.members)
        web.route("POST", "/api/down", self.down)

    async def home(self, _: web.BaseRequest) -> Answer:
        """A line for whoever looks in."""
        status = self._peer.status()
        return web.Response(
            text=f"{status['name']}, a peer of Shoal network {status['network']}.\n"
            f"{status['members_alive']} members alive. Ask it with: shoal members\n"
        )

    async def healthz(self, _: web.BaseRequest) -> Answer:
        """Up."""
        return web.Response(text="ok\n")

    async def readyz(self, _: web.BaseRequest) -> Answer:
        """Ready, or what it waits for."""
        waiting = self._peer.ready()
        return web.Response(
            text=f"waiting for {waiting}\n" if waiting else "ready\n",
            status=503 if waiting else 200,
        )

    async def metrics(self, _: web.BaseRequest) -> Answer:
        """Figures for Prometheus."""
        self._measure()
        return web.Response(
            body=generate_latest(self._registry),
            headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4},
        )

    async def status(self, _: web.BaseRequest) -> Answer:
        """What `shoal status` shows."""
        return reply(self._peer.status())

    async def members(self, _: web.BaseRequest) -> Answer:
        """What `shoal members` shows."""
        return reply([asdict(each) for each in self._peer.members()])

    async def down(self, _: web.BaseRequest) -> Answer:
        """Stop."""
        self._peer.stop()
        return reply({"stopping": self._peer.status()["name"]})


# Every first segment of a path that has a meaning; a service cannot have such a name.
RESERVED = ("api", "datasets", "healthz", "metrics", "readyz", "s", "static")

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


def is_service_name(name: str) -> bool:
    """Can a service be served under this name?"""
    return bool(_NAME.match(name)) and name not in RESERVED
