"""The facade over ZeroMQ, at two nodes of one group."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import zmq

from tests.end_to_end.cluster import Cluster
from tests.end_to_end.test_examples import ROOT
from tests.end_to_end.test_fixed_group import Group, free_ports


@contextmanager
def facade(user: Cluster, peer: str, port: int) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "dht_facade.py"), str(port)],
        env={**user.environment, "SHOAL_PEER": peer},
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def test_4_23_set_and_get_at_any_node(user: Cluster) -> None:
    group, ports = Group(user, 2), free_ports(2)
    group.start()
    with ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        sockets = []
        for node, port in zip(group.nodes, ports, strict=True):
            stack.enter_context(facade(user, node.address, port))
            socket = stack.enter_context(context.socket(zmq.REQ))
            socket.setsockopt(zmq.RCVTIMEO, 20_000)
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(f"tcp://127.0.0.1:{port}")
            sockets.append(socket)

        def ask(at: int, *words: bytes) -> bytes:
            sockets[at].send_multipart(words)
            return sockets[at].recv()

        for n in range(20):
            key = b"key-%d" % n
            assert ask(n % 2, b"set:", key, b"\x00\xff%d" % n) == b"OK"
            assert ask(1 - n % 2, b"get:", key) == b"\x00\xff%d" % n
        assert ask(0, b"set:", "Größe".encode(), b"8") == b"OK"
        assert ask(1, b"get:", "Größe".encode()) == b"8"
        assert ask(0, b"get:", b"nothing") == b"None"
        for wrong in ([b"del:", b"key-1"], [b"set:", b"key-1"], [b""]):
            assert ask(1, *wrong) == b"Err"
        assert ask(1, b"get:", b"key-1") == b"\x00\xff1"
