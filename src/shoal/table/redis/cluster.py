"""CLUSTER: which peer owns which slots, for clients that go straight to the owner."""

from hashlib import sha1
from itertools import islice

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

_LAST_SLOT = SLOTS - 1


def node_id(peer: PeerId) -> str:
    """What clients know a peer by: forty hexadecimal digits, whatever its name."""
    return sha1(peer.encode(), usedforsecurity=False).hexdigest()


def _here(server: RedisServer) -> tuple[str, int, str]:
    """This peer's host, port and id."""
    around = server.surroundings
    host, port = addresses.parse(around.address)
    return host, port, node_id(around.name)


def slots(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLUSTER SLOTS."""
    host, port, node = _here(talk.server)
    nothing_more: dict[str, Reply] = {}
    return [[0, _LAST_SLOT, [host, port, node, nothing_more]]]


def shards(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLUSTER SHARDS."""
    host, port, node = _here(talk.server)
    described: dict[str, Reply] = {
        "id": node,
        "port": port,
        "ip": host,
        "endpoint": host,
        "role": "master",
        "replication-offset": 0,
        "health": "online",
    }
    return [{"slots": [0, _LAST_SLOT], "nodes": [described]}]


def nodes(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLUSTER NODES."""
    host, port, node = _here(talk.server)
    where = f"{host}:{port}@{port}"
    return Verbatim(f"{node} {where} myself,master - 0 0 1 connected 0-{_LAST_SLOT}\n")


def info(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLUSTER INFO."""
    fields = {
        "cluster_state": "ok",
        "cluster_slots_assigned": SLOTS,
        "cluster_slots_ok": SLOTS,
        "cluster_slots_pfail": 0,
        "cluster_slots_fail": 0,
        "cluster_known_nodes": 1,
        "cluster_size": 1,
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
