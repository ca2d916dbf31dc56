"""The table from a command line: what is printed, and the code it ends with."""

import json
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from tests.end_to_end.cluster import START_S, Cluster, Node

USAGE, UNREACHABLE, NOT_FOUND, DEADLINE = 2, 3, 4, 124

HEAVY = ("asyncio", "aiohttp", "numpy", "http.client", "multiprocessing", "rich")


@pytest.fixture(scope="module")
def node(sharer: Cluster) -> Node:
    return sharer.up()[0]


def run(
    user: Cluster, *arguments: str, said: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """One command, with what it reads and prints as bytes."""
    return subprocess.run(
        [sys.executable, "-m", "shoal", *arguments],
        env=user.environment,
        input=said,
        capture_output=True,
        timeout=START_S,
        check=False,
    )


def test_put_and_get_and_del(sharer: Cluster, node: Node) -> None:
    assert sharer.shoal("put", "k", "two words").stdout == ""
    assert sharer.shoal("get", "k").stdout == "two words"
    assert sharer.ask("get", "k") == {"key": "k", "value": "two words"}
    assert sharer.ask("put", "n", "-5") == {"key": "n", "bytes": 2}
    assert sharer.shoal("get", "n").stdout == "-5"
    assert sharer.ask("del", "k", "n", "nothing") == {"deleted": 2}
    gone = sharer.shoal("get", "k")
    assert gone.returncode == NOT_FOUND
    assert gone.stderr == "shoal: key k: the table has nothing there; see: shoal keys\n"
    assert sharer.shoal("del", "k").returncode == NOT_FOUND
    assert sharer.shoal("del", "k", "--json").returncode == NOT_FOUND


@pytest.mark.parametrize("value", [b"\0\xff\r\n\n", b"", "世界\n".encode()])
def test_bytes_go_through_as_they_are(
    sharer: Cluster, node: Node, value: bytes
) -> None:
    assert run(sharer, "put", "raw", "-", said=value).returncode == 0
    assert run(sharer, "get", "raw").stdout == value


def test_a_value_that_is_no_text_is_told_in_base64(sharer: Cluster, node: Node) -> None:
    run(sharer, "put", "raw", "-", said=b"\xff")
    assert sharer.ask("get", "raw")["value"] == {"base64": "/w=="}


def test_get_is_light(sharer: Cluster, node: Node) -> None:
    """It answers in a blink because it imports what it needs and nothing else."""
    sharer.shoal("put", "k", "v")
    code = (
        "import sys; from shoal.__main__ import main\n"
        "try: main(['get', 'k'])\n"
        f"finally: print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=sharer.environment,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert (done.stdout, done.stderr.strip()) == ("v", "[]")


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (("put", "k"), USAGE, "VALUE"),
        (("put", "k", "v", "--ttl", "0"), USAGE, "--ttl"),
        (("get",), USAGE, "KEY"),
        (("del",), USAGE, "KEY"),
        (("watch",), USAGE, "KEY"),
        (("put", "k" * 65537, "v"), USAGE, "65537 bytes"),
        (("bench", "chairs"), USAGE, "chairs"),
        (("bench", "table", "--clients", "0"), USAGE, "--clients"),
        (("bench", "table", "--plot", "plot.doc"), USAGE, "plot.svg"),
    ],
)
def test_what_makes_no_sense(
    sharer: Cluster, node: Node, command: tuple[str, ...], code: int, says: str
) -> None:
    done = sharer.shoal(*command)
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("shoal: ")
    assert says in done.stderr


@pytest.mark.parametrize(
    "command",
    [("put", "k", "v"), ("get", "k"), ("del", "k"), ("keys",), ("watch", "k")],
)
def test_a_peer_that_is_not_there(user: Cluster, command: tuple[str, ...]) -> None:
    done = user.shoal(*command, environment={"SHOAL_PEER": "127.0.0.1:1"})
    assert done.returncode == UNREACHABLE
    assert "127.0.0.1:1: connection refused" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_peer_that_is_silent(user: Cluster) -> None:
    import signal

    [node] = user.up()
    node.kill(signal.SIGSTOP)
    for command in (("get", "k"), ("put", "k", "v"), ("watch", "k")):
        done = user.shoal(*command, "--timeout", "0.5")
        assert done.returncode == DEADLINE, done.stderr
        assert "no answer in 0.5 s" in done.stderr


def test_2_24_a_bench_of_one_to_eight_clients(sharer: Cluster, node: Node) -> None:
    told = sharer.ask("bench", "table", "--clients", "8", "--ops", "40")
    assert [run["clients"] for run in told["runs"]] == list(range(1, 9))
    for each in told["runs"]:
        for stage in ("insert", "lookup", "scan", "remove"):
            clients = each[stage]["each"]
            assert len(clients) == each["clients"]
            assert all(c["ops_per_s"] > 0 and c["latency_s"] > 0 for c in clients)
            # From the first beginning to the last end: never more than the rates.
            most = sum(c["ops_per_s"] for c in clients)
            assert 0 < each[stage]["sum_ops_per_s"] <= most * 1.001
    for each in told["outliers"].values():
        assert 0 < each["fastest_s"] <= each["latency_s"] <= each["slowest_s"]
    with node.client() as net:
        assert net.table.get("bench-0-0") is None  # What it puts, it removes.


def test_a_bench_prints_a_table_and_draws_a_plot(sharer: Cluster, node: Node) -> None:
    plot = sharer.root / "plot.svg"
    done = sharer.shoal(
        *("bench", "table", "--clients", "2", "--ops", "20", "--plot", str(plot))
    )
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert re.search(r"client 1 .*client 2 .*sum .*mean latency, ms", words)
    assert re.search(r"20 pairs, insert: fastest [\d.]+ ms, slowest [\d.]+ ms", words)
    drawn = ElementTree.fromstring(plot.read_text())
    texts = ["".join(each.itertext()) for each in drawn.iter() if each.text]
    assert {"insert", "lookup", "scan", "remove", "clients at once"} <= set(texts)


def test_json_is_told_for_errors_too(sharer: Cluster, node: Node) -> None:
    error = json.loads(sharer.shoal("get", "nothing", "--json").stderr)["error"]
    assert error["kind"] == "NotFound"
    assert error["thing"] == "key nothing"
