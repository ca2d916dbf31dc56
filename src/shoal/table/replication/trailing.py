"""Rounds that are safe, and that some replicas have not answered yet.

Nobody waits for those any more, so they are not asked again. Who has not answered after
a while may lack what was in the round, and is compared.
"""

from shoal.table.messages import Voter
from shoal.table.replication.holdings import Holding
from shoal.table.replication.round import Round
from shoal.table.replication.seat import Seat

# A replica that has not answered a safe round by then has to be compared.
LAG_S = 1.0


class Trailing:
    """All of them."""

    def __init__(self, seat: Seat, holdings: dict[int, Holding]) -> None:
        self._seat = seat
        self._holdings = holdings
        self._rounds: dict[int, Round] = {}

    def add(self, round_: Round) -> None:
        """One more is safe; who has only read it lacks nothing."""
        if round_.own and round_.silent(self._seat.me):
            self._rounds[round_.ticket] = round_

    def accepted(self, voter: Voter, number: int) -> None:
        """A replica has answered, late."""
        if round_ := self._rounds.get(number):
            round_.acked[voter] = None
            if not round_.silent(self._seat.me):
                del self._rounds[number]

    def tick(self) -> None:
        """Let those be compared who take too long."""
        for ticket, round_ in list(self._rounds.items()):
            if self._seat.now < round_.began + LAG_S:
                continue
            del self._rounds[ticket]
            for kind, units in round_.needs.items():
                late = [v for v in kind[1].voters if v not in round_.acked]
                for unit in units:
                    holding = self._holdings.get(unit)
                    while holding:  # One that is asked for anew goes by the former.
                        for voter in late:
                            holding.level.pop(voter, None)
                        holding = holding.former
