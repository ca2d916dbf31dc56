"""The replicated table: three peers beside three members of etcd, on one disk.

Both sync every change on a majority before its answer, and the reads of both are
linearizable. One light client in Go drives both, etcd over its own library. Ours is
asked in two ways: each connection stays with one peer, which passes on what is
another's, or goes straight to the owner, as cluster clients do. etcd is asked over
connections spread over its members, and at its leader alone; beside a figure of ours
stands its faster form.
"""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.comparison import (
    US,
    Row,
    Standing,
    alternate,
    fastest,
    less_is_better,
    more_is_better,
)
from bench.groups import Driven, Group, driven, driver, has, home, peers, shoal, tell
from bench.rivals.etcd import etcd, leader, program
from bench.rivals.redis import ask, median_sync_s
from bench.table import refuse_tmpfs

OURS = {"any": "at any peer", "owner": "at the owner"}
ETCD = "etcd 3.4"
ALONE = "not replicated yet"

KEYS, VALUE_BYTES = 10_000, 256
LOADS = [(verb, askers) for verb in ("put", "get") for askers in (1, 64)]
WORDS = {"put": "synced write", "get": "linearizable read"}

# Of etcd, for 64 askers: 12 and 24 gave fewer answers, 6 as many as 3 (measured).
CONNECTIONS = 3

# What a table of a few megabytes takes to be whole everywhere, many times over.
WHOLE_S = 60


def run(*, quick: bool) -> list[Row]:
    """Every row of this comparison, or none where etcd or Go is missing."""
    rounds, seconds = (2, 0.5) if quick else (5, 3.0)
    drives = driver()
    if drives is None:
        return []
    if program() is None:
        tell("etcd is not installed: not compared; install etcd-server")
        return []
    with TemporaryDirectory(dir=Path.cwd()) as root, ExitStack() as all_of_it:
        refuse_tmpfs(Path(root))
        tell(f"a sync takes {median_sync_s(Path(root)) * US:.0f} us on {root}")
        ours = all_of_it.enter_context(
            peers(3, Path(root, "ours"), "--durability", "always")
        )
        theirs = all_of_it.enter_context(etcd(Path(root, "etcd")))
        forms = all_of_it.enter_context(_forms(drives, ours, theirs))
        waits = has("wait", "--replicated")
        if not waits:
            tell("shoal wait --replicated is not there yet: not waited for copies")
        _wait_whole(Path(root, "ours"), waits=waits)
        title = "" if one_table(ours) else f" ({ALONE})"
        _fill(drives, [ours, theirs])
        _wait_whole(Path(root, "ours"), waits=waits)
        rows: list[Row] = []
        for verb, askers in LOADS:
            what = f"{WORDS[verb]}, {askers} clients{title}"
            rows += _compare(what, forms, rounds, verb, askers, seconds)
        return rows


@contextmanager
def _forms(drives: Path, ours: Group, theirs: Group) -> Iterator[dict[str, Driven]]:
    """Every way in which either is asked, by its name."""
    first = f"127.0.0.1:{leader(theirs)}"
    spread = driven(drives, theirs, "etcd", str(CONNECTIONS))
    with ExitStack() as ways:
        forms = {
            name: ways.enter_context(driven(drives, ours, way))
            for way, name in OURS.items()
        }
        forms[f"{ETCD} spread"] = ways.enter_context(spread)
        decides = driven(drives, theirs, "etcd", str(CONNECTIONS), at=first)
        forms[f"{ETCD} at its leader"] = ways.enter_context(decides)
        yield forms


def _compare(
    what: str,
    forms: Mapping[str, Driven],
    rounds: int,
    verb: str,
    askers: int,
    seconds: float,
) -> list[Row]:
    standings = alternate(
        {
            name: partial(
                form.run,
                verb,
                askers=askers,
                seconds=seconds,
                keys=KEYS,
                bytes=VALUE_BYTES,
            )
            for name, form in forms.items()
        },
        rounds,
    )
    rival = fastest(standings, ETCD)
    return [
        row
        for way in OURS.values()
        for row in _rows(f"{what}, {way}", standings[way], rival, standings[rival])
    ]


def _rows(what: str, ours: Standing, rival: str, theirs: Standing) -> list[Row]:
    less = [
        (title, getattr(ours, figure) * US, getattr(theirs, figure) * US)
        for title, figure in (("p50", "p50_s"), ("p99", "p99_s"), ("CPU", "cost_s"))
    ]
    return [
        more_is_better(what, "1/s", ours.rate, rival, theirs.rate),
        *(
            less_is_better(f"{what}: {title}", "us", mine, rival, other)
            for title, mine, other in less
        ),
    ]


def one_table(group: Group) -> bool:
    """Does one peer have what another was given?"""
    first, *others = group.ports
    ask(first, "SET", "whose", "everybody's")
    found = [ask(port, "GET", "whose") for port in others]
    return all(b"everybody's" in each for each in found)


def _fill(drives: Path, groups: list[Group]) -> None:
    """Every key, at each server: it may have a table of its own."""
    for group, way in zip(groups, ("any", "etcd"), strict=True):
        ports = group.ports if way == "any" else group.ports[:1]
        for port in ports:
            rest = () if way == "any" else (str(CONNECTIONS),)
            with driven(drives, group, way, *rest, at=f"127.0.0.1:{port}") as one:
                each = -(-KEYS // 64)
                one.run("put", askers=64, count=each, keys=KEYS, bytes=VALUE_BYTES)


def _wait_whole(root: Path, *, waits: bool) -> None:
    """Wait for all copies, where that can be asked."""
    if waits:
        command = shoal("wait", "--replicated", "--timeout", str(WHOLE_S))
        subprocess.run(command, check=True, env=home(root), timeout=2 * WHOLE_S)
