"""Tells other peers what becomes of keys here, for clients there that watch them."""

import asyncio
from time import time

from msgspec import Raw

from shoal.core.machine import PeerId
from shoal.errors import Overloaded, Refused
from shoal.table.connection import Committing
from shoal.table.forwarder import Wires
from shoal.table.outbox import Outbox
from shoal.table.protocol import Table
from shoal.table.redis.feed import Feed
from shoal.table.routes import HERE, Routes
from shoal.table.tidings import HOLD_S, SILENCE_S, TOPIC, Watch, asked, packed

_DONE = packed(None)
_NOTHING = packed([])


class Crier:
    """One peer's, to all others."""

    def __init__(
        self, table: Table, feed: Feed, routes: Routes, committing: Committing
    ) -> None:
        self._table = table
        self._feed = feed
        self._routes = routes
        self._committing = committing
        self._calls: dict[PeerId, _Call] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def start(self, wires: Wires) -> None:
        """Be asked."""
        self._loop = asyncio.get_running_loop()
        wires.serve(TOPIC, self._hear)

    def stop(self) -> None:
        """Tell nobody any more."""
        if self._sweep:
            self._sweep.cancel()
        for call in self._calls.values():
            call.tell(_NOTHING)

    def _hear(self, sender: PeerId, body: Raw) -> bytes | asyncio.Future[bytes]:
        said = asked(body)
        if isinstance(said, Watch):
            if said.opening:
                self._open(sender, said.session)
            self._watch(self._known(sender, said.session), said)
            return _DONE
        return self._known(sender, said.session).listen()

    def _open(self, sender: PeerId, session: int) -> None:
        """Whatever was told before, this is a new conversation."""
        if sender in self._calls:
            self._end(sender)
        self._calls[sender] = _Call(sender, session, self)
        self._sweep_later()

    def _known(self, sender: PeerId, session: int) -> "_Call":
        call = self._calls.get(sender)
        if call is None or call.outbox.session != session:
            raise Refused("nothing is told under that number any more; begin again")
        return call

    def _watch(self, call: "_Call", said: Watch) -> None:
        table, outbox = self._table, call.outbox
        for key in said.ended:
            outbox.drop(key)
            self._feed.drop(outbox, key)
        table.begin(time())
        for key in said.begun:
            if self._routes.owner(key) is not HERE:
                outbox.declined(key)
                continue
            new = key not in outbox.watched
            if not outbox.admit(key):
                continue
            entry = table.find(key)
            if new:  # Else what is under way is still to be told.
                self._feed.add(outbox, key, table.sequence)
            value = entry.value if entry else None
            outbox.began(key, value, table.sequence, table.rests_on)
        if table.rests_on:
            self._committing.wait(call)
        self._committing.count(len(said.begun))

    def end(self, peer: PeerId, why: str) -> None:
        """It cannot follow, or is gone."""
        self._calls[peer].refuse(Overloaded(why))
        self._end(peer)

    def _end(self, peer: PeerId) -> None:
        call = self._calls.pop(peer)
        call.ended = True
        call.tell(_NOTHING)
        self._feed.forget(call.outbox)

    def _sweep_later(self) -> None:
        if self._sweep is None and self._calls:
            self._sweep = self._loop.call_later(SILENCE_S, self._forget_silent)

    def _forget_silent(self) -> None:
        """Who does not listen any more."""
        self._sweep = None
        silent_since = self._loop.time() - SILENCE_S
        for peer, call in list(self._calls.items()):
            if not call.listening and call.heard_at < silent_since:
                self._end(peer)
        self._sweep_later()

    def fate(self, ticket: int) -> str | None:
        """What became of a batch."""
        return self._table.fate(ticket)


class _Call:
    """What one other peer is told."""

    def __init__(self, peer: PeerId, session: int, crier: Crier) -> None:
        self.outbox = Outbox(session, self._more)
        self.ended = False
        self._peer = peer
        self._crier = crier
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        self._listener: asyncio.Future[bytes] | None = None
        self._hold: asyncio.TimerHandle | None = None
        self._due = False

    @property
    def listening(self) -> bool:
        """Does it wait for something to be told?"""
        return self._listener is not None and not self._listener.done()

    def listen(self) -> bytes | asyncio.Future[bytes]:
        """What there is to tell, once there is anything."""
        self.heard_at = self._loop.time()
        self.tell(_NOTHING)  # Who asks again does not wait for the last answer.
        if told := self.outbox.take(self._crier.fate):
            return packed(told)
        self._listener = self._loop.create_future()
        self._hold = self._loop.call_later(HOLD_S, self.tell, _NOTHING)
        return self._listener

    def tell(self, body: bytes) -> None:
        """Answer who listens, if it does."""
        if self._hold:
            self._hold.cancel()
        if self._listener and not self._listener.done():
            self._listener.set_result(body)
            self.heard_at = self._loop.time()
        self._listener = None

    def refuse(self, why: Refused) -> None:
        """The same, with the end of it all."""
        if self._listener and not self._listener.done():
            self._listener.set_exception(why)

    def release(self) -> bool:
        """More may be safe, or refused; false if there is more to wait for."""
        if self.ended:
            return True
        self._more(self.outbox)
        return not self.outbox.waits(self._crier.fate)

    def _more(self, outbox: Outbox) -> None:
        """What else this turn brings is told along."""
        if not self._due:
            self._due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._due = False
        if self.ended:
            return
        if self.outbox.overfull:
            self._crier.end(self._peer, "it does not listen to what it watches")
        elif self.listening and (told := self.outbox.take(self._crier.fate)):
            self.tell(packed(told))
