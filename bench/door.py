"""A client's round trip while ten thousand others idle and a thousand dawdle.

One real peer. The crowd is a process of its own: connections that have spoken once and
then say nothing, a slow-loris that sends a byte of a request a second, and clients that
ask for much and read none of it. The rival is the same round trip with nobody else
there; the goal is three times that. What the crowd makes the peer hold is a row too.
"""

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.comparison import US, Row, less_is_better, obey, python
from shoal.core.frames import framed

REQUEST = framed(b"get nothing")
START_S = 20.0
CALLS = 3000

IDLERS, DAWDLERS = 10_000, 1_000
GORGERS, GORGED, MIB = 20, 40, 1 << 20
QUICK_IDLERS, QUICK_DAWDLERS = 2_000, 200


def run(*, quick: bool) -> list[Row]:
    """The medians and the tails, alone and in the crowd."""
    idlers = QUICK_IDLERS if quick else IDLERS
    dawdlers = QUICK_DAWDLERS if quick else DAWDLERS
    with _peer() as (port, pid):
        alone = _round_trips(port)
        crowd = python("bench.door", "crowd", str(port))
        try:
            crowd.tell(within_s=60, do="idle", count=idlers)
            idle = _round_trips(port)
            crowd.tell(within_s=60, do="dawdle", count=dawdlers)
            dawdling = _round_trips(port)
            before = _held_bytes(pid)
            crowd.tell(within_s=60, do="gorge", count=GORGERS)
            gorging = _round_trips(port)
            grown = _held_bytes(pid) - before
        finally:
            crowd.end()
    name = f"round trip beside {idlers} idle"
    return [
        _row(f"{name}, median", alone, idle, 0.5),
        _row(f"{name}, p99", alone, idle, 0.99),
        _row(f"{name} and {dawdlers} slow-loris, median", alone, dawdling, 0.5),
        _row(f"{name} and {dawdlers} slow-loris, p99", alone, dawdling, 0.99),
        _row(f"{name} and {GORGERS} who do not read, median", alone, gorging, 0.5),
        _row(f"{name} and {GORGERS} who do not read, p99", alone, gorging, 0.99),
        less_is_better(
            f"held for {GORGERS} who do not read",
            "MiB",
            max(grown, 1) / MIB,
            "what they asked for",
            GORGERS * GORGED,
        ),
    ]


def _row(name: str, alone: list[float], beside: list[float], share: float) -> Row:
    ours, rival = (sorted(each)[int(len(each) * share)] for each in (beside, alone))
    return less_is_better(name, "us", ours * US, "alone, three times", 3 * rival * US)


def _round_trips(port: int) -> list[float]:
    """Each a request in a frame and its reply, one after the other."""
    times = []
    with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
        for _ in range(CALLS):
            begun = time.perf_counter()
            wire.sendall(REQUEST)
            assert wire.recv(4096), "the peer hung up"
            times.append(time.perf_counter() - begun)
    assert statistics.median(times) > 0
    return times


@contextmanager
def _peer() -> Iterator[tuple[int, int]]:
    """The port and the process of a peer that runs while the block does."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "shoal", "up", "--json"]
        process = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0", "--dir", f"{home}/peer"],
            stdout=subprocess.PIPE,
            env={**os.environ, "HOME": home},
        )
        assert process.stdout, "opened with a pipe"
        try:
            told = json.loads(process.stdout.readline())
            yield int(told["address"].rpartition(":")[2]), process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(START_S)


def _held_bytes(pid: int) -> int:
    """What a process holds of its own."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    line = next(each for each in status if each.startswith("RssAnon:"))
    return int(line.split()[1]) << 10


class Crowd:
    """Many connections of one process."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[socket.socket] = []

    def idle(self, count: int) -> int:
        """So many more that speak once."""
        for _ in range(count):
            wire = socket.create_connection(("127.0.0.1", self._port), timeout=10)
            wire.sendall(REQUEST)
            assert wire.recv(4096), "the peer hung up"
            self._idle.append(wire)
        return len(self._idle)

    def dawdle(self, count: int) -> int:
        """So many that are at work on a first request, for as long as they may."""
        threading.Thread(target=self._dawdle, args=[count], daemon=True).start()
        time.sleep(1)  # They have sent their first byte by now, and go on.
        return count

    def gorge(self, count: int) -> int:
        """So many that ask for a MiB again and again and read nothing; one in half."""
        big = framed(b"put big " + bytes(MIB))
        with socket.create_connection(("127.0.0.1", self._port), timeout=10) as wire:
            wire.sendall(big)
            assert wire.recv(4096), "the peer hung up"
        for _ in range(count):
            wire = socket.create_connection(("127.0.0.1", self._port), timeout=10)
            wire.sendall(b"*2\r\n$3\r\nGET\r\n$3\r\nbig\r\n" * GORGED)
            self._idle.append(wire)
        wire.sendall(b"*2\r\n$3\r\nGET\r\n$3\r\nbi")
        time.sleep(0.5)  # The peer has filled what it may; nothing tells us when.
        return len(self._idle)

    def _dawdle(self, count: int) -> None:
        end = time.monotonic() + 30
        here = ("127.0.0.1", self._port)
        wires = [socket.create_connection(here) for _ in range(count)]
        for byte in b"GET / HTTP/1.1 is what it never becomes":
            for wire in wires:
                try:
                    wire.send(bytes([byte]))
                except OSError:
                    continue  # Shown out, as it should be.
            if time.monotonic() > end:
                return
            time.sleep(0.3)  # This is what dawdling is.


if __name__ == "__main__":
    crowd = Crowd(int(sys.argv[2]))
    obey({"idle": crowd.idle, "dawdle": crowd.dawdle, "gorge": crowd.gorge})
