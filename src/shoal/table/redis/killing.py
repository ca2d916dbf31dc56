"""CLIENT KILL: which clients are meant, and their end."""

from collections.abc import Callable

from shoal.table.redis.commands import text
from shoal.table.redis.conversation import USER
from shoal.table.redis.integers import integer
from shoal.table.redis.replies import DONE, CommandError, Reply, syntax_error
from shoal.table.redis.server import Client
from shoal.table.redis.talk import RedisTalk

# What a client can be, as Redis has it; here it is one of the first two.
_KINDS = (b"NORMAL", b"PUBSUB", b"MASTER", b"REPLICA", b"SLAVE")

_Condition = Callable[[Client], bool]


def kill(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLIENT KILL address, or conditions that all hold: how many were ended."""
    if len(words) == 1:
        address = text(words[0])
        if not _end(talk, [lambda client: client.caller.address == address]):
            raise CommandError("ERR No such client")
        return DONE
    conditions, spare = _conditions(words)
    if spare:
        conditions.append(lambda client: client is not talk.client)
    return _end(talk, conditions)


def is_of(client: Client, kind: bytes) -> bool:
    """Is it a client of that kind?"""
    check_kind(kind)
    return kind.upper() == (b"PUBSUB" if client.listening else b"NORMAL")


def check_kind(kind: bytes) -> None:
    """Is there such a kind?"""
    if kind.upper() not in _KINDS:
        raise CommandError(f"ERR Unknown client type '{text(kind)}'")


def _conditions(words: list[bytes]) -> tuple[list[_Condition], bool]:
    """What the words ask of a client, and whether the one who asks is spared."""
    conditions: list[_Condition] = []
    spare = True
    for at in range(0, len(words), 2):
        option, value = words[at].upper(), words[at + 1 : at + 2]
        if not value:
            raise syntax_error()
        if option == b"SKIPME":
            if value[0].lower() not in (b"yes", b"no"):
                raise syntax_error()
            spare = value[0].lower() == b"yes"
        else:
            conditions.append(_condition(option, value[0]))
    return conditions, spare


def _condition(option: bytes, value: bytes) -> _Condition:
    match option:
        case b"ID":
            wrong = "ERR client-id should be greater than 0"
            number = integer(value, wrong)
            if number < 1:
                raise CommandError(wrong)
            return lambda client: client.number == number
        case b"ADDR":
            return lambda client: client.caller.address == text(value)
        case b"LADDR":
            return lambda client: client.caller.called == text(value)
        case b"TYPE":
            check_kind(value)
            return lambda client: is_of(client, value)
        case b"USER":
            if value != USER:
                raise CommandError(f"ERR No such user '{text(value)}'")
            return lambda client: True
    raise syntax_error()


def _end(talk: RedisTalk, conditions: list[_Condition]) -> int:
    meant = [
        client
        for client in talk.server.clients.values()
        if all(holds(client) for holds in conditions)
    ]
    for client in meant:
        if client is talk.client:
            talk.ended = True  # It is still told.
        else:
            client.caller.cut("another client ended it")
    return len(meant)
