"""Rounds that wait for replicas who are there and do not answer.

What goes in one round is safe together, and what comes after it waits for it. A unit
that has its majority is parted from those that have none by asking for it anew: what is
under way for it goes on by itself then.
"""

from collections.abc import Iterable

from shoal.table.replication.holdings import Holding, decided
from shoal.table.replication.round import Round

# Later than who is gone is noticed, and long before anybody's patience ends. A unit
# that is asked for in vain is asked for ever more seldom: all is said again each time.
LATE_S, LATEST_S = 2.0, 64.0


class Overdue:
    """Which units are to be asked for anew."""

    def __init__(self, holdings: dict[int, Holding]) -> None:
        self._holdings = holdings
        self._late_s: dict[int, float] = {}  # Of those that were, and wait again.

    def units(self, rounds: Iterable[Round], now: float) -> list[int]:
        """Those of rounds that are late, the rounds in their order.

        A round may have its own majority, and come after one that has none.
        """
        stuck, found = dict[int, None](), dict[int, None]()
        for each in rounds:
            late_s = now - each.began
            enough = all(decided(kind, each.acked) for kind in each.needs)
            waits = not enough or any(ticket in stuck for ticket in each.after)
            if waits and late_s > LATE_S:
                stuck[each.ticket] = None
                units = [unit for some in each.needs.values() for unit in some]
                found |= {unit: None for unit in units if self._due(unit, late_s)}
        for unit in found:
            self._late_s[unit] = min(2 * self._late_s.get(unit, LATE_S), LATEST_S)
        return list(found)

    def _due(self, unit: int, late_s: float) -> bool:
        holding = self._holdings.get(unit)
        ours = holding is not None and holding.state in ("open", "yielding")
        return ours and late_s > self._late_s.get(unit, LATE_S)

    def settled(self, round_: Round) -> None:
        """Its units wait no more."""
        if self._late_s:
            for units in round_.needs.values():
                for unit in units:
                    self._late_s.pop(unit, None)
