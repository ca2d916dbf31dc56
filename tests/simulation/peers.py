"""Peers that keep one table on a simulated network, each with a log on its own disk.

Members are played: who comes or goes is noticed by each of the others in its own time.
A client asks a peer that owns its key, or waits for one; what a peer answers leaves
when the batch that it rests on is safe, as in a real one.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from random import Random

from shoal.core.machine import Emit, PeerId, Send
from shoal.core.wire import Codec, Envelope
from shoal.errors import NoSpace
from shoal.sim.disk import Crash, SimulatedDisk
from shoal.sim.faults import Clock, Faults
from shoal.sim.network import Network
from shoal.table.committer import Committer, Job
from shoal.table.messages import UNIT_BITS, Ballot, View
from shoal.table.protocol import Table
from shoal.table.recovery import Remains
from shoal.table.replication import rounds
from shoal.table.replication.facts import Fact, Viewed
from shoal.table.replication.holdings import Holding
from shoal.table.replication.messages import Purge, Said
from shoal.table.replication.protocol import Effects, Replica
from shoal.table.slots import slot_of
from shoal.table.storage import Log
from tests.simulation.noticing import Noticing
from tests.simulation.witness import Witness, Witnessed

# A few units take part, each with some keys.
UNITS = 3

# What a turn of a client does: what it will be told, if all goes well.
Act = Callable[[Table], object]
Told = Callable[[str | None, object], None]

SLOW = Faults(loss=0.05, latency_s=(0.001, 0.03))


def _keys(count: int) -> list[bytes]:
    """Keys of the units that take part."""
    keys: list[bytes] = []
    number = 0
    while len(keys) < count:
        key = b"k%d" % number
        if slot_of(key) >> UNIT_BITS == len(keys) % UNITS:
            keys.append(key)
        number += 1
    return keys


KEYS = _keys(5)


class Life:
    """One life of a peer: its replica, its log, and who runs its commits."""

    def __init__(self, sea: "Sea", name: PeerId, start: int, rng: Random) -> None:
        self._sea, self._rng, self.name = sea, rng, name
        ballot = Ballot(view=0, counter=0, peer=name, start=start)
        self.table = Witnessed(ballot, rng, sea.witness)
        log = Log(sea.disks[name], name, rng, segment_bytes=9000, worth_bytes=9000)
        remains = Remains(log.recover())
        for copies in remains.units:
            for key, copy in copies.items():
                self.table.load(key, copy)
        self._committer = Committer(self.table, log, self, sync=True)
        self.replica = Replica(
            name,
            start,
            self.table,
            remains,
            host=name,
            rng=rng,
            now=sea.clocks[name].read(sea.network.now),
            founding=not sea.founded,
            units=UNITS,
        )
        sea.founded = True
        self.replica.owner.rounds.linger_s = sea.linger_s
        self.table.voter, self.table.replica = self.replica.seat.me, self.replica
        self._heard = list(self.replica.owner.heard)
        sea.witness.woke(self.replica)
        sexton = self.replica.sexton
        self.replica.roll.grace_s = sea.grace_s
        sexton.round_s = sea.purging_s or sea.rng.choice([1.0, 60.0])
        sexton._next = min(sexton._next, self.replica.seat.now + sexton.round_s)
        self.believed: dict[PeerId, None] = {}
        self._waiting: list[tuple[int, object, Told]] = []
        self._due = False

    # Machine

    @property
    def deadline(self) -> float:
        return self.replica.deadline

    def wake(self, now: float) -> Effects:
        return self._note(self.replica.wake(now))

    def receive(self, sender: PeerId, message: Said, now: float) -> Effects:
        """Links lose what was under way when they break, and that may come twice."""
        sea = self._sea
        if self._rng.random() < sea.loss:
            return []
        if self._rng.random() < sea.duplication:
            again = partial(self._receive_again, sender, message)
            sea.later(self._rng.uniform(0, sea.echo_s), again)
        return self._note(self.replica.receive(sender, message, now))

    def _receive_again(self, sender: PeerId, message: Said) -> None:
        self.call(lambda now: self.replica.receive(sender, message, now))

    @property
    def alive(self) -> bool:
        return self._sea.lives.get(self.name) is self

    def call(self, call: Callable[[float], Effects]) -> None:
        if self.alive:
            self._sea.network.call(self.name, lambda now: self._note(call(now)))

    def _note(self, effects: Effects) -> Effects:
        for effect in effects:
            match effect:
                case Emit(Viewed(view)):
                    self._sea.viewed(view)
                    self._expect_in_order()
                case Send(_, Said(_, Purge() as purge)):
                    if holding := self.replica.owner.holdings.get(purge.unit):
                        self._sea.witness.purged(purge, holding)
                case Send(_, Said(voter, message)):
                    self._sea.witness.said(voter, message)
        self._believe()
        if self.table.unkept and not self._due:
            self._due = True
            self._sea.later(self._rng.uniform(0, self._sea.disk_s), self._commit)
        self._tell()
        return effects

    def _expect_in_order(self) -> None:
        """It skips no view, and begins empty where it was no replica before."""
        seat = self.replica.seat
        for before, after in pairwise(seat.views[-2:]):
            assert after.number == before.number + 1, f"{self.name} skips {before}"
        for unit in range(UNITS):
            fresh = seat.before and seat.me not in seat.before.units[unit].voters
            if fresh and unit not in self.replica.owner.holdings:
                kept = [key for _, key, _ in self.table.copies(unit)]
                assert not kept, f"{self.name} keeps {kept} from earlier"

    def _believe(self) -> None:
        """It never believes in an earlier owner than before."""
        heard = self.replica.owner.heard
        for before, now in zip(self._heard, heard, strict=True):
            same = before is None or (now is not None and now >= before)
            assert same, f"{self.name} heard of {before}, and believes in {now}"
        self._heard = list(heard)

    @property
    def holdings(self) -> list[Holding]:
        return list(self.replica.owner.holdings.values())

    def leave(self) -> None:
        self.call(self.replica.leave)

    def grab(self, unit: int | None = None) -> None:
        """Take a unit, whoever owns it."""
        seat, some = self.replica.seat, self._rng.randrange(UNITS)
        wanted = some if unit is None else unit
        if seat.views and seat.me in seat.new(wanted).voters:
            self.replica.owner.claim([wanted])
            self.call(self.replica.flush)

    def propose(self, following: Callable[[View], View]) -> None:
        """Let that be the next view, if there may be one."""
        replica = self.replica
        if replica.roll.member and replica.roll.complete:
            replica._decrees.propose(following(replica.seat.views[-1]))
            self.call(replica.flush)

    # Clients

    def owns(self, key: bytes) -> bool:
        return self.table.opened[slot_of(key) >> UNIT_BITS]

    def act(self, act: Act, told: Told) -> None:
        """A turn of a client: what it is told leaves when it is safe."""
        now = self._sea.network.now + self._sea.skew[self.name]
        self.table.begin(1000 + now)
        answer = act(self.table)
        if self.table.rests_on:
            self._waiting.append((self.table.rests_on, answer, told))
        else:
            told("", answer)
        if self._rng.random() < 0.7:  # Else others act in the same turn.
            self.call(self.replica.flush)

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for ticket, answer, told in waiting:
            fate = self.table.fate(ticket)
            if fate is None:
                self._waiting.append((ticket, answer, told))
            else:
                told(fate, answer)

    # Commits

    def _commit(self) -> None:
        if not self.alive:
            return
        if self.name in self._sea.hung:
            self._sea.later(0.05, self._commit)
            return
        self._due = False
        for job in self._committer.due():
            error = None
            try:
                job.run()
            except NoSpace as full:
                error = full
            done = partial(self._done, job, error)
            self._sea.later(self._rng.uniform(0, self._sea.disk_s), done)

    def _done(self, job: Job, error: NoSpace | None) -> None:
        if self.alive:
            self._committer.done(job, error)
            self._sea.later(0.1 if error else 0.0, self._commit)

    def release(self, safe: int, refused: int, why: str) -> None:
        self.call(lambda now: self.replica.released(safe, refused, now))

    def fail(self, error: Exception) -> None:
        raise error


class Sea(Noticing[Said, Fact]):
    """All peers, their disks, and what each notices of the others."""

    def __init__(
        self, seed: int, size: int, faults: Faults = SLOW, purging_s: float = 0.0
    ) -> None:
        """`purging_s`: how often deletions are forgotten, if not left to chance."""
        super().__init__()
        self.rng = Random(f"table {seed}")
        codec: Codec[Said] = Codec(Envelope[Said], b"secret")
        self.network: Network[Said, Fact] = Network(seed, codec, faults)
        self.network.trace = None
        self.loss = self.duplication = 0.0
        self.echo_s = 2.0  # What comes twice comes again within that.
        self.disk_s = 0.01  # A disk takes twice as long at most.
        self.hung: dict[PeerId, None] = {}  # Whose disks stand still.
        self.purging_s = purging_s
        self.linger_s = rounds.LINGER_S
        self.grace_s = 600.0  # A silent member is let go after so long.
        self.witness = Witness()
        self.founded = False
        self.names: list[PeerId] = []
        self.disks: dict[PeerId, SimulatedDisk] = {}
        self.clocks: dict[PeerId, Clock] = {}
        self.skew: dict[PeerId, float] = {}
        self.lives: dict[PeerId, Life] = {}
        self.views: dict[int, View] = {}
        self._starts = 0
        for _ in range(size):
            self.add()

    def viewed(self, view: View) -> None:
        """All who adopt a number adopt the same."""
        assert self.views.setdefault(view.number, view) == view, "two views"
        self.witness.viewed(view, UNITS)

    # Who is there

    def add(self) -> PeerId:
        """One more peer, with an empty disk and a clock of its own."""
        name = PeerId(f"p{len(self.names)}")
        self.names.append(name)
        self.disks[name] = SimulatedDisk()
        rate = self.rng.uniform(0.98, 1.02)
        self.clocks[name] = Clock(offset_s=self.rng.uniform(0, 50), rate=rate)
        self.skew[name] = self.rng.uniform(-1, 1)
        self.start(name)
        return name

    def start(self, name: PeerId) -> None:
        self.disks[name].capacity_bytes = math.inf
        self._starts += 1
        life = Life(self, name, self._starts, self.network.rng())
        self.lives[name] = life
        self.network.add(name, life, clock=self.clocks[name])
        self.be_noticed(name, (0.01, 0.3))

    def crash(self, name: PeerId, mode: Crash) -> None:
        del self.lives[name]
        self.network.crash(name)
        self.disks[name].crash(mode, self.rng)
        self.be_noticed(name, (0.05, 1.5))

    def look(self, watcher: PeerId, watched: PeerId) -> None:
        life = self.lives.get(watcher)
        if life is None:
            return
        near = self.near(watcher, watched)
        there = watched in self.lives and near
        if there and watched not in life.believed:
            life.believed[watched] = None
            life.call(lambda now: life.replica.found(watched, now))
        elif not there and watched in life.believed:
            del life.believed[watched]
            life.call(lambda now: life.replica.gone(watched, now))
