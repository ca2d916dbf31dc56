"""The table of one peer beside Redis 7: the same load on each, in turn.

redis-benchmark asks both. In memory, GET and SET over few and many connections, one
request at a time and fifty, small values and large; with a log, every SET synced
before its answer. Then what a key takes of memory, and how long a start takes.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.comparison import (
    US,
    Round,
    Row,
    alternate,
    less_is_better,
    more_is_better,
)
from bench.rivals.redis import Server, median_sync_s, redis, running, shoal

OURS, REDIS = "ours", "redis 7"

IN_MEMORY = ("--save", "", "--appendonly", "no")
SYNCED = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")

# Connections, requests under way on each, bytes of a value, requests in a round.
LOADS = [
    (1, 1, 100, 15_000),
    (50, 1, 100, 40_000),
    (500, 1, 100, 40_000),
    (50, 50, 100, 600_000),
    (1, 50, 100, 200_000),
    (50, 1, 10_000, 30_000),
    (50, 50, 10_000, 100_000),
]
KEYS = 100_000

# Of large values, so many that a round of SET leaves no other.
LARGE_KEYS, LARGE_BYTES = 1_000, 1_000

# More than redis-benchmark meets twice in a million draws; it reads no larger number.
MANY_KEYS = 2_000_000_000


def run(*, quick: bool) -> list[Row]:
    """Every row of this comparison."""
    rounds, share = (3, 0.2) if quick else (5, 1.0)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as root:
        directory = Path(root)
        refuse_tmpfs(directory)
        return [
            *in_memory(directory, rounds, share),
            *synced(directory, rounds, share),
            *at_rest(directory, 100_000 if quick else 1_000_000),
        ]


def in_memory(root: Path, rounds: int, share: float) -> list[Row]:
    """Neither keeps anything."""
    ours = shoal(root / "ours", "--storage", "memory")
    theirs = redis(root / "redis", *IN_MEMORY)
    rows = []
    with running(ours, theirs):
        for server in (ours, theirs):
            put_load_on("set", 50, 50, 100, 20 * KEYS, server)  # Nearly every key.
        for connections, depth, size, requests in LOADS:
            for verb in ("set", "get"):
                count = int(requests * share)
                load = partial(put_load_on, verb, connections, depth, size, count)
                what = f"{verb.upper()}, {connections} connections"
                what += f", {depth} at a time" if depth > 1 else ""
                what += f", {size} B"
                rows += compare(what, ours, theirs, load, rounds)
    return rows


def synced(root: Path, rounds: int, share: float) -> list[Row]:
    """Both have it on the disk before they say so."""
    print(
        f"# a sync takes {median_sync_s(root) * 1e6:.0f} us on {root}", file=sys.stderr
    )
    ours = shoal(root / "ours synced", "--durability", "always")
    theirs = redis(root / "redis synced", *SYNCED)
    rows = []
    with running(ours, theirs):
        for connections, requests in ((1, 3_000), (50, 40_000)):
            count = int(requests * share)
            load = partial(put_load_on, "set", connections, 1, 100, count)
            what = f"synced SET, {connections} connections, 100 B"
            rows += compare(what, ours, theirs, load, rounds)
    return rows


def compare(
    what: str,
    ours: Server,
    theirs: Server,
    load: Callable[[Server], Round],
    rounds: int,
) -> list[Row]:
    """The rate of each, and what a request costs its processor."""
    standings = alternate(
        {OURS: partial(load, ours), REDIS: partial(load, theirs)}, rounds
    )
    mine, rival = standings[OURS], standings[REDIS]
    return [
        more_is_better(what, "1/s", mine.rate, REDIS, rival.rate),
        less_is_better(
            f"{what}: CPU each", "us", mine.cost_s * US, REDIS, rival.cost_s * US
        ),
    ]


def put_load_on(
    verb: str, connections: int, depth: int, size: int, requests: int, server: Server
) -> Round:
    """Let redis-benchmark ask, and count what it cost the server."""
    program = shutil.which("redis-benchmark")
    assert program, "comes with redis-server"
    numbers = {"-p": server.port, "-c": connections, "-P": depth, "-d": size}
    options = [f"{each}" for pair in numbers.items() for each in pair]
    keys = KEYS if size < LARGE_BYTES else LARGE_KEYS
    before = server.cpu_s
    told = subprocess.run(
        [program, *options, "-n", f"{requests}", "-r", f"{keys}", "-t", verb, "--csv"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    cpu_s = server.cpu_s - before
    rate = float(told.stdout.splitlines()[-1].split(",")[1].strip('"'))
    return Round(requests, requests / rate, cpu_s)


def at_rest(root: Path, keys: int) -> list[Row]:
    """What so many keys take, and how long a start with them does."""
    saved = root / "redis at rest"
    begin: list[Callable[[], Server]] = [
        lambda: shoal(root / "ours at rest", "--durability", "none"),
        lambda: redis(saved, "--save", "3600 1", "--appendonly", "no"),
    ]
    held, starts = [], []
    for each in begin:
        server = each()
        with running(server):
            empty = server.memory_bytes
            fill(server, keys)
            count = int(server.ask("DBSIZE")[1:])
            held.append((server.memory_bytes - empty) / count)
        server = each()
        with running(server):
            while not server.ask("DBSIZE").startswith(b":"):
                time.sleep(0.01)  # It is loading, and says so.
            starts.append(time.monotonic() - server.began)
    return [
        less_is_better("memory a key with 100 B", "B", held[0], REDIS, held[1]),
        less_is_better(f"start with {keys} keys", "s", starts[0], REDIS, starts[1]),
    ]


def fill(server: Server, keys: int) -> None:
    """So many different keys."""
    program = shutil.which("redis-benchmark")
    assert program, "comes with redis-server"
    numbers = {"-p": server.port, "-c": 20, "-P": 50, "-n": keys, "-r": MANY_KEYS}
    options = [f"{each}" for pair in numbers.items() for each in pair]
    subprocess.run(
        [program, *options, "-t", "set", "-d", "100", "-q"],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=300,
    )


def refuse_tmpfs(directory: Path) -> None:
    """A sync that writes to memory proves nothing."""
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", os.fspath(directory)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    print(f"# file system: {kind}", file=sys.stderr)
    if kind == "tmpfs":
        raise NotADirectoryError(f"{directory} is in memory: run this from a real disk")
