"""A catalog over real sockets: questions by TCP on P, updates by UDP and on TCP P + 1.

Nothing that anybody sends, or does not, stops another: what takes long is done in
slices, or by a thread.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from random import randrange
from time import perf_counter

from shoal.catalog.answers import (
    JSON,
    SHAPES,
    Answer,
    Shape,
    holds,
    tag_of,
    too_costly,
    unchanged,
)
from shoal.catalog.connection import Question, Room, Update
from shoal.catalog.history import History
from shoal.catalog.hosts import Hosts
from shoal.catalog.intake import Intake
from shoal.catalog.messages import LIFETIME_S, Change, Entry
from shoal.catalog.page.detail import detail
from shoal.catalog.page.files import parts
from shoal.catalog.page.frame import Moment
from shoal.catalog.page.listing import listing
from shoal.catalog.protocol import Catalog, Effects, order
from shoal.catalog.requests import Detail, Form, Look, Part, Select, understand
from shoal.catalog.spreader import Spreader, Wires
from shoal.catalog.writer import Keeper
from shoal.core.address import join
from shoal.core.disk import Disk
from shoal.core.filters.meaning import Filter
from shoal.errors import DirectoryDamaged, MalformedMessage, NotListening, Overloaded
from shoal.net.host import bind

log = logging.getLogger(__name__)

# Nobody notices a loop that is busy for so long.
SLICE_S = 0.002

# Of processor time for one question: a hundred times what five thousand records take.
PATIENCE_S = 5.0

# How late a record may be let go that nobody asks for.
TICK_S = 0.5

# A genuine catalog serves fifty at a time, and five more wait.
MAX_QUESTIONS = 1000
MAX_UPDATES = 1000

BACKLOG = 4096

# An answer that is asked for again as long as nothing changes; there are five.
MAX_READY_BYTES = 32 << 20


# The work on one answer; it may be left for a while at each of its steps.
Steps = Generator[None, None, Answer]


@dataclass(frozen=True, slots=True)
class CatalogFigures:
    """How a catalog is, in numbers."""

    records: int
    updates: int
    refused: int
    junk: int
    dropped: int


class CatalogService:
    """One catalog: its sockets, its time, its history."""

    def __init__(
        self,
        *,
        fail: Callable[[Exception], None],
        lifetime_s: int = LIFETIME_S,
        disk: Disk | None = None,
    ) -> None:
        """`disk` is where the history lies, if it is kept."""
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self.catalog = Catalog(time.time(), lifetime_s=lifetime_s)
        self._history = History(disk) if disk else None
        self._keeper: Keeper | None = None
        self._spreader: Spreader | None = None
        self._hosts = Hosts()
        self._rooms = Room(MAX_QUESTIONS), Room(MAX_UPDATES)
        self._ready: dict[str, tuple[int, Answer]] = {}
        self._parts = parts()
        self._start = f"{time.time_ns():x}"
        self._servers: list[asyncio.Server] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def open(
        self,
        listening: socket.socket,
        datagram: socket.socket,
        updates: socket.socket,
    ) -> None:
        """Take up what was known, and serve."""
        if self._history:
            await self._recover(self._history)
            self._keeper = Keeper(self._history, self.catalog, self._fail)
            self._keeper.start()
        for sock, make in ((listening, self._question), (updates, self._update)):
            server = await self._loop.create_server(make, sock=sock, backlog=BACKLOG)
            self._servers.append(server)
        self._intake = Intake(datagram, self._take)
        self._tasks.append(self._loop.create_task(self._tick()))

    async def _recover(self, history: History) -> None:
        lifetime_s = self.catalog.lifetime_s
        try:
            found = await self._loop.run_in_executor(None, history.recover, lifetime_s)
            ended = partial(history.ended, lifetime_s, time.time())
            self.catalog.ended = await self._loop.run_in_executor(None, ended)
        except OSError as error:
            raise DirectoryDamaged(
                f"history {error.filename or ''}: {(error.strerror or '').lower()}; "
                "move it away, and what is announced within a minute is there again"
            ) from error
        for entry in found:
            self.catalog.load(entry)

    def share(self, wires: Wires) -> None:
        """Know from now on what other catalogs of a network know."""
        self._spreader = Spreader(self.catalog, wires, self._keep_one, self._fail)

    async def close(self) -> None:
        """Serve no more; what was told is kept."""
        if self._spreader:
            self._spreader.stop()
        for task in self._tasks:
            task.cancel()
        for server in self._servers:
            server.close()
        for room in self._rooms:
            room.close()
        self._intake.close()
        self._hosts.close()
        if self._keeper:
            await self._keeper.stop()

    def figures(self) -> CatalogFigures:
        """How it is now."""
        catalog = self.catalog
        return CatalogFigures(
            records=len(catalog.entries),
            updates=catalog.taken,
            refused=catalog.refused,
            junk=catalog.junk,
            dropped=self._intake.dropped,
        )

    # Updates

    def _update(self) -> Update:
        return Update(self._rooms[1], self._take)

    def _take(self, data: bytes, address: str) -> None:
        offer = partial(self._offer, data, address)
        self._hosts.ask(address, len(data), offer)

    def _offer(self, data: bytes, address: str, host: str | None) -> None:
        try:
            effects = self.catalog.offer(data, address, host, time.time())
        except (MalformedMessage, Overloaded) as error:
            log.debug("update of %s refused: %s", address, error)
        except Exception as error:
            self._fail(error)
        else:
            self._keep(effects)

    def _keep(self, effects: Effects) -> None:
        for effect in effects:
            self._keep_one(effect.fact)

    def _keep_one(self, change: Change) -> None:
        if self._keeper:
            self._keeper.keep(change)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._let_go()

    def _let_go(self) -> None:
        now = time.time()
        if self.catalog.deadline <= now:
            self._keep(self.catalog.wake(now))

    # Questions

    def _question(self) -> Question:
        return Question(self._rooms[0], self._reply, _date, self._fail)

    def _reply(self, path: str, known: str) -> Answer | Awaitable[Answer]:
        """The answer if it is ready, else whoever makes it."""
        self._let_go()
        match understand(path):
            case Answer() as answer:
                return answer
            case Form(path, None):
                version, ready = self._ready.get(path, (-1, None))
                if ready and version == self.catalog.version:
                    return ready
                return self._form(path)
            case Part(path):
                part = self._parts[path]
                return unchanged(part.tag) if holds(known, part.tag) else part
            case Look(_, None) if holds(known, self._tag()):
                return unchanged()
            case Detail(key, None):
                return self._detail(key, known)
            case asked:
                return self._search(asked)

    async def _form(self, path: str) -> Answer:
        version = self.catalog.version
        answer = await self._shaped(SHAPES[path], self.catalog.in_order())
        if len(answer.body) <= MAX_READY_BYTES:
            self._ready[path] = version, answer
        return answer

    def _tag(self) -> str:
        """Of all that the records say now."""
        return f"{self._start}-{self.catalog.version}"

    def _detail(self, key: str, known: str) -> Answer:
        entry = self.catalog.entries.get(key)
        tag = f"{self._start}-{tag_of(entry.text if entry else b'')}"
        return unchanged() if holds(known, tag) else detail(entry, _now(tag))

    async def _search(self, asked: Form | Select | Look | Detail) -> Answer:
        types = asked.filter.types if isinstance(asked, Select) else None
        if asked.at is None:
            entries = self.catalog.of_types(types)
        else:
            entries = sorted(await self._past(asked.at), key=order)
        match asked:
            case Form(path, _):
                return await self._shaped(SHAPES[path], entries)
            case Look(view, at):
                moment = _now(self._tag()) if at is None else _then(at)
                return await self._in_slices(listing(view, entries, moment))
            case Detail(key, at):
                found = next((e for e in entries if e.key == key), None)
                return detail(found, _then(at or 0))
            case Select(meant, _):
                return await self._shaped(JSON, entries, meant)

    async def _past(self, moment: int) -> list[Entry]:
        return await self._keeper.at(moment) if self._keeper else []

    async def _shaped(
        self, shape: Shape, entries: Sequence[Entry], meant: Filter | None = None
    ) -> Answer:
        """The records that are meant."""

        def steps() -> Steps:
            pieces = []
            for entry in entries:
                if meant is None or meant.means(entry.fields):
                    pieces.append(shape.each(entry))
                yield
            return shape.around(pieces)

        return await self._in_slices(steps())

    async def _in_slices(self, steps: Steps) -> Answer:
        """What comes of many small steps: others have their turn in between."""
        spent_s, began = 0.0, perf_counter()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                answer: Answer = end.value
                return answer
            if (took_s := perf_counter() - began) > SLICE_S:
                spent_s += took_s
                if spent_s > PATIENCE_S:
                    return too_costly()
                await asyncio.sleep(0)
                began = perf_counter()


def _now(tag: str) -> Moment:
    return Moment(now=int(time.time()), tag=tag)


def _then(at: int) -> Moment:
    return Moment(now=at, base=f"/history/{at}", date=_date(at))


def _date(at: float | None = None) -> str:
    """As genuine catalogs write it, in the one zone that all share."""
    return time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(at))


# Where two neighbouring numbers are free: below those that systems give to whoever
# calls somebody, of which every second one is taken on a busy machine.
FREE_PORTS = (20_000, 32_000)
TRIED_PORTS = 100


def bind_catalog(host: str, port: int) -> list[socket.socket]:
    """TCP and UDP on a number and TCP on the next, or `NotListening` and why."""
    for _ in range(TRIED_PORTS):
        try:
            listening, datagram = bind(host, port or randrange(*FREE_PORTS))
        except NotListening as error:
            if port == 0:
                continue
            cause = str(error).partition("; ")[0]
            raise NotListening(
                f"catalog {cause}; choose another port for it"
            ) from error
        number = listening.getsockname()[1]
        updates = socket.socket(listening.family, socket.SOCK_STREAM)
        updates.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            updates.bind((host, number + 1))
            # Two may be bound to a number that only one of them can listen on.
            listening.listen(BACKLOG)
            updates.listen(BACKLOG)
        except (OSError, OverflowError) as error:
            for each in (listening, datagram, updates):
                each.close()
            if port == 0:
                continue  # The next number was taken: begin elsewhere.
            reason = str(getattr(error, "strerror", None) or error).lower()
            raise NotListening(
                f"catalog address {join(host, number + 1)}: {reason}, and updates come "
                "to the number after its own; choose another port for it"
            ) from error
        updates.setblocking(False)
        return [listening, datagram, updates]
    raise NotListening(f"address {host}: no two neighbouring ports are free")
