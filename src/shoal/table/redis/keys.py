"""Commands on keys, whatever they have."""

from sys import getsizeof

from shoal.table.redis.commands import Command, Family, KeyCommand, Keys, help_on
from shoal.table.redis.integers import integer
from shoal.table.redis.replies import CommandError, Reply, Status, syntax_error
from shoal.table.redis.strings import read

# What a dict spends on a key and its entry, a third of its places being empty.
PLACE_BYTES = 40

# Redis keeps strings up to this in one piece with what it knows of them.
_EMBEDDED_BYTES = 44

_MEMORY_HELP = (
    "MEMORY <subcommand> [argument ...]. There are:",
    "USAGE <key> [SAMPLES <count>]: how many bytes a key takes, about.",
    "HELP: this.",
)
_OBJECT_HELP = (
    "OBJECT <subcommand> [argument ...]. There are:",
    "ENCODING <key>: how Redis would keep such a value.",
    "HELP: this.",
)


def delete(keys: Keys, words: list[bytes]) -> Reply:
    """DEL key [key ...]: how many of them had something."""
    count = 0
    for key in words:
        if keys.find(key) and keys.drop(key):
            keys.tell("del", key)
            count += 1
    return count


def exists(keys: Keys, words: list[bytes]) -> Reply:
    """EXISTS key [key ...]: how many of them have something."""
    return sum(read(keys, key) is not None for key in words)


def type_(keys: Keys, words: list[bytes]) -> Reply:
    """TYPE key."""
    return Status("string" if read(keys, words[0]) else "none")


def usage(keys: Keys, words: list[bytes]) -> Reply:
    """MEMORY USAGE key [SAMPLES count]."""
    key, *options = words
    if options:
        word, *amount = options
        if word.upper() != b"SAMPLES" or not amount:
            raise syntax_error()
        if integer(amount[0]) < 0 or len(amount) > 1:
            raise syntax_error()
    entry = keys.find(key)
    if entry is None:
        return None
    return getsizeof(key) + getsizeof(entry) + getsizeof(entry.value) + PLACE_BYTES


def encoding(keys: Keys, words: list[bytes]) -> Reply:
    """OBJECT ENCODING key: what Redis would say of such a value."""
    entry = keys.find(words[0])
    if entry is None:
        return None
    try:
        integer(entry.value)
    except CommandError:
        return "embstr" if len(entry.value) <= _EMBEDDED_BYTES else "raw"
    return "int"


_SUMMED = "request_policy:multi_shard response_policy:agg_sum"

COMMANDS: list[Command] = [
    KeyCommand(
        "DEL", -2, delete, "write", "keyspace", "RM delete", _SUMMED, last_key=-1
    ),
    KeyCommand(
        "UNLINK",
        -2,
        delete,
        "write fast",
        "keyspace",
        "RM delete",
        _SUMMED,
        last_key=-1,
    ),
    KeyCommand(
        "EXISTS", -2, exists, "readonly fast", "keyspace", "RO", _SUMMED, last_key=-1
    ),
    KeyCommand(
        "TOUCH", -2, exists, "readonly fast", "keyspace", "RO", _SUMMED, last_key=-1
    ),
    KeyCommand("TYPE", 2, type_, "readonly fast", "keyspace", "RO"),
    Family(
        "MEMORY",
        (
            KeyCommand(
                "MEMORY|USAGE", -3, usage, "readonly", "", "RO", first_key=2, last_key=2
            ),
            help_on("MEMORY", _MEMORY_HELP),
        ),
    ),
    Family(
        "OBJECT",
        (
            KeyCommand(
                "OBJECT|ENCODING",
                3,
                encoding,
                "readonly",
                "keyspace",
                "RO",
                "nondeterministic_output",
                first_key=2,
                last_key=2,
            ),
            help_on("OBJECT", _OBJECT_HELP, "keyspace"),
        ),
    ),
]
