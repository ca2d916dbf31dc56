"""The fixed group beside the original: one, two, four and eight peers, one table.

As the original was measured: at each peer one client asks for one key after the other,
each of its own, with values of 20 letters; most keys belong to other peers. All of it
is in memory, as there, and every value that is read is compared. The original had a
machine for each peer; ours share this one.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.comparison import US, Round, Row, less_is_better, more_is_better
from bench.groups import (
    Group,
    answers,
    driven,
    driver,
    free_ports,
    has,
    shoal,
    started,
    tell,
)

ORIGINAL = "original"

# Seconds that 100,000 operations of each peer took it: put, get, del.
SECONDS = {
    1: (47.230, 46.612, 46.943),
    2: (48.410, 46.630, 48.023),
    4: (50.085, 49.500, 49.729),
    8: (54.124, 53.545, 54.056),
}
THEIRS, VALUE_BYTES = 100_000, 20
VERBS = ("put", "get", "del")


def run(*, quick: bool) -> list[Row]:
    """Every size, smallest first; none where there are no fixed groups."""
    drives = driver()
    if drives is None:
        return []
    if not has("up", "--static"):
        tell("shoal up --static FILE is not there yet: checks 0-22 and 0-23 skipped")
        return []
    rows: list[Row] = []
    alone: dict[str, float] = {}
    with TemporaryDirectory(dir=Path.cwd()) as root:
        for peers, seconds in SECONDS.items():
            rounds = _play(
                drives, Path(root, str(peers)), peers, 500 if quick else 10_000
            )
            for verb, took_s in zip(VERBS, seconds, strict=True):
                came = rounds[verb]
                what = f"0-23: {peers} peers, {verb}"
                rows += _rows(what, peers, came, took_s)
                costs = came.cost_s * US, alone.setdefault(verb, came.cost_s) * US
                title = f"{what}: CPU each"
                rows.append(less_is_better(title, "us", costs[0], "1 peer", costs[1]))
    return rows


def _rows(what: str, peers: int, came: Round, took_s: float) -> list[Row]:
    rates = came.rate, peers * THEIRS / took_s
    means = [peers / rate * US for rate in rates]  # As many ask as there are peers.
    return [
        more_is_better(what, "1/s", rates[0], ORIGINAL, rates[1]),
        less_is_better(f"{what}: mean", "us", means[0], ORIGINAL, means[1]),
    ]


def _play(drives: Path, root: Path, peers: int, count: int) -> dict[str, Round]:
    """So many of each verb by each client; what is read is compared."""
    with fixed_group(root, peers) as group, driven(drives, group, "any") as clients:
        # Links are made on first use; that is not what is measured.
        for verb in VERBS:
            clients.run(verb, askers=peers, count=100, bytes=VALUE_BYTES)
        return {
            verb: clients.run(verb, askers=peers, count=count, bytes=VALUE_BYTES)
            for verb in VERBS
        }


@contextmanager
def fixed_group(root: Path, peers: int) -> Iterator[Group]:
    """So many peers of one file, while the block runs."""
    ports = free_ports(peers)
    root.mkdir()
    file = root / "group.json"
    places = {str(n): {"ip": "127.0.0.1", "port": port} for n, port in enumerate(ports)}
    file.write_text(json.dumps(places))
    commands = [
        shoal(
            *("up", "--static", str(file), "--listen", f"127.0.0.1:{port}"),
            *("--dir", str(root / str(port)), "--storage", "memory"),
        )
        for port in ports
    ]
    with started(ports, commands, root / "log", answers) as group:
        yield group
