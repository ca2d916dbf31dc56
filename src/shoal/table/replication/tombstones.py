"""Deletions are remembered until every replica has them, and then by nobody.

Only those of a former tenure are forgotten: one of the present tenure may be overtaken
by a delayed change of the same ballot, which would bring the old value back. So the
tenure is renewed, all replicas are compared anew, and what is older goes.
"""

from shoal.table.messages import NEVER, Ballot, Group, Record
from shoal.table.replication import messages as say
from shoal.table.replication.holdings import Holding
from shoal.table.replication.owner import Owner
from shoal.table.replication.seat import Seat
from shoal.table.slots import slot_of

# Renewing a tenure costs a round for all units at once.
ROUND_S = 60.0

# So many graves in a message.
PURGED_AT_ONCE = 8192


class Sexton:
    """Of the units that we own."""

    def __init__(self, seat: Seat, owner: Owner) -> None:
        self._seat = seat
        self._owner = owner
        self.round_s = ROUND_S
        self._next = seat.now + seat.rng.uniform(0, ROUND_S)
        self._due: dict[int, Ballot] = {}  # Renewed, and to be compared.

    def tick(self) -> None:
        """Renew what has graves, forget what all have seen."""
        graves, holdings = self._seat.table.graves, self._owner.holdings
        if self._seat.now > self._next:
            self._next = self._seat.now + self.round_s
            fresh = (each for u, each in holdings.items() if u not in self._due)
            full = [each.unit for each in fresh if graves[each.unit] and each.whole]
            self._owner.claim([u for u in full if holdings[u].state == "open"])
            for unit in full:
                holdings[unit].level_again = True
                self._due[unit] = holdings[unit].ballot
        for unit, ballot in list(self._due.items()):
            holding = holdings.get(unit)
            if holding is None or holding.ballot != ballot:
                del self._due[unit]
            elif holding.state == "open" and holding.whole:
                del self._due[unit]
                self._purge(holding)

    def _purge(self, holding: Holding) -> None:
        records: dict[Ballot, list[Record]] = {}
        for key, grave in self._seat.table.graves[holding.unit].items():
            if grave.ballot < holding.ballot:
                record = (slot_of(key), key, grave.sequence, NEVER, None)
                records.setdefault(grave.ballot, []).append(record)
        for ballot, each in records.items():
            for at in range(0, len(each), PURGED_AT_ONCE):
                groups = [Group(ballot, each[at : at + PURGED_AT_ONCE])]
                purge = say.Purge(holding.ballot, holding.unit, groups)
                for voter in holding.new.voters:
                    self._seat.say(voter, purge)
