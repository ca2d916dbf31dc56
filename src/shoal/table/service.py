"""The table as a peer uses it: its storage, its clients, its time."""

import asyncio
import logging
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import time

from shoal.core.machine import Address, PeerId
from shoal.table.committer import Committer
from shoal.table.connection import Connection, Waiter
from shoal.table.crier import Crier
from shoal.table.forwarder import Forwarder, Wires
from shoal.table.herald import Herald
from shoal.table.lines import LinesTalk
from shoal.table.lookout import Lookout
from shoal.table.messages import Ballot, Durability
from shoal.table.protocol import Table
from shoal.table.recovery import Remains
from shoal.table.redis.registry import COMMANDS
from shoal.table.redis.server import RedisServer, Surroundings
from shoal.table.redis.talk import RedisTalk
from shoal.table.replication.service import Replication
from shoal.table.routes import Alone, Routes
from shoal.table.storage import Memory, Storage
from shoal.table.talk import Talk
from shoal.table.verbs import VerbsTalk
from shoal.table.writer import Scribe

log = logging.getLogger(__name__)

SYNC_S = 1.0

# How late a key may end that nobody asks for: Redis looks ten times a second too.
TICK_S = 0.1

# More keys are due than are dropped at once: clients have their turn in between. A
# million keys that end together are gone within seconds.
PAUSE_S = 0.001

# A table that no cluster's client is sent to.
NOWHERE = Address("127.0.0.1:0")


@dataclass(frozen=True, slots=True)
class TableFigures:
    """How a peer's table is, in numbers."""

    keys: int
    requests: int
    commits: int
    changes_unsafe: int


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
        routes: Routes | None = None,
    ) -> None:
        """`address` is where clients of a cluster are told to go.

        `routes`: who owns what, if not this peer all of it.
        """
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
        self.forwarder = Forwarder(
            self.table, COMMANDS, routes or Alone(peer, address), self, fail
        )
        self.redis = RedisServer(self.table, COMMANDS, around, self.forwarder)
        self.herald = Herald(peer, self.forwarder.routes, self.redis.listeners.publish)
        self.redis.spread = self.herald.spread
        watching = self.table, self.redis.feed, self.forwarder.routes, self
        self._crier = Crier(*watching)
        self._lookout = self.redis.afar = Lookout(*watching, fail)
        self._storage = storage
        self._durability = durability
        self._committer = Committer(
            self.table, storage, self, sync=durability == "always"
        )
        self._fail = fail
        self._scribe = Scribe(self._committer, "table")
        self._start = start
        self._replication: Replication | None = None
        self._ending = False  # A turn is over soon.
        self._releasing = False  # More may be safe, and is told soon.
        self._waiting: dict[Waiter, None] = {}
        self._trouble = ""  # Why nothing is written, if so.
        self._answered = self._commits = 0
        self._tasks: list[asyncio.Task[None]] = []

    def replicate(self, replication: Replication) -> None:
        """Let others keep copies; to be said before the start."""
        self._replication = replication

    def start(self, wires: Wires | None = None) -> None:
        """Take up what was committed before, and begin to serve."""
        if wires:
            self.forwarder.start(wires)
            self.herald.start(wires)
            self._crier.start(wires)
            self._lookout.start(wires)
        loop = self._loop = asyncio.get_running_loop()
        remains = Remains(self._storage.recover())
        for copies in remains.units:
            for key, copy in copies.items():
                self.table.load(key, copy)
        if self._replication:
            self._replication.start(self.table, remains, self._start, self._went_on)
        self._tasks.append(loop.create_task(self._tick()))
        if self.table.logged and self._durability == "interval":
            self._tasks.append(loop.create_task(self._sync_now_and_then()))

    async def stop(self) -> None:
        """Commit what is left, and serve no more."""
        for task in self._tasks:
            task.cancel()
        self.forwarder.stop()
        self._lookout.stop()
        self._crier.stop()
        if self._replication:
            self._replication.stop()
        await self._scribe.end()

    def figures(self) -> TableFigures:
        """How it is now."""
        table = self.table
        return TableFigures(table.size, self._answered, self._commits, len(table.dirty))

    # Dialects

    def redis_client(self, settled: Callable[[], None]) -> Connection:
        """For a client that speaks Redis's protocol."""
        return self._connection(self._redis_talk, settled)

    def verbs_client(self, settled: Callable[[], None]) -> Connection:
        """For a client that speaks verbs in frames."""
        return self._connection(
            lambda _: VerbsTalk(self.table, self.forwarder), settled
        )

    def lines_client(self, settled: Callable[[], None]) -> Connection:
        """For a client that speaks lines of JSON."""
        return self._connection(
            lambda _: LinesTalk(self.table, self.forwarder), settled
        )

    def _connection(
        self, make_talk: Callable[[Connection], Talk], settled: Callable[[], None]
    ) -> Connection:
        return Connection(self.table, self, make_talk, settled)

    def _redis_talk(self, connection: Connection) -> RedisTalk:
        return RedisTalk(self.redis, connection)

    # Committing

    def wait(self, waiter: Waiter) -> None:
        """Its answers rest on a batch that is not safe yet."""
        self._waiting[waiter] = None
        self._soon()

    def _soon(self) -> None:
        """Commit at the end of this turn, and tell other replicas."""
        if not self.table.shared:
            self._scribe.soon()
        elif not self._ending:
            self._ending = True
            self._loop.call_soon(self._turn_over)

    def _turn_over(self) -> None:
        self._ending = False
        assert self._replication, "others keep copies"
        self._replication.turn_over()

    def _went_on(self) -> None:
        """The replica has: there may be something to commit, or to tell."""
        if self.table.unkept:
            self._scribe.soon()
        if self._waiting and not self._releasing:
            self._releasing = True
            self._loop.call_soon(self._release)

    def release(self, safe: int, refused: int, why: str) -> None:
        """All up to one batch is safe, all after it up to another refused."""
        self._commits += not why
        if why != self._trouble:
            log.warning("%s", why or "the table's changes are written again")
            self._trouble = why
        if self._replication:
            self._replication.released(safe, refused)
        self._release()

    def _release(self) -> None:
        self._releasing = False
        for waiter in list(self._waiting):
            if waiter.release():
                del self._waiting[waiter]

    def count(self, answered: int) -> None:
        """So many requests more were answered."""
        self._answered += answered

    def fail(self, error: Exception) -> None:
        """Nobody knows what the disk has kept: the end."""
        self._fail(error)

    # Time

    async def _sync_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(SYNC_S)
            self._committer.sync_soon()
            self._scribe.look()

    async def _tick(self) -> None:
        table = self.table
        while True:
            behind = table.deadline <= time() and not table.burdened
            await asyncio.sleep(PAUSE_S if behind else TICK_S)
            if table.deadline <= time() and not table.burdened:
                table.wake(time())
                self._soon()


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
