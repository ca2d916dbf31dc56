"""Our client beside redis-py: both ask Redis 7, so that only the clients differ.

All three processes share a core: on two, what one waits for is mostly the scheduler
waking the other, and the figures are those of the machine and not of the clients.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from bench.comparison import (
    US,
    Child,
    Round,
    Row,
    alternate,
    less_is_better,
    more_is_better,
    obey,
    python,
)
from bench.rivals.redis import Server, redis, running
from bench.table import IN_MEMORY
from shoal.client import Client
from shoal.client.coroutines import AsyncTable, Network
from shoal.core.machine import Address

VALUE = b"v" * 100
RIVAL = "redis-py"

# What is done, and how often in a round.
DEEDS = [
    ("get", "GET, one at a time", 10_000),
    ("put", "SET, one at a time", 10_000),
    ("get_many", "100 GET in one call", 40_000),
    ("hundred", "GET by 100 coroutines", 20_000),
]

WITHIN_S = 120.0


def run(*, quick: bool) -> list[Row]:
    """The rates, and what a request costs the client."""
    rounds, share = (3, 0.2) if quick else (7, 1.0)
    rows = []
    with tempfile.TemporaryDirectory() as root:
        server = redis(Path(root) / "redis", *IN_MEMORY)
        children: dict[str, Child] = {}
        with running(server):
            try:
                for name, module in (
                    ("ours", "bench.client"),
                    (RIVAL, "bench.rivals.redis_py"),
                ):
                    children[name] = python(module, str(server.port))
                    children[name].tell(within_s=WITHIN_S, do="get", count=1)
                _share_a_core(server, *children.values())
                for deed, what, count in DEEDS:
                    contenders = {
                        name: partial(_round, child, deed, int(count * share))
                        for name, child in children.items()
                    }
                    rows += _rows(what, contenders, rounds)
            finally:
                for child in children.values():
                    child.end()
    return rows


def _share_a_core(server: Server, *children: Child) -> None:
    core = min(os.sched_getaffinity(0))
    for child in children:
        child.run_on(core)
    for thread in os.listdir(f"/proc/{server.process.pid}/task"):
        os.sched_setaffinity(int(thread), {core})


def _round(child: Child, deed: str, count: int) -> Round:
    before = child.cpu_s
    seconds = child.tell(within_s=WITHIN_S, do=deed, count=count)
    return Round(count, seconds, child.cpu_s - before)


def _rows(
    what: str, contenders: Mapping[str, Callable[[], Round]], rounds: int
) -> list[Row]:
    standings = alternate(contenders, rounds)
    ours, rival = standings["ours"], standings[RIVAL]
    return [
        more_is_better(what, "1/s", ours.rate, RIVAL, rival.rate),
        less_is_better(
            f"{what}: CPU each", "us", ours.cost_s * US, RIVAL, rival.cost_s * US
        ),
    ]


class Ours:
    """Each deed as often as told; how long it took."""

    def __init__(self, address: Address) -> None:
        self._client = Client(address)
        self._table = self._client.table
        self._table.put("k", VALUE)

    def get(self, count: int) -> float:
        """One after the other."""
        get = self._table.get
        begun = time.perf_counter()
        for _ in range(count):
            get("k")
        return time.perf_counter() - begun

    def put(self, count: int) -> float:
        """One after the other."""
        put = self._table.put
        begun = time.perf_counter()
        for _ in range(count):
            put("k", VALUE)
        return time.perf_counter() - begun

    def get_many(self, count: int) -> float:
        """A hundred keys in one call."""
        keys = [b"k%d" % number for number in range(100)]
        begun = time.perf_counter()
        for _ in range(count // 100):
            self._table.get_many(keys)
        return time.perf_counter() - begun

    def hundred(self, count: int) -> float:
        """By a hundred coroutines at once."""
        return asyncio.run(self._hundred(count // 100))

    async def _hundred(self, rounds: int) -> float:
        async def ask(table: AsyncTable) -> None:
            for _ in range(rounds):
                await table.get("k")

        async with Network(self._client) as net:
            begun = time.perf_counter()
            await asyncio.gather(*(ask(net.table) for _ in range(100)))
            return time.perf_counter() - begun


if __name__ == "__main__":
    ours = Ours(Address(f"127.0.0.1:{sys.argv[1]}"))
    obey({deed: getattr(ours, deed) for deed, _, _ in DEEDS})
