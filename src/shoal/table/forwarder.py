"""Forwarding as a peer does it: over links, in the loop, for clients and for peers.

Both ends are here: our clients' requests to others, and theirs to us. One future for
each message, none for a request.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from time import time
from typing import Protocol

from msgspec import Raw

from shoal.core.machine import PeerId
from shoal.errors import MalformedMessage, ShoalError, Unknown
from shoal.table.connection import Committing
from shoal.table.errands import answers, carry_out, packed, requests
from shoal.table.forwarding import Ask, Forwarding
from shoal.table.protocol import Table
from shoal.table.redis.commands import Commands
from shoal.table.redis.replies import error
from shoal.table.routes import Routes
from shoal.table.turns import Turn

log = logging.getLogger(__name__)

TOPIC = "table.errands"


class Wires(Protocol):
    """What the table needs of the network."""

    def ask(
        self, to: PeerId, topic: str, body: bytes, *, within_s: float
    ) -> asyncio.Future[Raw]:
        """Ask a peer, once; the answer by the deadline, or what is known of it."""

    def serve(
        self,
        topic: str,
        handler: "Callable[[PeerId, Raw], bytes | asyncio.Future[bytes]]",
    ) -> None:
        """Say who answers requests of a topic."""


class Forwarder:
    """One peer's, to all others and from them."""

    def __init__(
        self,
        table: Table,
        commands: Commands,
        routes: Routes,
        committing: Committing,
        fail: Callable[[Exception], None],
    ) -> None:
        self.routes = routes
        self._table = table
        self._commands = commands
        self._committing = committing
        self._fail = fail
        self._forwarding = Forwarding(routes)
        self._wires: Wires | None = None
        self._flushing = False
        self._alarm: asyncio.TimerHandle | None = None

    def start(self, wires: Wires) -> None:
        """Ask others, and be asked."""
        self._loop = asyncio.get_running_loop()
        self._wires = wires
        wires.serve(TOPIC, self._serve)
        self.routes.attend(self._look_again)

    def stop(self) -> None:
        """Look for nobody any more."""
        if self._alarm:
            self._alarm.cancel()

    # For clients here

    def begin(self) -> Turn:
        """A turn of a client, some of which others are to answer."""
        return Turn(self._send)

    def _send(self, turn: Turn) -> None:
        self._forwarding.offer(turn, self._loop.time())
        self._flush_soon()

    def _flush_soon(self) -> None:
        """What other clients say in this turn of the loop travels along."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        for ask in self._forwarding.due(self._loop.time()):
            self._ask(ask)
        if self._alarm is None and self._forwarding.deadline < float("inf"):
            self._alarm = self._loop.call_at(self._forwarding.deadline, self._wake)

    def _wake(self) -> None:
        self._alarm = None
        self._look_again()

    def _look_again(self) -> None:
        self._forwarding.wake(self._loop.time())
        self._flush_soon()

    def _ask(self, ask: Ask) -> None:
        assert self._wires, "it was started"
        body = packed([(each.version, each.words) for each in ask.errands])
        if isinstance(ask.to, str):
            try:
                answer = self._wires.ask(ask.to, TOPIC, body, within_s=ask.within_s)
            except ShoalError as refusal:
                self._forwarding.refused(ask, str(refusal), self._loop.time())
                return
            answer.add_done_callback(partial(self._answered, ask))
            return
        done = self._carry_out(body)  # It is ours by now.
        if isinstance(done, bytes):
            self._take(ask, done)
        else:
            done.add_done_callback(lambda future: self._take(ask, future.result()))

    def _answered(self, ask: Ask, answer: asyncio.Future[Raw]) -> None:
        if answer.cancelled():
            return  # The peer ends.
        wrong, now = answer.exception(), self._loop.time()
        if wrong is None:
            self._take(ask, bytes(answer.result()))
            return
        if isinstance(wrong, Unknown) and wrong.asked:
            self._forwarding.lost(ask, str(wrong), now)
        elif isinstance(wrong, ShoalError):
            self._forwarding.refused(ask, str(wrong), now)
        else:
            self._fail(wrong if isinstance(wrong, Exception) else Exception(wrong))
            return
        self._flush_soon()

    def _take(self, ask: Ask, body: bytes) -> None:
        now = self._loop.time()
        try:
            told = answers(body)
        except MalformedMessage as wrong:
            self._forwarding.lost(ask, str(wrong), now)
        else:
            self._forwarding.answered(ask, told, now)
        self._flush_soon()

    # For other peers

    def _serve(self, sender: PeerId, body: Raw) -> bytes | asyncio.Future[bytes]:
        return self._carry_out(bytes(body))

    def _carry_out(self, body: bytes) -> bytes | asyncio.Future[bytes]:
        table = self._table
        asked = requests(body)
        table.begin(time())
        told: list[bytes | None]
        try:
            told = carry_out(table, self._commands, self.routes, asked)
        except Exception:
            # A client's bytes have found a bug: it is told loudly, and costs no peer.
            log.exception("what another peer asked met a bug of ours")
            told = [error("UNKNOWN it met a bug; see the log of its owner")] * len(
                asked
            )
        ticket = table.rests_on
        self._committing.count(len(told))
        if not ticket:
            return packed(told)
        waiter = _Waiter(table, ticket, told, self._loop.create_future())
        self._committing.wait(waiter)
        return waiter.future


class _Waiter:
    """Answers for another peer that wait for the disk."""

    def __init__(
        self,
        table: Table,
        ticket: int,
        told: list[bytes | None],
        future: asyncio.Future[bytes],
    ) -> None:
        self._table = table
        self._ticket = ticket
        self._told = told
        self.future = future

    def release(self) -> bool:
        """More may be safe, or refused."""
        why = self._table.fate(self._ticket)
        if why is None:
            return False
        if not self.future.done():  # Else nobody waits for it any more.
            told = self._told
            if why:
                told = [each and error(why) for each in told]
            self.future.set_result(packed(told))
        return True
