"""What must hold of records on a hostile network, whatever the seed."""

import math
from collections.abc import Hashable
from functools import partial

from shoal.core.machine import PeerId
from shoal.sim.checker import check
from shoal.sim.disk import Crash
from shoal.sim.history import Operation, Outcome
from shoal.sim.models import Read as Look
from shoal.sim.models import Register, RegisterAsked
from shoal.sim.models import Swap as Exchange
from shoal.table.records.messages import (
    Answer,
    Create,
    Declined,
    Done,
    Found,
    Read,
    Swap,
    What,
)
from tests.simulation.properties import Property
from tests.simulation.records import Clerk, Town

IDS = ["a", "b", "c"]
CRASHES: tuple[Crash, ...] = ("kept", "lost", "torn")

# What everybody knows after all faults have ended.
LEVEL_S = 10.0

# What one client knows of a record: its version and body, or that nothing stands there.
Known = tuple[int, bytes] | None


class Clients:
    """One at each peer, who asks, waits, and writes down what it was told."""

    def __init__(self, town: Town) -> None:
        self.town, self.rng = town, town.rng
        self.history: list[Operation[RegisterAsked]] = []
        self.acknowledged: dict[str, int] = {}  # The highest version, by id.
        self._bodies = 0
        self._known: dict[tuple[PeerId, str], Known] = {}
        self._busy: dict[PeerId, Clerk] = {}

    def act(self, name: PeerId) -> None:
        """Ask for something, unless it still waits, or its peer is down."""
        clerk = self.town.clerks.get(name)
        if clerk is None or self._busy.get(name) is clerk:
            return
        self._busy[name] = clerk
        id_ = self.rng.choice(IDS)
        what, asked = self._choose(name, id_)
        number, now = len(self.history), self.town.network.now
        self.history.append(
            Operation(client=name, key=id_, asked=asked, called=self._moment(now))
        )
        told = partial(self._told, name, number, what)
        within_s = self.rng.choice([1, 10])
        clerk.ask(self.rng.getrandbits(62), what, within_s, told)

    def _choose(self, name: PeerId, id_: str) -> tuple[What, RegisterAsked]:
        known = self._known.get((name, id_))
        if self.rng.random() < 0.4:
            return Read("job", id_), Look()
        self._bodies += 1
        body = b"%d" % self._bodies
        if known is None:
            return Create("job", id_, body), Exchange(None, body)
        new = None if self.rng.random() < 0.3 else body
        return Swap("job", id_, known[0], new), Exchange(known[1], new)

    def _told(
        self, name: PeerId, number: int, what: What, answer: Answer | None, now: float
    ) -> None:
        self._busy.pop(name, None)
        if answer is None:
            return
        assert not isinstance(answer, Declined) or answer.error != "Overloaded"
        self._known[name, what.id] = known = _learned(what, answer)
        self._answer(number, _meaning(what, answer, known), now)
        if isinstance(answer, Done):
            last = self.acknowledged.get(what.id, 0)
            self.acknowledged[what.id] = max(last, answer.version)

    def _answer(self, number: int, answered: Hashable, now: float) -> None:
        was = self.history[number]
        self.history[number] = Operation(
            client=was.client,
            key=was.key,
            asked=was.asked,
            called=was.called,
            answered=answered,
            returned=self._moment(now),
        )

    def _moment(self, now: float) -> float:
        """No two things at one instant."""
        self._now = max(now, math.nextafter(getattr(self, "_now", -1.0), math.inf))
        return self._now


def _learned(what: What, answer: Answer) -> Known:
    if isinstance(answer, Found):
        entry = answer.entry
        return (entry.version, entry.body or b"") if entry else None
    if isinstance(answer, Done):
        assert not isinstance(what, Read)
        return (answer.version, what.body) if what.body is not None else None
    return None  # It looks again, or finds out.


def _meaning(what: What, answer: Answer, known: Known) -> Hashable:
    if isinstance(what, Read):
        return known[1] if known else None
    if isinstance(answer, Declined) and answer.error == "NoSpace":
        return Outcome.REFUSED
    return isinstance(answer, Done)


def expect_linearizable(clients: Clients) -> None:
    verdict = check(clients.history, Register())
    assert verdict, verdict


