"""Three peers with a watcher at each, and one dies: the last value is always told."""

import time
from contextlib import suppress
from functools import partial
from threading import Thread

from shoal.client import Client
from shoal.errors import ShoalError
from tests.end_to_end.cluster import Cluster, Node, wait_until

KEYS = [b"watched-%d" % n for n in range(40)]

# Ten times as long as a death is to be noticed.
LIMIT_S = 40.0

LAST = 1 << 40


class Watching:
    """What one who watches is told, until it has the last value of every key."""

    def __init__(self, node: Node) -> None:
        self.told: dict[bytes, list[int]] = {key: [] for key in KEYS}
        self._changes = node.client().table.watch(*KEYS)
        self.thread = Thread(target=self._watch, daemon=True)
        self.thread.start()

    def has(self, number: int) -> bool:
        """Was it told that each key has that?"""
        return all(told[-1:] == [number] for told in self.told.values())

    def _watch(self) -> None:
        missing = dict.fromkeys(KEYS)
        for key, value in self._changes:
            assert value, "nothing is deleted"
            self.told[key].append(int(value))
            if int(value) == LAST:
                del missing[key]
            if not missing:
                return


def shared(nodes: list[Node]) -> bool:
    """Does each own something?"""
    with nodes[0].client() as net:
        ranges = net.table.command("CLUSTER", "SLOTS")
    owners = {(bytes(each[2][0]), int(each[2][1])) for each in ranges}
    return len(owners) == len(nodes)


def write(net: Client, key: bytes, number: int) -> bool:
    """Whether anybody knows that it is done."""
    with suppress(ShoalError):
        return net.table.put(key, str(number))
    return False


def test_the_last_value_is_told_though_an_owner_dies(user: Cluster) -> None:
    nodes = user.up("--peers", "3")
    wait_until(lambda: shared(nodes), 2 * LIMIT_S, "each to own something")
    watching = [Watching(node) for node in nodes]
    with nodes[0].client() as net:
        for number in range(1, 6):
            assert all(write(net, key, number) for key in KEYS)
        for each in watching:
            wait_until(partial(each.has, 5), LIMIT_S, "every change to be told")
            assert each.told == {key: [1, 2, 3, 4, 5] for key in KEYS}
        nodes[2].kill()
        number = 5
        until = time.monotonic() + LIMIT_S
        for key in KEYS:
            written = False
            while not written:
                assert time.monotonic() < until, "somebody owns it again"
                number += 1
                written = write(net, key, number)
        for key in KEYS:
            assert write(net, key, LAST)
    for each in watching:
        each.thread.join(LIMIT_S)
        assert not each.thread.is_alive()
        for told in each.told.values():
            assert told == sorted(set(told)), "once, and in order"
