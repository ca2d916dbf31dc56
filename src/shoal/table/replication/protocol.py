"""The table's replication: one voter's part in keeping the promise.

Every operation on one key is linearizable, through crashes, partitions and restarts, as
long as a majority of its replicas can talk; what is acknowledged is on their disks.
State-based consensus in the manner of CASPaxos (Rystsov, 2018), with one ballot for
all that an owner takes at once, so that a change costs one round and a read a part of
one. The keeper keeps its word, the owner owns, the leveller makes copies level, decrees
agree on the view and the roll says who should be in it.
"""

from math import inf
from random import Random

from shoal.core.machine import PeerId
from shoal.table.messages import Ballot, Birth, View, Voter
from shoal.table.protocol import Table
from shoal.table.recovery import Remains
from shoal.table.replication import messages as say
from shoal.table.replication.decrees import Decrees
from shoal.table.replication.facts import Departed, Overruled, Rerouted, Viewed
from shoal.table.replication.keeper import Keeper
from shoal.table.replication.levelling import Leveller
from shoal.table.replication.owner import Owner
from shoal.table.replication.roll import Roll, peers_of
from shoal.table.replication.seat import Effect, Seat
from shoal.table.replication.tombstones import Sexton
from shoal.table.replication.views import peer_of, voter_of

# How often is looked for what is late; and, a pass over all units, for what nobody
# owns or holds: at once when somebody comes or goes.
TICK_S = 0.1
LOOK_S = 0.5

Effects = list[Effect]


