"""Many clients who ask all peers at once, on one loop, and write down what they hear.

A client stays with a peer for some requests and then goes to any other. Some leave
right after asking, as programs do that die; whatever they asked for stays unknown.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from random import Random

import hiredis

from shoal.core.address import parse
from shoal.core.machine import Address
from tests.end_to_end.bookkeeping import Book

CLIENTS = 20

# Twenty clients that pause so long on average ask for some 400 things a second, half of
# them all at once. A minute of that on five keys is judged in a second (measured).
PAUSE_S = 0.05

# Longer than a peer takes to give up, so that its own word is heard first.
PATIENCE_S = 5.0
DIAL_S = 1.0
VISIT = 40  # Requests, at most, before going elsewhere.
ONCE_SHARE, LEAVING_SHARE = 0.2, 0.2

# For a table to answer everywhere after all faults have ended.
LEVEL_S = 60.0
RETRY_S = 0.1

PROBES = [b"probe-%d" % n for n in range(16)]

Trouble = (OSError, EOFError, TimeoutError)


class Talk:
    """A connection that speaks Redis's protocol, one request at a time."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader, self._writer = reader, writer
        self._replies = hiredis.Reader()

    @classmethod
    async def open(cls, address: Address) -> "Talk":
        async with asyncio.timeout(DIAL_S):
            return cls(*await asyncio.open_connection(*parse(address)))

    def send(self, *words: bytes) -> None:
        self._writer.write(hiredis.pack_command(words))  # type: ignore[arg-type]

    async def receive(self, within_s: float = PATIENCE_S) -> object:
        """The next answer; an error is given, not raised."""
        async with asyncio.timeout(within_s):
            while (reply := self._replies.gets()) is False:
                data = await self._reader.read(1 << 16)
                if not data:
                    raise EOFError("the peer has closed the connection")
                self._replies.feed(data)
            return reply

    async def ask(self, *words: bytes, within_s: float = PATIENCE_S) -> object:
        self.send(*words)
        return await self.receive(within_s)

    def close(self) -> None:
        self._writer.close()


