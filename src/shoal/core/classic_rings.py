"""The rings that people know, to the letter, their faults included.

- `fixed_owner`: MD5 modulo a fixed number of nodes. Another number of nodes means
  another owner for nearly every key.
- `SlotRing`: 512 slots, nine virtual servers each, probing where two meet. It is
  built from scratch in the order of ids, so that whatever history led to a set of
  servers, everybody sees the same ring. The price: who evades whom changes with the
  set, so slots move that need not; `moves` counts them.
- `successors`: SHA-256 modulo N, and the K - 1 servers after that.

Our own ring, which moves what it must and hardly more, is in `ring.py`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import md5, sha256
from types import MappingProxyType
from typing import NamedTuple

from shoal.errors import Misuse

SLOTS = 512
POINTS = 9  # Virtual servers of one server: log2 of the slots.
MAX_SERVERS = SLOTS // POINTS  # 56, which leaves eight slots that nobody can use.


class InvalidRing(Misuse):
    """A ring of too many servers or of none, or more copies than servers."""


def fixed_owner(key: bytes, nodes: int) -> int:
    """Which of the nodes 0 to n - 1 owns a key of the fixed group."""
    if nodes < 1:
        raise InvalidRing("a group of no nodes owns no key: name at least one node")
    return int.from_bytes(md5(key, usedforsecurity=False).digest()) % nodes


def successors(key: bytes, servers: int, copies: int) -> list[int]:
    """Which of the servers 0 to N - 1 hold the K copies of a key, first to last."""
    if not 1 <= copies <= servers:
        raise InvalidRing(f"{copies} copies on {servers} servers: take 1 to {servers}")
    first = int.from_bytes(sha256(key).digest()) % servers
    return [(first + step) % servers for step in range(copies)]


class HashPair(NamedTuple):
    """Where requests and virtual servers go, before the modulo."""

    name: str
    request: Callable[[int], int]
    server: Callable[[int, int], int]

    def slot(self, request: int) -> int:
        """Where a request enters the ring."""
        return self.request(request) % SLOTS


def _sha256(text: str) -> int:
    return int.from_bytes(sha256(text.encode()).digest()[:8])


# Squares modulo 512 take 87 values: the given pair crowds every server into the slots
# 26 to 114, and the first of them serves all the rest. The modified one is always odd.
HASH_PAIRS: Mapping[str, HashPair] = MappingProxyType(
    {
        pair.name: pair
        for pair in (
            HashPair(
                "given",
                lambda i: i**2 + 2 * i + 17,
                lambda i, j: i**2 + j**2 + 2 * j + 25,
            ),
            HashPair(
                "modified",
                lambda i: 1427 * i**2 + 2503 * i + 2003,
                lambda i, j: 1249 * i**2 + 2287 * j**2 + 1663 * j + 2287,
            ),
            HashPair(
                "sha256", lambda i: _sha256(f"{i}"), lambda i, j: _sha256(f"{i},{j}")
            ),
        )
    }
)

Probe = Callable[[int], Iterator[int]]


def linear(slot: int) -> Iterator[int]:
    """Try one slot after the other."""
    return ((slot + step) % SLOTS for step in range(SLOTS))


def quadratic(slot: int) -> Iterator[int]:
    """Leap by 1, 2, 3 and so on: unlike plain squares, this tries all 512 slots."""
    return ((slot + step * (step + 1) // 2) % SLOTS for step in range(SLOTS))


class SlotRing:
    """An immutable ring of servers. Membership changes make a new one."""

    def __init__(
        self,
        servers: Iterable[int],
        pair: HashPair,
        *,
        probe: Probe = linear,
        first_point: int = 0,
    ) -> None:
        self.servers = tuple(sorted(set(servers)))
        if len(self.servers) > MAX_SERVERS:
            raise InvalidRing(
                f"{len(self.servers)} servers of {POINTS} slots do not fit into {SLOTS}"
                f" slots: keep to {MAX_SERVERS} servers"
            )
        self.pair = pair
        slots: list[int | None] = [None] * SLOTS
        for server in self.servers:
            for point in range(first_point, first_point + POINTS):
                tried = probe(pair.server(server, point) % SLOTS)
                slots[next(slot for slot in tried if slots[slot] is None)] = server
        self.slots = tuple(slots)
        self.serving = _clockwise(slots)

    @property
    def room(self) -> int:
        """How many more servers fit."""
        return MAX_SERVERS - len(self.servers)

    def server_for(self, request: int) -> int:
        """Who serves a request: the first server clockwise from its slot, inclusive."""
        server = self.serving[self.pair.slot(request)]
        if server is None:
            raise InvalidRing(f"nobody serves request {request}: add a server first")
        return server

    def loads(self, traffic: Sequence[int]) -> dict[int, int]:
        """How many requests each server gets when the slots get these many."""
        loads = dict.fromkeys(self.servers, 0)
        for server, requests in zip(self.serving, traffic, strict=True):
            if server is not None:
                loads[server] += requests
        return loads


def _clockwise(slots: Sequence[int | None]) -> tuple[int | None, ...]:
    """Who serves each slot. Against the clock, twice round: the end needs the start."""
    serving = list(slots)
    for slot in (*reversed(range(SLOTS)), *reversed(range(SLOTS))):
        if serving[slot] is None:
            serving[slot] = serving[(slot + 1) % SLOTS]
    return tuple(serving)


def traffic(pair: HashPair, requests: Iterable[int]) -> list[int]:
    """How many of these requests enter the ring at each slot."""
    counted = Counter(map(pair.slot, requests))
    return [counted[slot] for slot in range(SLOTS)]


class Moves(NamedTuple):
    """What changed hands between two rings: a share of all slots, or of requests."""

    moved: int
    necessary: int  # To a server that is new, or from one that is gone.

    @property
    def extra(self) -> int:
        """What moved between two servers that both stayed."""
        return self.moved - self.necessary


EACH_SLOT_ONCE = (1,) * SLOTS


def moves(
    before: SlotRing, after: SlotRing, traffic: Sequence[int] = EACH_SLOT_ONCE
) -> Moves:
    """Count the slots that changed hands, or the requests that they get."""
    moved = necessary = 0
    for old, new, requests in zip(before.serving, after.serving, traffic, strict=True):
        if old != new:
            moved += requests
            if old not in after.servers or new not in before.servers:
                necessary += requests
    return Moves(moved, necessary)
