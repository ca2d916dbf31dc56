"""Where clients' keys are, as far as a replica knows: a replicated table's routes."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from shoal.core.machine import Address, PeerId
from shoal.table.messages import UNIT_BITS
from shoal.table.replication.views import peer_of
from shoal.table.routes import HERE, HOPELESS, LATER, NOBODY, Range, Route
from shoal.table.slots import slot_of

if TYPE_CHECKING:
    from shoal.table.replication.protocol import Replica

# As long as it takes to notice a silent death, and then to agree on an heir.
PATIENCE_S = 4.0

# The younger of two, told by the elder's silence.
ALONE = "if the other never comes back, run: shoal recover --force"


class Owners:
    """Whom to ask for a key; whatever a peer says, it does only what it owns."""

    patience_s = PATIENCE_S

    def __init__(
        self, me: PeerId, locate: Callable[[PeerId], Address | None], address: Address
    ) -> None:
        self.whole = False
        self.remedy = LATER
        self.replica: Replica | None = None  # Once it has woken up.
        self._me = me
        self._locate = locate
        self._address = address
        self._changed: list[Callable[[], None]] = []
        self._hopeless: dict[int, bool] = {}

    def changed(self) -> None:
        """Something is owned by somebody else now."""
        self._hopeless.clear()
        if self.replica:
            table = self.replica.seat.table
            self.whole = not table.shared and all(table.opened)
            views = self.replica.seat.views
            two = bool(views) and len(views[-1].members) == 2
            self.remedy = ALONE if two else LATER
        for changed in self._changed:
            changed()

    def owner(self, key: bytes) -> Route:
        """Where a key is now."""
        return self._owner(slot_of(key) >> UNIT_BITS)

    def _owner(self, unit: int) -> Route:
        replica = self.replica
        if replica is None or not replica.seat.views:
            return NOBODY
        hopeless = self._hopeless.get(unit)
        if hopeless is None:
            hopeless = self._hopeless[unit] = replica.owner.hopeless(unit)
        if hopeless:
            return NOBODY if replica.seat.young else HOPELESS
        if replica.seat.table.opened[unit]:
            return HERE
        peer = replica.owner.route(unit)
        if peer is None or peer == self._me:
            replica.want(unit)
            return NOBODY
        return peer

    def ranges(self) -> list[Range]:
        """Where clients of a cluster are to go, by slots: neighbours are one."""
        ranges: list[Range] = []
        for unit, owner, replicas in self._units():
            first, last = unit << UNIT_BITS, (unit + 1 << UNIT_BITS) - 1
            if ranges and (ranges[-1].owner, ranges[-1].replicas) == (owner, replicas):
                first = ranges.pop().first
            ranges.append(Range(first, last, owner, replicas))
        return ranges

    def _units(self) -> Iterator[tuple[int, PeerId, tuple[PeerId, ...]]]:
        replica = self.replica
        if replica is None or not replica.seat.views:
            return
        for unit in range(replica.seat.units):
            peers = [peer_of(voter) for voter in replica.seat.new(unit).voters]
            owner = replica.owner.route(unit) or peers[0]
            yield unit, owner, tuple(peer for peer in peers if peer != owner)

    def peers(self) -> list[PeerId]:
        """Everybody who is there, this peer among them."""
        return list(self.replica.seat.alive) if self.replica else [self._me]

    def address(self, peer: PeerId) -> Address | None:
        """Where clients dial that peer."""
        return self._address if peer == self._me else self._locate(peer)

    def attend(self, changed: Callable[[], None]) -> None:
        """Call that whenever keys have found another owner."""
        self._changed.append(changed)
