"""A fixed group: so many nodes for ever, one owner a key, found by its MD5 modulo n.

There is one copy of everything, and nobody takes over: who is not there is missed at
once, and is there again when it is.
"""

from collections.abc import Callable, Mapping

from shoal.core.classic_rings import fixed_owner
from shoal.core.machine import Address, PeerId
from shoal.table.messages import SLOTS
from shoal.table.routes import HERE, LATER, Range, Route


class FixedGroup:
    """Who owns what among the nodes of an atlas, in the order of their ids."""

    patience_s = 0.0
    remedy = LATER

    def __init__(self, me: PeerId, atlas: Mapping[PeerId, Address]) -> None:
        self.whole = len(atlas) == 1
        self._me = me
        self._atlas = atlas
        self._nodes = tuple(atlas)

    def owner(self, key: bytes) -> Route:
        """The same for all, whoever is there."""
        peer = self._nodes[fixed_owner(key, len(self._nodes))]
        return HERE if peer == self._me else peer

    def ranges(self) -> list[Range]:
        """All slots are here: no slot tells where its keys are, and anybody asks on."""
        return [Range(0, SLOTS - 1, self._me)]

    def address(self, peer: PeerId) -> Address | None:
        """As the group's file says."""
        return self._atlas.get(peer)

    def peers(self) -> list[PeerId]:
        """All nodes, whoever is up."""
        return list(self._nodes)

    def attend(self, changed: Callable[[], None]) -> None:
        """Nothing ever changes."""
