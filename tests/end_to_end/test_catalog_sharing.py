"""Catalogs that are peers of one network: what one hears, all answer."""

import json
import signal
import time
from typing import Any

from tests.end_to_end.cataloguing import Reached
from tests.end_to_end.cluster import Cluster, Node, wait_all_alive, wait_until

# Ten times what is promised: a second for the way and the batch, and room.
SPREAD_S = 20.0

SAID = {"type": "x", "port": 7, "project": "p", "lifetime": 900}


def catalog_of(node: Node) -> Reached:
    return Reached(node.client().get("/api/status")["catalog_port"])


def tell(catalog: Reached, **more: object) -> None:
    catalog.cast(json.dumps({**SAID, **more}).encode())


def same(catalogs: list[Reached], count: int) -> list[dict[str, Any]]:
    """What all answer, when all answer the same of so many records."""
    found: list[list[dict[str, Any]]] = []

    def agreed() -> bool:
        found[:] = [each.records('type=="x"') for each in catalogs]
        return len(found[0]) == count and all(each == found[0] for each in found)

    wait_until(agreed, SPREAD_S, f"{count} records at all")
    return found[0]


def test_what_one_hears_all_answer_and_after_its_death_too(user: Cluster) -> None:
    nodes = user.up("--peers", "3", "--catalog-port", "0")
    wait_all_alive(nodes)
    first, *others = catalogs = [catalog_of(node) for node in nodes]
    began = int(time.time())
    tell(first)
    [record] = same(catalogs, 1)
    assert began <= record["lastheardfrom"] <= time.time()
    assert (record["address"], record["name"]) == ("127.0.0.1", "localhost")
    wait_until(lambda: time.time() >= record["lastheardfrom"] + 1, 10, "a second")
    tell(first)  # The same once more: only its time is new.
    [again] = same(catalogs, 1)
    assert {**again, "lastheardfrom": 0} == {**record, "lastheardfrom": 0}
    tell(first, load=3)
    wait_until(lambda: same(catalogs, 1)[0].get("load") == 3, SPREAD_S, "the change")
    [changed] = same(catalogs, 1)
    assert changed["lastheardfrom"] > record["lastheardfrom"]
    nodes[0].kill(signal.SIGKILL)
    wait_until(lambda: not nodes[0].runs, 10, "the peer to be gone")
    assert same(others, 1) == [changed]
    where = ("--dir", str(user.root / "late"), "--join", nodes[1].address)
    [late] = user.up(*where, "--catalog-port", "0")
    everybody = [*others, catalog_of(late)]
    assert same(everybody, 1) == [changed]
    tell(everybody[-1], lifetime=1, leaving=1)
    same(everybody, 0)


def test_a_catalog_that_was_away_learns_what_ended_and_what_is_new(
    user: Cluster,
) -> None:
    nodes = user.up("--peers", "3", "--catalog-port", "0")
    wait_all_alive(nodes)
    catalogs = [catalog_of(node) for node in nodes]
    for port in range(3):
        tell(catalogs[port], port=port)
    same(catalogs, 3)
    nodes[2].kill(signal.SIGKILL)
    wait_until(lambda: not nodes[2].runs, 10, "the peer to be gone")
    tell(catalogs[0], port=0, lifetime=1, leaving=1)
    tell(catalogs[1], port=1, load=9)
    remaining = same(catalogs[:2], 2)
    user.restart(nodes[2], "--catalog-port", str(catalogs[2].port))
    assert same(catalogs, 2) == remaining
    assert remaining[0].get("load") == 9


def test_peers_that_are_no_catalogs_are_left_in_peace(user: Cluster) -> None:
    [one] = user.up("--catalog-port", "0")
    [plain] = user.up("--join", one.address)
    [two] = user.up("--join", plain.address, "--catalog-port", "0")
    wait_all_alive([one, plain, two])
    tell(catalog_of(one))
    same([catalog_of(one), catalog_of(two)], 1)
    assert "WARNING" not in plain.log()
