"""Where a voter sits: who it is, whom it sees, and how it speaks.

The rule that everything rests on: a reply leaves only when all that was changed before
it is on our disk. What is said to oneself is heard in the same turn, by the same rule.
"""

from collections import deque
from collections.abc import Iterable
from random import Random

from shoal.core.machine import Cast, Emit, Meet, PeerId, Send
from shoal.table.messages import UNITS, View, Voter
from shoal.table.protocol import Table
from shoal.table.replication.facts import Fact
from shoal.table.replication.messages import Message, Said
from shoal.table.replication.views import Circle, Circles, birth_of, peer_of

# Views that a member may have missed. Who has missed more comes back as a newcomer.
MAX_VIEWS = 1000

# Who has started has met the others by then, if they are there.
MET_S = 3.0

# No more replies wait for a disk that hangs: whoever misses one asks again.
MAX_HELD = 2048

Effect = Send[Said] | Cast[Said] | Meet | Emit[Fact]


class Seat:
    """One voter's, for one start of its peer."""

    def __init__(
        self, me: Voter, start: int, table: Table, rng: Random, units: int = UNITS
    ) -> None:
        self.me = me
        self.start = start
        self.table = table
        self.rng = rng
        self.units = units
        self.now = self.began = 0.0
        self.views: list[View] = []
        self.circles: Circles | None = None
        self.before: Circles | None = None
        self.moved: dict[int, None] = {}  # In the present view.
        self.sealed: dict[int, None] = {}  # Of these, known to be sealed.
        # Peers that members hold for alive, and since when; we always are.
        self.alive: dict[PeerId, float] = {peer_of(me): 0.0}
        self._births: dict[PeerId, int] = {}  # Of the logs they speak with.
        self.keys_moved = 0  # Received, as units moved or were mended.
        self.effects: list[Effect] = []
        self.to_myself: deque[Message] = deque()
        self._held: deque[tuple[int, Voter, Message]] = deque()

    @property
    def number(self) -> int:
        """Of the view."""
        return self.views[-1].number if self.views else 0

    @property
    def young(self) -> bool:
        """May there be others that we have not met yet?"""
        return self.now < self.began + MET_S

    def sees(self, voter: Voter) -> bool:
        """Is its peer alive, with that very log, as far as we know?"""
        peer, birth = peer_of(voter), birth_of(voter)
        return peer in self.alive and self._births.get(peer, birth) == birth

    def heard(self, voter: Voter) -> bool:
        """Somebody speaks; false if its log has been lost since."""
        peer, birth = peer_of(voter), birth_of(voter)
        self._births[peer] = max(birth, self._births.get(peer, birth))
        return self._births[peer] == birth

    def seen(self, voters: Iterable[Voter]) -> dict[Voter, None]:
        """Those of them that we see."""
        return {voter: None for voter in voters if self.sees(voter)}

    def seated(self, views: list[View]) -> None:
        """These follow each other, and the last is the view from now on."""
        before = self.circles if len(views) == 1 else Circles(views[-2], self.units)
        if views[-1].first:  # Nobody is before it.
            self.views, before = [], None
        self.views = [*self.views, *views][-MAX_VIEWS:]
        self.before, self.circles = before, Circles(views[-1], self.units)
        moved = self.circles.moved_from(before) if before else []
        self.moved, self.sealed = dict.fromkeys(moved), {}

    def new(self, unit: int) -> Circle:
        """Who keeps a unit in this view."""
        assert self.circles, "there is a view"
        return self.circles.units[unit]

    def old(self, unit: int) -> Circle | None:
        """Who kept it in the view before, if it has moved."""
        if self.before is None or unit not in self.moved:
            return None
        return self.before.units[unit]

    def keeps(self, unit: int) -> bool:
        """Are we asked about it?"""
        old = self.old(unit)
        return self.me in self.new(unit).voters or bool(old and self.me in old.voters)

    # Speaking

    def say(self, to: Voter, message: Message) -> None:
        """Say something that rests on nothing of ours."""
        if to == self.me:
            self.to_myself.append(message)
        else:
            self.effects.append(Send(peer_of(to), Said(self.me, message)))

    def tell(self, peer: PeerId, message: Message) -> None:
        """The same, to a peer whatever its log."""
        self.effects.append(Send(peer, Said(self.me, message)))

    def reply(self, to: Voter, message: Message) -> None:
        """Say what rests on all that was changed so far."""
        unkept = self.table.unkept
        if not unkept:
            self.say(to, message)
        elif len(self._held) < MAX_HELD:
            self._held.append((unkept, to, message))

    def reply_to_peer(self, peer: PeerId, message: Message) -> None:
        """The same, to a peer whatever its log."""
        self.reply(Voter(f"{peer}~"), message)

    def emit(self, fact: Fact) -> None:
        """Tell the application."""
        self.effects.append(Emit(fact))

    def kept(self, safe: int, refused: int) -> None:
        """Our disk has kept all up to one batch, and refused all up to another."""
        while self._held and self._held[0][0] <= max(safe, refused):
            ticket, to, message = self._held.popleft()
            if ticket <= safe:
                self.say(to, message)

    def take_effects(self) -> list[Effect]:
        """What is to be done now."""
        effects, self.effects = self.effects, []
        return effects
