"""Clients' books against tables that tell the truth, and tables that lie."""

from collections.abc import Callable
from random import Random

import hiredis
import pytest

from shoal.sim.history import Outcome
from shoal.sim.models import Read, Write
from tests.end_to_end.bookkeeping import Book, Request, judge

CLIENTS, REQUESTS = 8, 600

Reply = object


class Table:
    """One copy, which does what it is asked."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}

    def ask(self, *words: bytes) -> Reply:
        match words:
            case (b"GET", key):
                return self.kept.get(key)
            case (b"SET", key, value):
                return self.set(key, value)
            case (b"SET", key, value, b"NX"):
                return None if key in self.kept else self.set(key, value)
            case (b"CAS", key, old, new):
                if key not in self.kept:
                    return None
                return 0 if self.kept[key] != old else int(bool(self.set(key, new)))
            case (b"DEL", key):
                return int(self.kept.pop(key, None) is not None)
            case (b"INCR", key):
                count = int(self.kept.get(key, b"0")) + 1
                self.set(key, b"%d" % count)
                return count
        raise AssertionError(words)

    def set(self, key: bytes, value: bytes) -> bytes:
        self.kept[key] = value
        return b"OK"


class Apart:
    """Several tables that do not know of each other."""

    def __init__(self, count: int) -> None:
        self._tables = [Table() for _ in range(count)]
        self._turn = 0

    def ask(self, *words: bytes) -> Reply:
        self._turn += 1
        return self._tables[self._turn % len(self._tables)].ask(*words)


class Forgetful(Table):
    """Acknowledges one write in fifty that it does not keep."""

    def __init__(self) -> None:
        super().__init__()
        self._writes = 0

    def set(self, key: bytes, value: bytes) -> bytes:
        self._writes += 1
        return b"OK" if self._writes % 50 == 0 else super().set(key, value)


class Stale(Table):
    """Answers one read in twenty with what was there before."""

    def __init__(self) -> None:
        super().__init__()
        self._before: dict[bytes, bytes] = {}
        self._reads = 0

    def ask(self, *words: bytes) -> Reply:
        if words[0] == b"GET":
            self._reads += 1
            if self._reads % 20 == 0:
                return self._before.get(words[1])
        return super().ask(*words)

    def set(self, key: bytes, value: bytes) -> bytes:
        if key in self.kept:
            self._before[key] = self.kept[key]
        return super().set(key, value)


class Repeating(Table):
    """Carries out one increment in twenty twice."""

    def ask(self, *words: bytes) -> Reply:
        reply = super().ask(*words)
        if words[0] == b"INCR" and isinstance(reply, int) and reply % 20 == 0:
            super().ask(*words)
        return reply


class Denying(Table):
    """Says of one write in fifty that it was not done, and does it."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = 0

    def ask(self, *words: bytes) -> Reply:
        self._asked += 1
        reply = super().ask(*words)
        if words[0] == b"SET" and self._asked % 50 == 0:
            return hiredis.ReplyError("CLUSTERDOWN NOQUORUM it says")
        return reply


def played(table: Table | Apart, seed: int, *, unheard: float = 0.1) -> Book:
    """Clients who overlap; some never hear, and what they asked may be done late."""
    book, rng, now = Book.of(0, registers=2, counters=1), Random(seed), 0.0
    late: list[tuple[bytes, ...]] = []
    waiting: list[tuple[int, Request, Reply]] = []
    for n in range(REQUESTS):
        now += 1
        if late and rng.random() < 0.05:
            table.ask(*late.pop(0))
        request = book.draw(rng)
        number = book.call(n % CLIENTS, request, now)
        if rng.random() < unheard:
            late += [request.words] * rng.randrange(2)
            continue
        waiting.append((number, request, table.ask(*request.words)))
        if len(waiting) == CLIENTS:
            rng.shuffle(waiting)
            while waiting:
                now += 1
                heard, asked, reply = waiting.pop()
                book.answer(heard, asked, reply, now)
    return book


@pytest.mark.parametrize("seed", range(10))
def test_one_true_table_is_believed(seed: int) -> None:
    found = judge(played(Table(), seed))
    assert not found.violations, found.violations[0]
    assert not found.undecided


@pytest.mark.parametrize(
    "lying", [lambda: Apart(5), Forgetful, Stale, Repeating, Denying]
)
def test_a_table_that_lies_is_found_out(lying: Callable[[], Table | Apart]) -> None:
    """Not in every play: a lie that nobody saw is none."""
    caught = [bool(judge(played(lying(), seed)).violations) for seed in range(10)]
    assert sum(caught) >= 3, caught


def test_what_was_written_once_and_is_gone_is_a_violation() -> None:
    book = Book.of(0)
    book.once[b"once-1"] = b"1"
    assert not judge(book).violations
    book.lost.append(b"once-1")
    assert "1 of 1 acknowledged writes lost" in judge(book).violations[0]


def test_refused_is_not_unknown_and_nothing_else_is_either() -> None:
    change = Request((b"SET", b"k", b"v"), Write(b"v"))
    error = hiredis.ReplyError
    assert change.meaning(error("CLUSTERDOWN NOQUORUM ...")) is Outcome.REFUSED
    assert change.meaning(error("UNKNOWN who knows")) is Outcome.UNKNOWN
    assert change.meaning(b"OK") is None
    look = Request((b"GET", b"k"), Read(), counts=True)
    assert look.meaning(None) == 0
    assert look.meaning(b"12") == 12


def test_errors_with_no_reason_are_counted() -> None:
    book = Book.of(0)
    change = Request((b"SET", book.keys[0], b"v"), Write(b"v"))
    for text in ("UNKNOWN who knows", "CLUSTERDOWN NOQUORUM", "ERR no idea"):
        number = book.call("client", change, 1.0)
        book.answer(number, change, hiredis.ReplyError(text), 2.0)
    assert book.oddities == {"ERR no idea": 1}
    assert (book.unknown, book.refused) == (2, 1)
