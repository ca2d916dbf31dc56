"""What travels over a link once both ends are known."""

from typing import Annotated

import msgspec
from msgspec import Raw, Struct

from shoal.core.flight import Refusal, Reply, Request, Topic
from shoal.core.machine import PeerId
from shoal.core.wire import REMARK, WORD
from shoal.errors import MalformedMessage

Name = Annotated[PeerId, WORD]


class Post(Struct, array_like=True, tag=4, gc=False):
    """A message that needs no answer."""

    topic: Topic
    body: Raw


class Relayed(Struct, array_like=True, tag=5, gc=False):
    """Please pass this on; `body` is a message of this protocol."""

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

_decoder: msgspec.msgpack.Decoder[LinkMessage] = msgspec.msgpack.Decoder(LinkMessage)
encode = msgspec.msgpack.Encoder().encode


def decode(body: bytes | Raw) -> LinkMessage:
    """One message, or `MalformedMessage`."""
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise MalformedMessage(f"not a message: {error}") from error
