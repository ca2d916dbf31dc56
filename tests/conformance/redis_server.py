"""A real Redis to compare with, or to be told why there is none."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

START_S = 10.0


def needed(program: str) -> str:
    """Where a program is. Without it a test is skipped, but on CI it fails."""
    found = shutil.which(program)
    if found:
        return found
    why = f"{program} is not installed: apt-get install redis-server redis-tools"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def free_port() -> int:
    """One that was free a moment ago, and whose cluster bus may be as well."""
    while True:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = int(taken.getsockname()[1])
        if port < 55_000:
            return port


@contextmanager
def redis(directory: Path, *, cluster: bool) -> Iterator[int]:
    """A Redis that keeps nothing, at the port that is given."""
    port = free_port()
    options = ["--port", str(port), "--save", "", "--appendonly", "no"]
    options += ["--bind", "127.0.0.1", "--dir", str(directory), "--databases", "1"]
    if cluster:
        options += ["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"]
    process = subprocess.Popen(
        [needed("redis-server"), *options], stdout=subprocess.DEVNULL
    )
    try:
        _wait_ready(port, cluster=cluster)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _wait_ready(port: int, *, cluster: bool) -> None:
    end = time.monotonic() + START_S
    wanted = b"cluster_state:ok" if cluster else b"+PONG"
    question = b"CLUSTER INFO\r\n" if cluster else b"PING\r\n"
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as wire:
                if cluster:
                    wire.sendall(b"CLUSTER ADDSLOTSRANGE 0 16383\r\n")
                    wire.recv(1 << 12)
                wire.sendall(question)
                if wanted in wire.recv(1 << 12):
                    return
        except OSError:
            pass
        assert time.monotonic() < end, "redis-server did not come up"
        time.sleep(0.02)  # Nothing tells when a program listens.
