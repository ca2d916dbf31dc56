"""Learning what a unit has: whose answer counts, and to which question."""

from random import Random

import pytest

from shoal.core.machine import PeerId, Send
from shoal.table.messages import Ballot, Member, View, Voter
from shoal.table.protocol import Table
from shoal.table.recovery import Remains
from shoal.table.replication import messages as say
from shoal.table.replication.holdings import Holding
from shoal.table.replication.keeper import Keeper
from shoal.table.replication.levelling import Leveller
from shoal.table.replication.owner import Owner
from shoal.table.replication.seat import Seat
from shoal.table.replication.views import peer_of

ME, SECOND, THIRD = Voter("me~1"), Voter("second~1"), Voter("third~1")
UNIT = 5
EARLIER, OURS = (Ballot(1, counter, PeerId(ME), 1) for counter in (1, 2))


class Scene:
    """A unit that was taken over, and is being learned."""

    def __init__(self) -> None:
        table = Table(Ballot(0, 0, PeerId("me"), 1), Random(1), logged=True)
        self.seat = Seat(ME, 1, table, Random(1))
        members = tuple(Member(voter, voter) for voter in (ME, SECOND, THIRD))
        self.seat.seated([View(1, members)])
        table.share()
        keeper = Keeper(self.seat, Remains(()), lambda *_: None)
        self.leveller = Leveller(self.seat)
        owner = Owner(self.seat, keeper, self.leveller.learn, lambda: None)
        self.leveller.owner = owner
        new = self.seat.new(UNIT)
        self.holding = Holding(UNIT, OURS, None, new, state="asking")
        owner.holdings[UNIT] = self.holding
        owner.learn(self.holding)
        self.numbers: dict[PeerId, int] = {}  # Of what each was asked.
        for each in self.seat.take_effects():
            if isinstance(each, Send) and isinstance(each.message.message, say.Compare):
                self.numbers[each.to] = each.message.message.number
        [own] = self.seat.to_myself
        assert isinstance(own, say.Compare)
        self.list(ME, own.number, OURS)

    def list(self, voter: Voter, number: int, ballot: Ballot) -> None:
        """A replica says that it holds what we do."""
        listing = say.Listing(number, ballot, UNIT, [], [], [], [])
        self.leveller.listing(voter, listing)

    @property
    def state(self) -> str:
        return self.holding.state


def test_a_majority_that_holds_the_same_is_enough() -> None:
    scene = Scene()
    assert scene.state == "learning"
    scene.list(SECOND, scene.numbers[peer_of(SECOND)], OURS)
    assert scene.state == "open"


@pytest.mark.parametrize(
    ("asked", "ballot"), [(SECOND, EARLIER), (THIRD, OURS), (THIRD, EARLIER)]
)
def test_an_answer_to_another_question_is_not_believed(
    asked: Voter, ballot: Ballot
) -> None:
    """One of an earlier tenure may be from before a rival changed something."""
    scene = Scene()
    scene.list(SECOND, scene.numbers[peer_of(asked)], ballot)
    assert scene.state == "learning"
    scene.list(SECOND, scene.numbers[peer_of(SECOND)], OURS)
    assert scene.state == "open"
