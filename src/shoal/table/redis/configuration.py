"""CONFIG: what a client may know of the peer's settings, and the little it may set."""

from shoal.table.messages import MAX_VALUE_BYTES
from shoal.table.redis.commands import TURN_BYTES, Family, TalkCommand, help_on, text
from shoal.table.redis.glob import matcher
from shoal.table.redis.replies import DONE, CommandError, Reply, syntax_error
from shoal.table.redis.server import RedisServer
from shoal.table.redis.talk import RedisTalk

# More than ten for each parameter there is.
MAX_PATTERNS = 128

EVENTS = "notify-keyspace-events"

_SYNCING = {"always": "always", "interval": "everysec", "none": "no"}

_HELP = (
    "CONFIG <subcommand> [argument ...]. There are:",
    "GET <pattern> [pattern ...]: what matches, and what it is.",
    f"SET {EVENTS} <classes>: which events of keys are told.",
    "HELP: this.",
)


def _parameters(server: RedisServer) -> dict[str, str]:
    around = server.surroundings
    return {
        "appendfsync": _SYNCING[around.durability],
        "appendonly": "yes" if server.table.logged else "no",
        "cluster-enabled": "yes",
        "databases": "1",
        "maxmemory": "0",
        "maxmemory-policy": "noeviction",
        EVENTS: server.events.chosen,
        "port": around.address.rpartition(":")[2],
        "proto-max-bulk-len": str(MAX_VALUE_BYTES),
        "save": "",
        "timeout": "0",
    }


def get(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CONFIG GET pattern [pattern ...]."""
    if len(words) > MAX_PATTERNS:
        raise CommandError(f"ERR at most {MAX_PATTERNS} patterns are looked for")
    patterns = [matcher(word.lower()) for word in words]
    found: dict[str, Reply] = {
        name: value
        for name, value in _parameters(talk.server).items()
        if any(matches(name.encode()) for matches in patterns)
    }
    return found


def set_(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CONFIG SET name value [name value ...]: all or none."""
    if len(words) % 2:
        raise syntax_error()
    known = _parameters(talk.server)
    seen: list[str] = []
    for word in words[::2]:
        name = text(word).lower()
        if name not in known:
            raise CommandError(
                "ERR Unknown option or number of arguments for CONFIG SET - "
                f"'{text(word)}'"
            )
        if name != EVENTS:
            raise _failed(name, "can't set immutable config")
        if name in seen:
            raise _failed(name, "duplicate parameter")
        seen.append(name)
    try:
        talk.server.events.choose(words[1].decode("latin-1"))
    except ValueError as wrong:
        raise _failed(EVENTS, str(wrong)) from None
    return DONE


def _failed(name: str, why: str) -> CommandError:
    return CommandError(
        f"ERR CONFIG SET failed (possibly related to argument '{name}') - {why}"
    )


_ADMIN = "admin noscript loading stale"

COMMANDS = [
    Family(
        "CONFIG",
        (
            TalkCommand("CONFIG|GET", -3, get, _ADMIN, work=TURN_BYTES),
            TalkCommand(
                "CONFIG|SET",
                -4,
                set_,
                _ADMIN,
                "",
                "request_policy:all_nodes response_policy:all_succeeded",
                changes=True,
            ),
            help_on("CONFIG", _HELP),
        ),
    )
]
