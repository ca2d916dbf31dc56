"""What flow needs of whoever keeps records: jobs and datasets stand on them."""

from collections.abc import Callable
from typing import Protocol

from shoal.core.records import Record

__all__ = ["Record", "Records"]

# A body is at most so long; a longer one is `Misuse`.
MAX_BODY_BYTES = 1 << 20


class Records(Protocol):
    """Small things that the network keeps, each under a kind and an id.

    `Overloaded`, `NoSpace`: it was not done. `Unanswered`: it may have been.
    """

    async def create(self, kind: str, id: str, body: bytes) -> int:  # noqa: A002
        """Keep this under a new name; the version it has. `Exists` if it is taken."""

    async def read(self, kind: str, id: str) -> Record | None:  # noqa: A002
        """What stands there now."""

    async def swap(
        self,
        kind: str,
        id: str,  # noqa: A002
        version: int,
        body: bytes | None,
    ) -> int:
        """Put this in the place of that version, or nothing; the version it has.

        `Conflict` if another version stands there, or nothing.
        """

    def peek(self, kind: str, id: str) -> Record | None:  # noqa: A002
        """What stands there, from this peer's own copy: mostly not a second old."""

    def list(self, kind: str) -> list[Record]:
        """All of a kind, from this peer's own copy: mostly not a second old."""

    def watch(
        self, kind: str, listener: Callable[[Record], None]
    ) -> Callable[[], None]:
        """Tell the listener each change from now on; call the result to stop."""
