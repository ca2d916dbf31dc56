"""Agreeing on the view that comes next: one decree for each number (Lamport's Paxos).

The members of a view decide on the one after it, once theirs is complete. Who has
accepted one and hears nothing more proposes it again: so it is decided, or another is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from shoal.core.machine import PeerId
from shoal.table.messages import Ballot, View, Vote, Voter
from shoal.table.replication import messages as say
from shoal.table.replication.keeper import Keeper
from shoal.table.replication.seat import Seat

# Asked again, and proposed again, after so long; rivals do not wait equally long.
RESEND_S = 0.4
PROPOSED_AGAIN_S = (1.0, 3.0)


@dataclass(slots=True, eq=False)
class Proposal:
    """Ours."""

    ballot: Ballot
    view: View
    asked_at: float
    pledges: dict[Voter, None] = field(default_factory=dict)
    accepted: Ballot | None = None  # The highest that anybody has told of.
    moved: bool = False  # All are asked to accept it.
    ayes: dict[Voter, None] = field(default_factory=dict)


class Decrees:
    """This voter's votes."""

    def __init__(
        self, seat: Seat, keeper: Keeper, decided: Callable[[View], None]
    ) -> None:
        self._seat = seat
        self._keeper = keeper
        self._decided = decided
        self._proposal: Proposal | None = None
        self._counter = 0
        self._again_at = 0.0

    @property
    def busy(self) -> bool:
        """Is one under way?"""
        return self._proposal is not None

    def _vote(self) -> Vote | None:
        vote = self._keeper.vote
        return vote if vote and vote.number == self._seat.number + 1 else None

    # Proposing

    def propose(self, view: View) -> None:
        """Let that be the next view, unless another must be."""
        vote, number = self._vote(), self._seat.number + 1
        known = vote.promised.counter if vote else 0
        self._counter = max(self._counter, known) + 1
        me = PeerId(self._seat.me)
        ballot = Ballot(number, self._counter, me, self._seat.start)
        self._proposal = Proposal(ballot, view, self._seat.now)
        self._ask(self._proposal)

    def _ask(self, proposal: Proposal) -> None:
        ballot, circles = proposal.ballot, self._seat.circles
        assert circles, "there is a view"
        for voter in circles.members:
            if proposal.moved and voter not in proposal.ayes:
                self._seat.say(voter, say.Motion(ballot, proposal.view))
            elif not proposal.moved and voter not in proposal.pledges:
                self._seat.say(voter, say.Canvass(ballot.view, ballot))

    def _ours(self, ballot: Ballot) -> Proposal | None:
        proposal = self._proposal
        return proposal if proposal and proposal.ballot == ballot else None

    def pledged(self, voter: Voter, pledged: say.Pledged) -> None:
        """A member will vote with us."""
        proposal, circles = self._ours(pledged.ballot), self._seat.circles
        if proposal is None or circles is None or proposal.moved:
            return
        proposal.pledges[voter] = None
        told, known = pledged.accepted, proposal.accepted
        if told and pledged.view and (known is None or told > known):
            proposal.accepted, proposal.view = told, pledged.view
        if circles.all.decided(proposal.pledges):
            proposal.moved = True
            self._ask(proposal)

    def aye(self, voter: Voter, aye: say.Aye) -> None:
        """A member has accepted it."""
        proposal, circles = self._ours(aye.ballot), self._seat.circles
        if proposal is None or circles is None:
            return
        proposal.ayes[voter] = None
        if circles.all.decided(proposal.ayes):
            self._proposal = None
            self._decided(proposal.view)

    def nay(self, nay: say.Nay) -> None:
        """Somebody votes with a higher ballot."""
        if self._proposal and nay.number == self._proposal.ballot.view:
            self._counter = max(self._counter, nay.promised.counter)
            self._give_up()

    def _give_up(self) -> None:
        self._proposal = None
        self._again_at = self._seat.now + self._seat.rng.uniform(*PROPOSED_AGAIN_S)

    # Voting

    def canvass(self, sender: Voter, asked: say.Canvass) -> None:
        """Promise to vote with that ballot, unless with a higher one already."""
        vote = self._vote()
        if not self._may_vote(asked.number):
            return
        if vote and vote.promised > asked.ballot:
            self._seat.reply(sender, say.Nay(asked.number, vote.promised))
            return
        accepted, view = (vote.accepted, vote.view) if vote else (None, None)
        self._record(Vote(asked.number, asked.ballot, accepted, view))
        pledged = say.Pledged(asked.number, asked.ballot, accepted, view)
        self._seat.reply(sender, pledged)

    def motion(self, sender: Voter, asked: say.Motion) -> None:
        """Accept it, unless we vote with a higher ballot already."""
        vote, number = self._vote(), asked.ballot.view
        if not self._may_vote(number) or asked.view.number != number:
            return
        if vote and vote.promised > asked.ballot:
            self._seat.reply(sender, say.Nay(number, vote.promised))
            return
        self._record(Vote(number, asked.ballot, asked.ballot, asked.view))
        self._again_at = self._seat.now + self._seat.rng.uniform(*PROPOSED_AGAIN_S)
        self._seat.reply(sender, say.Aye(number, asked.ballot))

    def _may_vote(self, number: int) -> bool:
        circles = self._seat.circles
        member = circles is not None and self._seat.me in circles.members
        return member and number == self._seat.number + 1

    def _record(self, vote: Vote) -> None:
        if vote != self._keeper.vote:
            self._keeper.vote = vote
            self._seat.table.note(vote)

    # Time

    def adopted(self) -> None:
        """There is a new view: what was proposed for its number is over."""
        self._proposal = None

    def tick(self) -> None:
        """Ask again; propose again what somebody has left behind."""
        now, proposal, vote = self._seat.now, self._proposal, self._vote()
        if proposal and now > proposal.asked_at + RESEND_S:
            proposal.asked_at = now
            self._ask(proposal)
        left = proposal is None and vote is not None and now > self._again_at
        if left and vote and vote.view and self._may_vote(vote.number):
            self._again_at = now + self._seat.rng.uniform(*PROPOSED_AGAIN_S)
            self.propose(vote.view)
