"""What every dialect of the table has in common: bytes in, replies out, no I/O."""

from typing import Protocol

from shoal.table.turns import Turn


class Talk(Protocol):
    """A conversation with one client.

    `ended`: it is over once the last replies are sent. `paused`: there is more to
    answer, once the client has read this much. `turn`: some of the last answers are
    to come from other peers, and nothing more is heard until they have.
    """

    ended: bool
    paused: bool
    answered: int
    turn: Turn | None

    def hear(self, data: bytes) -> bytes:
        """Carry out every whole request; their replies in order, `answered` of them."""

    def refused(self, count: int, why: str) -> bytes:
        """So many replies that say instead that nothing was done."""

    def close(self) -> None:
        """The client has gone."""
