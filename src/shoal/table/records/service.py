"""Records as a peer uses them: over its links and its disk, behind `Records`."""

import asyncio
import logging
from collections.abc import Callable
from random import Random
from typing import Protocol

import msgspec
from msgspec import Raw

from shoal.core.driver import Driver
from shoal.core.machine import Cast, Emit, Meet, PeerId, Send
from shoal.core.records import Record
from shoal.core.wire import decoded
from shoal.errors import (
    DirectoryDamaged,
    MalformedMessage,
    Misuse,
    ShoalError,
    Unanswered,
    named,
)
from shoal.net.clockwork import Clockwork
from shoal.table.committer import Committer
from shoal.table.messages import Ballot, Durability
from shoal.table.protocol import Table
from shoal.table.records.facts import Answered, Changed, GaveUp, RecordsFact
from shoal.table.records.messages import (
    Answer,
    Create,
    Declined,
    Done,
    Entry,
    Found,
    Read,
    RecordsMessage,
    Swap,
    What,
    mistake_in,
)
from shoal.table.records.protocol import Archive, RecordsEffects
from shoal.table.recovery import Remains
from shoal.table.storage import Memory, Storage
from shoal.table.writer import Scribe

log = logging.getLogger(__name__)

TOPIC = "records"

# A takeover with all its retries takes a third of it.
WITHIN_S = 10.0

SYNC_S = 1.0

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
    ) -> None:
        ballot = Ballot(view=1, counter=1, peer=peer, start=start)
        self._peer = peer
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
        self._encoded: tuple[RecordsMessage | None, bytes] = (None, b"")
        self._waiters: dict[int, asyncio.Future[Answer]] = {}
        self._listeners: dict[str, list[Listener]] = {}
        self._trouble = ""  # Why nothing is written, if so.
        self._syncing: asyncio.Task[None] | None = None

    def start(self, since: int, *, founding: bool) -> None:
        """Take up what was kept, and begin; `since` is when this life began."""
        for key, entry in Remains(self._storage.recover()).entries.items():
            self._table.load(key, entry)
        self._clockwork = Clockwork(self._wake)
        self._scribe = Scribe(self._committer, "records")
        self._archive = self._opened(since, founding=founding)
        self._driver: Driver[RecordsMessage, RecordsFact] = Driver(self._archive, self)
        self._driver.wake()
        if self._table.logged and self._durability == "interval":
            self._syncing = asyncio.ensure_future(self._sync_now_and_then())

    def _opened(self, since: int, *, founding: bool) -> Archive:
        try:
            return Archive(
                self._peer,
                since,
                self._table,
                rng=self._rng,
                now=self._clockwork.time(),
                founding=founding,
            )
        except MalformedMessage as error:
            raise DirectoryDamaged(
                f"records of {self._peer}: one cannot be read ({error}); "
                "run the version that wrote it, or restore the directory"
            ) from error

    async def stop(self) -> None:
        """Commit what is left, and answer nobody any more."""
        if self._syncing:
            self._syncing.cancel()
        await self._scribe.end()
        self._clockwork.stop()
        for waiter in self._waiters.values():
            if not waiter.done():
                waiter.set_exception(Unanswered("records: this peer stops; ask again"))
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
        return _record(answer.entry) if answer.entry else None

    async def swap(
        self,
        kind: str,
        id: str,  # noqa: A002
        version: int,
        body: bytes | None,
        *,
        within_s: float = WITHIN_S,
    ) -> int:
        """Put this in the place of that version, or nothing; the version it has."""
        return _version(await self._ask(Swap(kind, id, version, body), within_s))

    def list(self, kind: str) -> list[Record]:
        """All of a kind, from this peer's own copy: mostly not a second old."""
        return [_record(entry) for entry in self._archive.shelf.all_of(kind)]

    def peek(self, kind: str, id: str) -> Record | None:  # noqa: A002
        """What stands there in this peer's own copy: mostly not a second old."""
        entry = self._archive.shelf.safe(kind, id)
        return None if entry is None or entry.body is None else _record(entry)

    def watch(self, kind: str, listener: Listener) -> Callable[[], None]:
        """Tell the listener each change from now on; call the result to stop."""
        listeners = self._listeners.setdefault(kind, [])
        listeners.append(listener)

        def stop() -> None:
            if listener in listeners:
                listeners.remove(listener)

        return stop

    @property
    def keeper(self) -> PeerId:
        """Who decides, as far as this peer knows."""
        return self._archive.keeper

    @property
    def size(self) -> int:
        """How many records there are here."""
        return self._archive.shelf.living

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

    def found(self, peer: PeerId, since: int) -> None:
        """A member is there, since then."""
        self._call(lambda now: self._archive.found(peer, since, now))

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
            case Emit(Changed(entry)):
                self._tell(_record(entry))
            case Emit(Answered(request, answer)):
                if waiter := self._waiting(request):
                    waiter.set_result(answer)
            case Emit(GaveUp(request)):
                if waiter := self._waiting(request):
                    waiter.set_exception(self._unanswered())

    def _tell(self, record: Record) -> None:
        for listener in list(self._listeners.get(record.kind, ())):
            try:
                listener(record)
            except Exception as error:
                self._fail(error)  # A bug, and not of whoever sent the record.

    def _waiting(self, request: int) -> asyncio.Future[Answer] | None:
        waiter = self._waiters.get(request)
        return waiter if waiter and not waiter.done() else None

    def _unanswered(self) -> ShoalError:
        return Unanswered(
            f"records: {self.keeper} keeps them and did not answer in time; it may "
            "have been done: read the record"
        )

    def _post(self, to: PeerId, message: RecordsMessage) -> None:
        """What is told to many is encoded once."""
        if self._encoded[0] is not message:
            self._encoded = message, self._encode(message)
        self._wires.post(to, TOPIC, self._encoded[1])

    def _call(self, call: Callable[[float], RecordsEffects]) -> None:
        self._driver.call(call)
        if self._table.dirty:
            self._scribe.soon()

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


def _record(entry: Entry) -> Record:
    removed = entry.body is None
    return Record(entry.kind, entry.id, entry.version, entry.body or b"", removed)
