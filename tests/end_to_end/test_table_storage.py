"""A real peer's table: killed, watched by strace, starved of disk, and damaged."""

import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from os import geteuid
from pathlib import Path

import pytest

from tests.end_to_end import kills
from tests.end_to_end.cluster import Cluster, Node, wait_until
from tests.end_to_end.writing import Ledger, Wire

KILLS, WRITES = 3, 1000
MIB = 1 << 20


def table_of(node: Node) -> Path:
    return node.directory / "table"


def sizes(node: Node) -> dict[str, int]:
    """How long the table's files are; some may go meanwhile."""
    found = {}
    for path in table_of(node).iterdir():
        with suppress(FileNotFoundError):
            found[path.name] = path.stat().st_size
    return found


# Killed


def test_2_18_every_acknowledged_write_survives_kill_9(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    tally = kills.run(tmp_path / "home", KILLS, WRITES, seed)
    assert tally.kills == KILLS, f"seed {seed}"
    assert tally.acknowledgements > 0
    print(tally)


def test_2_19_after_101_mutations_there_is_a_checkpoint_and_the_log_is_short(
    user: Cluster,
) -> None:
    [node] = user.up()
    with Wire(node.address) as wire:
        for n in range(101):
            assert wire.ask(b"SET", b"k%d" % (n % 3), b"%03d" % n * 40_000) == b"OK"
    wait_until(lambda: has_checkpoint(node), 10, "a checkpoint")
    log = sum(size for name, size in sizes(node).items() if name.startswith("segment"))
    assert log < 101 * 120_000 / 2


def has_checkpoint(node: Node) -> bool:
    names = sizes(node)
    return any(re.match(r"checkpoint-\d", name) for name in names) and (
        "checkpoint.new" not in names
    )


def test_2_19_kill_9_during_compaction_loses_nothing(user: Cluster) -> None:
    [node], ledger = user.up(), Ledger(keys=2000, value_bytes=6000)
    fresh = table_of(node) / "checkpoint.new"
    with Wire(node.address) as wire, suppress(ConnectionError):
        while True:
            ledger.write(wire, 50)
            if fresh.exists():
                node.kill()
    wait_until(lambda: not node.runs, 5, "the peer to die")
    node = user.restart(node)
    assert not fresh.exists(), "what a crash left is removed"
    with Wire(node.address) as wire:
        ledger.check(wire)


# Watched

CALLS = "write,writev,sendto,sendmsg,fdatasync,fsync"


@contextmanager
def strace(node: Node, report: Path, *more: str) -> Iterator[None]:
    """Write down what the peer asks of the system, of all its threads."""
    command = ["strace", "-f", "-s", "64", "-e", f"trace={CALLS}", "-o", str(report)]
    command += more
    watcher = subprocess.Popen(
        [*command, "-p", str(node.pid)], stderr=subprocess.PIPE, text=True
    )
    assert watcher.stderr
    try:
        told = watcher.stderr.readline()
        if "attached" not in told:
            pytest.skip(f"strace may not look at processes here: {told.strip()}")
        yield
    finally:
        watcher.terminate()
        watcher.communicate(timeout=10)


stracing = pytest.mark.skipif(not shutil.which("strace"), reason="no strace here")


@stracing
def test_2_20_what_is_acknowledged_is_synced_before_the_reply(
    user: Cluster, tmp_path: Path
) -> None:
    [node], report = user.up(), tmp_path / "strace.txt"
    with Wire(node.address) as wire:
        wire.ask(b"SET", b"warm", b"up")
        with strace(node, report):
            for _ in range(5):
                assert wire.ask(b"SET", b"k", b"v") == b"OK"
    steps = [step for line in report.read_text().splitlines() if (step := kind(line))]
    assert steps == ["written", "synced", "told"] * 5, report.read_text()


def kind(line: str) -> str | None:
    """What a line tells of: a batch, its sync, or the answer."""
    if r"\365SHL" in line:
        return "written"
    if re.search(r"(fdatasync|fsync)(\(\d+\)| resumed>\)) += 0", line):
        return "synced"
    return "told" if "+OK" in line else None


@stracing
def test_a_sync_that_fails_ends_the_peer_and_nobody_is_told(
    user: Cluster, tmp_path: Path
) -> None:
    [node] = user.up()
    broken = ("-e", "inject=fdatasync:error=EIO")
    with Wire(node.address) as wire:
        assert wire.ask(b"SET", b"before", b"1") == b"OK"
        with strace(node, tmp_path / "strace.txt", *broken):
            with pytest.raises(ConnectionError):
                wire.ask(b"SET", b"k", b"2")
            wait_until(lambda: not node.runs, 10, "the peer to end")
    crash = (node.directory / "peer.err").read_text()
    assert "Input/output error" in crash
    with Wire(user.restart(node).address) as wire:
        assert wire.ask(b"GET", b"before") == b"1"


# Many pairs


def test_2_26_many_inserts_and_removes_are_compacted(user: Cluster) -> None:
    [node] = user.up()
    took: dict[bytes, list[float]] = {b"SET": [], b"DEL": []}
    checkpoints: dict[str, None] = {}
    with Wire(node.address) as wire:
        for n in range(1000):
            for words in ((b"SET", b"k%d" % n, bytes(40_000)), (b"DEL", b"k%d" % n)):
                began = time.perf_counter()
                assert wire.ask(*words) in (b"OK", 1)
                took[words[0]].append(1000 * (time.perf_counter() - began))
            if n % 5 == 0:
                names = [name for name in sizes(node) if "checkpoint-" in name]
                checkpoints.update(dict.fromkeys(names))
        assert wire.ask(b"GET", b"k999") is None
    assert len(checkpoints) >= 3
    for name, times in took.items():
        print(f"{name.decode()}: {min(times):.2f} ms to {max(times):.2f} ms")
    print(f"compacted {len(checkpoints)} times")


# Names


def test_2_28_no_key_touches_anything_outside_the_data_directory(
    user: Cluster,
) -> None:
    [node] = user.up()
    keys = [b"../../x", b"~/.bashrc", b"/tmp/shoal-x", b"a/../../b", b"..", b"\0/x"]
    before = everything(user.root, without=node.directory)
    with Wire(node.address) as wire:
        for key in keys:
            assert wire.ask(b"SET", key, b"#!/bin/sh\n") == b"OK"
            assert wire.ask(b"GET", key) == b"#!/bin/sh\n"
    assert everything(user.root, without=node.directory) == before
    assert not Path("/tmp/shoal-x").exists()
    assert all(re.fullmatch(r"segment-\d{10}", name) for name in sizes(node))
    node.kill()
    wait_until(lambda: not node.runs, 5, "the peer to die")
    with Wire(user.restart(node).address) as wire:
        assert [wire.ask(b"GET", key) for key in keys] == [b"#!/bin/sh\n"] * len(keys)


def everything(root: Path, without: Path) -> list[Path]:
    found = root.parent.rglob("*")
    return sorted(each for each in found if without not in (each, *each.parents))


# Starved


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes."""
    if geteuid() != 0:
        pytest.skip("mounting a small disk takes root")
    directory = tmp_path / "small"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(directory)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)


def test_a_full_disk_refuses_writes_and_goes_on_reading(
    small: Path, user: Cluster
) -> None:
    ballast = small / "ballast"
    ballast.write_bytes(bytes(MIB))
    [node] = user.up("--dir", str(small / "peer"))
    with Wire(node.address) as wire:
        kept, refused = fill(wire)
        assert all(wire.ask(b"GET", key) is not None for key in kept[-3:])
        assert all(wire.ask(b"GET", key) is None for key in refused)
        assert str(wire.ask(b"SET", kept[0], bytes(50_000))).startswith("NOSPACE")
        assert wire.ask(b"GET", kept[0]) == b"x" * 20_000
        ballast.unlink()
        assert wire.ask(b"SET", b"after", b"fine") == b"OK"
    node.kill()
    wait_until(lambda: not node.runs, 5, "the peer to die")
    with Wire(user.restart(node).address) as wire:
        assert all(wire.ask(b"GET", key) == b"x" * 20_000 for key in kept)
        assert wire.ask(b"GET", b"after") == b"fine"
        assert all(wire.ask(b"GET", key) is None for key in refused)


def test_a_start_on_a_full_disk_is_told_in_one_line(small: Path, user: Cluster) -> None:
    [node] = user.up("--dir", str(small / "peer"))
    node.kill()
    wait_until(lambda: not node.runs, 5, "the peer to die")
    ballast = small / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    done = user.shoal("up", "--listen", ":0", "--dir", str(node.directory))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("shoal: data directory ")
    assert "no space left on device; " in done.stderr
    assert "Traceback" not in done.stderr
    ballast.unlink()
    assert user.restart(node).name == node.name


def fill(wire: Wire) -> tuple[list[bytes], list[bytes]]:
    """Write until ten writes are refused: which were kept, and which were not."""
    kept: list[bytes] = []
    refused: list[bytes] = []
    for n in range(1000):
        answer = wire.ask(b"SET", b"k%d" % n, b"x" * 20_000)
        if answer == b"OK":
            kept.append(b"k%d" % n)
        else:
            assert str(answer).startswith("NOSPACE "), answer
            refused.append(b"k%d" % n)
        if len(refused) == 10:
            return kept, refused
    raise AssertionError("the disk is not small")


# Damaged


def test_a_damaged_log_is_told_in_one_line_and_nothing_is_started(
    user: Cluster,
) -> None:
    [node] = user.up()
    with Wire(node.address) as wire:
        for n in range(10):
            wire.ask(b"SET", b"k%d" % n, b"v" * 100)
    node.kill()
    wait_until(lambda: not node.runs, 5, "the peer to die")
    segment = table_of(node) / "segment-0000000001"
    data = bytearray(segment.read_bytes())
    data[300] ^= 1
    segment.write_bytes(data)
    for detach in ((), ("--detach",)):
        where = ("--listen", ":0", "--dir", str(node.directory))
        done = user.shoal("up", *where, *detach)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("shoal: table file segment-0000000001: byte ")
        assert "; restore the directory from a backup" in done.stderr
