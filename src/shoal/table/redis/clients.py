"""CLIENT: who the clients are, and what each chooses."""

from shoal.table.redis.commands import TURN_BYTES, Family, TalkCommand, help_on, text
from shoal.table.redis.conversation import USER, check_name, checked_name
from shoal.table.redis.integers import integer
from shoal.table.redis.killing import is_of, kill
from shoal.table.redis.replies import (
    DONE,
    CommandError,
    Reply,
    Several,
    Verbatim,
    syntax_error,
)
from shoal.table.redis.server import Client
from shoal.table.redis.strings import check_total
from shoal.table.redis.talk import RedisTalk

_HELP = (
    "CLIENT <subcommand> [argument ...]. There are:",
    "GETNAME, SETNAME <name>: what this connection is called.",
    "ID: its number.",
    "INFO: what is known of it.",
    "KILL <address> | [ADDR <address>] [LADDR <address>] [ID <number>] [TYPE <type>] "
    "[USER <name>] [SKIPME yes|no]: end connections.",
    "LIST [TYPE <type>] [ID <number> ...]: what is known of all.",
    "NO-EVICT, NO-TOUCH on|off: nothing is evicted here.",
    "REPLY on|off|skip: whether commands are answered.",
    "SETINFO lib-name|lib-ver <text>: which library it uses.",
    "HELP: this.",
)


def number(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLIENT ID."""
    return talk.client.number


def info(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLIENT INFO."""
    return Verbatim(_line(talk, talk.client))


def list_(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLIENT LIST [TYPE type | ID number ...]."""
    clients = list(talk.server.clients.values())
    match [word.upper() for word in words[:1]]:
        case []:
            pass
        case [b"TYPE"] if len(words) == 2:
            clients = [each for each in clients if is_of(each, words[1])]
        case [b"ID"] if len(words) > 1:
            wanted = [integer(each, "ERR Invalid client ID") for each in words[1:]]
            there = talk.server.clients
            clients = [there[each] for each in wanted if each in there]
        case _:
            raise syntax_error()
    lines, total = [], 0
    for each in clients:
        lines.append(_line(talk, each))
        total += len(lines[-1])
        check_total(total)
    return Verbatim("".join(lines))


def _line(talk: RedisTalk, client: Client) -> str:
    age_s = (talk.server.table.now_ms - client.since_ms) // 1000
    said = {"P": client.listening, "r": client.reading, "e": client.spared}
    flags = "".join(letter for letter, holds in said.items() if holds)
    fields = {
        "id": client.number,
        "addr": client.caller.address,
        "laddr": client.caller.called,
        "name": text(client.name),
        "age": age_s,
        "flags": flags or "N",
        "db": 0,
        "sub": len(client.channels),
        "psub": len(client.patterns),
        "feed": len(client.watched),
        "multi": -1,
        "user": USER.decode(),
        "resp": client.version,
        "lib-name": text(client.library),
        "lib-ver": text(client.library_version),
    }
    return " ".join(f"{name}={value}" for name, value in fields.items()) + "\n"


def setname(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLIENT SETNAME name."""
    talk.client.name = checked_name(words[0])
    return DONE


def getname(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLIENT GETNAME."""
    return talk.client.name or None


def setinfo(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLIENT SETINFO lib-name | lib-ver text, as in Redis 7.2."""
    option, value = words
    word = option.lower()
    if word not in (b"lib-name", b"lib-ver"):
        raise CommandError(f"ERR Unrecognized option '{text(option)}'")
    if not all(0x21 <= letter <= 0x7E for letter in value):
        raise CommandError(
            f"ERR {text(word)} cannot contain spaces, newlines or special characters."
        )
    check_name(value)
    if word == b"lib-name":
        talk.client.library = value
    else:
        talk.client.library_version = value
    return DONE


def no_evict(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLIENT NO-EVICT on | off."""
    talk.client.spared = _switch(words[0])
    return DONE


def no_touch(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLIENT NO-TOUCH on | off: nobody here remembers who touched what."""
    _switch(words[0])
    return DONE


def _switch(word: bytes) -> bool:
    if word.lower() not in (b"on", b"off"):
        raise syntax_error()
    return word.lower() == b"on"


def reply(talk: RedisTalk, words: list[bytes]) -> Reply:
    """CLIENT REPLY on | off | skip."""
    client = talk.client
    client.caller.settle()
    match words[0].lower():
        case b"on":
            client.mute = False
        case b"off":
            client.mute = True
        case b"skip":
            if not client.mute:
                client.skip()
            return Several([])
        case _:
            raise syntax_error()
    client.settle()
    return DONE


_ANY = "noscript loading stale"
_ADMIN = f"admin {_ANY}"
_CHANGING = "nondeterministic_output"

COMMANDS = [
    Family(
        "CLIENT",
        (
            TalkCommand("CLIENT|ID", 2, number, _ANY, "connection"),
            TalkCommand("CLIENT|INFO", 2, info, _ANY, "connection", _CHANGING),
            TalkCommand(
                "CLIENT|LIST",
                -2,
                list_,
                _ADMIN,
                "connection",
                _CHANGING,
                work=TURN_BYTES,
            ),
            TalkCommand("CLIENT|KILL", -3, kill, _ADMIN, "connection"),
            TalkCommand("CLIENT|SETNAME", 3, setname, _ANY, "connection", changes=True),
            TalkCommand("CLIENT|GETNAME", 2, getname, _ANY, "connection"),
            TalkCommand("CLIENT|SETINFO", 4, setinfo, _ANY, "connection", changes=True),
            TalkCommand(
                "CLIENT|NO-EVICT", 3, no_evict, _ADMIN, "connection", changes=True
            ),
            TalkCommand("CLIENT|NO-TOUCH", 3, no_touch, _ANY, "connection"),
            TalkCommand("CLIENT|REPLY", 3, reply, _ANY, "connection", changes=True),
            help_on("CLIENT", _HELP, "connection"),
        ),
    )
]
