"""Peers on machines apart find each other: by a catalog, by the LAN, by address."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.end_to_end.cluster import Cluster, Node, all_see, wait_until
from tests.end_to_end.namespaces import Machine, Namespaces, require_namespaces

FIND_S = 30.0


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[Namespaces]:
    require_namespaces()
    namespaces = Namespaces(tmp_path, 3)
    yield namespaces
    namespaces.remove()


def wait_together(lan: Namespaces, nodes: list[Node]) -> None:
    names = [node.name for node in nodes]
    wait_until(
        lambda: all_see(nodes, names, "alive", lan.members), FIND_S, f"{names} to meet"
    )


def test_one_known_address_is_enough(lan: Namespaces) -> None:
    first, second, _ = lan.machines
    one = first.up()
    wait_together(lan, [one, second.up("--join", one.address)])


def test_a_project_is_found_through_a_catalog(lan: Namespaces) -> None:
    first, second, third = lan.machines
    where = ("--catalog", f"{third.host}:9097")
    serving = third.cluster.begin("catalog", "serve", "--public", "--json")
    try:
        assert serving.stdout
        assert json.loads(serving.stdout.readline())["port"] == 9097
        one = first.up("--project", "temps", *where)
        wait_until(
            lambda: second.cluster.shoal("find", 'project=="temps"', *where).stdout,
            FIND_S,
            "the record",
        )
        [found] = second.cluster.ask("find", 'project=="temps"', *where)
        assert found["address"] == first.host
        two = second.up("--project", "temps", *where)
        wait_together(lan, [one, two])
    finally:
        serving.terminate()
        serving.wait(10)
        serving.stdout and serving.stdout.close()


def test_peers_find_a_network_on_the_lan_and_tell_others_apart(lan: Namespaces) -> None:
    first, second, third = lan.machines
    one = first.up("--lan", "--project", "temps")
    two = second.up("--lan", "--project", "temps")
    other = third.up("--lan", "--project", "salt")
    assert two.network == one.network != other.network
    wait_together(lan, [one, two])
    one.kill()
    third.cluster.shoal("down")
    where = ("--dir", str(third.cluster.root / "late"))
    late = third.up("--lan", "--project", "temps", *where)
    assert late.network == one.network
    wait_together(lan, [two, late])


def up_at_once(machines: list[Machine]) -> list[Node]:
    begun = [
        each.cluster.begin(
            *("up", "--lan", "--insecure", "--json", "--detach"),
            *("--listen", f"{each.host}:7600", "--timeout", "40"),
        )
        for each in machines
    ]
    told = [json.loads(each.communicate(timeout=60)[0])[0] for each in begun]
    nodes = [
        Node(
            each["name"],
            each["address"],
            each["network"],
            each["pid"],
            Path(each["directory"]),
        )
        for each in told
    ]
    for machine, node in zip(machines, nodes, strict=True):
        machine.cluster.started.append(node)
    return nodes


def test_two_that_start_at_once_found_one_network(lan: Namespaces) -> None:
    nodes = up_at_once(lan.machines)
    assert len({node.network for node in nodes}) == 1
    wait_together(lan, nodes)


# It says that a network is here whose name comes before all others, and is no peer.
LURE = """
import asyncio, sys
from shoal.net.lan import Lan

async def answer(reader, writer):
    writer.write(b"HTTP/1.1 400 Bad Request\\r\\n\\r\\n")
    writer.close()

async def main(host):
    server = await asyncio.start_server(answer, host, 7600)
    async with Lan.open("aa-lure", "", host) as lan:
        await lan.announce("!", host + ":7600")
        print("here", flush=True)
        await server.serve_forever()

asyncio.run(main(sys.argv[1]))
"""


@contextmanager
def luring(machine: Machine) -> Iterator[None]:
    lure = subprocess.Popen(
        ["ip", "netns", "exec", machine.name, sys.executable, "-c", LURE, machine.host],
        stdout=subprocess.PIPE,
    )
    try:
        assert lure.stdout
        assert lure.stdout.readline() == b"here\n"
        yield
    finally:
        lure.kill()
        lure.communicate()


def test_who_is_no_peer_hides_no_other(lan: Namespaces) -> None:
    first, second, third = lan.machines
    with luring(third):
        one = first.up("--lan")
        assert "is not a peer of Shoal" in one.log()
        two = second.up("--lan")
        assert one.network == two.network
        wait_together(lan, [one, two])


def test_two_that_start_beside_no_peer_found_one_network(lan: Namespaces) -> None:
    *machines, third = lan.machines
    with luring(third):
        nodes = up_at_once(machines)
    assert len({node.network for node in nodes}) == 1
    wait_together(lan, nodes)


def test_two_networks_of_one_name_are_told_of(lan: Namespaces) -> None:
    first, second, third = lan.machines
    lan.part([first], [second])
    one, two = first.up("--lan"), second.up("--lan")
    assert one.network != two.network
    lan.lift()
    three = third.up("--lan")
    assert three.network == min(one.network, two.network)
    wait_until(lambda: "two networks of project" in three.log(), FIND_S, "a warning")
    assert max(one.network, two.network) in three.log()


def test_who_is_on_this_machine_alone_is_not_on_the_lan(user: Cluster) -> None:
    done = user.shoal("up", "--lan", "--listen", ":0")
    assert done.returncode == 2
    assert "--lan: 127.0.0.1 is this machine alone" in done.stderr
    assert "--insecure" in done.stderr
