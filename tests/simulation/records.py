"""Peers with records on a simulated network, each with a log on a simulated disk.

Members are played: who comes or goes is noticed by each of the others in its own time.
"""

import math
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from random import Random

from shoal.core.machine import Emit, PeerId
from shoal.core.records import Record
from shoal.core.wire import Codec, Envelope
from shoal.errors import NoSpace
from shoal.sim.disk import Crash, SimulatedDisk
from shoal.sim.faults import Clock, Faults
from shoal.sim.network import Network
from shoal.table.committer import Committer, Job
from shoal.table.messages import Ballot
from shoal.table.protocol import Table
from shoal.table.records.facts import Answered, Changed, GaveUp, RecordsFact
from shoal.table.records.messages import Answer, RecordsMessage, What
from shoal.table.records.names import unit_of
from shoal.table.records.protocol import Archive, RecordsEffects
from shoal.table.recovery import Remains
from shoal.table.storage import Log
from tests.simulation.noticing import Noticing

# A few units take part.
UNITS = 2

KIND = "job"

SLOW = Faults(loss=0.05, latency_s=(0.001, 0.03))

Told = Callable[[Answer | None, float], None]


def _ids(wanted: int) -> list[str]:
    """Names of records, each of the units in turn."""
    ids: list[str] = []
    for number in count():
        if unit_of(KIND, f"j{number}") == len(ids) % UNITS:
            ids.append(f"j{number}")
        if len(ids) == wanted:
            break
    return ids


IDS = _ids(3)


