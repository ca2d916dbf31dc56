"""COMMAND: what the commands are, for clients that ask."""

from collections.abc import Iterator

from shoal.table.redis.commands import (
    TURN_BYTES,
    Command,
    Commands,
    Family,
    Single,
    TalkCommand,
    check_arity,
    help_on,
    text,
)
from shoal.table.redis.glob import matcher
from shoal.table.redis.replies import (
    CommandError,
    Reply,
    Status,
    Together,
    syntax_error,
)
from shoal.table.redis.talk import RedisTalk

_HELP = (
    "COMMAND [subcommand [argument ...]]. There are:",
    "nothing: all commands, and what is known of them.",
    "COUNT: how many there are.",
    "GETKEYS <command> [argument ...]: the keys among these words.",
    "INFO [name ...]: what is known of some commands.",
    "LIST [FILTERBY ACLCAT <category> | PATTERN <pattern> | MODULE <name>]: names.",
    "HELP: this.",
)

# Each is described in up to 8 KiB; Redis 7 has 241 commands.
MAX_NAMES = 512

# Categories that follow from a flag.
_BY_FLAG = {
    "write": ("write",),
    "readonly": ("read",),
    "admin": ("admin", "dangerous"),
    "pubsub": ("pubsub",),
}


def all_(talk: RedisTalk, words: list[bytes]) -> Reply:
    """COMMAND."""
    return [_describe(each) for each in talk.server.commands.values()]


def count(talk: RedisTalk, words: list[bytes]) -> Reply:
    """COMMAND COUNT."""
    return len(talk.server.commands)


def info(talk: RedisTalk, words: list[bytes]) -> Reply:
    """COMMAND INFO [name ...]."""
    if not words:
        return all_(talk, words)
    if len(words) > MAX_NAMES:
        raise CommandError(f"ERR at most {MAX_NAMES} commands are described at once")
    found = [_find(talk.server.commands, word) for word in words]
    return [_describe(each) if each else None for each in found]


def list_(talk: RedisTalk, words: list[bytes]) -> Reply:
    """COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]."""
    every = list(_every(talk.server.commands))
    if words:
        if len(words) != 3 or words[0].upper() != b"FILTERBY":
            raise syntax_error()
        every = [each for each in every if _chosen(each, words[1], words[2])]
    return [each.name.lower() for each in every]


def getkeys(talk: RedisTalk, words: list[bytes]) -> Reply:
    """COMMAND GETKEYS command [word ...]: which of these words are keys."""
    command: Command | None = talk.server.commands.get(words[0].upper())
    if isinstance(command, Family):
        command = command.find(words[1])
    if command is None:
        raise CommandError("ERR Invalid command specified")
    if not command.first_key:
        raise CommandError("ERR The command has no key arguments")
    try:
        check_arity(command, len(words))
    except CommandError:
        raise CommandError(
            "ERR Invalid number of arguments specified for command"
        ) from None
    last = command.last_key
    end = len(words) + last if last < 0 else last
    return list(words[command.first_key : end + 1 : command.key_step])


def _find(commands: Commands, word: bytes) -> Command | None:
    first, bar, second = word.upper().partition(b"|")
    command = commands.get(first)
    if not bar:
        return command
    return command.find(second) if isinstance(command, Family) else None


def _every(commands: Commands) -> Iterator[Command]:
    for command in commands.values():
        yield command
        if isinstance(command, Family):
            yield from command.members


def _chosen(command: Command, kind: bytes, value: bytes) -> bool:
    match kind.upper():
        case b"MODULE":
            return False
        case b"ACLCAT":
            return text(value).lower() in _categories(command)
        case b"PATTERN":
            return matcher(value.lower())(command.name.lower().encode())
    raise syntax_error()


def _describe(command: Command) -> Reply:
    """Name, arity, flags, keys, categories, tips, what is done to keys, members."""
    single = command.alone if isinstance(command, Family) else command
    members = command.members if isinstance(command, Family) else ()
    described = single or TalkCommand(command.name, command.arity, all_)
    return [
        command.name.lower(),
        command.arity,
        Together([Status(each) for each in described.flags.split()]),
        described.first_key,
        described.last_key,
        described.key_step,
        Together([Status(f"@{each}") for each in _categories(command)]),
        Together(list(described.tips.split())),
        Together(_key_places(described)),
        [_describe(each) for each in members] or Together([]),
    ]


def _categories(command: Command) -> list[str]:
    single = command.alone if isinstance(command, Family) else command
    if single is None:
        return ["slow"]
    flags = single.flags.split()
    found = single.category.split()
    for flag in flags:
        found += _BY_FLAG.get(flag, ())
    found.append("fast" if "fast" in flags else "slow")
    return list(dict.fromkeys(found))


def _key_places(command: Single) -> list[Reply]:
    if not command.first_key:
        return []
    last = command.last_key
    return [
        {
            "flags": Together([Status(each) for each in command.access.split()]),
            "begin_search": {"type": "index", "spec": {"index": command.first_key}},
            "find_keys": {
                "type": "range",
                "spec": {
                    "lastkey": last if last < 0 else last - command.first_key,
                    "keystep": command.key_step,
                    "limit": 0,
                },
            },
        }
    ]


_FLAGS = "loading stale"
_UNORDERED = "nondeterministic_output_order"

COMMANDS = [
    Family(
        "COMMAND",
        (
            TalkCommand("COMMAND|COUNT", 2, count, _FLAGS, "connection"),
            TalkCommand(
                "COMMAND|INFO",
                -2,
                info,
                _FLAGS,
                "connection",
                _UNORDERED,
                work=TURN_BYTES,
            ),
            TalkCommand(
                "COMMAND|LIST",
                -2,
                list_,
                _FLAGS,
                "connection",
                _UNORDERED,
                work=TURN_BYTES,
            ),
            TalkCommand("COMMAND|GETKEYS", -4, getkeys, _FLAGS, "connection"),
            help_on("COMMAND", _HELP, "connection"),
        ),
        -1,
        TalkCommand(
            "COMMAND", -1, all_, _FLAGS, "connection", _UNORDERED, work=TURN_BYTES
        ),
    )
]
