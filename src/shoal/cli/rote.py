"""The same operation on many numbered keys, one after the other, and each checked."""

from hashlib import blake2b
from string import ascii_letters, digits
from typing import Protocol

LETTERS = (ascii_letters + digits).encode()
VALUE_BYTES = 20


class Asked(Protocol):
    """What is measured: the table, in any dialect."""

    def put(self, key: bytes, value: bytes) -> bool:
        """Let a key have that."""

    def get(self, key: bytes) -> bytes | None:
        """What a key has, if anything."""

    def delete(self, key: bytes) -> bool:
        """Let a key have nothing; False if it had nothing."""


class Rote:
    """Each key has the value that its number gives it, so anybody can check it."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def run(self, action: str, first: int, count: int) -> int:
        """Do it with so many keys; how many times it did what it should."""
        asked = self._asked
        numbers = range(first, first + count)
        match action:
            case "put":
                return sum(asked.put(b"%d" % n, value_of(n)) for n in numbers)
            case "get":
                return sum(asked.get(b"%d" % n) == value_of(n) for n in numbers)
            case _:
                return sum(asked.delete(b"%d" % n) for n in numbers)


def value_of(number: int) -> bytes:
    """Twenty letters and digits, the same for everybody."""
    digest = blake2b(b"%d" % number, digest_size=VALUE_BYTES).digest()
    return bytes(LETTERS[byte % len(LETTERS)] for byte in digest)
