"""Peers that are announced to catalogs, and are found there."""

import asyncio
import json
import socket
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from shoal.catalog.announcer import Announcer, Way
from shoal.client.catalogs import Catalogs, those_there
from shoal.core.address import parse
from shoal.core.machine import Address
from shoal.errors import BadExpression, Unreachable
from tests.end_to_end.cataloguing import read_all, serving
from tests.end_to_end.cluster import Cluster, wait_until
from tests.end_to_end.test_life import free_ports
from tests.end_to_end.working import Loop


def test_2_4_2_7_a_peer_is_announced_found_and_says_goodbye(user: Cluster) -> None:
    with serving(user) as catalog:
        where = ("--catalog", catalog.address)
        [node] = user.up("--project", "temps 2026", *where)
        wait_until(lambda: catalog.records('project=="temps 2026"'), 10, "the record")
        [record] = catalog.records()
        port = parse(node.address)[1]
        assert (record["type"], record["name"]) == ("hashtable", "localhost")
        assert (record["port"], record["uuid"]) == (port, node.name)
        wanted = {"owner", "version", "cpus", "memory", "disk", "load", "host"}
        assert record.keys() >= wanted
        user.up()  # Two networks now: which one is meant is no longer clear.
        assert user.shoal("put", "k", "v").returncode == 3
        known = {"CATALOG_HOST": catalog.address}
        project = ("--project", "temps 2026")
        assert user.shoal("put", "k", "v", *project, environment=known).returncode == 0
        got = user.shoal("get", "k", *project, environment=known)
        assert (got.returncode, got.stdout) == (0, "v")
        assert user.ask("find", "cpus>0", *where)[0]["uuid"] == node.name
        missing = user.shoal("get", "k", "--project", "nosuch", environment=known)
        assert missing.returncode == 3
        assert "nosuch" in missing.stderr
        user.shoal("down", node.name)
        wait_until(lambda: not catalog.records(), 10, "the record to end")


def test_2_8_the_newest_that_answers_is_used(user: Cluster) -> None:
    dead = free_ports(2)
    with serving(user) as catalog:
        record = {"type": "hashtable", "project": "p"}
        catalog.tell(json.dumps({**record, "port": dead}).encode())
        catalog.wait_records(1)
        [node] = user.up("--project", "p", "--catalog", catalog.address)
        catalog.wait_records(2)
        seen = max(each["lastheardfrom"] for each in catalog.records())
        wait_until(
            lambda: time.time() >= seen + 1, 10, "the clock, which shows seconds"
        )
        catalog.tell(json.dumps({**record, "port": dead + 1}).encode())
        found = Catalogs([Address(catalog.address)]).find('project=="p"', within_s=10)
        assert found[0]["port"] == dead + 1
        assert len(found) == 3
        assert next(those_there(found, within_s=5)) == node.address


def test_2_27_2_30_a_catalog_that_is_down_is_told_when_it_returns(
    user: Cluster,
) -> None:
    port = free_ports(2)
    with serving(user) as alive:
        both = f"127.0.0.1:{port},{alive.address}"
        [node] = user.up("--project", "p", "--catalog", both)
        assert user.shoal("put", "k", "v").returncode == 0
        alive.wait_records(1)
        assert (
            user.ask("find", 'project=="p"', "--catalog", both)[0]["uuid"] == node.name
        )
        with serving(user, port=port) as late:
            wait_until(late.records, 30, "the record")


def test_a_peer_is_a_catalog(user: Cluster) -> None:
    [node] = user.up("--catalog-port", "0")
    port = user.ask("status")["catalog_port"]
    where = ("--catalog", f"127.0.0.1:{port}")
    with socket.create_connection(("127.0.0.1", port + 1)) as teller:
        teller.sendall(b'{"type":"x","port":7}')
        teller.shutdown(socket.SHUT_WR)
        assert read_all(teller) == b""
    wait_until(lambda: user.ask("catalog", "query", *where), 10, "the record")
    user.shoal("down")
    wait_until(lambda: not node.runs, 10, "the peer to end")
    user.restart(node, "--catalog-port", str(port))
    assert [each["port"] for each in user.ask("catalog", "query", *where)] == [7]
    taken = user.shoal("up", "--listen", ":0", "--catalog-port", str(port), "--detach")
    assert taken.returncode == 1
    assert f"127.0.0.1:{port}" in taken.stderr
    assert "in use" in taken.stderr


def test_a_catalog_tells_others_of_itself(user: Cluster) -> None:
    with serving(user) as known:
        with serving(user, "--catalog", known.address) as other:
            [record] = known.wait_records(1)
            assert (record["type"], record["port"]) == ("catalog", other.port)
            assert record["url"] == f"http://{other.address}"
            assert record.keys() >= {"owner", "version", "starttime", "name"}
        wait_until(lambda: not known.records(), 10, "the record to end")


