"""Who should be a member: newcomers come, who leaves goes, who stays away is let go.

The eldest member that is there proposes it, when all that has to move for the present
view has moved.
"""

from shoal.core.machine import PeerId
from shoal.table.messages import Member, Recovery, View, Voter
from shoal.table.replication import messages as say
from shoal.table.replication.decrees import Decrees
from shoal.table.replication.keeper import Keeper
from shoal.table.replication.seat import Seat
from shoal.table.replication.views import anew, peer_of, with_more, without

# A newcomer says so this often, until it is one; and waits so long, since newcomers
# come in crowds, and each view moves something.
ENROL_S = 0.5
SETTLE_S = 1.0

# Whether all has moved is asked so often by who waits for it, and by whoever would like
# to say so.
ASK_S, SELDOM_S = 0.5, 5.0

# A silent member is let go after so long.
GRACE_S = 600.0

# A recovery begins one of so many later eras.
ERAS = 1_000

# Copies of everything, unless a network's founder says otherwise: any one may be lost.
REPLICAS = 3


class Roll:
    """Who wants to be in, and who has to go."""

    def __init__(
        self,
        seat: Seat,
        keeper: Keeper,
        decrees: Decrees,
        host: str,
        *,
        guest: bool,
        replicas: int | None,
    ) -> None:
        """`replicas`: so many copies are wanted, if not as many as there are."""
        self._seat = seat
        self._keeper = keeper
        self._decrees = decrees
        self._host = host
        self._replicas = replicas
        self.guest = guest
        self._waiting: dict[Voter, tuple[str, float]] = {}  # Host, and since when.
        self._gone_since: dict[Voter, float] = {}
        self._enrolled_at = self._asked_at = -ENROL_S
        self.leaving = False
        self.grace_s = GRACE_S

    @property
    def member(self) -> bool:
        """Are we one?"""
        circles = self._seat.circles
        return circles is not None and self._seat.me in circles.members

    def named(self, view: View) -> bool:
        """Are we one in that view?"""
        return any(each.voter == self._seat.me for each in view.members)

    @property
    def complete(self) -> bool:
        """Has all moved that has to, for this view?"""
        return not self.moving

    @property
    def moving(self) -> int:
        """So many units have to, as far as we know."""
        return sum(unit not in self._seat.sealed for unit in self._seat.moved)

    @property
    def left(self) -> bool:
        """Have we left, and does nobody ask us for what we had?"""
        return self.leaving and not self.member and self.complete

    def adopted(self) -> None:
        """There is a new view."""
        circles = self._seat.circles
        for voter in list(self._waiting):
            if circles and voter in circles.members:
                del self._waiting[voter]

    # What others say

    def enrol(self, sender: Voter, asked: say.Enrol) -> None:
        """Somebody would like to be a member."""
        since = self._waiting.get(sender, ("", self._seat.now))[1]
        for other in list(self._waiting):
            if peer_of(other) == peer_of(sender):
                del self._waiting[other]
        circles = self._seat.circles
        if circles and sender not in circles.members:
            self._waiting[sender] = asked.host, since

    def moved(self, moved: say.Moved) -> None:
        """Units are known to be sealed."""
        if moved.number == self._seat.number:
            self._seat.sealed |= dict.fromkeys(moved.units)

    def ask_moved(self, sender: Voter, asked: say.AskMoved) -> None:
        """Say which we know of."""
        if asked.number == self._seat.number:
            sealed = self._keeper.sealed
            units = [n for n, number in enumerate(sealed) if number == asked.number]
            self._seat.reply(sender, say.Moved(asked.number, units))

    # Time

    def tick(self) -> None:
        """Ask to be let in, or see who is to be."""
        next_view = self._next() if self.member else None
        if not self.complete:
            waits = next_view or self.leaving
            self._ask_moved(ASK_S if waits else SELDOM_S)
        elif next_view and self.complete and not self._decrees.busy:
            self._decrees.propose(next_view)
        if not (self.member or self.guest or self.leaving):
            self._enrol()

    def _ask_moved(self, rest_s: float) -> None:
        seat = self._seat
        if seat.now > self._asked_at + rest_s and seat.circles:
            self._asked_at = seat.now
            for voter in seat.circles.members:
                seat.say(voter, say.AskMoved(seat.number))

    def _enrol(self) -> None:
        seat = self._seat
        if seat.now < self._enrolled_at + ENROL_S:
            return
        if seat.views and self._replicas not in (None, seat.views[-1].replicas):
            return
        self._enrolled_at = seat.now
        for peer in seat.alive:
            if peer != peer_of(seat.me):
                seat.tell(peer, say.Enrol(self._host, seat.number))

    def _next(self) -> View | None:
        """The view that should be, if it is ours to propose."""
        seat = self._seat
        assert seat.circles, "we are a member"
        view = seat.views[-1]
        if self.leaving:
            return without(view, seat.me) if len(view.members) > 1 else None
        first = next(voter for voter in seat.circles.members if seat.sees(voter))
        if first != seat.me:
            return None
        if newcomers := self._newcomers():
            return with_more(view, newcomers)
        gone = self._long_gone()
        return without(view, gone) if gone else None

    def _newcomers(self) -> list[Member]:
        ready = []
        for voter, (host, since) in list(self._waiting.items()):
            if not self._seat.sees(voter):
                del self._waiting[voter]
            elif self._seat.now > since + SETTLE_S:
                ready.append(Member(voter, host))
        return ready

    def _long_gone(self) -> Voter | None:
        """A member that others can do without."""
        seat, circles = self._seat, self._seat.circles
        assert circles, "we are a member"
        for voter in circles.members:
            if seat.sees(voter):
                self._gone_since.pop(voter, None)
            else:
                self._gone_since.setdefault(voter, seat.now)
        left = len(seat.seen(circles.members))
        enough = left >= circles.view.replicas or len(circles.members) == 2
        for voter, since in self._gone_since.items():
            if voter in circles.members and seat.now > since + self.grace_s and enough:
                return voter
        return None

    def founder(self) -> View:
        """The first view of a network."""
        member = Member(self._seat.me, self._host)
        return View(1, (member,), self._replicas or REPLICAS)

    def refounder(self, at: int) -> View:
        """The first view of a network that goes on from our copy alone."""
        seat = self._seat
        recovery = Recovery(at, peer_of(seat.me))
        # Two who do this at once, apart, may not make two views of one number.
        skipped = seat.rng.randrange(ERAS)
        return anew(seat.views[-1], Member(seat.me, self._host), recovery, skipped)


def peers_of(view: View) -> list[PeerId]:
    """Who is in it."""
    return [peer_of(member.voter) for member in view.members]
