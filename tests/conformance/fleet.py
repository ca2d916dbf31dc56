"""Several tables that forward to each other, over links that do as they are told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import wraps
from random import Random
from typing import Any, ParamSpec

import uvloop
from msgspec import Raw

from shoal.core.machine import Address, PeerId
from shoal.errors import ShoalError, Unreachable
from shoal.table.messages import SLOTS
from shoal.table.routes import HERE, LATER, Range, Route
from shoal.table.storage import Storage
from tests.conformance.hosts import run
from tests.conformance.tables import Shop, Wire, command

LIMIT_S = 20.0  # Ten times any wait below.

P = ParamSpec("P")

Handler = Callable[[PeerId, Raw], "bytes | asyncio.Future[bytes]"]


class Chart:
    """Whose a key is by its first letter, as one peer believes; it may be wrong."""

    whole = False
    patience_s = 2.0
    remedy = LATER

    def __init__(self, me: str, owners: dict[str, Route]) -> None:
        self.owners = owners
        self._me = me
        self._changed: list[Callable[[], None]] = []

    def owner(self, key: bytes) -> Route:
        owner = self.owners[key[:1].decode()]
        return HERE if owner == self._me else owner

    def ranges(self) -> list[Range]:
        return [Range(0, SLOTS - 1, PeerId(self._me))]

    def peers(self) -> list[PeerId]:
        return [PeerId(name) for name in "abc"]

    def address(self, peer: PeerId) -> Address | None:
        return None

    def attend(self, changed: Callable[[], None]) -> None:
        self._changed.append(changed)

    def learn(self, letter: str, owner: Route) -> None:
        self.owners[letter] = owner
        for changed in self._changed:
            changed()


class Sea:
    """What all links lead through."""

    def __init__(self, seed: int) -> None:
        self.handlers: dict[tuple[PeerId, str], Handler] = {}
        self.rng = Random(seed)
        self.slowest_s = 0.002  # Messages overtake each other within this.
        self.asked = 0
        self.gone: set[str] = set()  # Nobody can dial these.
        self.torn: set[str] = set()  # Links to these break before they answer,
        self.deaf: set[str] = set()  # and these, before they are reached.


class Link:
    """One peer's links to all others."""

    def __init__(self, sea: Sea, me: str) -> None:
        self._sea = sea
        self._me = PeerId(me)

    def serve(self, topic: str, handler: Handler) -> None:
        self._sea.handlers[self._me, topic] = handler

    def ask(
        self, to: PeerId, topic: str, body: bytes, *, within_s: float
    ) -> asyncio.Future[Raw]:
        loop = asyncio.get_running_loop()
        self._sea.asked += 1
        answer: asyncio.Future[Raw] = loop.create_future()
        task = loop.create_task(self._travel(to, topic, body))
        task.add_done_callback(lambda done: _settle(answer, done))
        return answer

    async def _travel(self, to: PeerId, topic: str, body: bytes) -> Raw:
        sea = self._sea
        if to in sea.gone:
            never = Unreachable(f"the way to {to} broke; it was never asked")
            never.asked = False
            raise never
        await asyncio.sleep(sea.rng.uniform(0, sea.slowest_s))
        lost = Unreachable(f"the way to {to} broke; it may have acted on it")
        if to in sea.deaf:
            raise lost
        told = sea.handlers[to, topic](self._me, Raw(body))
        told = told if isinstance(told, bytes) else await told
        await asyncio.sleep(sea.rng.uniform(0, sea.slowest_s))
        if to in sea.torn:
            raise lost
        return Raw(told)


def _settle(answer: asyncio.Future[Raw], done: asyncio.Task[Raw]) -> None:
    error = done.exception()
    if error is None:
        answer.set_result(done.result())
    else:
        assert isinstance(error, ShoalError)
        answer.set_exception(error)


MakeChart = Callable[[str, "Fleet"], Chart]


class Fleet:
    """Peers a, b and c; a key belongs to the one that it begins with."""

    def __init__(
        self, seed: int, storages: Mapping[str, Storage], chart: "MakeChart | None"
    ) -> None:
        self.sea = Sea(seed)
        owners: dict[str, Route] = {name: PeerId(name) for name in "abc"}
        self.charts = {
            name: chart(name, self) if chart else Chart(name, dict(owners))
            for name in owners
        }
        self.shops = {
            name: Shop(
                storages.get(name),
                name=name,
                routes=self.charts[name],
                wires=Link(self.sea, name),
            )
            for name in owners
        }

    def held(self, name: str) -> dict[bytes, bytes]:
        """What one peer itself has."""
        slots = self.shops[name].service.table.slots
        return {key: entry.value for each in slots for key, entry in each.items()}

    def hand_over(self, letter: str, to: Route, *, all_know: bool = True) -> None:
        """Another peer owns the keys of a letter, and has what there is of them."""
        for name, chart in self.charts.items():
            if all_know or name in (to, letter):
                chart.learn(letter, to)


def looped(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in the loop that peers run in."""

    @wraps(test)
    def run_it(*args: P.args, **kwargs: P.kwargs) -> None:
        run(uvloop.new_event_loop, test(*args, **kwargs))

    return run_it


@asynccontextmanager
async def fleet(
    seed: int = 1,
    storages: Mapping[str, Storage] | None = None,
    chart: "MakeChart | None" = None,
) -> AsyncIterator[Fleet]:
    """Open while the block runs; no bug may show."""
    ours = Fleet(seed, storages or {}, chart)
    async with AsyncExitStack() as stack:
        for each in ours.shops.values():
            await each.open()
            stack.push_async_callback(each.close)
        yield ours
    assert not [bug for each in ours.shops.values() for bug in each.bugs]


# Clients


async def at(ours: Fleet, name: str) -> Wire:
    return await ours.shops[name].visit()


async def say(wire: Wire, *commands: tuple[bytes, ...]) -> None:
    wire[1].write(b"".join(command(*words) for words in commands))


async def hear(wire: Wire, size: int) -> bytes:
    async with asyncio.timeout(LIMIT_S):
        return await wire[0].readexactly(size)


async def told(wire: Wire, expected: bytes, *commands: tuple[bytes, ...]) -> None:
    await say(wire, *commands)
    assert await hear(wire, len(expected)) == expected


async def line(wire: Wire, *words: bytes) -> bytes:
    await say(wire, words)
    async with asyncio.timeout(LIMIT_S):
        return await wire[0].readline()
