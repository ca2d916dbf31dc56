"""What changes by itself or by a condition, what is listed, and who is told."""

import asyncio
import json
import subprocess
import sys
import threading

import pytest

import shoal
from shoal.client import Client
from shoal.client.coroutines import Network
from tests.end_to_end.cluster import Cluster, Node, wait_until


@pytest.fixture(scope="module")
def node(sharer: Cluster) -> Node:
    return sharer.up()[0]


@pytest.fixture
def net(node: Node) -> Client:
    return node.client()


def test_counters_and_conditions(net: Client) -> None:
    with net:
        table = net.table
        assert [table.incr("count"), table.incr("count", 5)] == [1, 6]
        assert table.cas("count", "6", "7")
        assert not table.cas("count", "6", "8")
        assert not table.cas("nothing", "a", "b")
        assert table.cas("fresh", None, "first")
        assert not table.cas("fresh", None, "second")
        assert not table.put("fresh", "third", if_absent=True)
        assert table["fresh"] == b"first"
        with pytest.raises(shoal.Misuse, match="not an integer"):
            table.incr("fresh")


def test_clients_that_count_at_once_lose_nothing(node: Node) -> None:
    """By comparing and setting, each until it is done."""

    def count() -> None:
        with node.client() as net:
            for _ in range(20):
                done = False
                while not done:
                    now = net.table.get("shared")
                    done = net.table.cas("shared", now, b"%d" % (int(now or 0) + 1))

    threads = [threading.Thread(target=count) for _ in range(5)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    with node.client() as net:
        assert net.table["shared"] == b"100"


def test_what_has_a_time_to_live_ends(net: Client) -> None:
    with net:
        net.table.put("brief", "v", ttl_s=0.2)
        net.table.put("kept", "v", ttl_s=0.2)
        assert net.table.expire("kept", None)
        assert not net.table.expire("nothing", 5)
        wait_until(lambda: "brief" not in net.table, 5, "the key to end")
        assert net.table["kept"] == b"v"
        assert net.table.expire("kept", 0.01)
        wait_until(lambda: "kept" not in net.table, 5, "the key to end")


def test_keys_are_listed_once_each(sharer: Cluster, net: Client) -> None:
    with net:
        before = len(net.table)
        net.table.put_many({f"list-{n}": "v" for n in range(2500)})
        found = list(net.table.scan("list-*"))
        assert sorted(found) == sorted(b"list-%d" % n for n in range(2500))
        assert set(found) < set(net.table)
        assert len(net.table) == before + 2500
        assert len(list(net.table.scan("list-?"))) == 10
        listed = sharer.shoal("keys", "list-1?").stdout.split()
        assert sorted(listed) == [f"list-{n}" for n in range(10, 20)]
        net.table["\xff"] = "v"
        assert sharer.ask("keys", "ÿ") == ["\xff"]
        assert net.table.delete_many(found) == 2500
        assert sharer.shoal("keys", "list-*").stdout == ""


def test_coroutines_count_list_and_let_end(node: Node) -> None:
    async def main() -> None:
        async with Network(node.client()) as net:
            table = net.table
            counts = await asyncio.gather(*(table.incr("together") for _ in range(50)))
            assert sorted(counts) == list(range(1, 51))
            assert await table.cas("together", "50", "0")
            assert await table.expire("together", 100)
            assert b"together" in [key async for key in table]
            assert [key async for key in table.scan("toge*")] == [b"together"]
            assert await table.size() > 0
            assert await table.command("ECHO", "hello") == b"hello"

    asyncio.run(main())


def watching(user: Cluster, *arguments: str) -> "subprocess.Popen[str]":
    return user.begin("watch", *arguments, "--json")


def wait_watched(node: Node, keys: int) -> None:
    """Wait until somebody watches so many."""

    def watched() -> bool:
        with node.client() as net:
            clients = net.table.command("CLIENT", "LIST").decode()
        return f" feed={keys} " in clients

    wait_until(watched, 20, "the watch to begin")


def test_a_watch_tells_each_change_in_order(sharer: Cluster, node: Node) -> None:
    watch = watching(sharer, "a", "b c", "--count", "5")
    wait_watched(node, 2)
    assert watch.stdout
    heard = []
    with node.client() as net:
        for key, value in (("a", "1"), ("other", "2"), ("b c", "\xff"), ("a", "3")):
            net.table[key] = value
            if key != "other":
                heard.append(json.loads(watch.stdout.readline()))
        del net.table["a"]
        heard.append(json.loads(watch.stdout.readline()))
        net.table.put("a", "brief", ttl_s=0.5)
        heard.append(json.loads(watch.stdout.readline()))
    assert watch.wait(20) == 0
    watch.stdout.close()
    told = [(each["key"], each["value"]) for each in heard]
    changes = [("a", "1"), ("b c", "\xff"), ("a", "3"), ("a", None), ("a", "brief")]
    assert told == changes


def test_a_watch_misses_nothing_however_fast(sharer: Cluster, node: Node) -> None:
    watch = watching(sharer, "busy", "--count", "501")
    wait_watched(node, 1)
    with node.client() as net:
        for n in range(500):
            net.table["busy"] = str(n)
        net.table.command("FLUSHALL")
    assert watch.stdout
    told = [json.loads(line)["value"] for line in watch.stdout]
    assert told == [*map(str, range(500)), None]
    assert watch.wait(20) == 0
    watch.stdout.close()


def test_a_watch_says_that_it_has_lost_its_peer(user: Cluster) -> None:
    [node] = user.up()
    watch = subprocess.Popen(
        [sys.executable, "-m", "shoal", "watch", "k"],
        env=user.environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    wait_watched(node, 1)
    node.kill()
    _, said = watch.communicate(timeout=20)
    assert watch.returncode == 3
    assert "what happened since is not known" in said
