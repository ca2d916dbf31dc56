"""What Redis's clients are told, in the second or third version of its protocol.

A reply is a number, bytes, a list, a mapping, nothing, a `Status` or a `CommandError`.
"""

from collections.abc import Iterable
from typing import Union

from msgspec import Struct

OK = b"+OK\r\n"


class Status(Struct, frozen=True):
    """A short word, such as OK."""

    text: str


class Push(Struct, frozen=True):
    """What was not asked for just now: news of a channel."""

    items: list["Reply"]


class CommandError(Exception):
    """The command was not carried out, and why: its first word is the kind."""


Reply = Union[  # noqa: UP007 - `|` takes no forward reference.
    int,
    float,
    bytes,
    str,
    None,
    Status,
    Push,
    CommandError,
    list["Reply"],
    tuple["Reply", ...],
    dict[str, "Reply"],
]


def encode(reply: Reply, version: int) -> bytes:
    """The reply on the wire."""
    match reply:
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
        case bool():
            return (
                (b"#t\r\n" if reply else b"#f\r\n")
                if version > 2
                else (b":%d\r\n" % reply)
            )
        case int():
            return b":%d\r\n" % reply
        case None:
            return nothing(version)
        case str():
            return encode(reply.encode(), version)
        case float():
            text = f"{reply:.17g}".encode()
            return b",%b\r\n" % text if version > 2 else encode(text, version)
        case Status(text):
            return b"+%b\r\n" % text.encode()
        case CommandError():
            return error(str(reply))
        case list() | tuple():
            return _many(b"*", len(reply), reply, version)
        case Push(items):
            return _many(b">" if version > 2 else b"*", len(items), items, version)
        case dict():
            flat = [each for pair in reply.items() for each in pair]
            if version > 2:
                return _many(b"%", len(reply), flat, version)
            return _many(b"*", len(flat), flat, version)


def nothing(version: int) -> bytes:
    """There is none."""
    return b"_\r\n" if version > 2 else b"$-1\r\n"


def error(text: str) -> bytes:
    """One line, whatever is in the text."""
    line = text.replace("\r", " ").replace("\n", " ")
    return b"-%b\r\n" % line.encode(errors="surrogateescape")


def _many(kind: bytes, count: int, items: Iterable[Reply], version: int) -> bytes:
    parts = [b"%b%d\r\n" % (kind, count)]
    parts += [encode(each, version) for each in items]
    return b"".join(parts)
