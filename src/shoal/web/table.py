"""The table that all share, over HTTP: is it whole, where is a key, and to leave it."""

from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from aiohttp import web

from shoal.errors import Misuse
from shoal.web.server import Answer, Web, reply


class Shared(Protocol):
    """A peer's place in the table."""

    async def whole(self, enough: int | None) -> dict[str, Any]:
        """Does every replica hold everything, and if not, what is lacking?"""

    def where(self, key: bytes) -> dict[str, Any]:
        """Who owns a key, and who has copies of it."""

    def leave(self) -> None:
        """Hand everything over, then end."""

    def recover(self, *, force: bool) -> dict[str, Any]:
        """Go on from its own copy, without those who are away; what that means."""

    async def retire(self) -> None:
        """Let others answer for what it owns, before it stops."""


class TablePages:
    """What a peer shows of it."""

    def __init__(self, web: Web, shared: Shared | None) -> None:
        """In a fixed group nothing is shared."""
        self._found = shared
        web.route("GET", "/api/table", self.whole)
        web.route("GET", "/api/where/*", self.where)
        web.route("POST", "/api/leave", self.leave)
        web.route("POST", "/api/retire", self.retire)
        web.route("GET", "/api/recover", self.risk)
        web.route("POST", "/api/recover", self.recover)

    @property
    def _shared(self) -> Shared:
        if self._found is None:
            raise Misuse(
                "table: in a fixed group each key has one copy at one node for ever, "
                "and nobody leaves; see: docs/protocols/fixed-group.md"
            )
        return self._found

    async def whole(self, request: web.BaseRequest) -> Answer:
        """Does every replica hold everything?"""
        members = request.query.get("members", "")
        enough = int(members) if members.isdecimal() and len(members) < 5 else None
        return reply(await self._shared.whole(enough))

    async def where(self, request: web.BaseRequest) -> Answer:
        """Where a key is."""
        key = unquote_to_bytes(request.rel_url.raw_path.rpartition("/")[2])
        return reply(self._shared.where(key))

    async def leave(self, _: web.BaseRequest) -> Answer:
        """Hand over, and go."""
        self._shared.leave()
        return reply({"leaving": True})

    async def retire(self, _: web.BaseRequest) -> Answer:
        """Own nothing any more: a stop follows."""
        if self._found:
            await self._found.retire()
        return reply({"retired": True})

    async def risk(self, _: web.BaseRequest) -> Answer:
        """What a recovery would mean."""
        return reply(self._shared.recover(force=False))

    async def recover(self, _: web.BaseRequest) -> Answer:
        """Go on without those who are away."""
        return reply(self._shared.recover(force=True))
