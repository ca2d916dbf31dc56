"""Commands on what keys have, which is bytes."""

from shoal.table.messages import MAX_KEY_BYTES, MAX_VALUE_BYTES, NEVER, Entry
from shoal.table.redis.commands import KeyCommand, Keys, wrong_arity
from shoal.table.redis.integers import integer
from shoal.table.redis.replies import DONE, CommandError, Reply

# A reply with more values is refused: eight of the longest.
MAX_TOTAL_BYTES = 8 * MAX_VALUE_BYTES


def read(keys: Keys, key: bytes) -> Entry | None:
    """What a key has; that it has nothing is an event too."""
    entry = keys.find(key)
    if entry is None:
        keys.tell("keymiss", key)
    return entry


def store(keys: Keys, key: bytes, value: bytes, deadline_ms: int = NEVER) -> None:
    """Let a key have that, if neither is too long."""
    check_lengths(key, len(value))
    keys.put(key, value, deadline_ms)


def check_lengths(key: bytes, value_bytes: int) -> None:
    """May this key have a value of that length?"""
    if len(key) > MAX_KEY_BYTES:
        raise CommandError(
            f"ERR the key has {len(key)} bytes, the longest are {MAX_KEY_BYTES}"
        )
    if value_bytes > MAX_VALUE_BYTES:
        raise CommandError(
            f"ERR the value has {value_bytes} bytes, the longest are {MAX_VALUE_BYTES}"
        )


def check_total(total_bytes: int) -> None:
    """Is a reply of that length one that we give?"""
    if total_bytes > MAX_TOTAL_BYTES:
        raise CommandError(
            f"ERR the reply has more than {MAX_TOTAL_BYTES} bytes; ask for less at once"
        )


def get(keys: Keys, words: list[bytes]) -> Reply:
    """GET key."""
    entry = read(keys, words[0])
    return entry.value if entry else None


def mget(keys: Keys, words: list[bytes]) -> Reply:
    """MGET key [key ...]."""
    values: list[Reply] = []
    total = 0
    for key in words:
        entry = read(keys, key)
        values.append(entry.value if entry else None)
        total += len(entry.value) if entry else 0
        check_total(total)
    return values


def mset(keys: Keys, words: list[bytes]) -> Reply:
    """MSET key value [key value ...]: all or, when one is too long, none."""
    if len(words) % 2:
        raise wrong_arity("MSET")
    pairs = list(zip(words[::2], words[1::2], strict=True))
    for key, value in pairs:
        check_lengths(key, len(value))
    for key, value in pairs:
        keys.find(key)  # If it has ended, that is told first.
        keys.put(key, value)
        keys.tell("set", key)
    return DONE


def getset(keys: Keys, words: list[bytes]) -> Reply:
    """GETSET key value."""
    key, value = words
    entry = read(keys, key)
    store(keys, key, value)
    keys.tell("set", key)
    return entry.value if entry else None


def getdel(keys: Keys, words: list[bytes]) -> Reply:
    """GETDEL key."""
    key = words[0]
    entry = read(keys, key)
    if entry is None:
        return None
    keys.drop(key)
    keys.tell("del", key)
    return entry.value


def append(keys: Keys, words: list[bytes]) -> Reply:
    """APPEND key value."""
    key, more = words
    entry = keys.find(key)
    check_lengths(key, len(more) + (len(entry.value) if entry else 0))
    value = entry.value + more if entry else more
    keys.put(key, value, entry.deadline_ms if entry else NEVER)
    keys.tell("append", key)
    return len(value)


def strlen(keys: Keys, words: list[bytes]) -> Reply:
    """STRLEN key."""
    entry = read(keys, words[0])
    return len(entry.value) if entry else 0


def setrange(keys: Keys, words: list[bytes]) -> Reply:
    """SETRANGE key offset value: what is missing before the offset becomes zeros."""
    key, place, piece = words
    offset = integer(place)
    if offset < 0:
        raise CommandError("ERR offset is out of range")
    entry = keys.find(key)
    value = entry.value if entry else b""
    if not piece:
        return len(value)
    end = offset + len(piece)
    check_lengths(key, end)
    value = value[:offset].ljust(offset, b"\0") + piece + value[end:]
    keys.put(key, value, entry.deadline_ms if entry else NEVER)
    keys.tell("setrange", key)
    return len(value)


def getrange(keys: Keys, words: list[bytes]) -> Reply:
    """GETRANGE key start end, the end included; negative ones count from the end."""
    key, *places = words
    start, end = map(integer, places)
    entry = read(keys, key)
    if entry is None or (start < 0 and end < 0 and start > end):
        return b""
    length = len(entry.value)
    start = max(start + length, 0) if start < 0 else start
    end = max(end + length, 0) if end < 0 else end
    return entry.value[start : end + 1]


_FAST_WRITE = "write denyoom fast"

COMMANDS = [
    KeyCommand("GET", 2, get, "readonly fast", "string", "RO access"),
    KeyCommand(
        "MGET",
        -2,
        mget,
        "readonly fast",
        "string",
        "RO access",
        "request_policy:multi_shard",
        last_key=-1,
    ),
    KeyCommand(
        "MSET",
        -3,
        mset,
        "write denyoom",
        "string",
        "OW update",
        "request_policy:multi_shard response_policy:all_succeeded",
        last_key=-1,
        key_step=2,
    ),
    KeyCommand("GETSET", 3, getset, _FAST_WRITE, "string", "RW access update"),
    KeyCommand("GETDEL", 2, getdel, "write fast", "string", "RW access delete"),
    KeyCommand("APPEND", 3, append, _FAST_WRITE, "string", "RW insert"),
    KeyCommand("STRLEN", 2, strlen, "readonly fast", "string", "RO"),
    KeyCommand("SETRANGE", 4, setrange, "write denyoom", "string", "RW update"),
    KeyCommand("GETRANGE", 4, getrange, "readonly", "string", "RO access"),
    KeyCommand("SUBSTR", 4, getrange, "readonly", "string", "RO access"),
]
