"""Clients of a table on many peers, who write down what they ask and are told."""

import math
from collections.abc import Callable, Hashable
from functools import partial

from msgspec.structs import replace

from shoal.sim.history import Operation, Outcome
from shoal.sim.models import Delete, Read, RegisterAsked, Swap, Write
from shoal.table.messages import UNIT_BITS, Ballot, Entry
from shoal.table.protocol import Table
from shoal.table.slots import slot_of
from tests.simulation.peers import KEYS, Act, Sea
from tests.simulation.witness import Version, Witnessed, version_of

# A client waits no longer; what it asked may yet be done.
PATIENCE_S = 4.0

# So long has a key what it is lent, at most: shorter than a crash is noticed, longer
# than clocks differ.
LENT_MS = 3000


class Rests:
    """What an answer rests on: it may be told only if that is so."""

    def __init__(self, key: bytes, table: Witnessed, settled: Ballot | None) -> None:
        """`settled`: the latest tenure that had done anything before it was asked."""
        self._key, self._table, self._settled = key, table, settled
        self._version: Version | None = None

    def act(self, act: Act, table: Table) -> object:
        answer = act(table)
        copy = table.held(self._key)
        self._version = version_of(copy)
        gone = answer is None and isinstance(copy, Entry)
        assert not gone, f"{self._key!r} has {copy}, and nothing is told"
        return answer

    def hold(self) -> None:
        """No later owner had done anything, and enough replicas have what was seen."""
        ballot = self._table.ballots[slot_of(self._key) >> UNIT_BITS]
        alone = self._settled is None or self._settled <= ballot
        assert alone, f"{ballot} answered a request made after {self._settled}"
        if self._version:
            self._table.expect_held(self._key, self._version, kept=True)


class Clients:
    """Some at all peers, on a few keys, who write down what they were told."""

    def __init__(self, sea: Sea, keys: int = 3, *, lending: bool = False) -> None:
        """`lending`: some of what they write ends by itself."""
        self.sea, self.rng, self.keys = sea, sea.rng, KEYS[:keys]
        self._lending = lending
        self.history: list[Operation[RegisterAsked]] = []
        self._busy: dict[int, float] = {}
        self._values = 0
        self._seen: dict[bytes, bytes | None] = {}
        self._now = -1.0

    def act(self, client: int) -> None:
        """Ask a peer that owns the key, or one that may have owned it."""
        if self._busy.get(client, -1.0) > self.sea.network.now:
            return
        key = self.rng.choice(self.keys)
        owners = [life for life in self.sea.lives.values() if life.owns(key)]
        if not owners:
            return
        act, asked = self._choose(key)
        number = self._note(key, asked)
        if isinstance(asked, Write) and self._lending and self.rng.random() < 0.5:
            assert isinstance(asked.value, bytes)
            self._note(key, Swap(asked.value, None))  # At its end, or never.
            act = partial(_lend, key, asked.value, self.rng.randint(1, LENT_MS))
        self._busy[client] = self.sea.network.now + PATIENCE_S
        life = self.rng.choice(owners)
        settled = self.sea.witness.settled.get(slot_of(key) >> UNIT_BITS)
        rests = Rests(key, life.table, settled)
        told = partial(self._told, client, number, asked, rests)
        life.act(partial(rests.act, act), told)

    def _note(self, key: bytes, asked: RegisterAsked) -> int:
        number = len(self.history)
        moment = self._moment(self.sea.network.now)
        operation = Operation(client=number, key=key, asked=asked, called=moment)
        self.history.append(operation)
        return number

    def _choose(self, key: bytes) -> tuple[Callable[[Table], object], RegisterAsked]:
        self._values += 1
        value = b"%d" % self._values
        match self.rng.randrange(10):
            case 0 | 1 | 2 | 3:
                return partial(_read, key), Read()
            case 4 | 5 | 6:
                return partial(_write, key, value), Write(value)
            case 7 | 8:
                expected = self._seen.get(key)
                return partial(_swap, key, expected, value), Swap(expected, value)
            case _:
                return partial(_delete, key), Delete()

    def _told(
        self,
        client: int,
        number: int,
        asked: RegisterAsked,
        rests: "Rests",
        why: str | None,
        answer: object,
    ) -> None:
        """What is told is final: also that it was not done."""
        was = self.history[number]
        if self._busy.get(client) == math.inf or not was.unknown:
            return
        self._busy.pop(client, None)
        if why and why.startswith("UNKNOWN"):
            return
        if not why:
            rests.hold()
        assert isinstance(answer, Hashable)
        if isinstance(asked, Read) and not why:
            assert answer is None or isinstance(answer, bytes)
            assert isinstance(was.key, bytes)
            self._seen[was.key] = answer
        self.history[number] = replace(
            was,
            answered=Outcome.REFUSED if why else answer,
            returned=self._moment(self.sea.network.now),
        )

    def _moment(self, now: float) -> float:
        """No two things at one instant."""
        self._now = max(now, math.nextafter(self._now, math.inf))
        return self._now

    @property
    def done(self) -> int:
        return sum(not each.unknown for each in self.history)


def _read(key: bytes, table: Table) -> object:
    entry = table.find(key)
    return entry.value if entry else None


def _write(key: bytes, value: bytes, table: Table) -> object:
    table.put(key, value)
    return True


def _lend(key: bytes, value: bytes, for_ms: int, table: Table) -> object:
    table.put(key, value, table.now_ms + for_ms)
    return True


def _swap(key: bytes, expected: bytes | None, value: bytes, table: Table) -> object:
    if _read(key, table) != expected:
        return False
    table.put(key, value)
    return True


def _delete(key: bytes, table: Table) -> object:
    return table.find(key) is not None and table.drop(key)
