"""Peers with records on a simulated network, each with a log on a simulated disk.

Members are played: who comes or goes is noticed by each of the others in its own time.
"""

from collections.abc import Callable
from functools import partial
from random import Random

from shoal.core.machine import Emit, PeerId
from shoal.core.wire import Codec, Envelope
from shoal.sim.disk import Crash, SimulatedDisk
from shoal.sim.faults import Faults
from shoal.sim.network import Network
from shoal.table.committer import Committer, Job
from shoal.table.messages import Ballot
from shoal.table.protocol import Table
from shoal.table.records.facts import Answered, GaveUp, RecordsFact
from shoal.table.records.messages import Answer, RecordsMessage, What
from shoal.table.records.protocol import Archive, RecordsEffects
from shoal.table.recovery import Remains
from shoal.table.storage import Log

# What tells apart lives and peers; seconds since 1970 do in the real world.
BEGAN = 1000

SLOW = Faults(loss=0.05, latency_s=(0.001, 0.03))

Told = Callable[[Answer | None, float], None]


class Clerk:
    """One life of a peer: its archive, its log, and who runs its commits."""

    def __init__(self, town: "Town", name: PeerId, since: int, rng: Random) -> None:
        self._town, self._rng, self.name, self.since = town, rng, name, since
        ballot = Ballot(view=1, counter=1, peer=name, start=since)
        table = Table(ballot, rng, logged=True)
        log = Log(town.disks[name], name, rng, segment_bytes=5000, worth_bytes=9000)
        for key, entry in Remains(log.recover()).entries.items():
            table.load(key, entry)
        self._table = table
        self._committer = Committer(table, log, self, sync=True)
        founding = not town.clerks and since == BEGAN
        self.archive = Archive(
            name, since, table, rng=rng, now=town.network.now, founding=founding
        )
        self.believed: dict[PeerId, int] = {}
        self.waiting: dict[int, Told] = {}
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

    def call(self, call: Callable[[float], RecordsEffects]) -> None:
        if self._town.clerks.get(self.name) is self:
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
        if self._table.dirty and not self._due:
            self._due = True
            self._town.later(self._rng.uniform(0, 0.02), self._commit)
        return effects

    # Commits

    def _commit(self) -> None:
        if self._town.clerks.get(self.name) is not self:
            return
        self._due = False
        for job in self._committer.due():
            job.run()
            self._town.later(self._rng.uniform(0, 0.02), partial(self._done, job))

    def _done(self, job: Job) -> None:
        if self._town.clerks.get(self.name) is self:
            self._committer.done(job, None)
            self._commit()

    def release(self, safe: int, refused: int, why: str) -> None:
        self.call(lambda now: self.archive.released(safe, refused, why, now))

    def fail(self, error: Exception) -> None:
        raise error


class Town:
    """All peers, their disks, and what each notices of the others."""

    def __init__(self, seed: int, size: int, faults: Faults = SLOW) -> None:
        self.rng = Random(f"records {seed}")
        codec: Codec[RecordsMessage] = Codec(Envelope[RecordsMessage], b"secret")
        self.network: Network[RecordsMessage, RecordsFact] = Network(
            seed, codec, faults
        )
        self.network.trace = None
        self.loss = self.duplication = 0.0
        self.names = [PeerId(f"p{n}") for n in range(size)]
        self.disks = {name: SimulatedDisk() for name in self.names}
        self.clerks: dict[PeerId, Clerk] = {}
        self._lives = 0
        self._island: dict[PeerId, int] = {}
        for name in self.names:
            self.start(name)

    def later(self, seconds: float, event: Callable[[], None]) -> None:
        self.network.schedule(self.network.now + seconds, event)

    def run(self, seconds: float) -> None:
        self.network.run(seconds)

    # Who is there

    def start(self, name: PeerId) -> None:
        since, self._lives = BEGAN + self._lives, self._lives + 1
        clerk = Clerk(self, name, since, self.network.rng())
        self.clerks[name] = clerk
        self.network.add(name, clerk)
        self._be_noticed(name, (0.01, 0.3))

    def crash(self, name: PeerId, mode: Crash) -> None:
        del self.clerks[name]
        self.network.crash(name)
        self.disks[name].crash(mode, self.rng)
        self._be_noticed(name, (0.05, 1.5))

    def partition(self, *islands: list[PeerId]) -> None:
        self.network.partition(*islands)
        self._island = {name: n for n, names in enumerate(islands) for name in names}
        for name in self.names:
            self._be_noticed(name, (0.5, 2))

    def heal(self) -> None:
        self.network.heal()
        self._island = {}
        for name in self.names:
            self._be_noticed(name, (0.05, 1))

    def _be_noticed(self, name: PeerId, within_s: tuple[float, float]) -> None:
        for other in self.names:
            if other != name:
                for one, two in ((name, other), (other, name)):
                    look = partial(self._look, one, two)
                    self.later(self.rng.uniform(*within_s), look)

    def _look(self, watcher: PeerId, watched: PeerId) -> None:
        clerk, other = self.clerks.get(watcher), self.clerks.get(watched)
        if clerk is None:
            return
        near = self._island.get(watcher) == self._island.get(watched)
        if other and near and clerk.believed.get(watched) != other.since:
            since = clerk.believed[watched] = other.since
            clerk.call(lambda now: clerk.archive.found(watched, since, now))
        elif not (other and near) and clerk.believed.pop(watched, 0):
            clerk.call(lambda now: clerk.archive.gone(watched, now))
