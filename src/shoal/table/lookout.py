"""Watches keys at whoever owns them, for clients here: what is told there is told here.

A client is cut off when it may have missed something: the owner is another, or does not
answer any more. Who only waits to begin is answered by whoever owns the key then.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from time import time

from msgspec import Raw

from shoal.errors import ShoalError
from shoal.table.connection import Committing
from shoal.table.forwarder import Wires
from shoal.table.protocol import Table
from shoal.table.redis.feed import Feed, Watcher
from shoal.table.redis.replies import Push, encode, error
from shoal.table.redis.server import Client
from shoal.table.routes import HERE, HOPELESS, NOBODY, Route, Routes
from shoal.table.tidings import (
    SILENCE_S,
    TOPIC,
    Began,
    Changed,
    Declined,
    Listen,
    Lost,
    Tiding,
    packed,
    tidings,
)
from shoal.table.vigil import Vigil, Waiter

# How soon is looked again for who owns a key that somebody waits for; and, after any
# change, whether all that are watched have the same owner: for a million that takes
# half a second.
AGAIN_S = 0.05
LOOK_OVER_S = 0.5

_ELSEWHERE = "another peer owns the key by now"
_MINORITY = "this side of a partition is too small to own the key"


class Lookout:
    """One peer's, at all others."""

    def __init__(
        self,
        table: Table,
        feed: Feed,
        routes: Routes,
        committing: Committing,
        fail: Callable[[Exception], None],
    ) -> None:
        """`feed` tells of what is here: some keys are, by the time they are asked."""
        self._table = table
        self._near = feed
        self._far = Feed(unwatched=self._unwatched)
        self._routes = routes
        self._committing = committing
        self._fail = fail
        self._rng = Random()
        self._vigils: dict[Route, Vigil] = {}
        self._at: dict[bytes, Vigil] = {}  # Where each key is watched.
        self._waiting: list[tuple[Waiter, str]] = []  # And what for.
        self._again: asyncio.TimerHandle | None = None
        self._over: asyncio.TimerHandle | None = None
        self._wires: Wires | None = None
        self._due = False

    def start(self, wires: Wires) -> None:
        """Ask others."""
        self._loop = asyncio.get_running_loop()
        self._wires = wires
        self._routes.attend(self._rerouted)

    def stop(self) -> None:
        """Listen to nobody any more."""
        self._wires = None
        for alarm in (self._again, self._over):
            if alarm:
                alarm.cancel()

    # Clients

    def watch(
        self, client: Client, key: bytes, answer: Callable[[bytes], None]
    ) -> None:
        """Answer what the key has, once; then tell the client what becomes of it."""
        until = self._loop.time() + self._routes.patience_s
        self._waiting.append((Waiter(client, key, answer, until), _ELSEWHERE))
        self._soon()

    def forget(self, watcher: Watcher) -> None:
        """It watches nothing any more."""
        self._far.forget(watcher)

    def _unwatched(self, key: bytes) -> None:
        if vigil := self._at.pop(key, None):
            vigil.unwant(key)
            self._soon()

    # Whom to ask

    def _soon(self) -> None:
        """What else this turn of the loop brings is asked along."""
        if not self._due:
            self._due = True
            self._loop.call_soon(self._go_on)

    def _look_again_soon(self) -> None:
        if self._again is None:
            self._again = self._loop.call_later(AGAIN_S, self._look_again)

    def _look_again(self) -> None:
        self._again = None
        self._go_on()

    def _rerouted(self) -> None:
        """Keys may have found other owners."""
        if self._waiting:
            self._look_again_soon()
        if self._over is None:
            self._over = self._loop.call_later(LOOK_OVER_S, self._look_over)

    def _look_over(self) -> None:
        """Are all watched where they are?"""
        self._over = None
        owner = self._routes.owner
        moved = [
            key
            for key, vigil in self._at.items()
            if owner(key) not in (vigil.to, NOBODY)
        ]
        self._lose(moved)
        if not self._routes.whole:
            near = list(self._near)
            self._near.lose(k for k in near if owner(k) not in (HERE, NOBODY))

    def _go_on(self) -> None:
        self._due = False
        if self._wires is None:
            return
        waiting, self._waiting = self._waiting, []
        for waiter, why in waiting:
            if not waiter.client.gone:
                self._route(waiter, why)
        for vigil in list(self._vigils.values()):
            if watch := vigil.ask():
                heard = partial(self._heard, vigil)
                self._ask(vigil, packed(watch), heard)
            elif vigil.idle and not vigil.asking:
                del self._vigils[vigil.to]  # It notices that nobody listens.
        if self._waiting:
            self._look_again_soon()

    def _route(self, waiter: Waiter, why: str) -> None:
        route = self._routes.owner(waiter.key)
        if route is HERE:
            self._begin_here(waiter)
        elif route is HOPELESS:
            self._refuse(waiter, _MINORITY)
        elif route is NOBODY:
            self._put_back(waiter, why)
        elif isinstance(route, str):
            vigil = self._vigils.get(route)
            if vigil is None:
                session = self._rng.getrandbits(62)
                vigil = self._vigils[route] = Vigil(route, session)
            vigil.want(waiter)

    def _refuse(self, waiter: Waiter, why: str) -> None:
        remedy = self._routes.remedy
        refusal = f"CLUSTERDOWN NOQUORUM {why}; nothing was done, {remedy}"
        _tell(waiter, error(refusal))

    def _put_back(self, waiter: Waiter, why: str) -> None:
        if self._loop.time() >= waiter.patient_until:
            self._refuse(waiter, why)
        else:
            self._waiting.append((waiter, why))
            self._look_again_soon()

    def _begin_here(self, waiter: Waiter) -> None:
        """It is ours by now."""
        table, client = self._table, waiter.client
        table.begin(time())
        entry = table.find(waiter.key)
        self._near.add(client, waiter.key, table.sequence)
        value = entry.value if entry else None
        reply = encode(Push([b"feed", waiter.key, value]), client.version)
        safe = _Safe(table, table.rests_on, partial(_tell, waiter, reply))
        if table.rests_on:
            self._committing.wait(safe)
        else:
            safe.release()

    # What is asked

    def _ask(self, vigil: Vigil, body: bytes, take: Callable[[Raw], None]) -> None:
        if self._wires is None:
            return
        try:
            answer = self._wires.ask(vigil.to, TOPIC, body, within_s=SILENCE_S)
        except ShoalError as refusal:
            self._end(vigil, str(refusal))
        else:
            answer.add_done_callback(partial(self._answered, vigil, take))

    def _answered(
        self, vigil: Vigil, take: Callable[[Raw], None], answer: asyncio.Future[Raw]
    ) -> None:
        if answer.cancelled() or self._wires is None:
            return  # The peer ends.
        wrong = answer.exception()
        if self._vigils.get(vigil.to) is not vigil:
            return  # So has that.
        try:
            if wrong:
                raise wrong
            take(answer.result())
        except ShoalError as why:
            self._end(vigil, str(why))
        except Exception as bug:
            self._fail(bug)

    def _heard(self, vigil: Vigil, _: Raw) -> None:
        """It knows which keys."""
        vigil.asking = False
        if not vigil.opened:
            vigil.opened = True
            self._listen(vigil)
        self._soon()

    def _listen(self, vigil: Vigil) -> None:
        self._ask(vigil, packed(Listen(vigil.session)), partial(self._told, vigil))

    def _told(self, vigil: Vigil, body: Raw) -> None:
        """It has told something."""
        for tiding in tidings(body):
            self._take(vigil, tiding)
        self._listen(vigil)
        self._soon()

    def _end(self, vigil: Vigil, why: str) -> None:
        """What it tells is not heard any more; who only waits is served by whoever."""
        if self._vigils.get(vigil.to) is vigil:
            del self._vigils[vigil.to]
        for waiter in vigil.give_up():
            self._put_back(waiter, why)
        self._lose([key for key, at in self._at.items() if at is vigil])

    # What is told

    def _take(self, vigil: Vigil, tiding: Tiding) -> None:
        key = tiding.key
        match tiding:
            case Began():
                self._began(vigil, tiding)
            case Changed(_, value, sequence):
                if self._at.get(key) is vigil:
                    self._far.changed(key, value, sequence)
            case Lost():
                if self._at.get(key) is vigil:
                    self._lose([key])
            case Declined(_, why):
                if why and key not in self._far:
                    vigil.unwant(key)  # It may be watched there all the same.
                for waiter in vigil.answered(key):
                    if why:
                        _tell(waiter, error(why))
                    else:
                        self._put_back(waiter, _ELSEWHERE)

    def _began(self, vigil: Vigil, began: Began) -> None:
        key = began.key
        if self._at.get(key) not in (None, vigil):
            self._lose([key])  # Where it was watched before, it is no more.
        for waiter in vigil.answered(key):
            client = waiter.client
            if not client.gone:
                self._far.add(client, key, began.sequence)
                push = Push([b"feed", key, began.value])
                _tell(waiter, encode(push, client.version))
        if key in self._far:
            self._at[key], vigil.keys[key] = vigil, None
        else:
            vigil.unwant(key)

    def _lose(self, keys: list[bytes]) -> None:
        """Clients miss what becomes of these."""
        for key in keys:
            self._at.pop(key).unwant(key)
        self._far.lose(keys)


class _Safe:
    """Waits for one batch, and says what is to be said then."""

    def __init__(self, table: Table, ticket: int, tell: Callable[[str], None]) -> None:
        self._table = table
        self._ticket = ticket
        self._tell = tell

    def release(self) -> bool:
        """More may be safe, or refused."""
        why = self._table.fate(self._ticket)
        if why is not None:
            self._tell(why)
        return why is not None


def _tell(waiter: Waiter, reply: bytes, why: str = "") -> None:
    """Unless it is void; nobody is told who has gone."""
    if not waiter.client.gone:
        waiter.answer(error(why) if why else reply)