class Witness:
    """Sees every record that any board ever has: no two share a version."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], Record] = {}

    def saw(self, record: Record) -> None:
        before = self._seen.setdefault((record.id, record.version), record)
        assert before == record, f"{before} and {record} were both decided"


class Clerk:
    """One life of a peer: its archive, its log, and who runs its commits."""

    def __init__(self, town: "Town", name: PeerId, start: int, rng: Random) -> None:
        self._town, self._rng, self.name, self.start = town, rng, name, start
        ballot = Ballot(view=0, counter=0, peer=name, start=start)
        table = Table(ballot, rng, logged=True)
        log = Log(town.disks[name], name, rng, segment_bytes=9000, worth_bytes=9000)
        remains = Remains(log.recover())
        for copies in remains.units:
            for key, copy in copies.items():
                table.load(key, copy)
        self.table = table
        self._committer = Committer(table, log, self, sync=True)
        self.archive = Archive(
            *(name, start, table, remains),
            host=name,
            rng=rng,
            now=town.clocks[name].read(town.network.now),
            founding=not town.founded,
            units=UNITS,
        )
        town.founded = True
        self.believed: dict[PeerId, int] = {}
        self.waiting: dict[int, Told] = {}
        self.heard: dict[str, Record] = {}  # What its watchers were told last.
        self._due = False

    # Machine

    @property
    def deadline(self) -> float:
        return self.archive.deadline

    def wake(self, now: float) -> RecordsEffects:
        return self._note(self.archive.wake(now))

    def receive(
        self, sender: PeerId, message: RecordsMessage, now: float
    ) -> RecordsEffects:
        """Links of the simulator lose nothing; those of a burdened peer do."""
        if self._rng.random() < self._town.loss:
            return []
        if self._rng.random() < self._town.duplication:
            again = partial(self._receive_again, sender, message)
            self._town.later(self._rng.uniform(0, 3), again)
        return self._note(self.archive.receive(sender, message, now))

    def _receive_again(self, sender: PeerId, message: RecordsMessage) -> None:
        self.call(lambda now: self.archive.receive(sender, message, now))

    @property
    def alive(self) -> bool:
        return self._town.clerks.get(self.name) is self

    def call(self, call: Callable[[float], RecordsEffects]) -> None:
        if self.alive:
            self._town.network.call(self.name, lambda now: self._note(call(now)))

    def ask(self, request: int, what: What, within_s: float, told: Told) -> None:
        self.waiting[request] = told
        self.call(lambda now: self.archive.ask(request, what, now, within_s))

    def _note(self, effects: RecordsEffects) -> RecordsEffects:
        now = self._town.network.now
        for effect in effects:
            match effect:
                case Emit(Answered(request, answer)):
                    self.waiting.pop(request)(answer, now)
                case Emit(GaveUp(request)):
                    self.waiting.pop(request)(None, now)
                case Emit(Changed(record)):
                    self._hear(record)
        if self.table.unkept and not self._due:
            self._due = True
            self._town.later(self._rng.uniform(0, 0.02), self._commit)
        return effects

    def _hear(self, record: Record) -> None:
        """Watchers hear each change once, in the order of versions."""
        before = self.heard.get(record.id)
        assert before is None or before.version < record.version, (before, record)
        self.heard[record.id] = record
        self._town.witness.saw(record)

    # Commits

    def _commit(self) -> None:
        if not self.alive:
            return
        self._due = False
        for job in self._committer.due():
            error = None
            try:
                job.run()
            except NoSpace as full:
                error = full
            done = partial(self._done, job, error)
            self._town.later(self._rng.uniform(0, 0.02), done)

    def _done(self, job: Job, error: NoSpace | None) -> None:
        if self.alive:
            self._committer.done(job, error)
            self._town.later(0.1 if error else 0.0, self._commit)

    def release(self, safe: int, refused: int, why: str) -> None:
        self.call(lambda now: self.archive.released(safe, refused, why, now))

    def fail(self, error: Exception) -> None:
        raise error


class Town(Noticing[RecordsMessage, RecordsFact]):
    """All peers, their disks, and what each notices of the others."""

    def __init__(self, seed: int, size: int, faults: Faults = SLOW) -> None:
        super().__init__()
        self.rng = Random(f"records {seed}")
        codec: Codec[RecordsMessage] = Codec(Envelope[RecordsMessage], b"secret")
        self.network: Network[RecordsMessage, RecordsFact] = Network(
            seed, codec, faults
        )
        self.network.trace = None
        self.loss = self.duplication = 0.0
        self.founded = False
        self.witness = Witness()
        self.names = [PeerId(f"p{n}") for n in range(size)]
        self.disks = {name: SimulatedDisk() for name in self.names}
        self.clocks = {name: self._clock() for name in self.names}
        self.clerks: dict[PeerId, Clerk] = {}
        self._starts = 0
        for name in self.names:
            self.start(name)

    def _clock(self) -> Clock:
        rate = self.rng.uniform(0.98, 1.02)
        return Clock(offset_s=self.rng.uniform(0, 50), rate=rate)

    def settle(self) -> None:
        """All have found each other, and vote."""
        for _ in range(60):
            self.run(0.5)
            views = [clerk.archive.replica.seat.views for clerk in self.present()]
            if all(each and len(each[-1].members) == len(self.names) for each in views):
                return
        raise AssertionError(f"no view of all: {views}")

    def present(self) -> Iterable[Clerk]:
        return list(self.clerks.values())

    # Who is there

    def start(self, name: PeerId) -> None:
        self.disks[name].capacity_bytes = math.inf
        self._starts += 1
        clerk = Clerk(self, name, self._starts, self.network.rng())
        self.clerks[name] = clerk
        self.network.add(name, clerk, clock=self.clocks[name])
        self.be_noticed(name, (0.01, 0.3))

    def crash(self, name: PeerId, mode: Crash) -> None:
        del self.clerks[name]
        self.network.crash(name)
        self.disks[name].crash(mode, self.rng)
        self.be_noticed(name, (0.05, 1.5))

    def look(self, watcher: PeerId, watched: PeerId) -> None:
        clerk, other = self.clerks.get(watcher), self.clerks.get(watched)
        if clerk is None:
            return
        near = self.near(watcher, watched)
        if other and near and clerk.believed.get(watched) != other.start:
            clerk.believed[watched] = other.start
            clerk.call(lambda now: clerk.archive.found(watched, now))
        elif not (other and near) and clerk.believed.pop(watched, 0):
            clerk.call(lambda now: clerk.archive.gone(watched, now))
