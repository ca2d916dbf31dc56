"""What clients of a table asked of few keys and were told, and whether it can be true.

A register is read, set, created, swapped and deleted; a counter is read and added to.
Beside them stand keys that are written once: what was acknowledged of these must be
there. Every value is given once, so that whoever reads it knows who wrote it.
"""

from collections import Counter as Count
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import hiredis

from shoal.sim.checker import TooHard, check
from shoal.sim.history import History, Outcome
from shoal.sim.models import (
    Add,
    Counter,
    CounterAsked,
    Delete,
    Read,
    Register,
    RegisterAsked,
    Swap,
    Write,
)

Asked = RegisterAsked | CounterAsked

# What these begin with was surely not done; of what is UNKNOWN nobody knows.
REFUSALS = ("CLUSTERDOWN", "LOADING")
UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class Request:
    """What is sent, and what it means to the object behind its key."""

    words: tuple[bytes, ...]
    asked: Asked
    counts: bool = False

    @property
    def key(self) -> bytes:
        return self.words[1]

    @property
    def changes(self) -> bool:
        return not isinstance(self.asked, Read)

    def meaning(self, reply: object) -> Hashable:
        """What a reply says, as the models say it. What it should not be, stays."""
        if isinstance(reply, hiredis.ReplyError):
            return Outcome.REFUSED if _refused(reply) else Outcome.UNKNOWN
        match self.asked, reply:
            case Read(), None if self.counts:
                return 0
            case Read(), bytes(digits) if self.counts and digits.isdigit():
                return int(digits)
            case Write(), b"OK":
                return None
            case Swap(expected=None), b"OK" | None:
                return reply is not None
            case Swap(), 1 | 0 | None:
                return reply == 1
            case Delete(), 1 | 0:
                return reply == 1
        assert isinstance(reply, Hashable)
        return reply


def _refused(error: hiredis.ReplyError) -> bool:
    return str(error).startswith(REFUSALS)


def strange(reply: object) -> bool:
    """Is it an error that a table in trouble has no reason to give?"""
    known = (*REFUSALS, UNKNOWN)
    return isinstance(reply, hiredis.ReplyError) and not str(reply).startswith(known)


@dataclass
class Book:
    """One batch: its keys, what was asked of them, and what was told."""

    batch: int
    registers: Sequence[bytes]
    counters: Sequence[bytes]
    history: History[Asked] = field(default_factory=History)
    once: dict[bytes, bytes] = field(default_factory=dict)  # Acknowledged.
    lost: list[bytes] = field(default_factory=list)
    oddities: Count[str] = field(default_factory=Count)
    _values: int = 0
    _seen: dict[bytes, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, batch: int, registers: int = 4, counters: int = 1) -> "Book":
        """With keys that no other batch has."""
        name = b"%d-register-%d", b"%d-counter-%d"
        return cls(
            batch,
            [name[0] % (batch, n) for n in range(registers)],
            [name[1] % (batch, n) for n in range(counters)],
        )

    @property
    def keys(self) -> list[bytes]:
        return [*self.registers, *self.counters]

    def value(self) -> bytes:
        """One that was never given."""
        self._values += 1
        return b"%d.%d" % (self.batch, self._values)

    def draw(self, rng: Random) -> Request:
        """Something to ask; half of the swaps expect what was seen last."""
        key = rng.choice(self.keys)
        if key in self.counters:
            return rng.choice([self.look(key), Request((b"INCR", key), Add(), True)])
        value, expected = self.value(), self._seen.get(key, b"nothing")
        create = Request((b"SET", key, value, b"NX"), Swap(None, value))
        choices = [
            self.look(key),
            Request((b"SET", key, value), Write(value)),
            Request((b"CAS", key, expected, value), Swap(expected, value)),
            create,
            Request((b"DEL", key), Delete()),
        ]
        return rng.choices(choices, [8, 5, 6, 2, 1])[0]

    def look(self, key: bytes) -> Request:
        """Read one of the keys."""
        return Request((b"GET", key), Read(), key in self.counters)

    def call(self, client: Hashable, request: Request, now: float) -> int:
        return self.history.call(client, request.key, request.asked, now)

    def answer(self, number: int, request: Request, reply: object, now: float) -> None:
        """Note a reply. What nobody knows stays open to the end."""
        if strange(reply):
            self.oddities[str(reply)] += 1
        told = request.meaning(reply)
        if told is not Outcome.UNKNOWN:
            self.history.answer(number, told, now)
        if isinstance(reply, bytes) and isinstance(request.asked, Read):
            self._seen[request.key] = reply

    @property
    def unknown(self) -> int:
        return sum(each.unknown for each in self.history.operations)

    @property
    def refused(self) -> int:
        return sum(each.refused for each in self.history.operations)


@dataclass
class Judgement:
    """What came of judging a batch."""

    violations: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)


def judge(book: Book) -> Judgement:
    """Judge each key alone. One that cannot be decided is no proof of anything."""
    found = Judgement()
    for keys, model in ((book.registers, Register()), (book.counters, Counter())):
        for key in keys:
            _judge(key, book.history.operations, model, found)
    if book.lost:
        some = ", ".join(map(repr, book.lost[:5]))
        found.violations.append(
            f"{len(book.lost)} of {len(book.once)} acknowledged writes lost, as {some}"
        )
    return found


def _judge(key: bytes, operations: Iterable[Any], model: Any, found: Judgement) -> None:
    try:
        verdict = check([each for each in operations if each.key == key], model)
    except TooHard as error:
        found.undecided.append(f"key {key!r}: {error}")
        return
    if not verdict:
        found.violations.append(str(verdict))
