"""Several peers of one machine behind one port."""

from contextlib import ExitStack
from pathlib import Path

from shoal.core.machine import Address
from tests.conformance.redis_server import free_port
from tests.end_to_end.cluster import Cluster, Node, wait_until
from tests.end_to_end.writing import Wire

PEERS = 4


def processes(nodes: list[Node]) -> int:
    """All of theirs, with whom they started."""
    waiting, count = [node.pid for node in nodes], 0
    while waiting:
        count += 1
        for thread in Path(f"/proc/{waiting.pop()}/task").iterdir():
            waiting += map(int, (thread / "children").read_text().split())
    return count


def answers(port: int) -> bool:
    try:
        with Wire(Address(f"127.0.0.1:{port}")) as wire:
            return wire.ask(b"PING") == b"PONG"
    except OSError:
        return False


def test_0_19_many_connections_are_served_by_as_many_processes(user: Cluster) -> None:
    port = free_port()
    nodes = user.up("--peers", str(PEERS), "--shared-port", str(port))
    shared = Address(f"127.0.0.1:{port}")
    with Wire(shared) as wire:
        assert wire.ask(b"SET", b"colour", b"green") == b"OK"
    before = processes(nodes)
    with ExitStack() as all_of_them:
        wires = [all_of_them.enter_context(Wire(shared)) for _ in range(10 * PEERS)]
        assert {wire.ask(b"GET", b"colour") for wire in wires} == {b"green"}
        met = {wire.ask(b"CLUSTER", b"MYID") for wire in wires}
        assert len(met) > 1  # The system spreads them by a hash: hardly all over one.
        assert processes(nodes) == before


def test_a_shared_port_is_a_way_in_for_peers_too(user: Cluster, tmp_path: Path) -> None:
    port = free_port()
    nodes = user.up("--peers", "2", "--shared-port", str(port))
    token = str(nodes[0].directory / "token")
    (late,) = user.up(
        "--join", f"127.0.0.1:{port}", "--token", token, "--dir", str(tmp_path / "late")
    )
    assert late.network == nodes[0].network
    listen = ("--listen", ":0", "--dir", str(tmp_path / "stranger"))
    stranger = user.shoal("up", "--shared-port", str(port), *listen)
    assert (stranger.returncode, "another network" in stranger.stderr) == (1, True)
    nodes[0].kill()
    wait_until(lambda: answers(port), 10, "the other to be asked alone")