def test_no_token_goes_to_whoever_a_catalog_names(
    user: Cluster, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("ab" * 32)
    with serving(user) as catalog, answering(HEAD + b"[]") as (address, asked):
        lure = {"type": "hashtable", "project": "p", "port": parse(address)[1]}
        catalog.tell(json.dumps(lure).encode())
        catalog.wait_records(1)
        known = {"CATALOG_HOST": catalog.address, "SHOAL_TOKEN": str(token)}
        for command in (("members",), ("get", "k"), ("datasets",)):
            user.shoal(*command, "--project", "p", environment=known)
        assert len(asked) > 3  # It was dialled, and asked.
        assert not [each for each in asked if b"ab" * 16 in each]


def test_who_is_no_peer_keeps_nobody_from_founding(user: Cluster) -> None:
    with serving(user) as catalog, answering(HEAD + b"[]") as (address, _):
        lure = {"type": "hashtable", "project": "p", "port": parse(address)[1]}
        catalog.tell(json.dumps(lure).encode())
        catalog.wait_records(1)
        [node] = user.up("--project", "p", "--catalog", catalog.address)
        assert "is not a peer of Shoal" in node.log()


# Announcing


SAID = {"type": "x", "owner": "Zoë", "name": "a b", "address": "9.9.9.9"}


class Listener(asyncio.DatagramProtocol):
    """Hears updates, by UDP and by TCP, as catalogs do."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.port = free_ports(2)
        self.parted = asyncio.Event()

    def datagram_received(self, data: bytes, _: object) -> None:
        self.heard.append(data)
        if b"leaving" in data:
            self.parted.set()

    async def stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.datagram_received(await reader.read(), None)
        writer.close()


async def announced(way: Way) -> list[bytes]:
    """What is heard of a peer with its hands full."""
    here = asyncio.get_running_loop()
    listener = Listener()
    where = ("127.0.0.1", listener.port)
    catch, _ = await here.create_datagram_endpoint(lambda: listener, local_addr=where)
    server = await asyncio.start_server(listener.stream, where[0], where[1] + 1)
    catalogs = [Address(f"127.0.0.1:{listener.port}"), Address("127.0.0.1:9")]
    told = Announcer(catalogs, lambda: SAID, way=way, interval_s=0.1)
    told.start()
    end = here.time() + 10
    while len(listener.heard) < 5 and here.time() < end:
        busy = here.time() + 0.02
        while here.time() < busy:
            pass
        await asyncio.sleep(0)
    await told.leave()
    async with asyncio.timeout(10):
        await listener.parted.wait()
    catch.close()
    server.close()
    await server.wait_closed()
    return listener.heard


@pytest.mark.parametrize("way", ["tcp", "udp"])
def test_2_5_it_is_said_again_and_again_by_a_busy_peer(loop: Loop, way: Way) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        heard = runner.run(announced(way))
    assert heard[0] == b'{"type":"x","owner":"Zoe","name":"a_b"}'
    assert heard[1:-1] == [heard[0]] * (len(heard) - 2)
    assert heard[-1] == heard[0][:-1] + b',"lifetime":1,"leaving":1}'
    assert len(heard) >= 6


# Asking genuine catalogs

HEAD = (
    b"HTTP/1.1 200 OK\nDate: Fri Nov 20 12:08:00 2026\nServer: catalog_server\n"
    b"Connection: close\nAccess-Control-Allow-Origin: *\n"
    b"Content-type: text/plain; charset=utf-8\n\n"
)


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[Address, list[bytes]]]:
    """A server that says one thing, and what it was asked."""
    asked: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, suppress(ConnectionError):
                asked.append(connection.recv(65_536))
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Address(f"127.0.0.1:{server.getsockname()[1]}"), asked
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def test_a_genuine_catalog_is_asked_and_its_answer_filtered_again() -> None:
    now = int(time.time())
    body = (
        b'[\n{"name":"localhost","lastheardfrom":%d,"address":"127.0.0.1",'
        b'"address":"6.6.6.6","type":"hashtable","port":1},\n'
        b'{"name":"old","lastheardfrom":%d,"address":"a","type":"hashtable"},\n'
        b'{"name":"gone","lastheardfrom":%d,"leaving":1,"type":"hashtable"},\n'
        b'{"name":"h","lastheardfrom":%d,"type":"chirp"}\n]\n'
    ) % (now, now - 200, now, now)
    with answering(HEAD + body) as (address, asked):
        found = Catalogs([address]).find('type=="hashtable"', within_s=5)
    assert [each["name"] for each in found] == ["localhost"]
    assert found[0]["address"] == "127.0.0.1"
    [request] = asked
    line, *headers = request.split(b"\r\n")
    assert b64decode(line.split(b" ")[1].removeprefix(b"/query/")) == (
        b'type=="hashtable"'
    )
    assert headers[:2] == [b"Connection: close", b"Host: 127.0.0.1"]
    assert request.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense",
        b"HTTP/1.1 500 Oh\r\n\r\n[]",
        b"HTTP/2 200 OK\r\n\r\n[]",
        HEAD + b"[1",
        HEAD + b'{"a":1}',
        HEAD + b"[" * 100_000,
        b"HTTP/1.1 200 OK\r\n",
    ],
)
def test_2_27_who_answers_nonsense_is_asked_last(answer: bytes) -> None:
    with answering(answer) as (bad, asked), answering(HEAD + b"[\n\n]\n") as (good, _):
        both = Catalogs([bad, good])
        for _ in range(3):
            assert both.query(within_s=5) == []
        assert len(asked) == 1
        with pytest.raises(Unreachable, match=bad):
            Catalogs([bad]).query(within_s=0.2)


def test_what_is_unclear_is_asked_of_nobody() -> None:
    with answering(HEAD + b"[\n\n]\n") as (address, asked):
        with pytest.raises(BadExpression):
            Catalogs([address]).query("a and b or c", within_s=5)
        assert asked == []
