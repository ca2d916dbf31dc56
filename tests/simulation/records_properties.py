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
    PARCELS,
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
from tests.simulation.records import IDS, KIND, Clerk, Town

CRASHES: tuple[Crash, ...] = ("kept", "lost", "torn")

# After all faults have ended somebody owns everything by then,
OWNED_S = 25.0
# and so long after that all boards are level.
LEVEL_S = 5.0

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
            return Read(KIND, id_), Look()
        self._bodies += 1
        body = b"%d" % self._bodies
        if known is None:
            return Create(KIND, id_, body), Exchange(None, body)
        new = None if self.rng.random() < 0.3 else body
        return Swap(KIND, id_, known[0], new), Exchange(known[1], new)

    def _told(
        self, name: PeerId, number: int, what: What, answer: Answer | None, now: float
    ) -> None:
        self._busy.pop(name, None)
        if answer is None:
            return
        if isinstance(answer, Declined) and answer.error == "Unanswered":
            self._known.pop((name, what.id), None)
            return  # Nobody knows.
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
        assert isinstance(what, Create | Swap)
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
    boards = {name: _board(clerk) for name, clerk in town.clerks.items()}
    first = boards[town.names[0]]
    assert all(board == first for board in boards.values()), boards
    for id_, version in clients.acknowledged.items():
        has = first.get(id_, 0)
        assert has >= version, f"{id_}: {version} was acknowledged, {has} is there"
    for name, clerk in town.clerks.items():
        heard = {id_: each.version for id_, each in clerk.heard.items()}
        assert heard == boards[name], f"{name}: {heard} was told of {boards[name]}"
        assert clerk.archive.level, f"{name} does not know that it is level"


def _board(clerk: Clerk) -> dict[str, int]:
    parcels = map(clerk.archive.board.rows, range(PARCELS))
    return {row.id: row.version for rows in parcels for row in rows}


def owned(town: Town) -> bool:
    """Does everybody know an owner of everything?"""
    return all(
        clerk.archive.owner(KIND, id_) for id_ in IDS for clerk in town.present()
    )


def end_faults(town: Town) -> None:
    town.loss = town.duplication = 0.0
    for disk in town.disks.values():
        disk.capacity_bytes = math.inf
    town.heal()
    for name in town.names:
        if name not in town.clerks:
            town.start(name)
    town.run(OWNED_S)
    assert owned(town), "something is nobody's"
    town.run(LEVEL_S)


def work(clients: Clients, turns: int, pause_s: float, *, full: bool = False) -> None:
    """Clients ask while things go wrong."""
    town, rng = clients.town, clients.rng
    for _ in range(turns):
        clients.act(rng.choice(town.names))
        town.run(rng.uniform(0, pause_s))
        misfortune(town)
        if full:
            fill(town, rng.choice(town.names))


def misfortune(town: Town) -> None:
    rng, name = town.rng, town.rng.choice(town.names)
    chance = rng.random()
    if name not in town.clerks:
        if chance < 0.3:
            town.start(name)
    elif chance < 0.03:
        town.crash(name, rng.choice(CRASHES))
    elif len(town.names) == 1:
        return
    elif chance < 0.05:
        names = rng.sample(town.names, len(town.names))
        cut = rng.randint(1, len(names) - 1)
        town.partition(names[:cut], names[cut:])
    elif chance < 0.06:
        town.network.cut(*rng.sample(town.names, 2))
    elif chance < 0.1:
        town.heal()


def fill(town: Town, name: PeerId) -> None:
    """A disk is full, or has room again."""
    disk = town.disks[name]
    if disk.capacity_bytes == math.inf and town.rng.random() < 0.03:
        disk.capacity_bytes = disk.used_bytes + 200
    elif town.rng.random() < 0.3:
        disk.capacity_bytes = math.inf


def beginning(seed: int, size: int) -> Clients:
    town = Town(seed, size)
    town.settle()
    town.loss = town.rng.choice([0, 0.1, 0.3])
    town.duplication = town.rng.choice([0, 0.2])
    return Clients(town)


def records_are_linearizable(seed: int) -> None:
    """Through crashes of anybody, partitions of any kind, loss and repetition."""
    clients = beginning(seed, [3, 5, 1, 3, 2, 4][seed % 6])
    work(clients, 120, 0.2)
    end_faults(clients.town)
    expect_linearizable(clients)
    expect_level(clients)


def full_disks_do_no_harm(seed: int) -> None:
    """A peer whose disk is full for a while loses nothing, and lies to nobody."""
    clients = beginning(seed, [3, 1][seed % 2])
    work(clients, 120, 0.1, full=True)
    end_faults(clients.town)
    expect_linearizable(clients)
    expect_level(clients)


RECORDS_PROPERTIES: list[Property] = [
    records_are_linearizable,
    full_disks_do_no_harm,
]
