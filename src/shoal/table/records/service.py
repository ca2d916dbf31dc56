"""Records as a peer uses them: over its links and its disk, behind `Records`."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Protocol

import msgspec
from msgspec import Raw

from shoal.core.driver import Driver
from shoal.core.machine import Cast, Emit, Meet, PeerId, Send
from shoal.core.records import Record
from shoal.core.wire import decoded
from shoal.errors import (
    Misuse,
    Unanswered,
    named,
)
from shoal.net.clockwork import Clockwork
from shoal.table.committer import Committer
from shoal.table.messages import Ballot, Durability
from shoal.table.protocol import Table
from shoal.table.records.exchange import record_of
from shoal.table.records.facts import Answered, Changed, GaveUp, RecordsFact
from shoal.table.records.messages import (
    Answer,
    Create,
    Declined,
    Done,
    Found,
    Read,
    RecordsMessage,
    Swap,
    Take,
    Vote,
    What,
    mistake_in,
)
from shoal.table.records.protocol import Archive, RecordsEffects
from shoal.table.recovery import Remains
from shoal.table.storage import Memory, Storage
from shoal.table.writer import Scribe

log = logging.getLogger(__name__)

TOPIC = "records"

# Another owner after a silent death, with all its retries, takes half of it.
WITHIN_S = 10.0

SYNC_S = 1.0

# Owners say so every two seconds, and a board is compared half a second later.
TAKE_UP_S = 3.0

Listener = Callable[[Record], None]


class Wires(Protocol):
    """What records need of the network."""

    def post(self, to: PeerId, topic: str, body: bytes) -> None:
        """Send over a link."""


class RecordsService:
    """One peer's records, over a real storage and real links."""

    def __init__(
        self,
        peer: PeerId,
        storage: Storage,
        *,
        start: int,
        durability: Durability,
        wires: Wires,
        fail: Callable[[Exception], None],
        host: str = "",
    ) -> None:
        """`host`: the machine; no two copies on one while there is another."""
        ballot = Ballot(view=1, counter=1, peer=peer, start=start)
        self._peer = peer
        self._start = start
        self._host = host
        self._storage = storage
        self._durability = durability
        self._table = Table(ballot, Random(), logged=not isinstance(storage, Memory))
        self._committer = Committer(
            self._table, storage, self, sync=durability == "always"
        )
        self._wires = wires
        self._fail = fail
        self._rng = Random()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decoder: msgspec.msgpack.Decoder[RecordsMessage] = (
            msgspec.msgpack.Decoder(RecordsMessage)
        )
        self._encoded: tuple[object, bytes] = (None, b"")
        self._waiters: dict[int, asyncio.Future[Answer]] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._trouble = ""  # Why nothing is written, if so.
        self._syncing: asyncio.Task[None] | None = None
        self._new = True  # It has never been a member.
        self._level = asyncio.Event()

    def start(self, *, founding: bool, guest: bool = False) -> None:
        """Take up what was kept, and begin; `founding`: the first of its network."""
        remains = Remains(self._storage.recover())
        for copies in remains.units:
            for key, copy in copies.items():
                self._table.load(key, copy)
        self._new = not remains.views
        self._clockwork = Clockwork(self._wake)
        self._scribe = Scribe(self._committer, "records")
        self._archive = self._opened(remains, founding=founding, guest=guest)
        self._driver: Driver[RecordsMessage, RecordsFact] = Driver(self._archive, self)
        self._wake()
        if self._table.logged and self._durability == "interval":
            self._syncing = asyncio.ensure_future(self._sync_now_and_then())

    def leave(self) -> None:
        """Keep records no more, once others have all that is ours."""
        self._call(self._archive.leave)

    def refound(self, at: int) -> None:
        """Go on from our copy alone."""
        self._call(lambda now: self._archive.refound(at, now))

    def begin_anew(self, start: int) -> None:
        """Forget everything, and come back as a newcomer."""
        self._give_up("the network was recovered without this peer; ask again")
        alive, self._start = self._archive.forget(), start
        self._archive = self._opened(Remains(()), founding=False, guest=False)
        self._driver = Driver(self._archive, self)
        for peer in alive:
            self.found(peer)

    @property
    def member(self) -> bool:
        """Are copies kept here, and votes?"""
        return self._archive.replica.roll.member

    def _opened(self, remains: Remains, *, founding: bool, guest: bool) -> Archive:
        return Archive(
            *(self._peer, self._start, self._table, remains),
            host=self._host,
            rng=self._rng,
            now=self._clockwork.time(),
            founding=founding,
            guest=guest,
        )

    async def take_up(self) -> None:
        """Wait until a peer that is back knows again what there is, or for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self._new else TAKE_UP_S):
                await self._level.wait()

    async def stop(self) -> None:
        """Commit what is left, and answer nobody any more."""
        if self._syncing:
            self._syncing.cancel()
        await self._scribe.end()
        self._clockwork.stop()
        self._give_up("this peer stops; ask again")

    def _give_up(self, why: str) -> None:
        for waiter in self._waiters.values():
            if not waiter.done():
                waiter.set_exception(Unanswered(f"records: {why}"))
        self._waiters.clear()

    # Records

    async def create(
        self,
        kind: str,
        id: str,  # noqa: A002
        body: bytes,
        *,
        within_s: float = WITHIN_S,
    ) -> int:
        """Keep this under a new name; the version it has. `Exists` if it is taken."""
        return _version(await self._ask(Create(kind, id, body), within_s))

    async def read(
        self,
        kind: str,
        id: str,  # noqa: A002
        *,
        within_s: float = WITHIN_S,
    ) -> Record | None:
        """What stands there now."""
        answer = await self._ask(Read(kind, id), within_s)
        assert isinstance(answer, Found), "only a read is answered so"
        return record_of(answer.entry) if answer.entry else None

    async def swap(
        self,
        kind: str,
        id: str,  # noqa: A002
        version: int,
        body: bytes | None,
        *,
        token: int = 0,
        within_s: float = WITHIN_S,
    ) -> int:
        """Put this in the place of that version, or nothing; the version it has.

        With the token of a claim, only if nobody else has claimed it since.
        """
        what = Swap(kind, id, version, body, token)
        return _version(await self._ask(what, within_s))

    async def claim(
        self,
        kind: str,
        id: str,  # noqa: A002
        seconds: float,
        *,
        token: int = 0,
        within_s: float = WITHIN_S,
    ) -> int:
        """Have a record for oneself so long, counted from now; the token that fences.

        A token is a version, the record's when it was claimed, and rises with each new
        claim. With the token of a claim it is renewed, or for no seconds given up.
        `Conflict` while it is another's.
        """
        answer = await self._ask(Take(kind, id, seconds, token), within_s)
        return token or _version(answer)

    def list(self, kind: str) -> list[Record]:
        """All of a kind, from this peer's own board: mostly not a second old."""
        return self._archive.board.all_of(kind)

    def peek(self, kind: str, id: str) -> Record | None:  # noqa: A002
        """What stands there on this peer's own board: mostly not a second old."""
        record = self._archive.board.find(kind, id)
        return None if record is None or record.removed else record

    def watch(
        self, kind: str, listener: Listener, *, snapshot: bool = False
    ) -> Callable[[], None]:
        """Tell the listener each change from now on; call the result to stop.

        `snapshot`: what there is comes first.
        """
        listeners = self._listeners.setdefault(kind, [])
        listeners.append(listener)

        def stop() -> None:
            if listener in listeners:
                listeners.remove(listener)

        for record in self.list(kind) if snapshot else ():
            listener(record)
        return stop

    def owner(self, kind: str, id: str) -> PeerId | None:  # noqa: A002
        """Who decides about that record, as far as this peer knows."""
        return self._archive.owner(kind, id)

    @property
    def level(self) -> bool:
        """Was all of this peer's board as the owners had it, since it started?"""
        return self._archive.level

    @property
    def copies_on(self) -> int:
        """On how many peers there are copies of parts, if all have what they should."""
        replica = self._archive.replica
        views = replica.seat.views
        return len(views[-1].members) if views and replica.level else 0

    @property
    def size(self) -> int:
        """How many records there are."""
        return self._archive.board.living

    async def _ask(self, what: What, within_s: float) -> Answer:
        if mistake := mistake_in(what):
            raise Misuse(mistake)
        request = self._rng.getrandbits(62)
        waiter: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiters[request] = waiter
        try:
            self._call(lambda now: self._archive.ask(request, what, now, within_s))
            answer = await waiter
        finally:
            self._waiters.pop(request, None)
        if isinstance(answer, Declined):
            raise named(answer.error, answer.why)
        return answer

    # From members and from the network

    def found(self, peer: PeerId) -> None:
        """A member is there."""
        self._call(lambda now: self._archive.found(peer, now))

    def gone(self, peer: PeerId) -> None:
        """A member is lost, or has left."""
        self._call(lambda now: self._archive.gone(peer, now))

    def posted(self, sender: PeerId, body: Raw) -> None:
        """A message came over a link."""
        message = decoded(self._decoder, body)
        self._call(lambda now: self._archive.receive(sender, message, now))

    # World

    def time(self) -> float:
        """The machine's clock."""
        return self._clockwork.time()

    def alarm(self, at: float) -> None:
        """Wake the machine then."""
        self._clockwork.alarm(at)

    def perform(
        self,
        effect: Send[RecordsMessage] | Cast[RecordsMessage] | Meet | Emit[RecordsFact],
    ) -> None:
        """Make an effect happen."""
        match effect:
            case Send(to, message):
                self._post(to, message)
            case Emit(Changed(record)):
                self._tell(record)
            case Emit(Answered(request, answer)):
                if waiter := self._waiting(request):
                    waiter.set_result(answer)
            case Emit(GaveUp() as gave_up):
                if waiter := self._waiting(gave_up.request):
                    waiter.set_exception(gave_up.error)

    def _tell(self, record: Record) -> None:
        for listener in list(self._listeners.get(record.kind, ())):
            try:
                listener(record)
            except Exception as error:
                self._fail(error)  # A bug, and not of whoever sent the record.

    def _waiting(self, request: int) -> asyncio.Future[Answer] | None:
        waiter = self._waiters.get(request)
        return waiter if waiter and not waiter.done() else None

    def _post(self, to: PeerId, message: RecordsMessage) -> None:
        """What is told to many is encoded once."""
        same = message.said.message if isinstance(message, Vote) else message
        if self._encoded[0] is not same:
            self._encoded = same, self._encode(message)
        self._wires.post(to, TOPIC, self._encoded[1])

    def _call(self, call: Callable[[float], RecordsEffects]) -> None:
        self._driver.call(call)
        if self._table.unkept:
            self._scribe.soon()
        if self._archive.level:
            self._level.set()

    def _wake(self) -> None:
        try:
            self._call(self._archive.wake)
        except Exception as error:
            self._fail(error)

    # Audience

    def release(self, safe: int, refused: int, why: str) -> None:
        """All up to one batch is safe, all after it up to another refused."""
        if why != self._trouble:
            log.warning("records: %s", why or "changes are written again")
            self._trouble = why
        self._call(lambda now: self._archive.released(safe, refused, why, now))

    def fail(self, error: Exception) -> None:
        """Nobody knows what the disk has kept: the end."""
        self._fail(error)

    async def _sync_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(SYNC_S)
            self._committer.sync_soon()
            self._scribe.look()


def _version(answer: Answer) -> int:
    assert isinstance(answer, Done), "only a change is answered so"
    return answer.version
