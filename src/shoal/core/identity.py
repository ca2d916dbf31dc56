"""Who a peer is: a key, and a name that a person can say, bound to it.

A name ends in a few characters of the key's digest, so that two peers of one name
are unlikely and a peer that claims another's name is found out by its key.
"""

from base64 import b32encode
from hashlib import blake2b
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from shoal.core.machine import PeerId
from shoal.core.words import ADJECTIVES, ANIMALS
from shoal.errors import InvalidName

SEED_BYTES: Final = 32

# Six characters are 30 bits: in a network of 1,000 namesakes, one chance in 2,000
# that two share a suffix.
SUFFIX_LENGTH = 6

MAX_LABEL = 32


class Identity:
    """A private key and the name that belongs to it."""

    def __init__(self, seed: bytes, label: str = "") -> None:
        self.seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()
        self.label = checked_label(label) if label else spoken(self.public)
        self.peer = PeerId(f"{self.label}-{suffix(self.public)}")

    def sign(self, data: bytes) -> bytes:
        """Vouch for these bytes."""
        return self._key.sign(data)


def verify(peer: PeerId, public: bytes, signature: bytes, data: bytes) -> bool:
    """Did the peer of that name, whose key this is, vouch for these bytes?"""
    if not peer.endswith(f"-{suffix(public)}"):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def suffix(public: bytes) -> str:
    """What a key adds to a name."""
    return b32encode(_digest(public)).decode().lower()[:SUFFIX_LENGTH]


def spoken(public: bytes) -> str:
    """The name a key has if its owner gave none."""
    digest = _digest(public)
    adjectives, animals = ADJECTIVES.split(), ANIMALS.split()
    adjective = adjectives[digest[-1] % len(adjectives)]
    return f"{adjective}-{animals[digest[-2] % len(animals)]}"


def checked_label(label: str, longest: int = MAX_LABEL) -> str:
    """A name somebody chose, or `InvalidName`: it becomes part of paths and URLs."""
    plain = label.replace("-", "").replace("_", "")
    if not (plain.isascii() and plain.isalnum() and len(label) <= longest):
        raise InvalidName(
            f"name {label!r}: letters, digits, - and _ only, at most {longest}; "
            "choose another"
        )
    return label


def _digest(public: bytes) -> bytes:
    return blake2b(public, digest_size=16, person=b"shoal name").digest()
