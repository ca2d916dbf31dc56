"""Peers that are restarted in turn, and peers that come and go, under load.

    python -m tests.end_to_end.rolling [--keys 100000]

Clients ask again once, elsewhere, for what came to nothing; beyond that they must not
notice anything, and whatever was acknowledged must be there in the end.
"""

import argparse
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from random import Random
from statistics import quantiles
from tempfile import TemporaryDirectory

from shoal.core.machine import Address
from tests.end_to_end.cluster import Cluster, Node, wait_until
from tests.end_to_end.writing import Wire

PEERS, CLIENTS, KEYS = 5, 10, 100_000
PAUSE_S = 0.005
WHOLE_S = 300
END_S = 20.0

# So many writes travel together while a table is filled.
PIPELINED = 500

# Of each key.
COPIES = 3

# Of each size of a network, who joins (+1) or leaves (-1).
STEPS = (1, 1, -1)


@dataclass
class Load:
    """Clients at all peers, and what they met."""

    addresses: Sequence[Address]
    clients: int = CLIENTS
    kept: dict[bytes, bytes] = field(default_factory=dict)
    took_s: list[float] = field(default_factory=list)
    retried: int = 0
    failed: list[str] = field(default_factory=list)
    _values: Iterator[int] = field(default_factory=count)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask while the block runs."""
        over = threading.Event()
        threads = [
            threading.Thread(target=self._client, args=(Random(n), over))
            for n in range(self.clients)
        ]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            over.set()
            for each in threads:
                each.join()

    def p99_ms(self, since: int = 0) -> float:
        """Of the requests after so many."""
        return 1000 * quantiles(self.took_s[since:], n=100)[98]

    def lost(self) -> list[bytes]:
        """What was acknowledged and is gone; each is asked of one peer, in turn."""
        wires = [Wire(each) for each in self.addresses]
        try:
            return [
                key
                for (key, value), wire in zip(self.kept.items(), cycle(wires))
                if wire.ask(b"GET", key) != value
            ]
        finally:
            for each in wires:
                each.__exit__()

    def _client(self, rng: Random, over: threading.Event) -> None:
        wires: dict[Address, Wire] = {}
        mine: dict[bytes, bytes] = {}
        while not over.is_set():
            if mine and rng.random() < 0.5:
                key, value = rng.choice(list(mine.items()))
                self._ask(wires, rng, (b"GET", key), value)
            else:
                number = b"%d" % next(self._values)
                key, value = b"kept-" + number, b"value-" + number
                if self._ask(wires, rng, (b"SET", key, value), b"OK"):
                    mine[key] = self.kept[key] = value
            over.wait(rng.expovariate(1 / PAUSE_S))
        for each in wires.values():
            each.__exit__()

    def _ask(
        self,
        wires: dict[Address, Wire],
        rng: Random,
        words: tuple[bytes, ...],
        wanted: bytes,
    ) -> bool:
        """Ask at one peer, and once more at another if nothing came of it."""
        began = time.monotonic()
        first, second = rng.sample(list(self.addresses), 2)
        reply = met = _once(wires, first, words)
        if isinstance(reply, Exception):
            self.retried += 1
            reply = _once(wires, second, words)
        self.took_s.append(time.monotonic() - began)
        if reply != wanted:
            self.failed.append(f"{words} at {first}: {met!r}; at {second}: {reply!r}")
        return reply == wanted


def _once(
    wires: dict[Address, Wire], address: Address, words: tuple[bytes, ...]
) -> object:
    """The answer; a refusal or a broken connection is one too."""
    try:
        if (wire := wires.get(address)) and wire.over:
            wires.pop(address).__exit__()  # As any client's library would see.
        if address not in wires:
            wires[address] = Wire(address)
        return wires[address].ask(*words)
    except OSError as trouble:
        if broken := wires.pop(address, None):
            broken.__exit__()
        return trouble


class Network:
    """Peers of one user on loopback."""

    def __init__(self, cluster: Cluster, peers: int) -> None:
        self._cluster, self._joined = cluster, 0
        self.nodes = cluster.up("--peers", str(peers))
        self._waits = "--replicated" in cluster.shoal("wait", "--help").stdout
        self.wait_whole()

    @property
    def addresses(self) -> list[Address]:
        return [node.address for node in self.nodes]

    def wait_whole(self) -> float | None:
        """Wait for all copies; how long, or nothing where that cannot be asked yet."""
        if not self._waits:
            return None
        began = time.monotonic()
        done = self._command(self.nodes[0], "wait", "--replicated")
        assert done is None, done
        return time.monotonic() - began

    def restart(self, n: int) -> None:
        """Stop it and start it again, as for a new version of the program."""
        node = self.nodes[n]
        trouble = self._command(node, "down", node.name)
        assert trouble is None, trouble
        wait_until(lambda: not node.runs, END_S, f"{node.name} to end")
        self.nodes[n] = self._cluster.restart(node)

    def join(self) -> None:
        self._joined += 1
        where = ("--dir", str(self._cluster.root / f"joined-{self._joined}"))
        self.nodes += self._cluster.up("--join", self.nodes[0].address, *where)

    def leave(self) -> None:
        """The last one hands over what it has, and goes."""
        node = self.nodes.pop()
        trouble = self._command(node, "leave")
        assert trouble is None, trouble
        wait_until(lambda: not node.runs, END_S, f"{node.name} to end")

    def keys_moved(self) -> dict[str, int]:
        """What each peer was given since it started."""
        return {node.name: node.client().status()["keys_moved"] for node in self.nodes}

    def _command(self, node: Node, *arguments: str) -> str | None:
        """Nothing if it succeeded, else what it said."""
        where = {"SHOAL_PEER": str(node.address)}
        limit = ("--timeout", str(WHOLE_S))
        done = self._cluster.shoal(
            *arguments, *limit, environment=where, within_s=WHOLE_S + END_S
        )
        return None if done.returncode == 0 else f"{arguments}: {done.stderr}"


def rolling_restart(network: Network, load: Load) -> list[float | None]:
    """Each once, the next when all copies are whole again; how long that took.

    Clients ask the others meanwhile, also for what the one that is restarted owns.
    """
    whole_s = []
    for n in range(len(network.nodes)):
        load.addresses = [*network.addresses[:n], *network.addresses[n + 1 :]]
        network.restart(n)
        whole_s.append(network.wait_whole())
        load.addresses = network.addresses
        time.sleep(10 * PAUSE_S)
    return whole_s


@dataclass(frozen=True)
class Change:
    """One peer more or less."""

    before: int
    after: int
    took_s: float
    moved: int
    p99_ms: float

    def __str__(self) -> str:
        return (
            f"{self.before} -> {self.after} peers: {self.took_s:6.1f} s, copies moved "
            f"{self.moved}, p99 of clients meanwhile {self.p99_ms:.1f} ms"
        )


def grow_and_shrink(network: Network, load: Load) -> Iterator[Change]:
    """Let peers join and leave; clients ask whoever is there all the while."""
    for step in STEPS:
        before, seen = len(network.nodes), len(load.took_s)
        moved, began = network.keys_moved(), time.monotonic()
        if step > 0:
            network.join()
        else:
            load.addresses = network.addresses[:-1]
            network.leave()
        network.wait_whole()
        took_s, now = time.monotonic() - began, network.keys_moved()
        load.addresses = network.addresses
        yield Change(
            before,
            len(network.nodes),
            took_s,
            sum(count - moved.get(name, 0) for name, count in now.items()),
            load.p99_ms(seen),
        )


def fill(address: Address, keys: int) -> None:
    """So many keys of 100 bytes."""
    with Wire(address) as wire:
        for first in range(0, keys, PIPELINED):
            numbers = range(first, min(first + PIPELINED, keys))
            wire.send(*((b"SET", b"key-%d" % n, b"v" * 100) for n in numbers))
            for _ in numbers:
                reply = wire.receive()
                assert reply == b"OK", reply


def main() -> int:
    """The command line: 0 if nobody noticed anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=KEYS)
    keys = parser.parse_args().keys
    held = True
    with TemporaryDirectory(prefix="shoal-rolling-") as root:
        for play in (_restart_all, _change_size):
            cluster = Cluster(Path(root, play.__name__))
            try:
                held &= play(cluster, keys)
            finally:
                cluster.stop()
    return 0 if held else 1


