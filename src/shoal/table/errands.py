"""What one peer asks another on behalf of clients, and how that one does it.

A request is a command in words; it is carried out where its key lives, like one that
a client there had sent, and answered in the bytes that the client will read. What does
not live there is not done, and the answer says so: nothing.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from shoal.core.wire import decoded
from shoal.table.messages import MAX_KEY_BYTES, MAX_VALUE_BYTES
from shoal.table.protocol import Table
from shoal.table.redis.commands import Commands, KeyCommand, lookup
from shoal.table.redis.replies import CommandError, encode, error
from shoal.table.redis.split import keys_of
from shoal.table.routes import HERE, Routes

# Requests that travel together: 20 us for the message, 2 us for each of them.
MAX_TOGETHER = 1024
TOGETHER_BYTES = 1 << 20

# The longest request, which travels alone: a value, its key and a few words.
MAX_ERRAND_BYTES = MAX_VALUE_BYTES + 2 * MAX_KEY_BYTES

# More than this is not answered at once; with the longest reply it fits in a frame.
ANSWER_BYTES = 4 << 20

Request = tuple[Annotated[int, Meta(ge=2, le=3)], list[bytes]]
Requests = Annotated[list[Request], Meta(min_length=1, max_length=MAX_TOGETHER)]
Answers = Annotated[list[bytes | None], Meta(max_length=MAX_TOGETHER)]

_requests: msgspec.msgpack.Decoder[list[Request]] = msgspec.msgpack.Decoder(Requests)
_answers: msgspec.msgpack.Decoder[list[bytes | None]] = msgspec.msgpack.Decoder(Answers)
packed = msgspec.msgpack.Encoder().encode


def requests(body: bytes | msgspec.Raw) -> list[Request]:
    """What is asked, or `MalformedMessage`."""
    return decoded(_requests, bytes(body))


def answers(body: bytes | msgspec.Raw) -> list[bytes | None]:
    """What was answered, or `MalformedMessage`."""
    return decoded(_answers, bytes(body))


def carry_out(
    table: Table, commands: Commands, routes: Routes, asked: Sequence[Request]
) -> list[bytes | None]:
    """Do as much as is answered at once, at least one; nothing for what is elsewhere.

    It is one turn of the table: it has begun, and the answers rest on what it says.
    """
    told: list[bytes | None] = []
    size = 0
    for version, words in asked:
        reply = _carry_out(table, commands, routes, version, words)
        told.append(reply)
        size += len(reply or b"")
        if size >= ANSWER_BYTES or table.burdened:
            break
    return told


def _carry_out(
    table: Table, commands: Commands, routes: Routes, version: int, words: list[bytes]
) -> bytes | None:
    try:
        if not words:
            raise CommandError("ERR a request of no words")
        command, rest = lookup(commands, words)
        if not isinstance(command, KeyCommand):
            raise CommandError(f"ERR '{command.name}' is not on keys alone")
        if not routes.whole:
            for key in keys_of(command, words):
                if routes.owner(key) is not HERE:
                    return None
        return encode(command.run(table, rest), version)
    except CommandError as wrong:
        return error(str(wrong))
