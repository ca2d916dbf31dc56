"""CLUSTER: which peer owns which slots, for clients that go straight to the owner."""

from hashlib import sha1
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from shoal.core import address as addresses
from shoal.core.machine import PeerId
from shoal.table.messages import SLOTS
from shoal.table.redis.commands import TURN_BYTES, Family, TalkCommand, help_on
from shoal.table.redis.integers import integer
from shoal.table.redis.replies import CommandError, Reply, Verbatim
from shoal.table.redis.server import RedisServer
from shoal.table.redis.strings import check_total
from shoal.table.redis.talk import RedisTalk
from shoal.table.slots import slot_of

_HELP = (
    "CLUSTER <subcommand> [argument ...]. There are:",
    "COUNTKEYSINSLOT <slot>: how many keys a slot has here.",
    "GETKEYSINSLOT <slot> <count>: some of them.",
    "INFO: how the cluster is.",
    "KEYSLOT <key>: which slot a key has.",
    "MYID: what this peer is called here.",
    "NODES, SHARDS, SLOTS: which peer has which slots.",
    "HELP: this.",
)


def node_id(peer: PeerId) -> str:
    """What clients know a peer by: forty hexadecimal digits, whatever its name."""
    return sha1(peer.encode(), usedforsecurity=False).hexdigest()


class _Node(NamedTuple):
    """A peer as clients know it, and the slots that it owns."""

    peer: PeerId
    host: str
    port: int
    owned: list[tuple[int, int]]


def _nodes(server: RedisServer) -> list[_Node]:
    """This peer, and every other that has slots and can be dialled."""
    routes, here = server.abroad.routes, server.surroundings
    host, port = addresses.parse(routes.address(here.name) or here.address)
    known = {here.name: _Node(here.name, host, port, [])}
    for peer in routes.peers():
        if peer not in known and (address := routes.address(peer)):
            known[peer] = _Node(peer, *addresses.parse(address), [])
    for each in routes.ranges():
        if owner := known.get(each.owner):
            _add(owner.owned, each.first, each.last)
    return list(known.values())


def _add(owned: list[tuple[int, int]], first: int, last: int) -> None:
    """Neighbours are one: as many lines as there must be, whoever has copies."""
    if owned and owned[-1][1] == first - 1:
        first, _ = owned.pop()
    owned.append((first, last))


def slots(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLUSTER SLOTS. Owners alone: who has a copy would only ask them."""
    nothing_more: dict[str, Reply] = {}
    told: list[tuple[int, int, list[Reply]]] = [
        (first, last, [each.host, each.port, node_id(each.peer), nothing_more])
        for each in _nodes(talk.server)
        for first, last in each.owned
    ]
    return [list(each) for each in sorted(told, key=itemgetter(0))]


def shards(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLUSTER SHARDS."""
    return [
        {"slots": [end for ends in each.owned for end in ends], "nodes": [_told(each)]}
        for each in _nodes(talk.server)
        if each.owned
    ]


def _told(node: _Node) -> dict[str, Reply]:
    return {
        "id": node_id(node.peer),
        "port": node.port,
        "ip": node.host,
        "endpoint": node.host,
        "role": "master",
        "replication-offset": 0,
        "health": "online",
    }


def nodes(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLUSTER NODES."""
    lines = []
    for each in _nodes(talk.server):
        me = "myself," if each.peer == talk.server.surroundings.name else ""
        where = f"{each.host}:{each.port}@{each.port}"
        line = f"{node_id(each.peer)} {where} {me}master - 0 0 1 connected"
        owned = [
            f"{first}-{last}" if first < last else f"{first}"
            for first, last in each.owned
        ]
        lines.append(" ".join([line, *owned]))
    return Verbatim("".join(f"{line}\n" for line in lines))


def info(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLUSTER INFO."""
    known = _nodes(talk.server)
    assigned = sum(last - first + 1 for e in known for first, last in e.owned)
    fields = {
        "cluster_state": "ok" if assigned == SLOTS else "fail",
        "cluster_slots_assigned": assigned,
        "cluster_slots_ok": assigned,
        "cluster_slots_pfail": 0,
        "cluster_slots_fail": 0,
        "cluster_known_nodes": len(known),
        "cluster_size": sum(bool(each.owned) for each in known),
        "cluster_current_epoch": 1,
        "cluster_my_epoch": 1,
    }
    return Verbatim("".join(f"{name}:{value}\r\n" for name, value in fields.items()))


def myid(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLUSTER MYID."""
    return node_id(talk.server.surroundings.name)


def keyslot(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLUSTER KEYSLOT key."""
    return slot_of(words[0])


def countkeysinslot(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLUSTER COUNTKEYSINSLOT slot."""
    slot = integer(words[0])
    if not 0 <= slot < SLOTS:
        raise CommandError("ERR Invalid slot")
    table = talk.server.table
    table.rest_on_all()
    return sum(1 for _ in table.living(slot))


def getkeysinslot(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLUSTER GETKEYSINSLOT slot count."""
    slot, count = map(integer, words)
    if not 0 <= slot < SLOTS or count < 0:
        raise CommandError("ERR Invalid slot or number of keys")
    table = talk.server.table
    table.rest_on_all()
    found: list[Reply] = []
    total = 0
    for key, _ in islice(table.living(slot), min(count, table.size)):
        found.append(key)
        total += len(key)
        check_total(total)
    return found


_CHANGING = "nondeterministic_output"

COMMANDS = [
    Family(
        "CLUSTER",
        (
            TalkCommand("CLUSTER|SLOTS", 2, slots, "stale", "", _CHANGING),
            TalkCommand("CLUSTER|SHARDS", 2, shards, "stale", "", _CHANGING),
            TalkCommand("CLUSTER|NODES", 2, nodes, "stale", "", _CHANGING),
            TalkCommand("CLUSTER|INFO", 2, info, "stale", "", _CHANGING),
            TalkCommand("CLUSTER|MYID", 2, myid, "stale"),
            TalkCommand("CLUSTER|KEYSLOT", 3, keyslot, "stale"),
            TalkCommand(
                "CLUSTER|COUNTKEYSINSLOT", 3, countkeysinslot, "stale", work=TURN_BYTES
            ),
            TalkCommand(
                "CLUSTER|GETKEYSINSLOT",
                4,
                getkeysinslot,
                "stale",
                "",
                _CHANGING,
                work=TURN_BYTES,
            ),
            help_on("CLUSTER", _HELP),
        ),
    )
]
