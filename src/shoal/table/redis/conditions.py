"""Commands that set a value if a condition holds, or until a deadline."""

from enum import Flag, auto

from msgspec import Struct

from shoal.table.messages import NEVER, Entry
from shoal.table.redis.commands import KeyCommand, Keys
from shoal.table.redis.deadlines import Unit, absolute
from shoal.table.redis.integers import integer
from shoal.table.redis.replies import DONE, Reply, syntax_error
from shoal.table.redis.strings import read, store


class _Word(Flag):
    """Options, by what they are about."""

    GET = auto()
    ABSENT = auto()
    PRESENT = auto()
    EQUAL = auto()
    KEEP = auto()
    PERSIST = auto()


_PLAIN = {
    b"GET": _Word.GET,
    b"NX": _Word.ABSENT,
    b"XX": _Word.PRESENT,
    b"KEEPTTL": _Word.KEEP,
}
_PLAIN_GETEX = {b"PERSIST": _Word.PERSIST}

_CONDITIONS = _Word.ABSENT | _Word.PRESENT | _Word.EQUAL
_WITHOUT_DEADLINE = _Word.KEEP | _Word.PERSIST


class _Options(Struct):
    """What the words after the value ask for."""

    words: _Word = _Word(0)
    expected: bytes = b""
    unit: Unit | None = None
    amount: bytes = b""

    def add(self, word: _Word) -> None:
        """One that stands for itself."""
        self.words |= word
        if word in _CONDITIONS and (self.words & _CONDITIONS) != word:
            raise syntax_error()
        if word in _WITHOUT_DEADLINE and self.unit:
            raise syntax_error()

    def until(self, unit: Unit, amount: bytes) -> None:
        """A deadline; the last one of a kind counts."""
        if self.unit not in (None, unit) or self.words & _WITHOUT_DEADLINE:
            raise syntax_error()
        self.unit, self.amount = unit, amount

    def deadline_ms(self, now_ms: int, name: str, otherwise: int) -> int:
        """The deadline asked for."""
        if self.unit is None:
            return otherwise
        return absolute(integer(self.amount), self.unit, now_ms, name)

    def allow(self, entry: Entry | None) -> bool:
        """May what the key has be replaced?"""
        if _Word.ABSENT in self.words:
            return entry is None
        if _Word.PRESENT in self.words:
            return entry is not None
        if _Word.EQUAL in self.words:
            return entry is not None and entry.value == self.expected
        return True


def _options(words: list[bytes], plain: dict[bytes, _Word]) -> _Options:
    options = _Options()
    rest = iter(words)
    for each in rest:
        word = each.upper()
        if word in plain:
            options.add(plain[word])
            continue
        following = next(rest, None)
        if following is None:
            raise syntax_error()
        if word == b"IFEQ" and plain is _PLAIN:
            options.add(_Word.EQUAL)
            options.expected = following
        elif unit := Unit.of(word):
            options.until(unit, following)
        else:
            raise syntax_error()
    return options


def set_(keys: Keys, words: list[bytes]) -> Reply:
    """SET key value [NX | XX | IFEQ old] [GET] [EX | PX | EXAT | PXAT n | KEEPTTL]."""
    key, value, *rest = words
    options = _options(rest, _PLAIN)
    deadline_ms = options.deadline_ms(keys.now_ms, "set", NEVER)
    asked = _Word.GET in options.words
    entry = read(keys, key) if asked else keys.find(key)
    if not options.allow(entry):
        return entry.value if asked and entry else None
    if _Word.KEEP in options.words and entry:
        deadline_ms = entry.deadline_ms
    _set(keys, key, value, deadline_ms, asked_ms=deadline_ms if options.unit else NEVER)
    if asked:
        return entry.value if entry else None
    return DONE


def setnx(keys: Keys, words: list[bytes]) -> Reply:
    """SETNX key value."""
    key, value = words
    if keys.find(key):
        return 0
    _set(keys, key, value)
    return 1


def setex(keys: Keys, words: list[bytes]) -> Reply:
    """SETEX key seconds value."""
    return _set_until(keys, words, Unit.SECONDS, "setex")


def psetex(keys: Keys, words: list[bytes]) -> Reply:
    """PSETEX key milliseconds value."""
    return _set_until(keys, words, Unit.MILLISECONDS, "psetex")


def getex(keys: Keys, words: list[bytes]) -> Reply:
    """GETEX key [EX | PX | EXAT | PXAT n | PERSIST]."""
    key, *rest = words
    options = _options(rest, _PLAIN_GETEX)
    entry = read(keys, key)
    if entry is None:
        return None
    deadline_ms = options.deadline_ms(keys.now_ms, "getex", entry.deadline_ms)
    if options.unit and deadline_ms <= keys.now_ms:
        keys.drop(key)
        keys.tell("del", key)
    elif options.unit:
        keys.put(key, entry.value, deadline_ms)
        keys.tell("expire", key)
    elif _Word.PERSIST in options.words and entry.deadline_ms:
        keys.put(key, entry.value)
        keys.tell("persist", key)
    return entry.value


def cas(keys: Keys, words: list[bytes]) -> Reply:
    """CAS key old new: ours. 1 if it was done, 0 if it has another value, or nothing.

    Its deadline, if it has one, stays.
    """
    key, old, new = words
    entry = read(keys, key)
    if entry is None:
        return None
    if entry.value != old:
        return 0
    store(keys, key, new, entry.deadline_ms)
    keys.tell("set", key)
    return 1


def _set_until(keys: Keys, words: list[bytes], unit: Unit, name: str) -> Reply:
    key, amount, value = words
    deadline_ms = absolute(integer(amount), unit, keys.now_ms, name)
    keys.find(key)  # If it has ended, that is told first.
    _set(keys, key, value, deadline_ms, asked_ms=deadline_ms)
    return DONE


def _set(
    keys: Keys,
    key: bytes,
    value: bytes,
    deadline_ms: int = NEVER,
    *,
    asked_ms: int = NEVER,
) -> None:
    """With the events of that: a deadline that was asked for is one more."""
    store(keys, key, value, deadline_ms)
    keys.tell("set", key)
    if asked_ms:
        keys.tell("expire", key)


COMMANDS = [
    KeyCommand(
        "SET", -3, set_, "write denyoom", "string", "RW access update variable_flags"
    ),
    KeyCommand("SETNX", 3, setnx, "write denyoom fast", "string", "OW insert"),
    KeyCommand("SETEX", 4, setex, "write denyoom", "string", "OW update"),
    KeyCommand("PSETEX", 4, psetex, "write denyoom", "string", "OW update"),
    KeyCommand("GETEX", -2, getex, "write fast", "string", "RW access update"),
    KeyCommand("CAS", 4, cas, "write denyoom fast", "string", "RW access update"),
]
