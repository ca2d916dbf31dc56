"""Records: what flow keeps for all peers, behind a protocol that it declares."""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct


class Record(Struct, frozen=True):
    """One record, at one version."""

    kind: str
    id: str
    version: int
    body: bytes


class Records(Protocol):
    """One table for all peers."""

    async def create(self, kind: str, id: str, body: bytes) -> int:
        """Make a record; its version."""

    async def read(self, kind: str, id: str) -> Record | None:
        """A record, as it is now."""

    async def swap(self, kind: str, id: str, version: int, body: bytes | None) -> int:
        """Change or remove a record that still has this version."""

    def list(self, kind: str) -> list[Record]:
        """All records of a kind, as this peer knows them."""

    def watch(
        self, kind: str, listener: Callable[[Record], None]
    ) -> Callable[[], None]:
        """Hear of every change; returns how to hear no more."""
