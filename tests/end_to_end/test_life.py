"""From up to down: what a network of five says of itself, and what it leaves behind."""

import os
import signal
import socket
import stat
from http.client import HTTPConnection
from pathlib import Path

import pytest

from shoal.core.address import parse
from shoal.core.machine import Address
from shoal.net.home import running
from tests.end_to_end.cluster import Cluster, Node, wait_all_alive, wait_until

RECORD = {"name", "address", "state", "since", "witnesses", "reason"}


def get(node: Node, path: str, **headers: str) -> tuple[int, str]:
    connection = HTTPConnection(*parse(node.address), timeout=5)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def is_free(node: Node) -> bool:
    """Can its port be had, by TCP and by UDP?"""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(parse(node.address))
            except OSError:
                return False
    return True


def assert_nothing_remains(nodes: list[Node]) -> None:
    for node in nodes:
        assert running(node.directory) is None, f"{node.name} holds its lock"
        assert is_free(node), f"{node.address} is taken"
    # The kernel needs a moment for what has let go of everything.
    wait_until(lambda: not any(node.runs for node in nodes), 1, "processes to end")


def free_ports(count: int) -> int:
    """The first of so many neighbouring ports that are free, and no other test's."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    begin = 11_000 + worker % 3 * 3000
    for first in range(begin, begin + 3000, 50):
        ports = range(first, first + count)
        nodes = [Node("", _at(port), "", 0, Path()) for port in ports]
        if all(map(is_free, nodes)):
            return first
    raise AssertionError("no ports are free")


def _at(port: int) -> Address:
    return Address(f"127.0.0.1:{port}")


def test_five_come_are_told_of_and_go(user: Cluster, tmp_path: Path) -> None:
    port, root = free_ports(5), tmp_path / "peers"
    where = ("--dir", str(root), "--listen", _at(port))
    nodes = user.up("--peers", "5", *where)
    assert [n.address for n in nodes] == [_at(p) for p in range(port, port + 5)]
    assert [node.directory for node in nodes] == [root / str(n) for n in range(1, 6)]
    wait_all_alive(nodes)

    records = user.ask("members")
    assert {each["name"] for each in records} == {node.name for node in nodes}
    assert all(each.keys() >= RECORD for each in records)
    assert user.ask("status")["members_alive"] == 5
    for node in nodes:
        mode = stat.S_IMODE((node.directory / "token").stat().st_mode)
        assert mode == 0o600

    third = nodes[2].name
    assert [each["name"] for each in user.ask("down", third)] == [third]
    assert_nothing_remains(nodes[2:3])
    rest = nodes[:2] + nodes[3:]
    wait_until(
        lambda: all(n.members()[third]["state"] == "left" for n in rest), 10, "goodbye"
    )
    again = user.restart(nodes[2])
    assert (again.name, again.network) == (third, nodes[2].network)
    wait_all_alive([*rest, again])
    assert all(n.members()[third]["generation"] == 2 for n in rest)

    assert {each["name"] for each in user.ask("down")} == {n.name for n in nodes}
    assert_nothing_remains([*rest, again])


@pytest.fixture(scope="module")
def node(sharer: Cluster) -> Node:
    return sharer.up()[0]


def test_the_owner_is_known_by_the_token_and_strangers_are_not(node: Node) -> None:
    ours = {"Authorization": f"Bearer {node.token}"}
    assert get(node, "/api/members", **ours)[0] == 200
    assert get(node, "/api/members")[0] == 401
    assert get(node, "/api/members", Authorization="Bearer 00")[0] == 401
    for foreign in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        assert get(node, "/api/members", **ours, **foreign)[0] == 403
        assert get(node, "/healthz", **foreign)[0] == 403


def test_health_and_figures_are_open(node: Node) -> None:
    assert get(node, "/healthz") == (200, "ok\n")
    assert get(node, "/readyz") == (200, "ready\n")
    status, figures = get(node, "/metrics")
    assert status == 200
    assert 'shoal_members{state="alive"} 1.0' in figures


def test_version_and_completion(user: Cluster) -> None:
    assert user.ask("version").keys() >= {"version", "protocol", "disk_format"}
    for shell in ("bash", "zsh", "fish"):
        done = user.shoal("completion", shell)
        assert done.returncode == 0
        assert "members" in done.stdout


def test_a_peer_of_ours_is_known_by_any_name_of_its_place(
    sharer: Cluster, node: Node
) -> None:
    chosen = {"SHOAL_PEER": f"localhost:{parse(node.address)[1]}"}
    assert sharer.ask("status", environment=chosen)["name"] == node.name
    assert [m["name"] for m in sharer.ask("members", environment=chosen)] == [node.name]


def test_a_bare_port_is_a_port_of_this_machine(user: Cluster) -> None:
    port = free_ports(1)
    [node] = user.up("--listen", str(port))
    assert node.address == _at(port)
    chosen = {"SHOAL_PEER": str(port)}
    assert user.ask("status", environment=chosen)["name"] == node.name


@pytest.mark.parametrize("peers", ["1", "2"])
def test_who_stays_is_told_how_to_stop(user: Cluster, peers: str) -> None:
    command = ("up", "--listen", ":0", "--peers", peers)
    with user.begin(*command) as staying:
        assert staying.stdout
        try:
            said = next(line for line in staying.stdout if "stop it" in line)
        finally:
            staying.send_signal(signal.SIGINT)
        assert "Ctrl-C" in said
        assert staying.wait(timeout=10) == 0
    assert user.shoal("members").returncode == 3


def test_up_brings_back_those_that_are_missing(user: Cluster, tmp_path: Path) -> None:
    port = free_ports(3)
    where = ("--peers", "3", "--listen", str(port), "--dir", str(tmp_path / "peers"))
    nodes = user.up(*where)
    user.ask("down", nodes[0].name)
    said = user.shoal("up", "--detach", *where)
    assert said.returncode == 0, said.stderr
    assert f"peer {nodes[0].name} is up" in said.stdout
    for each in nodes[1:]:
        assert f"peer {each.name} runs already" in said.stdout

    none_missing = user.shoal("up", "--detach", *where)
    assert none_missing.returncode == 1
    assert "all 3 peers of it run already" in none_missing.stderr

    user.ask("down", nodes[1].name)
    nodes[2].kill()
    wait_until(lambda: not nodes[2].runs, 5, "a killed peer to end")
    again = user.up(*where)
    assert {each.name for each in again} == {each.name for each in nodes}
    assert {each.network for each in again} == {nodes[0].network}
    wait_all_alive(again)
    user.ask("down")


def test_two_networks_do_not_meet_and_must_be_told_apart(user: Cluster) -> None:
    [one], [other] = user.up(), user.up()
    assert one.network != other.network
    for command in ("members", "status", "down"):
        done = user.shoal(command)
        assert done.returncode == 3
        assert done.stderr.count("\n") == 1
        for each in (one, other):
            assert each.network in done.stderr
            assert each.address in done.stderr
    for each in (one, other):
        chosen = {"SHOAL_PEER": each.address}
        assert user.ask("status", environment=chosen)["name"] == each.name
        assert [m["name"] for m in user.ask("members", environment=chosen)] == [
            each.name
        ]
    stopped = user.ask("down", environment={"SHOAL_PEER": one.address})
    assert [each["name"] for each in stopped] == [one.name]
    assert other.runs
    assert user.ask("status")["name"] == other.name
