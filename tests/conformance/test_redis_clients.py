"""Programs that nobody here wrote, against a peer."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.conformance.redis_server import needed
from tests.end_to_end.cluster import Cluster

# Those of its tests that need nothing but strings.
BENCHMARKS = "ping_inline,ping_mbulk,set,get,incr,mset"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    cluster = Cluster(tmp_path_factory.mktemp("home"))
    yield int(cluster.up("--storage", "memory")[0].address.rpartition(":")[2])
    cluster.stop()


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def client(port: int, request: pytest.FixtureRequest) -> Iterator[Any]:
    made = redis.Redis(port=port, protocol=request.param, retry=Retry(NoBackoff(), 0))
    made.flushall()
    yield made
    made.close()


def cli(port: int, *words: str, typed: str | None = None) -> str:
    program = needed("redis-cli")
    done = subprocess.run(
        [program, "-p", str(port), *words],
        input=typed,
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout.strip()


def test_redis_cli(port: int) -> None:
    assert cli(port, "SET", "k", "v") == "OK"
    assert cli(port, "GET", "k") == "v"
    assert cli(port, "-3", "--json", "MGET", "k", "none") == '["v",null]'
    assert cli(port, typed="SET a 1\nINCR a\nGET a\n").splitlines() == ["OK", "2", "2"]
    assert "redis_mode:cluster" in cli(port, "INFO", "server")
    assert cli(port, "--scan", "--pattern", "a*") == "a"
    assert cli(port, "-c", "GET", "k") == "v"
    assert "All 16384 slots covered" in cli(
        port, "--cluster", "check", f"127.0.0.1:{port}"
    )


def test_redis_cli_sends_in_bulk(port: int) -> None:
    many = "".join(f"SET bulk:{n} {n}\r\n" for n in range(1000))
    told = cli(port, "--pipe", typed=many)
    assert "errors: 0, replies: 1000" in told


def test_values(client: Any) -> None:
    assert client.set("k", "v", ex=100, nx=True)
    assert client.set("k", "w", nx=True) is None
    assert client.get("k") == b"v"
    assert client.mset({"a": 1, "b": 2})
    assert client.mget("a", "none", "b") == [b"1", None, b"2"]
    assert client.incrbyfloat("a", 0.5) == 1.5
    assert client.getex("k", persist=True) == b"v"
    assert client.ttl("k") == -1
    assert client.setrange("k", 3, "x") == 4
    assert client.getrange("k", 0, 0) == b"v"
    assert client.delete("k", "none") == 1
    assert sorted(client.scan_iter(count=1)) == [b"a", b"b"]
    assert client.execute_command("CAS", "a", "1.5", "2") == 1
    with pytest.raises(redis.ResponseError, match="not an integer"):
        client.incr("k2", 0 if client.set("k2", "text") else 1)


def test_a_pipeline(client: Any) -> None:
    pipeline = client.pipeline(transaction=False)
    for number in range(1000):
        pipeline.set(f"p{number}", number)
        pipeline.get(f"p{number}")
    assert pipeline.execute()[1::2] == [b"%d" % number for number in range(1000)]


def test_a_transaction_is_unknown(client: Any) -> None:
    with pytest.raises(redis.ResponseError, match="unknown command 'MULTI'"):
        client.execute_command("MULTI")


def test_what_it_asks_of_the_server(client: Any) -> None:
    assert client.info()["cluster_enabled"] == 1
    assert client.config_get("appendonly") == {"appendonly": "no"}
    assert client.client_setname("me")
    assert client.client_info()["name"] == "me"
    assert [each["name"] for each in client.client_list()].count("me") == 1
    assert client.command_getkeys("MSET", "a", "1", "b", "2") in (
        ["a", "b"],
        [b"a", b"b"],
    )
    assert client.command_count() > 60
    assert client.time()[0] > 1_000_000_000


def test_listening(client: Any) -> None:
    client.config_set("notify-keyspace-events", "KEA")
    listener = client.pubsub(ignore_subscribe_messages=True)
    listener.subscribe("news")
    listener.psubscribe("__keyevent@0__:*")
    assert listener.get_message(timeout=5) is None  # The confirmations.
    assert listener.get_message(timeout=5) is None
    assert client.publish("news", "hello") == 1
    client.set("k", "v", ex=100)
    heard = [told["data"] for told in _messages(listener, 3)]
    assert heard[-2:] == [b"k", b"k"]
    assert heard[0] == b"hello"
    listener.close()
    client.config_set("notify-keyspace-events", "")


def _messages(
    listener: "redis.client.PubSub", count: int
) -> Iterator[dict[str, bytes]]:
    while count:
        told = listener.get_message(timeout=5)
        if told:
            count -= 1
            yield told


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_cluster_client_goes_to_the_owner(port: int, protocol: int) -> None:
    client: Any = redis.RedisCluster(host="127.0.0.1", port=port, protocol=protocol)
    client.flushall()
    for number in range(100):
        assert client.set(f"c{number}", number)
    assert client.mget_nonatomic("c1", "c99") == [b"1", b"99"]
    assert client.dbsize() == 100
    node = client.get_node_from_key("c1")
    assert node is not None
    assert node.port == port
    assert client.cluster_keyslot("c1") == client.keyslot("c1")
    client.close()


def test_redis_benchmark(port: int) -> None:
    program = needed("redis-benchmark")
    for extra in ([], ["-P", "16"]):  # --cluster refuses a cluster of one node.
        subprocess.run(
            [program, "-p", str(port), "-t", BENCHMARKS, "-n", "2000", "-q", *extra],
            check=True,
            capture_output=True,
            timeout=60,
        )