async def insist(
    address: Address, step: Callable[[Talk], Awaitable[bool]], within_s: float
) -> bool:
    """Do a step there, over a fresh connection each time, until it says it is done."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with suppress(*Trouble):
            talk = await Talk.open(address)
            try:
                if await step(talk):
                    return True
            finally:
                talk.close()
        await asyncio.sleep(RETRY_S)
    return False


class Crowd:
    """The clients of one batch."""

    def __init__(
        self,
        addresses: Sequence[Address],
        book: Book,
        rng: Random,
        *,
        clients: int = CLIENTS,
        pause_s: float = PAUSE_S,
        level_s: float = LEVEL_S,
    ) -> None:
        self.book = book
        self.silent: list[Address] = []  # Who did not answer in the end.
        self._addresses = addresses
        self._rngs = [Random(rng.getrandbits(64)) for _ in range(clients)]
        self._pause_s, self._level_s = pause_s, level_s
        self._over = threading.Event()
        self._began = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def play(self) -> None:
        """Ask until `end`, then read all keys at all peers. In a thread of its own."""
        asyncio.run(self._play())

    def end(self) -> None:
        """Faults are over: look what is there."""
        self._over.set()

    def writes_go_on(
        self, at: Iterable[Address], within_s: float
    ) -> Future[float | None]:
        """How long until each probe was written at each of these, if within the time.

        Called from another thread.
        """
        self._began.wait(DIAL_S)
        assert self._loop, "it has begun"
        probing = self._probe(list(at), within_s)
        return asyncio.run_coroutine_threadsafe(probing, self._loop)

    async def _play(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began.set()
        async with asyncio.TaskGroup() as clients:
            for number, rng in enumerate(self._rngs):
                clients.create_task(self._client(f"client {number}", rng))
        for address in self._addresses:
            if not await self._look(address):
                self.silent.append(address)
        await self._find_once()

    # What a client does

    async def _client(self, name: str, rng: Random) -> None:
        while not self._over.is_set():
            with suppress(*Trouble):  # What it waited for stays unknown.
                talk = await Talk.open(rng.choice(self._addresses))
                try:
                    await self._visit(talk, name, rng)
                finally:
                    talk.close()
            await asyncio.sleep(self._pause(rng))

    async def _visit(self, talk: Talk, name: str, rng: Random) -> None:
        for _ in range(rng.randrange(1, VISIT)):
            if self._over.is_set():
                return
            if rng.random() < ONCE_SHARE:
                await self._write_once(talk)
            elif not await self._exchange(talk, name, rng):
                return
            await asyncio.sleep(self._pause(rng))

    def _pause(self, rng: Random) -> float:
        """Half of the time until the next beat, when others ask as well."""
        if rng.random() < 0.5:
            return rng.expovariate(1 / self._pause_s)
        return self._pause_s - time.monotonic() % self._pause_s

    async def _exchange(self, talk: Talk, name: str, rng: Random) -> bool:
        """Ask, and hear; False for who left instead."""
        request = self.book.draw(rng)
        leaves = request.changes and rng.random() < LEAVING_SHARE
        number = self.book.call(name, request, time.monotonic())
        talk.send(*request.words)
        if not leaves:
            reply = await talk.receive()
            self.book.answer(number, request, reply, time.monotonic())
        return not leaves

    async def _write_once(self, talk: Talk) -> None:
        value = self.book.value()
        key = b"once-" + value
        if await talk.ask(b"SET", key, value) == b"OK":
            self.book.once[key] = value

    # Whether writes go on

    async def _probe(self, at: list[Address], within_s: float) -> float | None:
        began = time.monotonic()
        written = [insist(each, self._prober(), within_s) for each in at]
        try:
            async with asyncio.timeout(within_s):
                done = await asyncio.gather(*written)
        except TimeoutError:
            return None
        return time.monotonic() - began if all(done) else None

    def _prober(self) -> Callable[[Talk], Awaitable[bool]]:
        waiting = list(PROBES)

        async def write(talk: Talk) -> bool:
            for key in list(waiting):
                if await talk.ask(b"SET", key, self.book.value()) == b"OK":
                    waiting.remove(key)
            return not waiting

        return write

    # What is there in the end

    async def _look(self, address: Address) -> bool:
        """Read every key there; False if it does not answer."""
        waiting = list(self.book.keys)

        async def read(talk: Talk) -> bool:
            for key in list(waiting):
                request = self.book.look(key)
                name = f"reader at {address}"
                number = self.book.call(name, request, time.monotonic())
                reply = await talk.ask(*request.words)
                self.book.answer(number, request, reply, time.monotonic())
                if not isinstance(reply, hiredis.ReplyError):
                    waiting.remove(key)
            return not waiting

        return await insist(address, read, self._level_s)

    async def _find_once(self) -> None:
        """Is what was written once there? Each key is asked of one peer, in turn."""
        keys = list(self.book.once)
        shares = {
            address: keys[n :: len(self._addresses)]
            for n, address in enumerate(self._addresses)
            if address not in self.silent
        }
        found = [
            insist(address, self._finder(share), self._level_s)
            for address, share in shares.items()
        ]
        for address, whole in zip(shares, await asyncio.gather(*found), strict=True):
            if not whole:
                self.silent.append(address)

    def _finder(self, keys: list[bytes]) -> Callable[[Talk], Awaitable[bool]]:
        waiting = list(keys)

        async def find(talk: Talk) -> bool:
            while waiting:
                found = await talk.ask(b"GET", waiting[-1])
                if isinstance(found, hiredis.ReplyError):
                    return False
                key = waiting.pop()
                if found != self.book.once[key]:
                    self.book.lost.append(key)
            return True

        return find
