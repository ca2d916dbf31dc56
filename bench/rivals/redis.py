"""Servers that speak Redis's protocol, ours and Redis, each a process of its own.

Redis runs as its manual says a cache or a durable store is run: no snapshots, and for
durability its log synced before every answer, as ours is.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_S = 120.0
END_S = 30.0


class Server:
    """One running server."""

    def __init__(self, command: list[str], port: int) -> None:
        self.port = port
        self.process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.began = time.monotonic()
        self._wait_until_it_answers()

    @property
    def cpu_s(self) -> float:
        """Processor time of all its threads so far, to the microsecond."""
        # The number that clock_getcpuclockid(3) gives for a process on Linux.
        return time.clock_gettime((~self.process.pid << 3) | 2)

    @property
    def memory_bytes(self) -> int:
        """What it holds, of its own."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) << 10
        raise ProcessLookupError(self.process.pid)

    def ask(self, *words: str) -> bytes:
        """One command, and the beginning of its answer."""
        return ask(self.port, *words)

    def end(self) -> None:
        """End it, and let it keep what it keeps."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(END_S)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            try:
                if self.ask("PING"):
                    return
            except OSError:
                time.sleep(0.005)
        self.process.kill()
        raise TimeoutError(f"{self.process.args!r} does not answer")


def ask(port: int, *words: str) -> bytes:
    """One command to whoever listens there, and the beginning of its answer."""
    parts = [f"*{len(words)}\r\n", *(f"${len(w)}\r\n{w}\r\n" for w in words)]
    with socket.create_connection(("127.0.0.1", port), START_S) as channel:
        channel.sendall("".join(parts).encode())
        return channel.recv(1 << 16)


def redis(directory: Path, *options: str) -> Server:
    """Redis 7, as its own manual runs it."""
    program = shutil.which("redis-server")
    if not program:
        raise FileNotFoundError("redis-server: install it to compare with it")
    port = free_port()
    directory.mkdir(exist_ok=True)
    fixed = ("--port", str(port), "--dir", str(directory), "--bind", "127.0.0.1")
    return Server([program, *fixed, *options], port)


def shoal(directory: Path, *options: str) -> Server:
    """One peer."""
    port = free_port()
    command = [sys.executable, "-m", "shoal", "up", "--listen", f"127.0.0.1:{port}"]
    return Server([*command, "--dir", str(directory), *options], port)


@contextmanager
def running(*servers: Server) -> Iterator[None]:
    """End them all, whatever happens."""
    try:
        yield
    finally:
        for each in servers:
            each.end()


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def median_sync_s(directory: Path) -> float:
    """What a small write and its sync take on that disk."""
    handle = os.open(directory / "probe", os.O_WRONLY | os.O_CREAT)
    took = []
    for _ in range(200):
        os.write(handle, b"x" * 200)
        began = time.perf_counter()
        os.fdatasync(handle)
        took.append(time.perf_counter() - began)
    os.close(handle)
    (directory / "probe").unlink()
    return sorted(took)[len(took) // 2]
