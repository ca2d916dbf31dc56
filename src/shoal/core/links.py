"""What travels over a link once both ends are known."""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from shoal.core.flight import Refusal, Reply, Request, Topic
from shoal.core.frames import MAX_FRAME_BYTES, framed
from shoal.core.machine import PeerId
from shoal.core.wire import REMARK, WORD, decoded

Name = Annotated[PeerId, WORD]


class Post(Struct, array_like=True, tag=4, gc=False):
    """A message that needs no answer."""

    topic: Topic
    body: Raw


class Relayed(Struct, array_like=True, tag=5, gc=False):
    """Please pass this on; `body` is a batch of this protocol."""

    origin: Name
    to: Name
    body: Raw


class NoWay(Struct, array_like=True, tag=6, gc=False):
    """I cannot pass anything on to that peer."""

    to: Name


class Goodbye(Struct, array_like=True, tag=7, gc=False):
    """I close this link on purpose: do not conclude that I died."""

    why: Annotated[str, REMARK]


LinkMessage = Request | Reply | Refusal | Post | Relayed | NoWay | Goodbye

# What one turn of the loop brings leaves in few frames: encoding and decoding a batch
# costs a third of doing it message by message.
MAX_BATCH = 64

Batch = Annotated[list[LinkMessage], Meta(min_length=1, max_length=MAX_BATCH)]

_decoder: msgspec.msgpack.Decoder[list[LinkMessage]] = msgspec.msgpack.Decoder(Batch)
encode = msgspec.msgpack.Encoder().encode


def encode_frames(messages: list[LinkMessage]) -> bytes:
    """At most `MAX_BATCH` messages as frames: one, unless they are very long."""
    body = encode(messages)
    if len(body) <= MAX_FRAME_BYTES:
        return len(body).to_bytes(4) + body
    return b"".join(framed(encode([message])) for message in messages)


def decode(body: bytes | Raw) -> list[LinkMessage]:
    """The messages of one frame, or `MalformedMessage`."""
    return decoded(_decoder, body)
