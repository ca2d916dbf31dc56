"""A fixed group of real processes: one owner a key, one copy, links on first use."""

import json
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from socket import AF_INET, SOCK_DGRAM, SOCK_STREAM, socket

import pytest

from shoal.client.verbs import Verbs
from shoal.core import address as addresses
from shoal.core.classic_rings import fixed_owner
from shoal.errors import Refused, ShoalError
from tests.end_to_end.cluster import START_S, Cluster, Node, wait_until

LIMIT_S = 20.0  # Twice the longest that any answer may take.


class Group:
    """The nodes of one file, in the order of their ids."""

    def __init__(self, user: Cluster, count: int) -> None:
        self._user = user
        self.file = user.root / "config.json"
        self.ports = free_ports(count)
        here = [{"ip": "127.0.0.1", "port": port} for port in self.ports]
        self.file.write_text(json.dumps({str(n): each for n, each in enumerate(here)}))
        self.nodes: list[Node] = []

    def start(self) -> None:
        with ThreadPoolExecutor(4) as pool:
            self.nodes = list(pool.map(self.up, range(len(self.ports))))

    def up(self, number: int) -> Node:
        static = ("--static", str(self.file), "--id", str(number), "--workers", "1")
        told = self._user.up(*static, "--listen", f"127.0.0.1:{self.ports[number]}")
        return told[0]

    def key_of(self, owner: int, name: str = "key") -> str:
        """A key that this node owns."""
        count = len(self.ports)
        tried = (f"{name}{n}" for n in range(1000))
        return next(key for key in tried if fixed_owner(key.encode(), count) == owner)

    def held(self, number: int) -> set[bytes]:
        """What one node itself has."""
        verbs = Verbs(self.nodes[number].address, LIMIT_S)
        try:
            return set(verbs.keys())
        finally:
            verbs.close()


def free_ports(count: int) -> list[int]:
    """Free for TCP and UDP both, at this moment."""
    with ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            taken = stack.enter_context(socket(AF_INET, SOCK_STREAM))
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            try:
                stack.enter_context(socket(AF_INET, SOCK_DGRAM)).bind(
                    ("127.0.0.1", port)
                )
            except OSError:
                continue
            ports.append(port)
        return ports


def links(one: Node, other: Node) -> int:
    """How many TCP connections there are between two nodes, whoever opened them."""
    ports = [addresses.parse(node.address)[1] for node in (one, other)]
    mine, theirs = sockets_of(one.pid), sockets_of(other.pid)
    found = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, state, *_, inode = line.split()[:10]
        port = int(remote.rpartition(":")[2], 16)
        if state == "01":
            found += inode in mine and port == ports[1]
            found += inode in theirs and port == ports[0]
    return found


def sockets_of(pid: int) -> set[str]:
    found = set[str]()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(each.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


@pytest.fixture(scope="module")
def eight(sharer: Cluster) -> Group:
    group = Group(sharer, 8)
    group.start()
    return group


@pytest.fixture
def three(user: Cluster) -> Group:
    group = Group(user, 3)
    group.start()
    return group


def test_0_1_every_node_answers_for_every_key(eight: Group) -> None:
    for number, node in enumerate(eight.nodes):
        with node.client() as net:
            assert net.table.put("abc", f"def{number}")
        for other in eight.nodes:
            with other.client() as net:
                assert net.table.get("abc") == f"def{number}".encode()


def test_0_2_the_owner_alone_holds_a_key(eight: Group) -> None:
    with eight.nodes[0].client() as net:
        for key in ("abc", "hello", "100000", "199999"):
            net.table.put(key, "x")
    with eight.nodes[5].client() as net:
        assert net.table.get("hello") == b"x"
    held = [eight.held(number) for number in range(8)]
    owners = {b"abc": 2, b"hello": 2, b"100000": 3, b"199999": 1}
    for each, owner in owners.items():
        assert [n for n in range(8) if each in held[n]] == [owner]


def test_0_10_a_link_is_opened_on_first_use_and_kept(three: Group) -> None:
    first, second, third = three.nodes
    with first.client() as net:
        for _ in range(2):
            net.table.put(three.key_of(1), "x")
        assert links(first, second) == 1
        assert links(first, third) == links(second, third) == 0
        for _ in range(100):
            net.table.get(three.key_of(1))
        assert links(first, second) == 1
        members = [len(each.members()) for each in three.nodes]
        assert members == [1, 1, 1]


def test_0_11_what_is_ours_needs_nobody(three: Group) -> None:
    first, *others = three.nodes
    with first.client() as net:
        key = three.key_of(0)
        net.table.put(key, "x")
        assert net.table.get(key) == b"x"
        assert net.table.delete(key)
    assert [links(first, other) for other in others] == [0, 0]
    assert first.client().get("/api/status")["links"] == 0


def test_0_13_fifty_clients_at_one_node(eight: Group) -> None:
    begin = threading.Barrier(50)

    def put(number: int) -> None:
        with eight.nodes[3].client() as net:
            begin.wait()
            for n in range(10):
                net.table.put(f"fifty-{number}-{n}", f"{number}.{n}")

    threads = [threading.Thread(target=put, args=[n]) for n in range(50)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    wanted = {
        f"fifty-{n}-{m}": f"{n}.{m}".encode() for n in range(50) for m in range(10)
    }
    with eight.nodes[6].client() as net:
        assert dict(zip(wanted, net.table.get_many(wanted), strict=True)) == wanted
        assert net.table.command("MGET", *wanted) == list(wanted.values())
        assert net.table.command("DEL", *wanted) == 500


def test_0_17_an_address_that_the_file_does_not_name(user: Cluster) -> None:
    file = user.root / "config.json"
    file.write_text('{"0": {"ip": "203.0.113.7", "port": 5000}}')
    done = user.shoal("up", "--static", str(file))
    assert done.returncode == 2
    assert "127.0.0.1" in done.stderr
    assert "--id" in done.stderr
    done = user.shoal("up", "--static", str(file), "--listen", "127.0.0.1:5999")
    assert done.returncode == 2
    assert "address 127.0.0.1:5999: no node" in done.stderr
    done = user.shoal("up", "--static", str(file), "--id", "0")
    assert done.returncode == 1
    assert "--insecure" in done.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ('{"1": {"ip": "127.0.0.1", "port": 5000}}', "node 0 is missing"),
        ('{"0": {"ip": "127.0.0.1", "port": "5000"}}', "node 0 is not"),
        ('{"0": {"ip": "127.0.0.1", "port": 70000}}', "node 0 is not"),
    ],
)
def test_a_file_that_names_no_group(user: Cluster, text: str, told: str) -> None:
    file = user.root / "config.json"
    file.write_text(text)
    done = user.shoal("up", "--static", str(file))
    assert done.returncode == 2
    assert told in done.stderr


