"""The table as a peer uses it: its storage, its clients, its time."""

import asyncio
import errno
import logging
import os
import resource
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from random import Random
from time import time

from shoal.core.machine import Address, PeerId
from shoal.table.connection import Connection
from shoal.table.lines import LinesTalk
from shoal.table.messages import SLOTS, Ballot, Durability, Entry, Group, Record
from shoal.table.protocol import Batch, Table
from shoal.table.redis.registry import COMMANDS
from shoal.table.redis.server import RedisServer, Surroundings
from shoal.table.redis.talk import RedisTalk
from shoal.table.storage import Memory, Storage
from shoal.table.talk import Talk
from shoal.table.verbs import VerbsTalk

log = logging.getLogger(__name__)

SYNC_S = 1.0

# How late a key may end that nobody asks for: Redis looks ten times a second too.
TICK_S = 0.1

# A portion of a checkpoint: the loop is held for about a millisecond.
PORTION_RECORDS = 1000

# A table that no cluster's client is sent to.
NOWHERE = Address("127.0.0.1:0")

_FULL = frozenset([errno.ENOSPC, errno.EDQUOT, errno.EFBIG])


class TableService:
    """One peer's table, over a real storage and real connections."""

    def __init__(
        self,
        peer: PeerId,
        storage: Storage,
        *,
        start: int,
        durability: Durability,
        fail: Callable[[Exception], None],
        address: Address = NOWHERE,
    ) -> None:
        """`address` is where clients of a cluster are told to go."""
        ballot = Ballot(view=1, counter=1, peer=peer, start=start)
        logged = not isinstance(storage, Memory)
        self.table = Table(ballot, Random(), logged=logged)
        around = Surroundings(
            name=peer,
            address=address,
            process=os.getpid(),
            since=time(),
            durability=durability,
            memory_bytes=_memory_bytes,
            processor_s=_processor_s,
        )
        self.redis = RedisServer(self.table, COMMANDS, around)
        self._storage = storage
        self._durability = durability
        self._fail = fail
        self._writer = ThreadPoolExecutor(1, "table-log")
        self._waiting: dict[Connection, None] = {}
        self._committing = False
        self._due = False  # A look for changes is due at the end of this turn.
        self._tasks: list[asyncio.Task[None]] = []
        self._checkpoint: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take up what was committed before, and begin to serve."""
        self._loop = asyncio.get_running_loop()
        self._recover()
        self._tasks.append(self._loop.create_task(self._tick()))
        if self.table.logged and self._durability == "interval":
            self._tasks.append(self._loop.create_task(self._sync_now_and_then()))

    async def stop(self) -> None:
        """Commit what is left, and serve no more."""
        for task in [*self._tasks, *([self._checkpoint] if self._checkpoint else [])]:
            task.cancel()
        batch = self.table.take()
        if batch:
            await self._in_writer(self._commit, batch)
            self._settle(batch.ticket)
        if self.table.logged:
            await self._in_writer(self._storage.sync)
        self._writer.shutdown()

    # Dialects

    def redis_client(self, settled: Callable[[], None]) -> Connection:
        """For a client that speaks Redis's protocol."""
        return self._connection(self._redis_talk, settled)

    def verbs_client(self, settled: Callable[[], None]) -> Connection:
        """For a client that speaks verbs in frames."""
        return self._connection(lambda _: VerbsTalk(self.table), settled)

    def lines_client(self, settled: Callable[[], None]) -> Connection:
        """For a client that speaks lines of JSON."""
        return self._connection(lambda _: LinesTalk(self.table), settled)

    def _connection(
        self, make_talk: Callable[[Connection], Talk], settled: Callable[[], None]
    ) -> Connection:
        return Connection(self.table, self, make_talk, settled)

    def _redis_talk(self, connection: Connection) -> RedisTalk:
        return RedisTalk(self.redis, connection)

    # Committing

    def wait(self, connection: Connection) -> None:
        """Its answers rest on a batch that is not safe yet."""
        self._waiting[connection] = None
        self._commit_soon()

    def _commit_soon(self) -> None:
        """At the end of this turn, with all that it brings."""
        if not self._committing and not self._due:
            self._due = True
            self._loop.call_soon(self._commit_next)

    def _commit_next(self) -> None:
        self._due = False
        batch = None if self._committing else self.table.take()
        if batch is None:
            return
        self._committing = True
        under_way = self._writer.submit(self._commit, batch)
        under_way.add_done_callback(
            lambda done: self._loop.call_soon_threadsafe(self._done, batch.ticket, done)
        )

    def _commit(self, batch: Batch) -> None:
        self._storage.commit(batch.groups, sync=self._durability == "always")

    def _done(self, ticket: int, under_way: "Future[None]") -> None:
        self._committing = False
        error = under_way.exception()
        if error is None:
            self._settle(ticket)
        elif isinstance(error, OSError) and error.errno in _FULL:
            self._refuse(error)
        else:
            self._fail(error if isinstance(error, Exception) else RuntimeError(error))
            return
        self._commit_next()
        self._checkpoint_if_worth()

    def _settle(self, ticket: int) -> None:
        self.table.committed(ticket)
        self._release(ticket, 0, "")

    def _refuse(self, error: OSError) -> None:
        """The disk is full: nothing that is under way was done."""
        if self._checkpoint:
            self._checkpoint.cancel()  # It may hold what is now taken back.
        last = self.table.refused()
        why = f"NOSPACE nothing was written: {(error.strerror or '').lower()}"
        log.warning("%s; free some space on the disk", why)
        self._release(0, last, f"{why}; free some space on the peer's disk")

    def _release(self, safe: int, refused: int, why: str) -> None:
        for connection in list(self._waiting):
            if connection.release(safe, refused, why):
                del self._waiting[connection]

    async def _sync_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(SYNC_S)
            try:
                await self._in_writer(self._storage.sync)
            except OSError as error:
                self._fail(error)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self.table.deadline <= time():
                self.table.wake(time())
                self._commit_soon()

    # Storage

    def _recover(self) -> None:
        entries: dict[bytes, Entry] = {}
        for group in self._storage.recover():
            if group.flushed:
                entries.clear()
            for _, key, sequence, deadline_ms, value in group.records:
                if value is None:
                    entries.pop(key, None)
                else:
                    entries[key] = Entry(value, deadline_ms, group.ballot, sequence)
        for key, entry in entries.items():
            self.table.load(key, entry)

    def _checkpoint_if_worth(self) -> None:
        if self._checkpoint is None and self._storage.worth_checkpoint():
            self._checkpoint = self._loop.create_task(self._write_checkpoint())

    async def _write_checkpoint(self) -> None:
        try:
            await self._in_writer(self._storage.begin_checkpoint)
            for groups in self._portions():
                await self._in_writer(self._storage.add, groups)
            await self._in_writer(self._storage.end_checkpoint)
        except OSError as error:
            log.warning("no checkpoint of the table: %s", error)
        finally:
            self._checkpoint = None

    def _portions(self) -> Iterator[list[Group]]:
        """All keys, some slots at a time: what changes meanwhile is in the log."""
        portion: dict[Ballot, list[Record]] = {}
        count = 0
        for slot in range(SLOTS):
            for key, entry in self.table.slots[slot].items():
                record = (slot, key, entry.sequence, entry.deadline_ms, entry.value)
                portion.setdefault(entry.ballot, []).append(record)
                count += 1
            if count >= PORTION_RECORDS or slot == SLOTS - 1:
                yield [Group(ballot, records) for ballot, records in portion.items()]
                portion, count = {}, 0

    async def _in_writer(self, call: Callable[..., None], *arguments: object) -> None:
        await self._loop.run_in_executor(self._writer, call, *arguments)


def _memory_bytes() -> int:
    """What this process has in memory; where nobody says, the most it has had."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(pages) * resource.getpagesize()


def _processor_s() -> tuple[float, float]:
    """Spent in the system, and in this program."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_stime, used.ru_utime
