"""Commands on all keys of the peer."""

import re

from msgspec import Struct

from shoal.table.messages import SLOTS
from shoal.table.redis.commands import TURN_BYTES, TalkCommand
from shoal.table.redis.glob import Matcher, matcher
from shoal.table.redis.integers import integer
from shoal.table.redis.replies import DONE, CommandError, Reply, syntax_error
from shoal.table.redis.strings import check_total
from shoal.table.redis.talk import RedisTalk

# What Redis looks at when nobody says how much.
DEFAULT_COUNT = 10

MAX_CURSOR = (1 << 64) - 1

# As C reads it: signs are allowed, nothing at all is 0, and a zero byte ends it.
_CURSOR = re.compile(rb"(?:[+-]?[0-9]+)?(?=\0|\Z)")


class _Choice(Struct):
    """Which keys a SCAN is asked for, and how many it looks at."""

    matches: Matcher | None = None
    strings: bool = True
    count: int = DEFAULT_COUNT

    @classmethod
    def read(cls, words: list[bytes]) -> "_Choice":
        """The options of SCAN: each is a word and what it says."""
        choice = cls()
        for at in range(0, len(words), 2):
            word, value = words[at].upper(), words[at + 1 : at + 2]
            if not value or word not in (b"MATCH", b"COUNT", b"TYPE"):
                raise syntax_error()
            if word == b"MATCH":
                choice.matches = None if value[0] == b"*" else matcher(value[0])
            elif word == b"TYPE":
                choice.strings = value[0].lower() == b"string"
            else:
                choice.count = integer(value[0])
                if choice.count < 1:
                    raise syntax_error()
        return choice


def scan(talk: RedisTalk, words: list[bytes]) -> Reply:
    """SCAN cursor [MATCH pattern] [COUNT n] [TYPE type]."""
    cursor = _cursor(words[0])
    choice = _Choice.read(words[1:])
    talk.server.table.rest_on_all()
    following, found = talk.server.scanner.scan(cursor, choice.count)
    matches = choice.matches
    chosen: list[Reply] = [
        key for key in found if choice.strings and (not matches or matches(key))
    ]
    return [str(following), chosen]


def keys(talk: RedisTalk, words: list[bytes]) -> Reply:
    """KEYS pattern."""
    table = talk.server.table
    matches = None if words[0] == b"*" else matcher(words[0])
    table.rest_on_all()
    found: list[Reply] = []
    total = 0
    for slot in range(SLOTS):
        for key, _ in table.living(slot):
            if not matches or matches(key):
                found.append(key)
                total += len(key)
        check_total(total)
    return found


def randomkey(talk: RedisTalk, words: list[bytes]) -> Reply:
    """RANDOMKEY."""
    talk.server.table.rest_on_all()
    return talk.server.table.random_key()


def dbsize(talk: RedisTalk, words: list[bytes]) -> Reply:
    """DBSIZE."""
    talk.server.table.rest_on_all()
    return talk.server.table.count()


def flush(talk: RedisTalk, words: list[bytes]) -> Reply:
    """FLUSHDB, FLUSHALL [ASYNC | SYNC]: the same, since there is one database."""
    if words and (len(words) > 1 or words[0].upper() not in (b"ASYNC", b"SYNC")):
        raise syntax_error()
    talk.server.table.flush()
    return DONE


def _cursor(word: bytes) -> int:
    found = _CURSOR.match(word)
    cursor = int(found[0][:24] or b"0") if found else MAX_CURSOR + 1
    if abs(cursor) > MAX_CURSOR:
        raise CommandError("ERR invalid cursor")
    return cursor % (MAX_CURSOR + 1)


_EVERY = "request_policy:all_shards"
_EVERY_DONE = f"{_EVERY} response_policy:all_succeeded"

COMMANDS = [
    TalkCommand(
        "SCAN",
        -2,
        scan,
        "readonly",
        "keyspace",
        "nondeterministic_output request_policy:special",
        work=TURN_BYTES >> 4,
    ),
    TalkCommand(
        "KEYS",
        2,
        keys,
        "readonly",
        "keyspace dangerous",
        f"{_EVERY} nondeterministic_output_order",
        work=TURN_BYTES,
    ),
    TalkCommand(
        "RANDOMKEY",
        1,
        randomkey,
        "readonly",
        "keyspace",
        f"{_EVERY} nondeterministic_output",
        work=TURN_BYTES,
    ),
    TalkCommand(
        "DBSIZE",
        1,
        dbsize,
        "readonly fast",
        "keyspace",
        f"{_EVERY} response_policy:agg_sum",
    ),
    TalkCommand(
        "FLUSHDB",
        -1,
        flush,
        "write",
        "keyspace dangerous",
        _EVERY_DONE,
        work=TURN_BYTES,
    ),
    TalkCommand(
        "FLUSHALL",
        -1,
        flush,
        "write",
        "keyspace dangerous",
        _EVERY_DONE,
        work=TURN_BYTES,
    ),
]
