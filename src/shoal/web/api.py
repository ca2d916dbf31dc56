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


def serve(
    pages: Web, peer: Owned, registry: CollectorRegistry, measure: Callable[[], None]
) -> None:
    """Put a peer's own pages up. `measure` brings the figures up to date."""

    async def home(_: web.BaseRequest) -> Answer:
        status = peer.status()
        return web.Response(
            text=f"{status['name']}, a peer of Shoal network {status['network']}.\n"
            f"{status['members_alive']} members alive. Ask it with: shoal members\n"
        )

    async def healthz(_: web.BaseRequest) -> Answer:
        return web.Response(text="ok\n")

    async def readyz(_: web.BaseRequest) -> Answer:
        waiting = peer.ready()
        return web.Response(
            text=f"waiting for {waiting}\n" if waiting else "ready\n",
            status=503 if waiting else 200,
        )

    async def metrics(_: web.BaseRequest) -> Answer:
        measure()
        return web.Response(
            body=generate_latest(registry),
            headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4},
        )

    async def status(_: web.BaseRequest) -> Answer:
        return reply(peer.status())

    async def members(_: web.BaseRequest) -> Answer:
        return reply([asdict(each) for each in peer.members()])

    async def down(_: web.BaseRequest) -> Answer:
        peer.stop()
        return reply({"stopping": peer.status()["name"]})

    pages.route("GET", "/", home)
    pages.route("GET", "/healthz", healthz)
    pages.route("GET", "/readyz", readyz)
    pages.route("GET", "/metrics", metrics)
    pages.route("GET", "/api/status", status)
    pages.route("GET", "/api/members", members)
    pages.route("POST", "/api/down", down)


# Every first segment of a path that has a meaning; a service cannot have such a name.
RESERVED = ("api", "datasets", "healthz", "metrics", "readyz", "s", "static")

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")


def is_service_name(name: str) -> bool:
    """Can a service be served under this name?"""
    return bool(_NAME.match(name)) and name not in RESERVED
