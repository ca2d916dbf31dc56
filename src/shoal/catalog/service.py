"""A catalog over real sockets: questions by TCP on P, updates by UDP and on TCP P + 1.

Nothing that anybody sends, or does not, stops another: what takes long is done in
slices, or by a thread.
"""

import asyncio
import logging
import math
import socket
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import NamedTuple

from shoal.catalog.answers import (
    JSON,
    OK,
    SHAPES,
    Answer,
    Shape,
    holds,
    too_busy,
    too_costly,
    unchanged,
)
from shoal.catalog.connection import PIECE_BYTES, Question, Room, Update
from shoal.catalog.history import History
from shoal.catalog.hosts import Hosts
from shoal.catalog.intake import Intake
from shoal.catalog.messages import LIFETIME_S, Change, Entry, said
from shoal.catalog.page.detail import detail
from shoal.catalog.page.files import parts
from shoal.catalog.page.frame import Moment
from shoal.catalog.page.listing import listing
from shoal.catalog.protocol import Catalog, Effects
from shoal.catalog.requests import (
    Asked,
    Detail,
    Form,
    Look,
    Part,
    Select,
    understand,
)
from shoal.catalog.shares import SLICE_S, Shares, Work
from shoal.catalog.spreader import Spreader, Wires
from shoal.catalog.writer import Keeper
from shoal.core.disk import Disk
from shoal.core.filters.meaning import Filter
from shoal.errors import (
    DirectoryDamaged,
    MalformedMessage,
    OutOfTime,
    Overloaded,
)
from shoal.net.entrance import Entrance
from shoal.net.host import connection_limit

log = logging.getLogger(__name__)

# What a letter of a filter takes to read. Short questions go first.
LETTER_S = 4e-6

# Records let go, and taken up at the start, at a time: two milliseconds.
ENDED_AT_ONCE = LOADED_AT_ONCE = 200

# Of records passed over, by a text that they lack, at a time: some hundred us.
PASSED_BYTES = 256 << 10

# How late a record may be let go that nobody asks for.
TICK_S = 0.5

# A genuine catalog serves fifty at a time, and five more wait. Ours may have a sixth of
# the descriptors for each kind inside, up to what takes 20 MB, and as many waiting.
MAX_INSIDE = 4000
MAX_WAITING = 8000
DESCRIPTORS_SHARED = 6

# An answer that is kept for the next as long as nothing changes; there are three. A
# larger one lasts while somebody reads it.
MAX_READY_BYTES = 6 << 20

# What is asked of the records there are, or there were.
Records = Form | Select | Look | Detail


@dataclass(frozen=True, slots=True)
class CatalogFigures:
    """How a catalog is, in numbers."""

    records: int
    updates: int
    refused: int
    junk: int
    dropped: int