def test_0_18_several_nodes_on_one_host(user: Cluster) -> None:
    group = Group(user, 3)
    done = user.shoal("up", "--static", str(group.file))
    assert done.returncode == 2
    assert "--id" in done.stderr
    by_number = group.up(2)
    port = str(group.ports[1])
    by_port = user.up("--static", str(group.file), "--listen", port)[0]
    assert by_number.name.startswith("node-2-")
    assert by_port.name.startswith("node-1-")
    with by_port.client() as net:
        assert net.table.put(group.key_of(2), "x")
    group.nodes = [by_port, by_number]
    assert group.held(1) == {group.key_of(2).encode()}


def test_0_21_a_dead_node_is_named_and_back_without_ado(three: Group) -> None:
    first, _, third = three.nodes
    key, ours = three.key_of(2), three.key_of(0)
    with first.client() as net:
        net.table.put(key, "x")
        third.kill()
        status = first.client()
        wait_until(lambda: not status.get("/api/status")["links"], LIMIT_S, "a reset")
        for _ in range(3):
            with pytest.raises(Refused, match=third.name):
                net.table.put(key, "y")
            with pytest.raises(Refused, match="NOQUORUM"):
                net.table.get(key)
        assert net.table.put(ours, "z")
        three.nodes[2] = three.up(2)

        def is_back() -> bool:
            return net.table.get(key) == b"x"

        wait_until(is_back, LIMIT_S, "the node to be asked again")
        assert net.table.put(key, "y")
    assert three.held(2) == {key.encode()}


def test_a_node_that_stands_still_is_not_waited_for_for_ever(three: Group) -> None:
    first, second, _ = three.nodes
    key = three.key_of(1)
    with first.client() as net:
        net.table.put(key, "x")
        second.kill(signal.SIGSTOP)
        try:
            with pytest.raises(ShoalError, match="may have"):
                net.table.put(key, "y", timeout_s=2 * LIMIT_S)
        finally:
            second.kill(signal.SIGCONT)
        wait_until(lambda: net.table.get(key) in (b"x", b"y"), LIMIT_S, "it to answer")


def test_0_22_a_benchmark_at_one_node_of_a_group(sharer: Cluster, eight: Group) -> None:
    lines = [f"benchmark {action} 100000 1000" for action in ("put", "get", "del")]
    done = prompt(sharer, eight.nodes[4], [*lines, lines[1]])
    counts = re.findall(r"(\d+) of 1000 succeeded", done)
    assert counts == ["1000", "1000", "1000", "0"]
    assert len(re.findall(r"1000 \w+ operations completed in [\d.]+ s", done)) == 4


def test_0_24_the_keys_of_all_who_are_there(user: Cluster, three: Group) -> None:
    keys = [three.key_of(n, name) for n in range(3) for name in ("one", "two")]
    with three.nodes[0].client() as net:
        net.table.put_many(dict.fromkeys(keys, "x"))
        assert len(net.table) == 6
    here = {"SHOAL_PEER": three.nodes[0].address}
    listed = user.shoal("keys", environment=here).stdout.split()
    assert sorted(listed) == sorted(keys)
    three.nodes[2].kill()
    wait_until(lambda: not three.nodes[2].runs, LIMIT_S, "it to end")
    left = [key for key in keys if fixed_owner(key.encode(), 3) < 2]
    for command in ("keys", "list"):
        told = prompt(user, three.nodes[1], [command]).split()
        assert sorted(told) == sorted(left)


def prompt(user: Cluster, node: Node, lines: list[str]) -> str:
    """What the prompt prints when it is told these lines."""
    done = subprocess.run(
        [sys.executable, "-m", "shoal", "shell"],
        env={**user.environment, "SHOAL_PEER": node.address},
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=True,
    )
    return done.stdout
