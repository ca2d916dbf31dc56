"""What Redis's clients are told, in the second or third version of its protocol.

A reply is a number, bytes, a list, a mapping, nothing, a `Status` or a `CommandError`,
and what the third version tells apart and the second does not.
"""

from collections.abc import Iterable
from typing import Union

from msgspec import Struct

OK = b"+OK\r\n"


class Status(Struct, frozen=True):
    """A short word, such as OK."""

    text: str


class Verbatim(Struct, frozen=True):
    """Text for people."""

    text: str


class Together(Struct, frozen=True):
    """A set: several, in no order."""

    items: list["Reply"]


class Push(Struct, frozen=True):
    """What was not asked for just now: news of a channel."""

    items: list["Reply"]


class Several(Struct, frozen=True):
    """One command, several replies."""

    items: list["Reply"]


class CommandError(Exception):
    """The command was not carried out, and why: its first word is the kind."""


Reply = Union[  # noqa: UP007 - `|` takes no forward reference.
    int,
    bytes,
    str,
    None,
    Status,
    Verbatim,
    Together,
    Push,
    Several,
    CommandError,
    list["Reply"],
    tuple["Reply", ...],
    dict[str, "Reply"],
]

DONE = Status("OK")

# Others are asked, and the reply is made of what they answer.
LATER = Several([])


def syntax_error() -> CommandError:
    """The words are not as the command takes them."""
    return CommandError("ERR syntax error")


def encode(reply: Reply, version: int) -> bytes:
    """The reply on the wire."""
    match reply:
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case int():
            return b":%d\r\n" % reply
        case None:
            return nothing(version)
        case str():
            return encode(reply.encode(errors="surrogateescape"), version)
        case Status(text):
            return b"+%b\r\n" % text.encode()
        case CommandError():
            return error(str(reply))
        case list() | tuple():
            return _many(b"*", reply, version)
        case dict():
            return _mapping(reply, version)
        case _:
            return _encode_third(reply, version)


def _encode_third(reply: Verbatim | Together | Push | Several, version: int) -> bytes:
    """What the second version has no form of its own for."""
    match reply:
        case Verbatim(text):
            data = text.encode(errors="surrogateescape")
            if version > 2:
                return b"=%d\r\ntxt:%b\r\n" % (len(data) + 4, data)
            return encode(data, version)
        case Together(items):
            return _many(b"~" if version > 2 else b"*", items, version)
        case Push(items):
            return _many(b">" if version > 2 else b"*", items, version)
        case Several(items):
            return b"".join(encode(each, version) for each in items)


def nothing(version: int) -> bytes:
    """There is none."""
    return b"_\r\n" if version > 2 else b"$-1\r\n"


def error(text: str) -> bytes:
    """One line, whatever is in the text."""
    line = text.strip("\r\n").replace("\r", " ").replace("\n", " ")
    return b"-%b\r\n" % line.encode(errors="surrogateescape")


def _mapping(reply: dict[str, Reply], version: int) -> bytes:
    flat = [each for pair in reply.items() for each in pair]
    if version > 2:
        return b"%%%d\r\n" % len(reply) + _items(flat, version)
    return _many(b"*", flat, version)


def _many(kind: bytes, items: "list[Reply] | tuple[Reply, ...]", version: int) -> bytes:
    return b"%b%d\r\n" % (kind, len(items)) + _items(items, version)


def _items(items: Iterable[Reply], version: int) -> bytes:
    return b"".join(encode(each, version) for each in items)


def why_not(reply: bytes) -> str | None:
    """What an encoded error says; nothing of any other reply."""
    if not reply.startswith(b"-"):
        return None
    return reply[1:-2].decode(errors="surrogateescape")


def value_in(reply: bytes) -> bytes | None:
    """The bytes in an encoded reply, if it has some."""
    if not reply.startswith(b"$") or reply.startswith(b"$-"):
        return None
    return reply[reply.index(b"\r\n") + 2 : -2]
