"""Commands on what one key has: bytes, and when they end."""

from shoal.table.messages import MAX_KEY_BYTES, MAX_VALUE_BYTES, NEVER, Entry
from shoal.table.redis.commands import KeyCommand, Keys
from shoal.table.redis.replies import CommandError, Reply, Status

_OK = Status("OK")


def get(keys: Keys, words: list[bytes]) -> Reply:
    """GET key."""
    entry = keys.find(words[0])
    return entry.value if entry else None


def set_(keys: Keys, words: list[bytes]) -> Reply:
    """SET key value."""
    key, value, *options = words
    if options:
        raise CommandError("ERR syntax error")
    store(keys, key, value)
    keys.tell("set", key)
    return _OK


def delete(keys: Keys, words: list[bytes]) -> Reply:
    """DEL key [key ...]: how many of them had something."""
    gone = [key for key in words if keys.find(key) and keys.drop(key)]
    for key in gone:
        keys.tell("del", key)
    return len(gone)


def exists(keys: Keys, words: list[bytes]) -> Reply:
    """EXISTS key [key ...]: how many of them have something."""
    return sum(keys.find(key) is not None for key in words)


def store(keys: Keys, key: bytes, value: bytes, deadline_ms: int = NEVER) -> None:
    """Let a key have that, if neither is too long."""
    if len(key) > MAX_KEY_BYTES:
        raise CommandError(
            f"ERR the key has {len(key)} bytes, the longest are {MAX_KEY_BYTES}"
        )
    if len(value) > MAX_VALUE_BYTES:
        raise CommandError(
            f"ERR the value has {len(value)} bytes, the longest are {MAX_VALUE_BYTES}"
        )
    keys.put(key, value, deadline_ms)


def value_of(entry: Entry | None) -> bytes:
    """What it has, or nothing at all."""
    return entry.value if entry else b""


COMMANDS = [
    KeyCommand("GET", 2, get, ("readonly", "fast")),
    KeyCommand("SET", -3, set_, ("write", "denyoom")),
    KeyCommand("DEL", -2, delete, ("write",), last_key=-1),
    KeyCommand("EXISTS", -2, exists, ("readonly", "fast"), last_key=-1),
]
