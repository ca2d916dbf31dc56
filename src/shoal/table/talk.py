"""What every dialect of the table has in common: bytes in, replies out, no I/O."""

from typing import Protocol


class Talk(Protocol):
    """A conversation with one client.

    `ended`: it is over once the last replies are sent. `paused`: there is more to
    answer, once the client has read this much.
    """

    ended: bool
    paused: bool
    answered: int

    def hear(self, data: bytes) -> bytes:
        """Carry out every whole request; their replies in order, `answered` of them."""

    def refused(self, count: int, why: str) -> bytes:
        """So many replies that say instead that nothing was done."""

    def close(self) -> None:
        """The client has gone."""
