"""Ways to a peer: where it is dialled, and over whom it is reached if it cannot be."""

from typing import Protocol

from msgspec import Raw

from shoal.core import links
from shoal.core.links import LinkMessage, Relayed
from shoal.core.machine import Address, PeerId
from shoal.net.link import Link


class Atlas(Protocol):
    """Where peers are, as far as anybody knows."""

    def locate(self, peer: PeerId) -> Address | None:
        """Where to dial a peer; none if it is unknown, or nobody can dial it."""

    def knows(self, peer: PeerId) -> bool:
        """Is that a member of our network?"""

    def relays(self, peer: PeerId) -> list[PeerId]:
        """Who has a link to a peer that nobody can dial."""


class Way(Protocol):
    """Whatever takes a message to one peer."""

    @property
    def closed(self) -> bool:
        """Does it lead nowhere any more?"""

    def write(self, message: LinkMessage) -> None:
        """Send it, at once or never."""


class Relay:
    """A way over a neighbour of both."""

    def __init__(self, me: PeerId, to: PeerId, over: Link) -> None:
        self._me = me
        self._to = to
        self.over = over

    @property
    def closed(self) -> bool:
        """Does it lead nowhere any more?"""
        return self.over.closed

    def write(self, message: LinkMessage) -> None:
        """Send it to the neighbour to pass on."""
        body = Raw(links.encode([message]))
        self.over.write(Relayed(self._me, self._to, body))
