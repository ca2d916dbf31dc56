"""Commands on when keys end."""

from collections.abc import Callable
from functools import partial

from shoal.table.messages import NEVER, Entry
from shoal.table.redis.commands import KeyCommand, Keys, text
from shoal.table.redis.deadlines import Unit, shifted
from shoal.table.redis.integers import integer
from shoal.table.redis.replies import CommandError, Reply
from shoal.table.redis.strings import read

_OPTIONS = frozenset([b"NX", b"XX", b"GT", b"LT"])

# What the four that read a deadline say of a key without one, and of no key.
_NO_DEADLINE = -1
_NO_KEY = -2


def _expire(name: str, unit: Unit, keys: Keys, words: list[bytes]) -> Reply:
    """EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT key n [NX | XX | GT | LT]."""
    key, amount, *rest = words
    options = _options(rest)
    deadline_ms = shifted(integer(amount), unit, keys.now_ms, name)
    entry = keys.find(key)
    if entry is None or not _allowed(options, entry, deadline_ms):
        return 0
    if deadline_ms <= keys.now_ms:
        keys.drop(key)
        keys.tell("del", key)
    else:
        keys.put(key, entry.value, deadline_ms)
        keys.tell("expire", key)
    return 1


def _options(words: list[bytes]) -> frozenset[bytes]:
    for word in words:
        if word.upper() not in _OPTIONS:
            raise CommandError(f"ERR Unsupported option {text(word)}")
    options = frozenset(word.upper() for word in words)
    if b"NX" in options and len(options) > 1:
        raise CommandError(
            "ERR NX and XX, GT or LT options at the same time are not compatible"
        )
    if options >= {b"GT", b"LT"}:
        raise CommandError("ERR GT and LT options at the same time are not compatible")
    return options


def _allowed(options: frozenset[bytes], entry: Entry, deadline_ms: int) -> bool:
    """A key without a deadline ends after all others."""
    before = entry.deadline_ms
    if b"NX" in options and before:
        return False
    if b"XX" in options and not before:
        return False
    if b"GT" in options and (not before or deadline_ms <= before):
        return False
    return not (b"LT" in options and before and deadline_ms >= before)


def persist(keys: Keys, words: list[bytes]) -> Reply:
    """PERSIST key."""
    entry = keys.find(words[0])
    if entry is None or not entry.deadline_ms:
        return 0
    keys.put(words[0], entry.value, NEVER)
    keys.tell("persist", words[0])
    return 1


def _remaining(say: Callable[[int, int], int], keys: Keys, words: list[bytes]) -> Reply:
    """TTL, PTTL, EXPIRETIME, PEXPIRETIME key."""
    entry = read(keys, words[0])
    if entry is None:
        return _NO_KEY
    if not entry.deadline_ms:
        return _NO_DEADLINE
    return say(entry.deadline_ms, keys.now_ms)


def _seconds(duration_ms: int) -> int:
    return (duration_ms + 500) // 1000


def _setter(name: str, unit: Unit) -> KeyCommand:
    run = partial(_expire, name.lower(), unit)
    return KeyCommand(name, -3, run, "write fast", "keyspace", "RW update")


def _getter(name: str, say: Callable[[int, int], int], tips: str = "") -> KeyCommand:
    run = partial(_remaining, say)
    return KeyCommand(name, 2, run, "readonly fast", "keyspace", "RO access", tips)


_CHANGING = "nondeterministic_output"

COMMANDS = [
    _setter("EXPIRE", Unit.SECONDS),
    _setter("PEXPIRE", Unit.MILLISECONDS),
    _setter("EXPIREAT", Unit.SECONDS_AT),
    _setter("PEXPIREAT", Unit.MILLISECONDS_AT),
    _getter("TTL", lambda deadline, now: _seconds(deadline - now), _CHANGING),
    _getter("PTTL", lambda deadline, now: deadline - now, _CHANGING),
    _getter("EXPIRETIME", lambda deadline, _: _seconds(deadline)),
    _getter("PEXPIRETIME", lambda deadline, _: deadline),
    KeyCommand("PERSIST", 2, persist, "write fast", "keyspace", "RW update"),
]
