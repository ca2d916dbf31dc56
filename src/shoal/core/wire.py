"""Bytes to typed messages and back. Nothing untyped gets past this module."""

from hashlib import blake2b
from hmac import compare_digest
from typing import Annotated, Generic, TypeVar

import msgspec

from shoal.core.machine import PeerId
from shoal.errors import MalformedMessage

MessageT = TypeVar("MessageT")

# Fits one unfragmented Ethernet frame: 1500 less 40 (IPv6) and 8 (UDP).
MAX_DATAGRAM_BYTES = 1452

# A name on the wire: short, printable ASCII, no spaces.
WORD = msgspec.Meta(min_length=1, max_length=48, pattern=r"^[!-~]+\Z")

# "host:port". The longest is a DNS name; 64 covers every address and most names. What
# passes here can be dialled, or at least tried: it is spread and kept.
_PORT = (
    r"([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
)
PLACE = msgspec.Meta(
    max_length=64, pattern=rf"^(\[[0-9a-fA-F:.]+\]|[!-9;-Z^-~]+):{_PORT}\Z"
)

# A sentence for a human, such as the reason for a verdict.
REMARK = msgspec.Meta(max_length=80)

# Counters and nonces: what msgspec can check in 64 bits, and never below nothing.
COUNT = msgspec.Meta(ge=0, lt=2**62)

_SEAL_BYTES = 8  # A forger guesses right once in 2^64 datagrams.


class Envelope(msgspec.Struct, Generic[MessageT], frozen=True, array_like=True):
    """What actually travels: who speaks, then what they say."""

    sender: Annotated[PeerId, WORD]
    message: MessageT


class Codec(Generic[MessageT]):
    """Encodes and decodes the datagrams of one protocol in one network.

    Each is sealed with the network's secret: another network's datagrams, corrupted
    ones and a stranger's are told apart from ours before anything is parsed.
    """

    def __init__(self, envelope: type[Envelope[MessageT]], secret: bytes) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(envelope)
        self._blank = blake2b(key=secret, digest_size=_SEAL_BYTES)

    def encode(self, sender: PeerId, message: MessageT) -> bytes:
        """Turn a message into sealed bytes."""
        data = self._encoder.encode(Envelope(sender, message))
        return self._seal(data) + data

    def encode_datagram(self, sender: PeerId, message: MessageT) -> bytes:
        """Turn a message into sealed bytes that fit one datagram."""
        data = self.encode(sender, message)
        assert len(data) <= MAX_DATAGRAM_BYTES, f"{len(data)} bytes is too large"
        return data

    def decode(self, data: bytes) -> tuple[PeerId, MessageT]:
        """Turn a datagram into a message, or raise `MalformedMessage`."""
        seal, body = data[:_SEAL_BYTES], data[_SEAL_BYTES:]
        if not compare_digest(seal, self._seal(body)):
            raise MalformedMessage("not sealed by a peer of this network")
        envelope = decoded(self._decoder, body)
        return envelope.sender, envelope.message

    def _seal(self, body: bytes) -> bytes:
        fresh = self._blank.copy()
        fresh.update(body)
        return fresh.digest()


def decoded(
    decoder: msgspec.msgpack.Decoder[MessageT], body: bytes | bytearray
) -> MessageT:
    """What another's bytes mean, or `MalformedMessage`: the only way to read them."""
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"not what was expected: {error}") from error
