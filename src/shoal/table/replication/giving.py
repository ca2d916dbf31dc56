"""Giving units to whom they belong: the first of their replicas that is there to stay.

A unit is served no more first, what is under way comes to its end, and then the heir is
told: so nobody waits for more than the heir's taking it, some milliseconds.
"""

from collections.abc import Callable

from shoal.table.messages import Ballot, Voter
from shoal.table.replication import messages as say
from shoal.table.replication.facts import Rerouted
from shoal.table.replication.holdings import Holding
from shoal.table.replication.rounds import Rounds
from shoal.table.replication.seat import Seat
from shoal.table.replication.views import peer_of

# Who has come back gets its units when it has been there for so long.
SETTLED_S = 10.0

# So many units are given away at once: each is served by nobody for some milliseconds.
YIELDED_AT_ONCE = 64


class Giver:
    """What one owner gives away."""

    def __init__(
        self,
        seat: Seat,
        holdings: dict[int, Holding],
        rounds: Rounds,
        given: Callable[[int], None],
        keep: Callable[[list[int]], None],
    ) -> None:
        """`given` is told what is another's now, `keep` what nobody else can have."""
        self._seat = seat
        self._holdings = holdings
        self._rounds = rounds
        self._given = given
        self._keep = keep
        self.leaving = False  # All is to go.
        self._yielding: dict[int, Holding] = {}

    def look_around(self) -> None:
        """What another should own goes to it, when enough replicas are level."""
        room = YIELDED_AT_ONCE - len(self._yielding)
        for unit, holding in self._holdings.items():
            if room and holding.state == "open" and self._heir(holding):
                holding.state = "yielding"
                self._seat.table.close(unit)
                self._yielding[unit] = holding
                room -= 1

    def go_on(self) -> None:
        """What is under way comes to its end first."""
        given: dict[tuple[Voter, Ballot], list[int]] = {}
        for unit, holding in list(self._yielding.items()):
            same = self._holdings.get(unit) is holding and holding.state == "yielding"
            if same and self._rounds.touching(unit):
                continue
            del self._yielding[unit]
            if same and (heir := self._heir(holding)):
                given.setdefault((heir, holding.ballot), []).append(unit)
            elif same:
                self._keep([unit])
        for (heir, ballot), units in given.items():
            for unit in units:
                self._given(unit)
            self._seat.say(heir, say.Yielded(ballot, units))
            self._seat.emit(Rerouted())
        if given:
            self.look_around()

    def _heir(self, holding: Holding) -> Voter | None:
        """Who should own it instead of us, and can."""
        seat, voters = self._seat, holding.new.voters
        if holding.old or not holding.new.decided(holding.level):
            return None
        foreign = seat.me not in voters
        for voter in voters:
            if voter == seat.me and not self.leaving:
                return None
            there = seat.alive.get(peer_of(voter))
            if voter == seat.me or there is None or voter not in holding.level:
                continue
            if foreign or self.leaving or seat.now > there + SETTLED_S:
                return voter
        return None
