"""Commands about the conversation itself."""

from shoal.table.redis.commands import TalkCommand
from shoal.table.redis.replies import CommandError, Reply, Status
from shoal.table.redis.talk import RedisTalk


def ping(talk: RedisTalk, words: list[bytes]) -> Reply:
    """PING [message]."""
    if len(words) > 1:
        raise CommandError("ERR wrong number of arguments for 'ping' command")
    return words[0] if words else Status("PONG")


def echo(talk: RedisTalk, words: list[bytes]) -> Reply:
    """ECHO message."""
    return words[0]


def quit_(talk: RedisTalk, words: list[bytes]) -> Reply:
    """QUIT: a last OK."""
    talk.ended = True
    return Status("OK")


COMMANDS = [
    TalkCommand("PING", -1, ping, ("fast",)),
    TalkCommand("ECHO", 2, echo, ("fast",)),
    TalkCommand("QUIT", -1, quit_, ("fast",)),
]
