"""A catalog among those of its network: what is spread, over links."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from msgspec import Raw

from shoal.catalog.messages import Change
from shoal.catalog.protocol import Catalog
from shoal.catalog.shared import SpreadMessage
from shoal.catalog.spreading import SPREAD_S, SpreadEffects, Spreading
from shoal.core.machine import Emit, PeerId, Send
from shoal.core.wire import decoded
from shoal.errors import MalformedMessage

log = logging.getLogger(__name__)

TOPIC = "catalog"


class Wires(Protocol):
    """What sharing needs of a network of peers."""

    def post(self, to: PeerId, topic: str, body: bytes) -> None:
        """Send what needs no answer."""

    def on_post(self, topic: str, take: Callable[[PeerId, Raw], None]) -> None:
        """Say who takes it."""

    def present(self) -> Sequence[PeerId]:
        """Who is here, ourselves first."""


class Spreader:
    """Runs the machine: its clock, its links, and what it says to the history."""

    def __init__(
        self,
        catalog: Catalog,
        wires: Wires,
        keep: Callable[[Change], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._wires = wires
        self._keep = keep
        self._fail = fail
        me = wires.present()[0]
        self._spreading = Spreading(me, catalog, time.time())
        self._decoder: msgspec.msgpack.Decoder[SpreadMessage] = msgspec.msgpack.Decoder(
            SpreadMessage
        )
        self._encode = msgspec.msgpack.Encoder().encode
        wires.on_post(TOPIC, self._posted)
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def others(self) -> int:
        """So many catalogs share with us."""
        return len(self._spreading.others)

    def stop(self) -> None:
        """Hear no more, and tell the rest of what was heard."""
        self._task.cancel()
        self._wires.on_post(TOPIC, lambda *_: None)
        self._perform(self._spreading.wake(time.time() + SPREAD_S))

    async def _run(self) -> None:
        """Look as often as anything may be due: the clock that counts can be set."""
        try:
            while True:
                now = time.time()
                self._perform(self._spreading.meet(self._wires.present(), now))
                if self._spreading.deadline <= now + SPREAD_S:
                    self._perform(self._spreading.wake(now))
                await asyncio.sleep(SPREAD_S)
        except Exception as error:
            self._fail(error)
            raise

    def _posted(self, sender: PeerId, body: Raw) -> None:
        """A message came over a link. One that nobody can read is no reason to part."""
        try:
            message = decoded(self._decoder, body)
        except MalformedMessage as error:
            log.warning("catalog of %s: %s; upgrade the older of us", sender, error)
            return
        self._perform(self._spreading.receive(sender, message, time.time()))

    def _perform(self, effects: SpreadEffects) -> None:
        for effect in effects:
            match effect:
                case Send(to, message):
                    self._wires.post(to, TOPIC, self._encode(message))
                case Emit(change):
                    self._keep(change)
