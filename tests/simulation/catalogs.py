"""Catalogs of one network, simulated: clocks that disagree, and a history each."""

import json
from functools import partial
from random import Random

from shoal.catalog.history import History
from shoal.catalog.messages import Change
from shoal.catalog.outline import NOWHERE, Rank
from shoal.catalog.protocol import Catalog
from shoal.catalog.shared import SpreadMessage
from shoal.catalog.spreading import SpreadEffects, Spreading
from shoal.core.machine import Emit, PeerId
from shoal.core.wire import Codec, Envelope
from shoal.sim.disk import SimulatedDisk
from shoal.sim.faults import Clock, Faults
from shoal.sim.network import Network
from tests.simulation.noticing import Noticing

SLOW = Faults(loss=0.05, latency_s=(0.001, 0.03))

# Shorter than the real one, so that much of it passes.
LIFETIME_S = 60

# Clocks are wrong by up to so much, and go wrong by up to so much of what passes.
WRONG_S, DRIFT = 3.0, 0.005

# A time that is none of anybody's beginning.
EPOCH = 1_000_000.0

# A peer looks so often who else is there.
MEET_S = 0.25


class Shelf:
    """One life of a catalog, and the peer around it."""

    def __init__(self, town: "Town", name: PeerId, now: float) -> None:
        self._town, self.name = town, name
        self.catalog = Catalog(now, lifetime_s=LIFETIME_S)
        self._history = History(town.disks[name])
        self.catalog.ended = self._history.ended(LIFETIME_S, now)
        for entry in self._history.recover(LIFETIME_S):
            self.catalog.load(entry)
        texts = [(each.key, each.text) for each in self.catalog.in_order()]
        self._history.begin(texts, now, self.catalog.endings(now))
        self.spreading = Spreading(name, self.catalog, now)
        self.believed: dict[PeerId, None] = {name: None}
        self._meet_at = now
        self._seen: dict[str, Rank] = {}
        self._gone: dict[str, None] = {}

    # Machine

    @property
    def deadline(self) -> float:
        return min(self.catalog.deadline, self.spreading.deadline, self._meet_at)

    def wake(self, now: float) -> SpreadEffects:
        effects: SpreadEffects = [*self.catalog.wake(now)]
        if self._meet_at <= now:
            self._meet_at = now + MEET_S
            effects += self.spreading.meet(list(self.believed), now)
        return self._note(effects + self.spreading.wake(now))

    def receive(
        self, sender: PeerId, message: SpreadMessage, now: float
    ) -> SpreadEffects:
        """Links of the simulator lose nothing; those of a burdened peer do."""
        rng = self._town.rng
        if rng.random() < self._town.loss:
            return []
        if rng.random() < self._town.duplication:
            again = partial(self._receive_again, sender, message)
            self._town.later(rng.uniform(0, 3), again)
        return self._note(self.spreading.receive(sender, message, now))

    def _receive_again(self, sender: PeerId, message: SpreadMessage) -> None:
        if self._town.shelves.get(self.name) is self:
            self._town.network.call(
                self.name,
                lambda now: self._note(self.spreading.receive(sender, message, now)),
            )

    def offer(self, data: bytes, address: str) -> None:
        """Somebody sends us an update."""
        self._town.network.call(
            self.name,
            lambda now: self._note([*self.catalog.offer(data, address, None, now)]),
        )

    def _note(self, effects: SpreadEffects) -> SpreadEffects:
        kept: list[Change] = [each.fact for each in effects if isinstance(each, Emit)]
        self._history.append(kept)
        self._watch()
        return effects

    def _watch(self) -> None:
        """Nothing becomes older than it was, and nothing that has ended comes back."""
        for key in [*self._seen, *self.catalog.entries]:
            rank = self.spreading.outline.rank(key)
            before = self._seen.get(key, NOWHERE)
            if rank == NOWHERE or rank[1]:
                self._gone[key] = None
            else:
                back = key in self._gone and rank <= before
                assert not back, f"{key} came back to {self.name}"
                assert rank >= before, f"{key} is older at {self.name}"
                self._gone.pop(key, None)
            self._seen[key] = max(rank, before)

    def answers(self) -> dict[str, tuple[int, bytes]]:
        """What it would show: when each was heard, and what it says."""
        entries = self.catalog.entries.values()
        return {each.key: (each.stamp, each.before + each.after) for each in entries}


class Town(Noticing[SpreadMessage, Change]):
    """All catalogs, their disks and clocks, and what each notices of the others."""

    def __init__(self, seed: int, size: int, faults: Faults = SLOW) -> None:
        super().__init__()
        self.rng = Random(f"catalogs {seed}")
        codec: Codec[SpreadMessage] = Codec(Envelope[SpreadMessage], b"secret")
        self.network: Network[SpreadMessage, Change] = Network(seed, codec, faults)
        self.network.trace = None
        self.loss = self.duplication = 0.0
        self.names = [PeerId(f"c{n}") for n in range(size)]
        self.disks = {name: SimulatedDisk() for name in self.names}
        self.clocks = {name: self._clock() for name in self.names}
        self.shelves: dict[PeerId, Shelf] = {}
        for name in self.names:
            self.start(name)

    def _clock(self) -> Clock:
        wrong = self.rng.uniform(-WRONG_S, WRONG_S)
        rate = 1 + self.rng.uniform(-DRIFT, DRIFT)
        return Clock(offset_s=EPOCH + wrong, rate=rate)

    def start(self, name: PeerId) -> None:
        clock = self.clocks[name]
        shelf = Shelf(self, name, clock.read(self.network.now))
        self.shelves[name] = shelf
        self.network.add(name, shelf, clock=clock)
        self.be_noticed(name, (0.01, 0.3))

    def crash(self, name: PeerId) -> None:
        del self.shelves[name]
        self.network.crash(name)
        self.disks[name].crash("kept", self.rng)
        self.be_noticed(name, (0.05, 1.5))

    def look(self, watcher: PeerId, watched: PeerId) -> None:
        shelf = self.shelves.get(watcher)
        if shelf is None:
            return
        if watched in self.shelves and self.near(watcher, watched):
            shelf.believed[watched] = None
        else:
            shelf.believed.pop(watched, None)


def update(port: int, says: int, lifetime_s: int, *, leaving: bool = False) -> bytes:
    """What a program sends: it leaves, or it says something and how long that holds."""
    fields: dict[str, object] = {"type": "x", "port": port, "says": says}
    lifetime = {"lifetime": 1, "leaving": 1} if leaving else {"lifetime": lifetime_s}
    return json.dumps({**fields, **lifetime}, separators=(",", ":")).encode()
