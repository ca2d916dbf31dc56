"""N peers that know nothing of each other, and a client that keeps K copies."""

import threading
import time
from itertools import combinations

import pytest

import shoal
from shoal.core.classic_rings import InvalidRing, successors
from tests.end_to_end.cluster import Cluster, Node
from tests.end_to_end.dialects import Lines

KEYS = [f"animal-{n}" for n in range(40)]
RETRY_S = 0.2


@pytest.fixture
def nodes(user: Cluster) -> list[Node]:
    found = []
    for number in range(3):
        where = ("--dir", str(user.root / f"zoo-{number}"))
        found += user.up(*where, "--name", f"zoo-{number}", "--workers", "1")
    return found


def client(nodes: list[Node], copies: int = 2) -> shoal.ClusterClient:
    return shoal.ClusterClient(
        "zoo",
        3,
        copies,
        peers=[node.address for node in nodes],
        timeout_s=5,
        patience_s=60,
        retry_s=RETRY_S,
    )


def held(node: Node) -> set[str]:
    with Lines(node) as lines:
        found = lines.say(b'{"method":"scan","regex":""}')["result"]
    return {key for key, _ in found}


def test_2_21_a_key_is_on_exactly_two_servers(nodes: list[Node]) -> None:
    zoo = client(nodes)
    for key in [*KEYS, "zebra"]:
        zoo.insert(key, {"weight": 100, "name": key})
    has = [held(node) for node in nodes]
    for key in [*KEYS, "zebra"]:
        places = [n for n in range(3) if key in has[n]]
        assert (
            places == sorted(successors(key.encode(), 3, 2)) == sorted(zoo.places(key))
        )
        assert zoo.lookup(key) == {"weight": 100, "name": key}
    assert zoo.places("zebra")[0] == 2
    assert zoo.remove("zebra")["name"] == "zebra"
    for ask in (zoo.lookup, zoo.remove):
        with pytest.raises(KeyError):
            ask("zebra")
    zoo.close()


def test_2_22_one_of_three_may_be_away(user: Cluster, nodes: list[Node]) -> None:
    zoo = client(nodes)
    for key in KEYS:
        zoo.insert(key, 1)
    user.shoal("down", nodes[1].name)
    assert [zoo.lookup(key) for key in KEYS] == [1] * len(KEYS)
    away = next(key for key in KEYS if 1 in zoo.places(key))
    others = next(key for key in KEYS if 1 not in zoo.places(key))
    zoo.insert(others, 2)
    done = threading.Event()

    def insert() -> None:
        waiting = client(nodes)
        waiting.insert(away, 2)
        waiting.close()
        done.set()

    thread = threading.Thread(target=insert)
    thread.start()
    time.sleep(5 * RETRY_S)
    assert not done.is_set(), "it waits for the one that is away"
    user.restart(nodes[1], "--workers", "1")
    assert done.wait(50), "it goes on when it is back"
    thread.join()
    for number in zoo.places(away):
        with Lines(nodes[number]) as lines:
            asked = b'{"method":"lookup","key":"%b"}' % away.encode()
            assert lines.say(asked)["result"] == 2
    zoo.close()


def test_2_23_a_scan_gives_every_key_once(user: Cluster, nodes: list[Node]) -> None:
    zoo = client(nodes)
    for key in KEYS:
        zoo.insert(key, key)
    zoo.insert("other", 0)
    assert sorted(zoo.scan("^animal-")) == sorted((key, key) for key in KEYS)
    user.shoal("down", nodes[2].name)
    assert sorted(zoo.scan("^animal-")) == sorted((key, key) for key in KEYS)
    with pytest.raises(shoal.Misuse):
        zoo.scan("(")
    zoo.close()


def test_who_waits_in_vain_is_told_for_whom() -> None:
    gone = "127.0.0.1:1"
    zoo = shoal.ClusterClient(
        "zoo", 1, 1, peers=[gone], timeout_s=1, patience_s=0.5, retry_s=RETRY_S
    )
    for ask in (
        lambda: zoo.insert("a", 1),
        lambda: zoo.lookup("a"),
        lambda: zoo.remove("a"),
        lambda: zoo.scan(""),
    ):
        with pytest.raises(shoal.Unreachable, match=gone):
            ask()


@pytest.mark.parametrize(("servers", "copies"), [(3, 0), (3, 4), (2, 1)])
def test_a_cluster_that_is_none(servers: int, copies: int) -> None:
    with pytest.raises(InvalidRing, match="cluster zoo"):
        shoal.ClusterClient("zoo", servers, copies, peers=["a:1", "b:1", "c:1"])


def test_nobody_is_waited_for_whose_keys_lie_elsewhere() -> None:
    """With two copies on three, one may be away; any two hide something."""
    zoo = shoal.ClusterClient("zoo", 3, 2, peers=["a:1", "b:1", "c:1"])
    assert not any(zoo._hides([each]) for each in range(3))
    assert all(zoo._hides(list(pair)) for pair in combinations(range(3), 2))
