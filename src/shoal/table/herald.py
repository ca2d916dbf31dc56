"""What is published here, told at every other peer: at once, at most once.

Nothing is kept for a peer that cannot be reached, nor more than a little for one that
is slow: whoever must not miss anything watches keys.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from shoal.core.machine import PeerId
from shoal.core.wire import decoded
from shoal.errors import ShoalError
from shoal.table.forwarder import Wires
from shoal.table.messages import MAX_KEY_BYTES, MAX_VALUE_BYTES
from shoal.table.routes import Routes

TOPIC = "table.news"

# What may be on its way to one peer: as much as a subscriber may leave unread.
UNDER_WAY_BYTES = 32 << 20

# Nobody waits for the answer; it only says that there is room again.
TOLD_S = 10.0

# A channel and a message.
News = tuple[
    Annotated[bytes, Meta(max_length=MAX_KEY_BYTES)],
    Annotated[bytes, Meta(max_length=MAX_VALUE_BYTES)],
]

_decoder: msgspec.msgpack.Decoder[tuple[bytes, bytes]] = msgspec.msgpack.Decoder(News)
_packed = msgspec.msgpack.Encoder().encode
_HEARD = _packed(None)


class Herald:
    """Carries one peer's messages to all others, and theirs to who listens here."""

    def __init__(
        self, me: PeerId, routes: Routes, tell: Callable[[bytes, bytes], int]
    ) -> None:
        self._me = me
        self._routes = routes
        self._tell = tell
        self._wires: Wires | None = None
        self._under_way: dict[PeerId, int] = {}  # Bytes.

    def start(self, wires: Wires) -> None:
        """Tell others, and hear of them."""
        self._wires = wires
        wires.serve(TOPIC, self._hear)

    def spread(self, channel: bytes, message: bytes) -> None:
        """Tell it everywhere else."""
        others = [peer for peer in self._routes.peers() if peer != self._me]
        if not others or self._wires is None:
            return
        body = _packed((channel, message))
        for peer in others:
            under_way = self._under_way.get(peer, 0) + len(body)
            if under_way > UNDER_WAY_BYTES:
                continue
            try:
                told = self._wires.ask(peer, TOPIC, body, within_s=TOLD_S)
            except ShoalError:
                continue  # It is lost, as it may be.
            self._under_way[peer] = under_way
            told.add_done_callback(partial(self._told, peer, len(body)))

    def _told(self, peer: PeerId, size: int, answer: asyncio.Future[Raw]) -> None:
        self._under_way[peer] -= size
        if not self._under_way[peer]:
            del self._under_way[peer]
        if not answer.cancelled():
            answer.exception()  # Whether it was heard is nobody's business.

    def _hear(self, sender: PeerId, body: Raw) -> bytes:
        channel, message = decoded(_decoder, bytes(body))
        self._tell(channel, message)
        return _HEARD
