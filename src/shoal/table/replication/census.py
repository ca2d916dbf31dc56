"""Asking all peers how they stand in the table."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

import msgspec
from msgspec import Raw

from shoal.core.machine import PeerId
from shoal.core.wire import decoded
from shoal.errors import ShoalError
from shoal.net.asking import Handler
from shoal.table.replication.standing import Standing

TOPIC = "table-standing"

# An answer takes a millisecond or two; who is busy for longer is asked again.
ANSWER_S = 1.0

_QUESTION = msgspec.msgpack.encode(None)  # There is only one.


class Askable(Protocol):
    """What a census needs of the network."""

    def ask(
        self, to: PeerId, topic: str, body: bytes, *, within_s: float
    ) -> asyncio.Future[Raw]:
        """Ask a peer."""

    def serve(self, topic: str, handler: Handler) -> None:
        """Say who answers requests."""


class Census:
    """Answers for this peer, and asks the others."""

    def __init__(
        self, me: PeerId, wires: Askable, standing: Callable[[], Standing]
    ) -> None:
        self._me = me
        self._wires = wires
        self._standing = standing
        self._decoder = msgspec.msgpack.Decoder(Standing)
        wires.serve(TOPIC, lambda _, __: msgspec.msgpack.encode(standing()))

    async def take(self, peers: Iterable[PeerId]) -> dict[PeerId, Standing | None]:
        """What each says; nothing of who does not answer."""
        asked = list(dict.fromkeys(peers))
        told = await asyncio.gather(*map(self._ask, asked))
        return dict(zip(asked, told, strict=True))

    async def _ask(self, peer: PeerId) -> Standing | None:
        if peer == self._me:
            return self._standing()
        with suppress(ShoalError):
            answer = await self._wires.ask(peer, TOPIC, _QUESTION, within_s=ANSWER_S)
            return decoded(self._decoder, answer)
        return None
