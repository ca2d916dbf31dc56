"""Servers that a comparison starts: what they cost is counted, and all of them end."""

import os
import sys
from pathlib import Path

import pytest

from bench.groups import free_ports, started
from bench.rivals.redis import ask

BUSY_S = 0.2

# A parent that only waits; its child has been busy by the time it answers.
FAMILY = f"""
import os, socket, sys, time
if os.fork():
    os.wait()
else:
    while time.process_time() < {BUSY_S}:
        pass
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as door:
        while True:
            channel = door.accept()[0]
            channel.recv(100)
            channel.sendall(b"%d" % os.getpid())
            channel.close()
"""


def test_children_are_counted_and_everything_ends(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    command = [sys.executable, "-c", FAMILY, str(port)]
    with started(
        [port], [command], tmp_path / "log", lambda n: bool(ask(n, "x"))
    ) as it:
        assert it.cpu_s >= BUSY_S
        child = int(ask(port, "x"))
        assert it.addresses == f"127.0.0.1:{port}"
        os.kill(child, 9)  # The parent follows.
    # A port of one that is just ending still takes a call, which then breaks.
    with pytest.raises(ConnectionError):
        ask(port, "x")


def test_one_that_ends_at_once_is_not_waited_for(tmp_path: Path) -> None:
    ports = free_ports(1)
    command = [sys.executable, "-c", "import sys; sys.exit('no idea')"]
    with (
        pytest.raises(ChildProcessError, match="no idea"),
        started(ports, [command], tmp_path / "log", lambda n: bool(ask(n, "x"))),
    ):
        pass


def test_free_ports_are_neighbours_and_free() -> None:
    ports = free_ports(3)
    assert [port - ports[0] for port in ports] == [0, 1, 2]
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            ask(port, "x")
