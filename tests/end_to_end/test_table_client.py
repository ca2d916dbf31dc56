"""The table from Python, of a real peer, by waiting and by coroutines."""

import asyncio
import threading

import pytest

import shoal
from shoal.client import Client
from shoal.client.coroutines import Network
from tests.end_to_end.cluster import Cluster, Node
from tests.end_to_end.dialects import Lines
from tests.end_to_end.test_table_dialects import AWKWARD


@pytest.fixture(scope="module")
def node(sharer: Cluster) -> Node:
    return sharer.up()[0]


@pytest.fixture
def net(node: Node) -> Client:
    return node.client()


def test_0_13_fifty_clients_put_at_once(node: Node) -> None:
    begin = threading.Barrier(50)

    def put(number: int) -> None:
        with node.client() as net:
            begin.wait()
            for n in range(20):
                net.table.put(f"fifty-{number}-{n}", f"{number}.{n}")

    threads = [threading.Thread(target=put, args=[n]) for n in range(50)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    wanted = {
        f"fifty-{n}-{m}": f"{n}.{m}".encode() for n in range(50) for m in range(20)
    }
    with node.client() as net:
        assert dict(zip(wanted, net.table.get_many(wanted), strict=True)) == wanted
        assert net.table.delete_many(wanted) == 1000


@pytest.mark.parametrize("value", AWKWARD, ids=lambda v: repr(v[:12]))
def test_0_14_any_value_comes_back_under_any_key(net: Client, value: bytes) -> None:
    table, key = net.table, b"key of " + value[:1000]
    table[key] = value
    assert table[key] == value
    assert key in table
    assert table.get_many([key, b"nothing", key]) == [value, None, value]
    del table[key]
    assert key not in table
    net.close()


def test_a_table_is_used_like_a_dictionary(net: Client) -> None:
    with net:
        net.table["colour"] = "grün"
        assert net.table["colour"] == "grün".encode()
        assert net.table.get("colour") == "grün".encode()
        assert net.table.get("nothing") is None
        assert net.table.get("nothing", b"else") == b"else"
        del net.table["colour"]
        for missing in (lambda: net.table["colour"], lambda: net.table.json["colour"]):
            with pytest.raises(KeyError):
                missing()
        with pytest.raises(KeyError):
            del net.table["colour"]
        assert net.table.delete("colour") is False
        assert net.table


def test_documents_are_those_of_the_lines(node: Node, net: Client) -> None:
    document = {"weight": 100, "name": "fred"}
    with net, Lines(node) as lines:
        net.table.json["zebra"] = document
        assert lines.ask("lookup", key="zebra")["result"] == document
        assert net.table["zebra"] == b'{"weight":100,"name":"fred"}'
        lines.ask("insert", key="zebra", value=[1, 2])
        assert net.table.json["zebra"] == [1, 2]
        net.table["raw"] = b"\xff"
        assert net.table.json["raw"] == {"base64": "/w=="}
        net.table.json.put_many({"a": 1, "b": None})
        assert net.table.json.get_many(["a", "b", "nothing"]) == [1, None, None]


def test_what_cannot_be_put_is_told_before_it_is_sent(net: Client) -> None:
    with net:
        with pytest.raises(shoal.Misuse, match="8388609 bytes"):
            net.table["big"] = bytes((8 << 20) + 1)
        with pytest.raises(shoal.Misuse, match="65537 bytes"):
            net.table[bytes((64 << 10) + 1)] = b""
        with pytest.raises(shoal.Misuse, match="time to live"):
            net.table.put("k", "v", ttl_s=0)
        with pytest.raises(TypeError):
            net.table.put("k", 5)  # type: ignore[arg-type]
        with pytest.raises(shoal.Misuse, match="document"):
            net.table.json["k"] = object()
        net.table["big"] = bytes(8 << 20)
        assert net.table["big"] == bytes(8 << 20)
        del net.table["big"]


def test_many_large_values_do_not_wait_for_each_other(net: Client) -> None:
    """More than the system holds back in both directions."""
    values = {f"large-{n}": bytes([n]) * 1_000_000 for n in range(30)}
    with net:
        net.table.put_many(values)
        assert net.table.get_many(values) == list(values.values())
        assert net.table.delete_many(values) == 30


def test_a_peer_that_comes_back_is_found_again(user: Cluster) -> None:
    [node] = user.up()
    with node.client() as net:
        net.table["k"] = "v"
        user.ask("down")
        with pytest.raises(shoal.Unreachable):
            net.table.get("k")
        user.restart(node)
        assert net.table["k"] == b"v"
        net.table["k"] = "w"
        assert net.status()["name"] == node.name


def test_coroutines_have_the_same_verbs(node: Node) -> None:
    async def main() -> None:
        async with Network(node.client()) as net:
            table = net.table
            await asyncio.gather(*(table.put(f"c{n}", str(n)) for n in range(300)))
            found = await asyncio.gather(*(table.get(f"c{n}") for n in range(300)))
            assert found == [b"%d" % n for n in range(300)]
            assert await table.get_many(["c1", "nothing"]) == [b"1", None]
            assert await table.contains("c2")
            assert await table.get("nothing", b"else") == b"else"
            assert await table.delete_many(f"c{n}" for n in range(300)) == 300
            assert await table.delete("c1") is False
            await table.put_many({"d1": "a", "d2": "b"})
            await table.json.put("doc", {"a": [1]})
            assert await table.json.get("doc") == {"a": [1]}
            await table.json.put_many({"e": 1})
            assert await table.json.get_many(["e", "no"]) == [1, None]
            assert (await net.status())["name"] == node.name
            assert [each["name"] for each in await net.members()] == [node.name]

    asyncio.run(main())
