"""What each process of a bench does: one client, one stage after the other.

It is told a stage and starts at once; it tells how long it took, and how long the
fastest and the slowest operation.
"""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import monotonic

from shoal.client.table import Table
from shoal.core.address import parse
from shoal.core.machine import Address
from shoal.errors import ShoalError, Unreachable

STAGES = ("insert", "lookup", "scan", "remove")
OUTLIERS = "outliers"

# A scan looks at every key there is, so there are fewer of them.
SCAN_SHARE = 20

# Pairs of insert and remove of so much make a log of 50 MB out of a thousand, which
# is compacted several times over.
OUTLIER_BYTES = 50_000


@dataclass(frozen=True)
class Stage:
    """How one stage went for one client, by the clock that all processes share."""

    operations: int
    begun: float
    ended: float
    busy_s: float
    fastest_s: float
    slowest_s: float

    @property
    def rate(self) -> float:
        """Operations a second."""
        return self.operations / (self.ended - self.begun)

    @property
    def latency_s(self) -> float:
        """Of one operation, in the mean."""
        return self.busy_s / self.operations


def work(told: Connection, address: Address, number: int, timeout_s: float) -> None:
    """Carry out the stages that are named, until there is no more."""
    client = _Client(address, number, timeout_s)
    while order := told.recv():
        stage, operations = order
        try:
            told.send(client.run(stage, operations))
        except ShoalError as error:
            told.send(error)
            return
    client.close()


class _Client:
    """One of those who work at once, with keys of its own."""

    def __init__(self, address: Address, number: int, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._table = Table(address, timeout_s)
        self._name = f"bench-{number}-"
        self._lines: socket.socket | None = None

    def run(self, stage: str, operations: int) -> list[Stage]:
        """How it went; of outliers, the inserts and the removes."""
        keys = [f"{self._name}{n}".encode() for n in range(operations)]
        table = self._table
        table.get(keys[0])  # The connection is not what is measured.
        match stage:
            case "insert":
                return [_timed(lambda key: table.put(key, b'"%b"' % key), keys)]
            case "lookup":
                return [_timed(table.get, keys)]
            case "scan":
                self._scan(b"x")
                return [_timed(self._scan, keys[: max(1, operations // SCAN_SHARE)])]
            case "remove":
                return [_timed(table.delete, keys)]
            case _:
                return self._outliers(keys)

    def close(self) -> None:
        """Leave."""
        self._table.close()
        if self._lines:
            self._lines.close()

    def _outliers(self, keys: list[bytes]) -> list[Stage]:
        table, value = self._table, bytes(OUTLIER_BYTES)
        pairs = []
        for key in keys:
            one = _timed(lambda key: table.put(key, value), [key])
            pairs.append((one, _timed(table.delete, [key])))
        return [together(each) for each in zip(*pairs, strict=True)]

    def _scan(self, key: bytes) -> None:
        """Find the keys that end like this one, by a line of JSON."""
        wire = self._lines
        if wire is None:
            wire = self._lines = socket.create_connection(
                parse(self._address), timeout=self._timeout_s
            )
        pattern = b"^%b$" % key
        wire.sendall(b'{"method":"scan","regex":"%b"}\n' % pattern)
        reply = wire.recv(1 << 20)
        while not reply.endswith(b"\n"):
            more = wire.recv(1 << 20)
            if not more:
                raise Unreachable(f"peer {self._address}: it hung up; is it up?")
            reply += more


def _timed(do: Callable[[bytes], object], keys: list[bytes]) -> Stage:
    fastest, slowest = float("inf"), 0.0
    begun = before = monotonic()
    for key in keys:
        do(key)
        now = monotonic()
        fastest, slowest = min(fastest, now - before), max(slowest, now - before)
        before = now
    return Stage(len(keys), begun, before, before - begun, fastest, slowest)


def together(stages: Sequence[Stage]) -> Stage:
    """All of them, from the first beginning to the last end."""
    return Stage(
        sum(each.operations for each in stages),
        min(each.begun for each in stages),
        max(each.ended for each in stages),
        sum(each.busy_s for each in stages),
        min(each.fastest_s for each in stages),
        max(each.slowest_s for each in stages),
    )
