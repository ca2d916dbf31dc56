"""Hostile bytes at the talks themselves, without sockets: many more in a second.

`python -m tests.conformance.fuzz_talks --inputs 10000000` for a campaign, `--only deep`
for one corpus. An input is one piece of bytes that one talk hears; a talk hears some of
them, cut anywhere. Half of the tables have a log, which is committed or refused at any
moment.
"""

import argparse
import ctypes
import gc
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from shoal.core.machine import PeerId
from shoal.table.lines import LinesTalk
from shoal.table.messages import Ballot
from shoal.table.protocol import Table
from shoal.table.redis.server import RedisServer
from shoal.table.talk import Talk
from shoal.table.verbs import VerbsTalk
from tests.callers import server_of, talk_to
from tests.conformance.fuzz import mutate
from tests.conformance.fuzz_corpora import CORPORA, Requests

# Inputs that one talk hears before the next one begins.
MAX_PIECES = 30

# Beyond this, one byte at a time would be all that is done.
MAX_BYTEWISE = 2000

# What a server of everybody may remember, with no key left and no talk.
MAX_GROWTH_BYTES = 64 << 20

_MAKE: dict[str, Callable[[RedisServer], Talk]] = {
    "redis": talk_to,
    "verbs": lambda server: VerbsTalk(server.table),
    "lines": lambda server: LinesTalk(server.table),
}


def attack(inputs: int, seed: int, only: str = "") -> int:
    """Let talks hear so many inputs; how many bytes more are held for nobody then.

    More than after the first quarter: what a process needs once does not count.
    """
    rng = Random(seed)
    places = [Place(rng, logged=each) for each in (False, True)]
    heard, warm = 0, 0
    while heard < inputs:
        name = only or rng.choice(list(CORPORA))
        dialect, requests = CORPORA[name]
        heard += rng.choice(places).converse(_MAKE[dialect], requests)
        if not warm and heard >= inputs // 4:
            warm = held_bytes(places)
    return held_bytes(places) - warm


class Place:
    """A table, and whoever talks to it."""

    def __init__(self, rng: Random, *, logged: bool) -> None:
        self._rng = rng
        self._table = Table(Ballot(1, 1, PeerId("p"), 1), Random(0), logged=logged)
        self._server = server_of(self._table)
        self._tickets: list[int] = []

    def converse(self, make: Callable[[RedisServer], Talk], requests: Requests) -> int:
        """One talk, until it ends, or is cut off in the middle; what it heard."""
        rng, talk = self._rng, make(self._server)
        pieces = rng.randrange(1, MAX_PIECES)
        for heard in range(1, pieces + 1):  # noqa: B007 - it is what is returned.
            said = mutate(requests(rng), rng) if rng.random() < 0.7 else requests(rng)
            for part in cut(said, rng):
                self._hear(talk, part)
                if talk.ended:
                    break
            if talk.ended:
                break
        talk.close()
        if self._table.size > 10_000:
            self._table.flush()
        self._settle()
        return heard

    def clear(self) -> None:
        """Let no key be left."""
        self._table.flush()
        self._settle()

    def _hear(self, talk: Talk, part: bytes) -> None:
        self._table.begin(1e9 + self._rng.randrange(1000))
        assert isinstance(talk.hear(part), bytes)
        for _ in range(100):
            if not talk.paused or talk.ended:
                break
            talk.hear(b"")
        if self._table.logged and self._rng.random() < 0.1:
            self._store(talk)

    def _store(self, talk: Talk) -> None:
        """A commit begins, or ends well, or all of them end badly."""
        match self._rng.randrange(4):
            case 0 | 1:
                if batch := self._table.take():
                    self._tickets.append(batch.ticket)
            case 2 if self._tickets:
                self._table.committed(self._tickets.pop(0))
            case 3:
                self._table.refused()
                self._tickets.clear()
                assert isinstance(talk.refused(talk.answered, "NOSPACE no"), bytes)

    def _settle(self) -> None:
        """What is under way is written, and then nothing is left over."""
        table = self._table
        if batch := table.take():
            self._tickets.append(batch.ticket)
        if self._tickets:
            table.committed(self._tickets[-1])
            self._tickets.clear()
        assert not table.dirty
        if self._rng.random() < 0.02:
            assert table.size == sum(map(len, table.slots))


def cut(data: bytes, rng: Random) -> Iterator[bytes]:
    """The same in pieces: whole, cut anywhere, or one byte at a time."""
    manner = rng.random()
    if manner < 0.3:
        yield data
    elif manner < 0.4:
        head, rest = data[:MAX_BYTEWISE], data[MAX_BYTEWISE:]
        yield from (head[at : at + 1] for at in range(len(head)))
        yield rest
    else:
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(5)))
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            yield data[start:end]


def held_bytes(places: list["Place"]) -> int:
    """In memory, once everything is let go that can be."""
    for place in places:
        place.clear()
    gc.collect()
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ctypes.CDLL(None).malloc_trim(0)  # Else it counts what is kept for later.
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=CORPORA, default="")
    chosen = parser.parse_args()
    grown = attack(chosen.inputs, chosen.seed, chosen.only)
    print(f"{chosen.inputs} hostile inputs: no crash, grew by {grown >> 20} MiB")
    sys.exit(grown > MAX_GROWTH_BYTES)
