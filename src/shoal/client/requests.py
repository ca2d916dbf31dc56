"""What the table is asked, as Redis's protocol has it.

The two that are most of the work are written out here; hiredis writes the others.
"""

from collections.abc import Iterable

from hiredis import pack_command

from shoal.core.machine import Address
from shoal.errors import Misuse

# As the table has them; here a mistake is found before anything is sent.
MAX_KEY_BYTES = 64 << 10
MAX_VALUE_BYTES = 8 << 20

Text = bytes | bytearray | memoryview | str

# A page of a scan: the peer is held for a fraction of a millisecond.
PAGE = 1000


def plain(text: Text) -> bytes:
    """Bytes as they are, a string in UTF-8; a number is neither."""
    if type(text) is bytes:
        return text
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, bytes | bytearray | memoryview):
        return bytes(text)
    raise TypeError(f"keys and values are bytes or strings, not {type(text).__name__}")


def key_of(text: Text) -> bytes:
    """A key that the table takes."""
    key = text if type(text) is bytes else plain(text)
    if len(key) > MAX_KEY_BYTES:
        raise Misuse(
            f"key of {len(key)} bytes: the longest have {MAX_KEY_BYTES}; "
            "use a digest of it"
        )
    return key


def value_of(text: Text) -> bytes:
    """A value that the table takes."""
    value = text if type(text) is bytes else plain(text)
    if len(value) > MAX_VALUE_BYTES:
        raise Misuse(
            f"value of {len(value)} bytes: the longest have {MAX_VALUE_BYTES}; "
            "put it under several keys, or keep it in a file"
        )
    return value


def get(key: Text) -> bytes:
    """What has it?"""
    name = key if type(key) is bytes else plain(key)
    return b"*2\r\n$3\r\nGET\r\n$%d\r\n%b\r\n" % (len(name), name)


def put(
    key: Text, value: Text, ttl_s: float | None = None, *, if_absent: bool = False
) -> bytes:
    """Let it have that."""
    name, data = key_of(key), value_of(value)
    if ttl_s is None and not if_absent:
        return b"*3\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (
            len(name),
            name,
            len(data),
            data,
        )
    words = [b"SET", name, data]
    if ttl_s is not None:
        words += [b"PX", milliseconds(ttl_s)]
    if if_absent:
        words.append(b"NX")
    return words_of(*words)


def delete(key: Text) -> bytes:
    """Let it have nothing."""
    name = key_of(key)
    return b"*2\r\n$3\r\nDEL\r\n$%d\r\n%b\r\n" % (len(name), name)


def cas(key: Text, expected: Text | None, value: Text) -> bytes:
    """Let it have that, if it has what is expected; None: if it has nothing."""
    if expected is None:
        return put(key, value, if_absent=True)
    return words_of(b"CAS", key_of(key), value_of(expected), value_of(value))


def incr(key: Text, by: int) -> bytes:
    """Count on."""
    return words_of(b"INCRBY", key_of(key), b"%d" % by)


def expire(key: Text, ttl_s: float | None) -> bytes:
    """Let it end then, or never."""
    if ttl_s is None:
        return words_of(b"PERSIST", key_of(key))
    return words_of(b"PEXPIRE", key_of(key), milliseconds(ttl_s))


def contains(key: Text) -> bytes:
    """Has it anything?"""
    return words_of(b"EXISTS", key_of(key))


def scan(cursor: bytes, pattern: Text) -> bytes:
    """The next keys that fit."""
    words = [b"SCAN", cursor, b"COUNT", b"%d" % PAGE]
    asked = plain(pattern)
    return words_of(*words, *([] if asked == b"*" else [b"MATCH", asked]))


def nodes() -> bytes:
    """Who else has keys?"""
    return words_of(b"CLUSTER", b"NODES")


def others(listed: bytes) -> list[Address]:
    """Where the others are: ID HOST:PORT@PORT FLAGS ..., a line each."""
    lines = [line.split(" ", 3) for line in listed.decode().splitlines()]
    return [
        Address(where.partition("@")[0])
        for _, where, flags, _ in lines
        if "myself" not in flags
    ]


def size() -> bytes:
    """How many keys are there?"""
    return words_of(b"DBSIZE")


def milliseconds(seconds: float) -> bytes:
    """A duration as the table counts it; none is shorter than one."""
    if not 0 < seconds < 1e10:
        raise Misuse(
            f"time to live of {seconds} s: it is to be more than nothing, and less "
            "than three centuries; to let a key end now, delete it"
        )
    return b"%d" % max(1, round(seconds * 1000))


def words_of(*words: bytes) -> bytes:
    """Any request."""
    packed: bytes = pack_command(words)  # type: ignore[arg-type] # Any length will do.
    return packed


def batches(
    requests: Iterable[bytes], count: int, size_bytes: int
) -> Iterable[tuple[bytes, int]]:
    """So many requests at once at most, and how many they are."""
    held: list[bytes] = []
    held_bytes = 0
    for each in requests:
        held.append(each)
        held_bytes += len(each)
        if len(held) >= count or held_bytes >= size_bytes:
            yield b"".join(held), len(held)
            held, held_bytes = [], 0
    if held:
        yield b"".join(held), len(held)
