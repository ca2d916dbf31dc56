"""What peers tell each other of keys that are watched: one conversation for each pair.

Who asks opens it under a number of its own, says which keys it wants to hear of, and
listens: the answer comes when there is something to tell. All is told in one order.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from shoal.core.wire import COUNT, decoded
from shoal.table.messages import MAX_KEY_BYTES

TOPIC = "table.feed"

# Keys that travel together.
MAX_TOGETHER = 1024
TOGETHER_BYTES = 1 << 20

# More than this is not told at once; with the longest value it fits in a frame.
TOLD_BYTES = 4 << 20

# Who listens is told after so long that there is nothing to tell. One who has heard
# nothing for longer than that takes the other for lost: as long as a death may last.
HOLD_S = 1.5
SILENCE_S = 4.0

Number = Annotated[int, COUNT]
Key = Annotated[bytes, Meta(max_length=MAX_KEY_BYTES)]
Keys = Annotated[list[Key], Meta(max_length=MAX_TOGETHER)]


class Watch(Struct, array_like=True, tag=1, gc=False):
    """Tell me no more of those keys, and from now on of these."""

    session: Number
    opening: bool
    ended: Keys
    begun: Keys


class Listen(Struct, array_like=True, tag=2, gc=False):
    """What has become of them?"""

    session: Number


class Began(Struct, array_like=True, tag=1, gc=False):
    """A key has that, and what follows is told."""

    key: bytes
    value: bytes | None
    sequence: int


class Declined(Struct, array_like=True, tag=2, gc=False):
    """A key is not told of, and why; for no reason: it is elsewhere."""

    key: bytes
    why: str


class Changed(Struct, array_like=True, tag=3, gc=False):
    """A key has that from now on."""

    key: bytes
    value: bytes | None
    sequence: int


class Lost(Struct, array_like=True, tag=4, gc=False):
    """A key is told of no more: it may have another owner."""

    key: bytes


Asked = Watch | Listen
Tiding = Began | Declined | Changed | Lost

packed = msgspec.msgpack.Encoder().encode
_asked: msgspec.msgpack.Decoder[Asked] = msgspec.msgpack.Decoder(Asked)
_tidings: msgspec.msgpack.Decoder[list[Tiding]] = msgspec.msgpack.Decoder(list[Tiding])


def asked(body: bytes | msgspec.Raw) -> Asked:
    """What another peer says, or `MalformedMessage`."""
    return decoded(_asked, bytes(body))


def tidings(body: bytes | msgspec.Raw) -> list[Tiding]:
    """What was told, or `MalformedMessage`."""
    return decoded(_tidings, bytes(body))