class _Made(NamedTuple):
    """An answer, and what there was when it was begun."""

    version: int
    begun: float
    recall: Callable[[], Answer | None]


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
        self._most = connection_limit() // DESCRIPTORS_SHARED
        self._rooms = tuple(Room(min(self._most, MAX_INSIDE)) for _ in range(2))
        self._shares = Shares()
        self._looking_back = asyncio.Lock()
        self._ready: dict[str, _Made] = {}
        self._making = {path: asyncio.Lock() for path in SHAPES}
        self._parts = parts()
        self._start = f"{time.time_ns():x}"
        self._entrances: list[Entrance] = []
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
        self._intake = Intake(datagram, self._take)
        for sock, make in ((listening, self._question), (updates, self._update)):
            self._entrances.append(Entrance(sock, make, min(self._most, MAX_WAITING)))
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
        for n, entry in enumerate(found):
            self.catalog.load(entry)
            if n % LOADED_AT_ONCE == 0:
                await asyncio.sleep(0)

    def share(self, wires: Wires) -> None:
        """Know from now on what other catalogs of a network know."""
        self._spreader = Spreader(self.catalog, wires, self._keep_one, self._fail)

    async def close(self) -> None:
        """Serve no more; what was told is kept."""
        if self._spreader:
            self._spreader.stop()
        for task in self._tasks:
            task.cancel()
        for entrance in self._entrances:
            entrance.close()
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
        return Update(self._rooms[1], self._intake.put)

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
            pause_s = TICK_S if self._let_go() else 0
            await asyncio.sleep(pause_s)

    def _let_go(self) -> bool:
        """Let some records go whose time has come; was that all?"""
        now = time.time()
        if self.catalog.deadline <= now:
            self._keep(self.catalog.wake(now, most=ENDED_AT_ONCE))
        return self.catalog.deadline > now

    # Questions

    def _question(self) -> Question:
        return Question(self._rooms[0], self._reply, _date, self._fail)

    def _reply(self, path: str, host: str, known: str) -> Answer | Awaitable[Answer]:
        """The answer if it is ready, else whoever makes it."""
        all_gone = self._let_go()
        if all_gone and (ready := self._made(path)):
            return ready
        return self._find(path, host, known)

    def _made(self, path: str, asked: float = math.inf) -> Answer | None:
        """An answer that is still true, or was begun after it was asked for."""
        made = self._ready.get(path)
        if made and (made.version == self.catalog.version or made.begun > asked):
            return made.recall()
        return None

    def _tag(self, asked: Records) -> str:
        """Of what there is to say now, by one record or by all."""
        said = str(self.catalog.version)
        if isinstance(asked, Detail):
            entry = self.catalog.entries.get(asked.key)
            said = f"{entry.mark:x}-{entry.heard}" if entry else ""
        return f"{self._start}-{said}"

    async def _find(self, path: str, host: str, known: str) -> Answer:
        while not self._let_go():  # noqa: ASYNC110 - others have their turn.
            await asyncio.sleep(0)
        try:
            match await self._understood(path, host):
                case Answer() as answer:
                    return answer
                case Part(path):
                    part = self._parts[path]
                    return unchanged(part.tag) if holds(known, part.tag) else part
                case Form(_, None) as asked:
                    return await self._form(asked)
                case Detail(_, None) | Look(_, None) as asked if holds(
                    known, self._tag(asked)
                ):
                    return unchanged()
                case asked:
                    return await self._search(asked, host)
        except OutOfTime:
            return too_costly()

    async def _understood(self, path: str, host: str) -> Asked:
        guess_s = len(path) * LETTER_S
        if guess_s <= SLICE_S and self._shares.idle:
            return understand(path)
        return await self._shares.carry_out(_reading(path), host, guess_s)

    async def _search(self, asked: Records, host: str) -> Answer:
        if asked.at is None:
            return await self._shares.carry_out(self._answering(asked, None), host)
        async with self._looking_back:  # One past at a time fits into memory.
            past = await self._past(asked.at)
            return await self._shares.carry_out(self._answering(asked, past), host)

    async def _form(self, asked: Form) -> Answer:
        """One is made at a time: all who asked before it was begun have it.

        So who asks for it a thousand times keeps nobody waiting for more than two.
        """
        now = perf_counter()
        async with self._making[asked.path]:
            if ready := self._made(asked.path, now):
                return ready
            begun, version = perf_counter(), self.catalog.version
            making = self._answering(asked, None)
            answer = await self._shares.carry_out(making, "")  # For all.
            keep = answer.size_bytes <= MAX_READY_BYTES
            recall = partial(_same, answer) if keep else weakref.ref(answer)
            if answer.status == OK:
                self._ready[asked.path] = _Made(version, begun, recall)
            return answer

    async def _past(self, moment: int) -> list[Entry]:
        return await self._keeper.at(moment) if self._keeper else []

    def _answering(self, asked: Records, past: list[Entry] | None) -> Work[Answer]:
        """Of the records there are, or there were."""
        moment = _now(self._tag(asked)) if asked.at is None else _then(asked.at)
        match asked:
            case Detail(key, _):
                there = self.catalog.entries if past is None else _by_key(past)
                return detail(there.get(key), moment)
            case Look(view, _):
                found = self.catalog.in_order() if past is None else past
                return (yield from listing(view, found, moment))
            case Select(meant, _):
                among = self.catalog.of_types(meant.types) if past is None else past
                found = yield from self._meant(meant, among, indexed=past is None)
                return (yield from self._shaped(JSON, found))
            case Form(path, _):
                found = self.catalog.in_order() if past is None else past
                return (yield from self._shaped(SHAPES[path], found))

    def _meant(
        self, meant: Filter, entries: Sequence[Entry], *, indexed: bool
    ) -> Work[list[Entry]]:
        found, looked_bytes = [], 0
        # To look for a text is quicker by far than to take it apart; one is enough.
        strings = (s for s in meant.strings if not (indexed and s[0] == "type"))
        parts = sorted((said(*each) for each in strings), key=len)[-1:]
        for entry in entries:
            if entry.may_say(parts):
                if meant.means(self.catalog.fields_of(entry)):
                    found.append(entry)
                yield
                continue
            if (looked_bytes := looked_bytes + entry.size_bytes) > PASSED_BYTES:
                looked_bytes = 0
                yield
        return found

    def _shaped(self, shape: Shape, entries: Sequence[Entry]) -> Work[Answer]:
        """The answer, as long as there is room for it beside those being read."""
        pieces, some, held, room = list[bytes](), bytearray(), 0, self._rooms[0]
        try:
            for portion in shape.portions(entries):
                some += portion
                if len(some) > PIECE_BYTES:
                    if not room.make_room(len(some)):
                        return too_busy()
                    room.unsent_bytes += len(some)
                    held += len(some)
                    pieces.append(bytes(some))
                    some.clear()
                yield
            return Answer(bytes(some), shape.kind, before=tuple(pieces))
        finally:
            room.unsent_bytes -= held


def _same(answer: Answer) -> Answer:
    return answer


def _reading(path: str) -> Work[Asked]:
    yield
    return understand(path)


def _by_key(entries: Sequence[Entry]) -> dict[str, Entry]:
    return {entry.key: entry for entry in entries}


def _now(tag: str) -> Moment:
    return Moment(now=int(time.time()), tag=tag)


def _then(at: int) -> Moment:
    return Moment(now=at, base=f"/history/{at}", date=_date(at))


def _date(at: float | None = None) -> str:
    """As genuine catalogs write it, in the one zone that all share."""
    return time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(at))
