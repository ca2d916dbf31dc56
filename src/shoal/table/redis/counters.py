"""Commands that take a key's value for a number."""

from fractions import Fraction

from shoal.table.messages import NEVER, Entry
from shoal.table.redis import extended
from shoal.table.redis.commands import TURN_BYTES, KeyCommand, Keys
from shoal.table.redis.integers import GREATEST, LEAST, integer
from shoal.table.redis.replies import CommandError, Reply
from shoal.table.redis.strings import store

_NOT_A_FLOAT = "ERR value is not a valid float"
_NO_NUMBER = "ERR increment would produce NaN or Infinity"


def incr(keys: Keys, words: list[bytes]) -> Reply:
    """INCR key."""
    return _add(keys, words[0], 1)


def decr(keys: Keys, words: list[bytes]) -> Reply:
    """DECR key."""
    return _add(keys, words[0], -1)


def incrby(keys: Keys, words: list[bytes]) -> Reply:
    """INCRBY key increment."""
    return _add(keys, words[0], integer(words[1]))


def decrby(keys: Keys, words: list[bytes]) -> Reply:
    """DECRBY key decrement."""
    amount = integer(words[1])
    if amount == LEAST:
        raise CommandError("ERR decrement would overflow")
    return _add(keys, words[0], -amount)


def incrbyfloat(keys: Keys, words: list[bytes]) -> Reply:
    """INCRBYFLOAT key increment."""
    key, amount = words
    entry = keys.find(key)
    before = _float(entry.value) if entry else Fraction(0)
    more = _float(amount)
    try:
        value = extended.write(extended.add(before, more))
    except extended.Infinite:
        raise CommandError(_NO_NUMBER) from None
    store(keys, key, value, _deadline_ms(entry))
    keys.tell("incrbyfloat", key)
    return value


def _add(keys: Keys, key: bytes, amount: int) -> int:
    entry = keys.find(key)
    value = (integer(entry.value) if entry else 0) + amount
    if not LEAST <= value <= GREATEST:
        raise CommandError("ERR increment or decrement would overflow")
    store(keys, key, b"%d" % value, _deadline_ms(entry))
    keys.tell("incrby", key)
    return value


def _deadline_ms(entry: Entry | None) -> int:
    return entry.deadline_ms if entry else NEVER


def _float(word: bytes) -> Fraction | None:
    try:
        return extended.parse(word)
    except ValueError:
        raise CommandError(_NOT_A_FLOAT) from None


_FLAGS = "write denyoom fast"
_ACCESS = "RW access update"

COMMANDS = [
    KeyCommand("INCR", 2, incr, _FLAGS, "string", _ACCESS),
    KeyCommand("DECR", 2, decr, _FLAGS, "string", _ACCESS),
    KeyCommand("INCRBY", 3, incrby, _FLAGS, "string", _ACCESS),
    KeyCommand("DECRBY", 3, decrby, _FLAGS, "string", _ACCESS),
    KeyCommand(
        "INCRBYFLOAT", 3, incrbyfloat, _FLAGS, "string", _ACCESS, work=TURN_BYTES >> 6
    ),
]
