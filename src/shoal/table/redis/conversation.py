"""Commands about the conversation itself."""

from shoal.table.redis.commands import TalkCommand, text, wrong_arity
from shoal.table.redis.integers import integer
from shoal.table.redis.replies import DONE, CommandError, Reply, Status, syntax_error
from shoal.table.redis.server import Client
from shoal.table.redis.talk import RedisTalk

# Clients look at the version to know what they may ask; what we answer is Redis 7.0's.
COMPATIBLE = "7.0.15"

# The one user there is; no password is asked of it.
USER = b"default"

# Of a client and of its library; Redis has no limit.
MAX_NAME_BYTES = 1 << 10

_WRONG_USER = "WRONGPASS invalid username-password pair or user is disabled."
_NO_PASSWORD = (
    "ERR AUTH <password> called without any password configured for the default user. "
    "Are you sure your configuration is correct?"
)


def ping(talk: RedisTalk, words: list[bytes]) -> Reply:
    """PING [message]."""
    if len(words) > 1:
        raise wrong_arity("PING")
    if talk.client.listening and talk.client.version == 2:
        return [b"pong", words[0] if words else b""]
    return words[0] if words else Status("PONG")


def echo(talk: RedisTalk, words: list[bytes]) -> Reply:
    """ECHO message."""
    return words[0]


def hello(talk: RedisTalk, words: list[bytes]) -> Reply:
    """HELLO [version [AUTH user password] [SETNAME name]]."""
    client = talk.client
    version = client.version
    if words:
        version = integer(
            words[0], "ERR Protocol version is not an integer or out of range"
        )
        if version not in (2, 3):
            raise CommandError("NOPROTO unsupported protocol version")
    _take_options(client, words[1:])
    client.version = version
    client.settle()
    return {
        "server": "redis",
        "version": COMPATIBLE,
        "proto": version,
        "id": client.number,
        "mode": "cluster",
        "role": "master",
        "modules": [],
    }


def _take_options(client: Client, words: list[bytes]) -> None:
    """One after the other: those before a wrong one hold, as in Redis."""
    rest = list(words)
    while rest:
        match rest[0].upper(), len(rest):
            case b"AUTH", count if count >= 3:
                _check_user(rest[1])
                del rest[:3]
            case b"SETNAME", count if count >= 2:
                client.name = checked_name(rest[1])
                del rest[:2]
            case _:
                raise CommandError(
                    f"ERR Syntax error in HELLO option '{text(rest[0])}'"
                )


def auth(talk: RedisTalk, words: list[bytes]) -> Reply:
    """AUTH [user] password."""
    if len(words) > 2:
        raise syntax_error()
    if len(words) == 1:
        raise CommandError(_NO_PASSWORD)
    _check_user(words[0])
    return DONE


def _check_user(user: bytes) -> None:
    if user != USER:
        raise CommandError(_WRONG_USER)


def checked_name(name: bytes) -> bytes:
    """A client's name has no blank in it."""
    check_name(name)
    if not all(0x21 <= letter <= 0x7E for letter in name):
        raise CommandError(
            "ERR Client names cannot contain spaces, newlines or special characters."
        )
    return name


def check_name(name: bytes) -> None:
    """Is what every CLIENT LIST says of a client short enough?"""
    if len(name) > MAX_NAME_BYTES:
        raise CommandError(f"ERR a client's name has at most {MAX_NAME_BYTES} bytes")


def select(talk: RedisTalk, words: list[bytes]) -> Reply:
    """SELECT 0: there is one database, as in every cluster."""
    number = integer(words[0])
    if not -(1 << 31) <= number < 1 << 31:
        raise CommandError(
            "ERR value is out of range, value must between -2147483648 and 2147483647"
        )
    if number:
        raise CommandError("ERR SELECT is not allowed in cluster mode")
    return DONE


def quit_(talk: RedisTalk, words: list[bytes]) -> Reply:
    """QUIT: a last OK."""
    talk.ended = True
    return DONE


def reset(talk: RedisTalk, words: list[bytes]) -> Reply:
    """RESET: as if the client had just come."""
    client = talk.client
    talk.server.listeners.forget(client)
    talk.server.watch_no_more(client)
    client.version, client.name = 2, b""
    client.mute = client.reading = False
    client.settle()
    return Status("RESET")


def readonly(talk: RedisTalk, words: list[bytes]) -> Reply:
    """READONLY: every peer answers for every key anyway."""
    talk.client.reading = True
    return DONE


def readwrite(talk: RedisTalk, words: list[bytes]) -> Reply:
    """READWRITE."""
    talk.client.reading = False
    return DONE


def asking(talk: RedisTalk, words: list[bytes]) -> Reply:
    """ASKING: no slot is ever half moved."""
    return DONE


_ALWAYS = "noscript loading stale fast no_auth allow_busy"
_OFTEN = "loading stale fast"

COMMANDS = [
    TalkCommand(
        "PING",
        -1,
        ping,
        "fast",
        "connection",
        "request_policy:all_shards response_policy:all_succeeded",
    ),
    TalkCommand("ECHO", 2, echo, _OFTEN, "connection"),
    TalkCommand("HELLO", -1, hello, _ALWAYS, "connection", changes=True),
    TalkCommand("AUTH", -2, auth, _ALWAYS, "connection"),
    TalkCommand("SELECT", 2, select, _OFTEN, "connection"),
    TalkCommand("QUIT", -1, quit_, _ALWAYS, "connection"),
    TalkCommand("RESET", 1, reset, _ALWAYS, "connection", changes=True),
    TalkCommand("READONLY", 1, readonly, _OFTEN, "connection", changes=True),
    TalkCommand("READWRITE", 1, readwrite, _OFTEN, "connection", changes=True),
    TalkCommand("ASKING", 1, asking, "fast", "connection"),
]
