"""How two peers come to trust a connection.

  dialler                                    listener
     Hello(who, of which network, nonce)  ->
                                          <-  Hello(the same), Proof
     Proof                                ->

A proof seals both hellos with the network's secret (we are of one network) and signs
them with the peer's key (I am who I say), and both nonces are fresh, so that an
old proof proves nothing. Who cannot talk is told why by name.
"""

from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from shoal.core.identity import Identity, verify
from shoal.core.machine import Address, PeerId
from shoal.core.wire import PLACE, WORD, decoded
from shoal.errors import Stranger
from shoal.version import PROTOCOL

NONCE_BYTES = 16
SECRET_BYTES = 16

# A hello is read before anything is known of whoever sent it.
MAX_HELLO_BYTES = 1024

NetworkId = Annotated[str, Meta(max_length=24, pattern=r"^[!-~]*\Z")]
Feature = Annotated[str, WORD]


class Hello(Struct, frozen=True, array_like=True, tag="hello"):
    """Who speaks, of which network, what for, and what they understand.

    Fields are only ever added at the end: who does not know one ignores it.
    """

    version: int
    network: NetworkId
    peer: Annotated[PeerId, WORD]
    address: Annotated[Address, PLACE]
    public: Annotated[bytes, Meta(min_length=32, max_length=32)]
    nonce: Annotated[bytes, Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
    purpose: Annotated[str, WORD]
    features: Annotated[tuple[Feature, ...], Meta(max_length=16)] = ()


class Proof(Struct, frozen=True, array_like=True, tag="proof"):
    """That a hello was true."""

    seal: Annotated[bytes, Meta(max_length=32)]
    signature: Annotated[bytes, Meta(max_length=64)]


class Decline(Struct, frozen=True, array_like=True, tag="decline"):
    """We cannot talk, and this is why."""

    why: Annotated[str, Meta(max_length=300)]


class Invitation(Struct, frozen=True, array_like=True, tag="invitation"):
    """What a newcomer needs to be one of a network that is open to all."""

    network: NetworkId
    secret: Annotated[bytes, Meta(min_length=SECRET_BYTES, max_length=SECRET_BYTES)]


Greeting = Hello | Proof | Decline | Invitation

_decoder: msgspec.msgpack.Decoder[Greeting] = msgspec.msgpack.Decoder(Greeting)
encode = msgspec.msgpack.Encoder().encode


def decode(body: bytes) -> Greeting:
    """One greeting, or `MalformedMessage`."""
    return decoded(_decoder, body)


@dataclass(frozen=True, slots=True)
class Membership:
    """What makes us one of a network."""

    identity: Identity
    network: str
    secret: bytes

    def hello(self, address: Address, nonce: bytes, purpose: str) -> Hello:
        """Introduce ourselves."""
        me = self.identity
        return Hello(
            PROTOCOL, self.network, me.peer, address, me.public, nonce, purpose
        )

    def prove(self, mine: Hello, theirs: Hello) -> Proof:
        """Show that our hello was true."""
        said = _said(mine, theirs)
        return Proof(self._seal(said), self.identity.sign(said))

    def check_hello(self, theirs: Hello) -> None:
        """Can we talk at all? `Stranger` says why not."""
        if theirs.version != PROTOCOL:
            raise Stranger(
                f"{theirs.peer} speaks version {theirs.version}, we {PROTOCOL}; "
                "upgrade the older one"
            )
        if theirs.network != self.network:
            raise Stranger(
                f"{theirs.peer} is of network {theirs.network or '(none)'}, "
                f"we are of {self.network}; join with its token"
            )
        if theirs.peer == self.identity.peer:
            raise Stranger(
                f"{theirs.peer} is our own name; "
                "give each peer a data directory of its own"
            )

    def check_proof(self, proof: Proof, theirs: Hello, mine: Hello) -> None:
        """Was their hello true? `Stranger` if not."""
        said = _said(theirs, mine)
        if not compare_digest(proof.seal, self._seal(said)):
            raise Stranger(f"{theirs.peer} does not know the token of {self.network}")
        if not verify(theirs.peer, theirs.public, proof.signature, said):
            raise Stranger(f"somebody at {theirs.address} is not {theirs.peer}")

    def _seal(self, said: bytes) -> bytes:
        return blake2b(said, key=self.secret, person=b"shoal proof").digest()[:32]


def _said(speaker: Hello, listener: Hello) -> bytes:
    return encode(speaker) + encode(listener)
