"""INFO, TIME, WAIT: how the peer is doing, as Redis's clients ask for it."""

from shoal.table.redis.commands import TalkCommand
from shoal.table.redis.conversation import COMPATIBLE
from shoal.table.redis.integers import integer
from shoal.table.redis.replies import CommandError, Reply, Verbatim
from shoal.table.redis.server import RedisServer
from shoal.table.redis.talk import RedisTalk
from shoal.version import VERSION

_ALL = frozenset([b"all", b"everything", b"default"])

_Fields = dict[str, object]


def info(talk: RedisTalk, words: list[bytes]) -> Reply:
    """INFO [section ...]."""
    talk.server.table.rest_on_all()
    wanted = frozenset(word.lower() for word in words)
    everything = not wanted or wanted & _ALL
    parts = [
        f"# {name}\r\n"
        + "".join(f"{field}:{value}\r\n" for field, value in say(talk.server).items())
        for name, say in _SECTIONS.items()
        if everything or name.lower().encode() in wanted
    ]
    return Verbatim("\r\n".join(parts))


def _server(server: RedisServer) -> _Fields:
    around = server.surroundings
    uptime_s = int(server.table.now_ms / 1000 - around.since)
    return {
        "redis_version": COMPATIBLE,
        "redis_mode": "cluster",
        "shoal_version": VERSION,
        "shoal_peer": around.name,
        "process_id": around.process,
        "tcp_port": around.address.rpartition(":")[2],
        "server_time_usec": server.table.now_ms * 1000,
        "uptime_in_seconds": uptime_s,
        "uptime_in_days": uptime_s // 86400,
    }


def _clients(server: RedisServer) -> _Fields:
    listening = [each for each in server.clients.values() if each.listening]
    return {
        "connected_clients": len(server.clients),
        "pubsub_clients": len(listening),
        "blocked_clients": 0,
    }


def _memory(server: RedisServer) -> _Fields:
    used = server.surroundings.memory_bytes()
    return {
        "used_memory": used,
        "maxmemory": 0,
        "maxmemory_policy": "noeviction",
    }


def _persistence(server: RedisServer) -> _Fields:
    return {
        "loading": 0,
        "aof_enabled": int(server.table.logged),
        "shoal_durability": server.surroundings.durability,
    }


def _stats(server: RedisServer) -> _Fields:
    return {
        "total_connections_received": server.welcomed,
        "total_commands_processed": server.answered,
        "evicted_keys": 0,
        "pubsub_channels": len(server.listeners.channels()),
        "pubsub_patterns": server.listeners.patterns,
    }


def _replication(_: RedisServer) -> _Fields:
    return {"role": "master", "connected_slaves": 0}


def _processor(server: RedisServer) -> _Fields:
    system_s, user_s = server.surroundings.processor_s()
    return {"used_cpu_sys": f"{system_s:.6f}", "used_cpu_user": f"{user_s:.6f}"}


def _cluster(_: RedisServer) -> _Fields:
    return {"cluster_enabled": 1}


def _keyspace(server: RedisServer) -> _Fields:
    return {"db0": f"keys={server.table.size}"} if server.table.size else {}


_SECTIONS = {
    "Server": _server,
    "Clients": _clients,
    "Memory": _memory,
    "Persistence": _persistence,
    "Stats": _stats,
    "Replication": _replication,
    "CPU": _processor,
    "Cluster": _cluster,
    "Keyspace": _keyspace,
}


def time(talk: RedisTalk, words: list[bytes]) -> Reply:
    """TIME: seconds and microseconds, exact to the millisecond."""
    seconds, rest_ms = divmod(talk.server.table.now_ms, 1000)
    return [str(seconds), str(rest_ms * 1000)]


def wait(talk: RedisTalk, words: list[bytes]) -> Reply:
    """WAIT replicas milliseconds: what is acknowledged needs no waiting for."""
    integer(words[0])
    if integer(words[1], "ERR timeout is not an integer or out of range") < 0:
        raise CommandError("ERR timeout is negative")
    return 0


COMMANDS = [
    TalkCommand(
        "INFO",
        -1,
        info,
        "loading stale",
        "dangerous",
        "nondeterministic_output request_policy:all_shards response_policy:special",
    ),
    TalkCommand("TIME", 1, time, "loading stale fast", "", "nondeterministic_output"),
    TalkCommand(
        "WAIT",
        3,
        wait,
        "noscript",
        "connection",
        "request_policy:all_shards response_policy:agg_min",
    ),
]