class Replica:
    """One voter, for one start of its peer."""

    def __init__(
        self,
        peer: PeerId,
        start: int,
        table: Table,
        remains: Remains,
        *,
        host: str,
        rng: Random,
        now: float,
        founding: bool = False,
        guest: bool = False,
        replicas: int | None = None,
        units: int | None = None,
    ) -> None:
        """`founding`: the first of its network, unless its log says otherwise."""
        remains.birth = remains.birth or start
        me = voter_of(peer, remains.birth)
        self.seat = Seat(me, start, table, rng, units or len(table.opened))
        self.seat.now = self.seat.began = now
        table.opened[:] = [False] * len(table.opened)
        if remains.views:
            self.seat.seated(remains.views)
            if self.seat.number > 1:
                table.share()  # As before: else changes are logged under one ballot.
        self.keeper = Keeper(self.seat, remains, self._taken)
        table.bonds = self.keeper.bonds
        table.note(Birth(remains.birth))
        self._leveller = Leveller(self.seat)
        learn = self._leveller.learn
        self.owner = Owner(self.seat, self.keeper, learn, self._flush)
        table.closed = self.owner.rounds.add
        self._leveller.owner = self.owner
        self._decrees = Decrees(self.seat, self.keeper, self._adopt)
        self.roll = Roll(
            *(self.seat, self.keeper, self._decrees, host),
            guest=guest,
            replicas=replicas,
        )
        self.sexton = Sexton(self.seat, self.owner)
        self.deadline = self._tick_at = self._look_around_at = now
        if founding and not remains.views:
            self._adopt(self.roll.founder())

    # What a service asks

    def leave(self, now: float) -> Effects:
        """Be a member no more, once others have all that is ours."""
        self.seat.now = now
        self.roll.leaving = self.owner.giver.leaving = True
        return self._done()

    def refound(self, at: int, now: float) -> Effects:
        """Let the network go on from our copy alone; `at` is the time by the clock."""
        self.seat.now = now
        self._adopt(self.roll.refounder(at))
        return self._done()

    def found_late(self, now: float) -> Effects:
        """Found a network, if there is none."""
        self.seat.now = now
        if not self.seat.views:
            self._adopt(self.roll.founder())
        return self._done()

    def retire(self, now: float) -> Effects:
        """Own nothing any more that others can own; the copies stay."""
        self.seat.now = now
        self.owner.giver.leaving = True
        self._tick_at = self._look_around_at = now
        return self._done()

    def want(self, unit: int) -> None:
        """Somebody waits for that unit."""
        self._leveller.hurry(unit)

    @property
    def level(self) -> bool:
        """Is all that we own whole, and nothing under way?"""
        return all(each.whole for each in self.owner.holdings.values())

    # From members

    def found(self, peer: PeerId, now: float) -> Effects:
        """A peer is there."""
        self.seat.now = now
        self.seat.alive.setdefault(peer, now)
        self.seat.emit(Rerouted())
        if peer != peer_of(self.seat.me):
            self.seat.tell(peer, say.AskViews(self.seat.number))
        return self._done()

    def gone(self, peer: PeerId, now: float) -> Effects:
        """It is not any more."""
        self.seat.now = now
        if peer != peer_of(self.seat.me):
            self.seat.alive.pop(peer, None)
            self.owner.rounds.gone()
            self._tick_at = self._look_around_at = now
            self.seat.emit(Rerouted())
        return self._done()

    # From the disk

    def released(self, safe: int, refused: int, now: float) -> Effects:
        """It has kept all up to one batch, and refused all up to another."""
        self.seat.now = now
        self.seat.kept(safe, refused)
        if refused > safe:
            self._take_back()
        self.owner.rounds.kept()
        return self._done()

    def _take_back(self) -> None:
        """What the disk has refused was never done, but others may know of it."""
        table = self.seat.table
        if table.shared:
            self.owner.lose_all()
            self.owner.rounds.void()
        if table.unwritten:
            table.unwritten = False
            for bond in self.keeper.bonds():
                table.note(bond)  # Nothing that rests on it is told before.

    # From the network

    def receive(self, sender: PeerId, message: say.Said, now: float) -> Effects:
        """Another voter says something."""
        self.seat.now = now
        known = peer_of(message.voter) == sender != peer_of(self.seat.me)
        if known and self.seat.heard(message.voter):
            self._hear(message.voter, message.message)
        return self._done()

    def wake(self, now: float) -> Effects:
        """See what is late, or to be done."""
        self.seat.now = now
        if now >= self._tick_at:
            self._tick()
        return self._done()

    def _tick(self) -> None:
        now = self.seat.now
        self._tick_at = now + TICK_S
        self._flush()
        self.roll.tick()
        if self.seat.views:
            self._decrees.tick()
            self.owner.tick()
            self._leveller.tick()
            if now >= self._look_around_at:
                self._look_around_at = now + LOOK_S
                self.owner.look_around()
                self.sexton.tick()
                self._leveller.look_around()
        if self.roll.left and not self.owner.holdings:
            self.seat.emit(Departed())

    def flush(self, now: float) -> Effects:
        """A turn is over: what it read and changed goes to the replicas."""
        self.seat.now = now
        return self._done()

    def _done(self) -> Effects:
        """Nothing is left unsaid, not even to ourselves."""
        self._go_on()
        while self.seat.to_myself:
            self._hear(self.seat.me, self.seat.to_myself.popleft())
            self._go_on()
        self.deadline = min(self._tick_at, self.close_at(), self.owner.rounds.deadline)
        return self.seat.take_effects()

    def _go_on(self) -> None:
        """What was read and changed goes to the replicas, and to our own disk."""
        table, rounds = self.seat.table, self.owner.rounds
        if self.seat.now >= self.close_at():
            table.close_batch()
        rounds.go_on()

    def close_at(self) -> float:
        """When the open batch is to be closed."""
        table = self.seat.table
        if not table.shared or table.empty:
            return inf
        if table.urgent:
            return 0.0
        return self.owner.rounds.free_at(changes=table.changing)

    def _flush(self) -> None:
        """What was read and changed so far goes to the replicas now."""
        if self.seat.table.shared:
            self.seat.table.close_batch()
        self.owner.rounds.begin()

    def _taken(self, unit: int, ballot: Ballot) -> None:
        self.owner.taken(unit, ballot)

    def _hear(self, voter: Voter, message: say.Message) -> None:
        number = say.number_of(message)
        if number is not None and number != self.seat.number:
            self._differ(voter, number)
            return
        heard = self._vote_or_view(voter, message)
        if not heard and self.seat.views:
            self._about_units(voter, message)

    def _differ(self, voter: Voter, number: int) -> None:
        """It speaks in another view."""
        if number > self.seat.number:
            self.seat.say(voter, say.AskViews(self.seat.number))
        elif voter != self.seat.me:
            self.seat.reply(voter, self._views_after(number))

    def _views_after(self, number: int) -> say.Views:
        return say.Views([each for each in self.seat.views if each.number > number])

    def _vote_or_view(self, voter: Voter, message: say.Message) -> bool:
        match message:
            case say.Enrol(_, number):
                self.roll.enrol(voter, message)
                if number < self.seat.number:
                    self.seat.reply(voter, self._views_after(number))
            case say.AskViews(number):
                if number < self.seat.number:
                    self.seat.reply(voter, self._views_after(number))
            case say.Views(views):
                self._take_views(views)
            case say.AskMoved():
                self.roll.ask_moved(voter, message)
            case say.Moved():
                self._has_moved(message)
            case say.Canvass():
                self._decrees.canvass(voter, message)
            case say.Pledged():
                self._decrees.pledged(voter, message)
            case say.Motion():
                self._decrees.motion(voter, message)
            case say.Aye():
                self._decrees.aye(voter, message)
            case say.Nay():
                self._decrees.nay(message)
            case _:
                return False
        return True

    def _about_units(self, voter: Voter, message: say.Message) -> None:
        match message:
            case say.Accept():
                self.keeper.accept(voter, message)
            case say.Accepted():
                self.owner.rounds.accepted(voter, message)
            case say.Prepare():
                self.keeper.prepare(voter, message)
            case say.Granted():
                self.owner.granted(voter, message)
                self._leveller.granted(voter, message)
            case say.Refused():
                self.owner.refused(message)
            case say.Unpromised(ballot, units):
                self._leveller.unpromised(voter, units)
                self.owner.unpromised(voter, ballot, units)
            case say.Owning(ballot, units):
                self.owner.told(ballot, units)
            case say.Yielded():
                self.owner.yielded(message)
            case _:
                self._about_copies(voter, message)

    def _about_copies(self, voter: Voter, message: say.Message) -> None:
        match message:
            case say.Compare():
                self.keeper.compare(voter, message)
            case say.Listing():
                self._leveller.listing(voter, message)
            case say.Fetch():
                self.keeper.fetch(voter, message)
            case say.Fetched():
                self._leveller.fetched(voter, message)
            case say.Hold():
                self.keeper.hold(voter, message)
            case say.Held():
                self._leveller.held(voter, message)
            case say.Seal():
                self.keeper.seal(voter, message)
            case say.Sealed():
                self.owner.sealed(voter, message)
            case say.Purge():
                self.keeper.purge(voter, message)

    # The view

    def _take_views(self, views: list[View]) -> None:
        """Adopt what is next. None is skipped, but by who is in none of them."""
        seat = self.seat
        fresh = [view for view in views if view.number > seat.number]
        if not fresh:
            return
        if seat.views and fresh[-1].era > seat.views[-1].era:
            seat.emit(Overruled())
            return
        known = self.roll.member or self.roll.named(fresh[0])
        if fresh[0].number > seat.number + 1 and len(fresh) > 1 and not known:
            seat.table.note(fresh[0])
            seat.seated([fresh.pop(0)])
        for view in fresh:
            begins = view.first and not seat.views
            if begins or view.number == seat.number + 1:
                self._adopt(view)

    def _adopt(self, view: View) -> None:
        """That is the view now."""
        seat = self.seat
        refounded = bool(seat.views) and view.first
        self._flush()
        seat.table.note(view)
        seat.seated([view])
        if len(view.members) > 1:
            seat.table.share()
        if not refounded:
            self._forget_others()
        self._decrees.adopted()
        self.roll.adopted()
        self.owner.renew()
        for peer in dict.fromkeys([*seat.alive, *peers_of(view)]):
            if peer != peer_of(seat.me):
                seat.reply_to_peer(peer, say.Views([view]))
        seat.emit(Viewed(view))
        self.deadline = self._look_around_at = seat.now

    def _forget_others(self) -> None:
        """What we keep from now on, and did not before, begins empty."""
        seat = self.seat
        for unit in range(seat.units):
            before = seat.before.units[unit].voters if seat.before else ()
            foreign = seat.before is not None and unit in self.owner.holdings
            if seat.me not in before and not foreign:
                seat.table.forget(unit)

    def _has_moved(self, moved: say.Moved) -> None:
        """For old replicas it may be over."""
        self.roll.moved(moved)
        if moved.number != self.seat.number or not moved.over:
            return
        for unit in moved.units:
            ours = unit >= self.seat.units or unit in self.owner.holdings
            if not ours and self.seat.me not in self.seat.new(unit).voters:
                self.seat.table.forget(unit)
