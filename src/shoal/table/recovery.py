"""What a log says in the end: the copies that a peer has, and what it is bound to."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from shoal.table.messages import (
    UNIT_BITS,
    UNITS,
    Ballot,
    Birth,
    Entry,
    Forgetting,
    Grave,
    Group,
    Item,
    Promise,
    Sealing,
    View,
    Vote,
)

if TYPE_CHECKING:
    from shoal.table.batches import Copy


class Remains:
    """All that was committed, in its order. What came later counts."""

    def __init__(self, items: Iterable[Item]) -> None:
        self.birth = 0
        self._begin()
        for item in items:
            self._take(item)

    def _begin(self) -> None:
        self.units: list[dict[bytes, Copy]] = [{} for _ in range(UNITS)]
        self.promised: dict[int, Ballot] = {}
        self.sealed: dict[int, int] = {}
        self.views: list[View] = []
        self.vote: Vote | None = None

    @property
    def entries(self) -> dict[bytes, Entry]:
        """What keys have."""
        every = (copy for copies in self.units for copy in copies.items())
        return {key: copy for key, copy in every if isinstance(copy, Entry)}

    def _take(self, item: Item) -> None:
        match item:
            case Group():
                self._take_group(item)
            case Birth(start):
                if self.birth not in (0, start):
                    self._begin()  # The log was begun anew.
                self.birth = start
            case Promise(ballot, units):
                for unit in units:
                    self.promised[unit] = max(ballot, self.promised.get(unit, ballot))
            case Sealing(view, units):
                for unit in units:
                    self.sealed[unit] = max(view, self.sealed.get(unit, view))
            case Forgetting(units):
                for unit in units:
                    self.units[unit].clear()
            case View():
                if item.first:
                    self.views = []
                if not self.views or item.number > self.views[-1].number:
                    self.views.append(item)
            case Vote():
                self.vote = item

    def _take_group(self, group: Group) -> None:
        if group.flushed:
            for copies in self.units:
                copies.clear()
        for slot, key, sequence, deadline_ms, value in group.records:
            self.units[slot >> UNIT_BITS][key] = (
                Grave(group.ballot, sequence)
                if value is None
                else Entry(value, deadline_ms, group.ballot, sequence)
            )
