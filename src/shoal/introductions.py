"""What one capability needs of another, made of what a peer has."""

import asyncio
from collections.abc import Callable

from msgspec import Raw

from shoal.core.machine import PeerId
from shoal.members.service import MembersService
from shoal.net.asking import Handler
from shoal.net.links import Links
from shoal.net.stream import Stream
from shoal.net.streams import Serve, Streams


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
