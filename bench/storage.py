"""How many synced changes a second the table's log keeps, beside embedded stores.

In one process, over a file system that syncs: 100-byte values under random keys, a
commit for each or for fifty. LMDB is compared where py-lmdb is installed.
"""

import sqlite3
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Protocol

from bench.comparison import Round, Row, alternate, less_is_better, more_is_better
from bench.rivals.redis import median_sync_s
from bench.table import refuse_tmpfs
from shoal.core.machine import PeerId
from shoal.net.files import Files
from shoal.table.messages import NEVER, Ballot, Group, Record
from shoal.table.storage import Log

KEYS, VALUE = 100_000, bytes(100)
BATCHES = {"one at a time": 1, "fifty at a time": 50}
ROUNDS, ROUND_S = 5, 1.5

PEER = PeerId("p")


class Store(Protocol):
    """Keeps keys and values, synced."""

    def put(self, keys: list[bytes]) -> None:
        """All of these get the value, in one commit."""


class Ours:
    """The table's log."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._log = Log(Files(directory), PEER, Random())
        list(self._log.recover())
        self._ballot = Ballot(view=1, counter=1, peer=PEER, start=1)
        self._sequence = 0

    def put(self, keys: list[bytes]) -> None:
        """All of these get the value, in one commit."""
        records: list[Record] = []
        for key in keys:
            self._sequence += 1
            records.append((1, key, self._sequence, NEVER, VALUE))
        self._log.commit([Group(self._ballot, records)], sync=True)


class Sqlite:
    """SQLite with a write-ahead log, synced at each commit."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        for setting in ("journal_mode=wal", "synchronous=full"):
            self._database.execute(f"pragma {setting}")
        make = "create table t(k blob primary key, v blob) without rowid"
        self._database.execute(make)

    def put(self, keys: list[bytes]) -> None:
        """All of these get the value, in one commit."""
        change = "insert or replace into t values(?, ?)"
        self._database.execute("begin")
        self._database.executemany(change, [(key, VALUE) for key in keys])
        self._database.execute("commit")


class Lmdb:
    """LMDB, synced at each commit, as it is unless told otherwise."""

    def __init__(self, path: Path) -> None:
        import lmdb

        self._environment = lmdb.open(str(path), map_size=1 << 30)

    def put(self, keys: list[bytes]) -> None:
        """All of these get the value, in one commit."""
        with self._environment.begin(write=True) as change:
            for key in keys:
                change.put(key, VALUE)


MAKERS: dict[str, Callable[[Path], Store]] = {
    "ours": Ours,
    "SQLite": Sqlite,
    "LMDB": Lmdb,
}


def run(*, quick: bool) -> list[Row]:
    """Each rival, one change and fifty at a time."""
    rows: list[Row] = []
    with TemporaryDirectory(dir=Path.cwd()) as root:
        refuse_tmpfs(Path(root))
        _tell(f"a sync takes {median_sync_s(Path(root)) * 1e6:.0f} us on {root}")
        stores = _stores(Path(root))
        for title, batch in BATCHES.items():
            contenders = {
                name: partial(_play, store, batch) for name, store in stores.items()
            }
            found = alternate(contenders, 1 if quick else ROUNDS)
            ours = found.pop("ours")
            for name, rival in found.items():
                rates, costs = (ours.rate, rival.rate), (ours.cost_s, rival.cost_s)
                us = [1e6 * each for each in costs]
                rows += [
                    more_is_better(f"{title}: kept", "1/s", rates[0], name, rates[1]),
                    less_is_better(f"{title}: processor", "us", us[0], name, us[1]),
                ]
    return rows


def _stores(root: Path) -> dict[str, Store]:
    stores: dict[str, Store] = {}
    for name, make in MAKERS.items():
        try:
            stores[name] = make(root / name)
        except ImportError:
            _tell(f"{name} is not installed: not compared")
    return stores


def _play(store: Store, batch: int) -> Round:
    rng, kept = Random(0), 0
    cpu, began = time.process_time(), time.perf_counter()
    while (took := time.perf_counter() - began) < ROUND_S:
        store.put([b"key-%07d" % rng.randrange(KEYS) for _ in range(batch)])
        kept += batch
    return Round(kept, took, time.process_time() - cpu)


def _tell(line: str) -> None:
    print(f"# {line}", file=sys.stderr)