def _restart_all(cluster: Cluster, keys: int) -> bool:
    network = Network(cluster, PEERS)
    fill(network.nodes[0].address, keys)
    load = Load(network.addresses)
    with load.running():
        whole_s = rolling_restart(network, load)
    told = ", ".join("not told" if each is None else f"{each:.1f}" for each in whole_s)
    print(f"{PEERS} peers restarted in turn; copies whole after {told} s")
    return _sum_up(load)


def _change_size(cluster: Cluster, keys: int) -> bool:
    network = Network(cluster, 3)
    fill(network.nodes[0].address, keys)
    load = Load(network.addresses)
    with load.running():
        for change in grow_and_shrink(network, load):
            share = COPIES * keys / max(change.before, change.after)
            print(f"{change}; an even share of copies is {share:.0f}", flush=True)
    return _sum_up(load)


def _sum_up(load: Load) -> bool:
    lost = load.lost()
    print(
        f"  {len(load.took_s)} requests, p99 {load.p99_ms():.1f} ms, {load.retried} "
        f"asked twice, {len(load.failed)} failed, {len(lost)} of {len(load.kept)} "
        "acknowledged writes lost"
    )
    for each in load.failed[:3]:
        print(f"  {each}")
    return not load.failed and not lost


if __name__ == "__main__":
    sys.exit(main())