def expect_level(clients: Clients) -> None:
    """Everybody has the same, and all that was acknowledged or what came after."""
    town = clients.town
    copies = {
        name: {
            (row.kind, row.id): (row.version, row.request)
            for parcel in range(256)
            for row in clerk.archive.shelf.rows(parcel)
        }
        for name, clerk in town.clerks.items()
    }
    first = copies[town.names[0]]
    assert all(copy == first for copy in copies.values()), copies
    for id_, version in clients.acknowledged.items():
        has = first.get(("job", id_), (0, 0))[0]
        assert has >= version, f"{id_}: {version} was acknowledged, {has} is there"


def end_faults(town: Town) -> None:
    town.loss = town.duplication = 0.0
    town.heal()
    for name in town.names:
        if name not in town.clerks:
            town.start(name)
    town.run(1.5)  # Members notice.
    town.run(LEVEL_S)


def one_keeper_is_one_copy(seed: int) -> None:
    """The first is the keeper all the while: alone, it is crashed itself."""
    size = 1 + 2 * (seed % 3)
    town = Town(seed, size)
    clients, rng = Clients(town), town.rng
    town.run(1)
    town.loss, town.duplication = rng.choice([0, 0.1]), rng.choice([0, 0.2])
    mortal = town.names[1:] or town.names
    for _ in range(120):
        clients.act(rng.choice(town.names))
        town.run(rng.uniform(0, 0.1))
        name = rng.choice(mortal)
        if name not in town.clerks:
            town.start(name)
        elif rng.random() < 0.05:
            town.crash(name, rng.choice(CRASHES))
    end_faults(town)
    expect_linearizable(clients)
    expect_level(clients)


def copies_become_level(seed: int) -> None:
    """Through crashes of anybody, partitions, loss and repetition."""
    town = Town(seed, 2 + seed % 4)
    clients, rng = Clients(town), town.rng
    town.run(1)
    town.loss, town.duplication = rng.choice([0, 0.1, 0.3]), rng.choice([0, 0.2])
    for _ in range(150):
        clients.act(rng.choice(town.names))
        town.run(rng.uniform(0, 0.2))
        _misfortune(town)
    end_faults(town)
    expect_level(clients)


def _misfortune(town: Town) -> None:
    rng, name = town.rng, town.rng.choice(town.names)
    chance = rng.random()
    if name not in town.clerks:
        if chance < 0.3:
            town.start(name)
    elif chance < 0.03:
        town.crash(name, rng.choice(CRASHES))
    elif chance < 0.05:
        names = rng.sample(town.names, len(town.names))
        cut = rng.randint(1, len(names) - 1)
        town.partition(names[:cut], names[cut:])
    elif chance < 0.1:
        town.heal()


def a_change_of_keepers_in_calm_is_not_noticed(seed: int) -> None:
    """The keeper crashes, or is cut off and comes back: one of the others goes on.

    One, for there are two keepers until all have noticed.
    """
    town = Town(seed, 3 + seed % 3)
    clients, rng = Clients(town), town.rng
    town.run(3)
    keeper, _, asker, *_ = town.names
    others = town.names[1:]
    for turn in range(4):
        _work(clients, [asker] if turn else town.names)
        town.run(12)  # All are answered, and told.
        if turn % 2:
            town.heal()
        elif rng.random() < 0.5 and keeper in town.clerks:
            town.partition([keeper], others)
        elif keeper in town.clerks:
            town.crash(keeper, rng.choice(CRASHES))
        if rng.random() < 0.5:
            town.run(rng.uniform(0, 3))
        if keeper not in town.clerks and turn % 2:
            town.start(keeper)
    _work(clients, [asker])
    end_faults(town)
    expect_linearizable(clients)
    expect_level(clients)


def _work(clients: Clients, names: list[PeerId]) -> None:
    for _ in range(20):
        clients.act(clients.rng.choice(names))
        clients.town.run(clients.rng.uniform(0, 0.3))


RECORDS_PROPERTIES: list[Property] = [
    one_keeper_is_one_copy,
    copies_become_level,
    a_change_of_keepers_in_calm_is_not_noticed,
]
