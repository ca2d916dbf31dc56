"""Owning units: taking them, keeping them through changes of the view, giving them up.

Whoever is the first of a unit's replicas that is alive asks all of them for it; a
majority of the new ones, and of the old ones while those count, makes it the owner.
"""

from collections.abc import Callable, Iterable

from shoal.core.machine import PeerId
from shoal.table.messages import Ballot, Voter
from shoal.table.replication import messages as say
from shoal.table.replication.facts import Opened, Rerouted
from shoal.table.replication.giving import Giver
from shoal.table.replication.holdings import Holding, decided
from shoal.table.replication.keeper import Keeper
from shoal.table.replication.rounds import Rounds
from shoal.table.replication.seat import Seat
from shoal.table.replication.views import peer_of

# Asked again after so long; a sync of a busy disk takes a tenth of it.
RESEND_S = 0.3

# Who has lost a unit leaves it to the winner for a while, and not all for as long.
RETREAT_S = (0.3, 1.5)

# Each of the following replicas waits so much longer before it takes what nobody owns.
TURN_S = 2.0

# An owner says so every few seconds; who is silent for many is not one, alive or not.
OWNING_S = 2.0
QUIET_S = 8.0


class Owner:
    """The units of this peer, and who owns the others."""

    def __init__(
        self,
        seat: Seat,
        keeper: Keeper,
        learn: Callable[[Holding], None],
        flush: Callable[[], None],
    ) -> None:
        """`learn` finds out what a unit has, and then calls `opened`.

        `flush` sends what was read and changed so far to the replicas.
        """
        self._seat = seat
        self._keeper = keeper
        self._learn = learn
        self._flush = flush
        self.holdings: dict[int, Holding] = {}
        self.rounds = Rounds(seat, self.holdings)
        # The highest ballot heard of for each unit, and when it was last heard.
        self.heard: list[Ballot | None] = list(keeper.promised)
        self._heard_at = [0.0] * seat.units
        self._retry_at = [0.0] * seat.units
        self.giver = Giver(
            seat, self.holdings, self.rounds, self._given_away, self.claim
        )
        self._counter = 0
        self._told_at = 0.0

    def _given_away(self, unit: int) -> None:
        """It is another's, who takes it now; if not, we may have it back."""
        del self.holdings[unit]
        self._retry_at[unit] = self._seat.now + TURN_S
        self._heard_at[unit] = self._seat.now

    # Who owns what

    def route(self, unit: int) -> PeerId | None:
        """Who answers for it, if anybody is known to."""
        if (holding := self.holdings.get(unit)) and holding.serving:
            return peer_of(self._seat.me)
        heard = self.heard[unit]
        owner = Voter(heard.peer) if heard else None
        if owner is None or owner == self._seat.me or not self._seat.sees(owner):
            return None
        return peer_of(owner)

    def hopeless(self, unit: int) -> bool:
        """Can no majority of its replicas be seen from here?"""
        new, old = self._seat.new(unit), self._seat.old(unit)
        if unit in self._seat.sealed or self._keeper.sealed[unit] == self._seat.number:
            old = None
        seen = self._seat.seen([*new.voters, *(old.voters if old else ())])
        return not decided((old, new), seen)

    def told(self, ballot: Ballot, units: Iterable[int]) -> None:
        """Somebody owns these, under that ballot."""
        changed = False
        for unit in units:
            heard = self.heard[unit] if unit < self._seat.units else ballot
            if heard is None or heard <= ballot:
                changed |= heard is None or heard.peer != ballot.peer
                holding = self.holdings.get(unit)
                if holding and holding.ballot < ballot:
                    self.lose(unit)  # We had no occasion to notice.
                self.heard[unit], self._heard_at[unit] = ballot, self._seat.now
        if changed:
            self._seat.emit(Rerouted())

    # Taking

    def claim(self, units: Iterable[int]) -> None:
        """Ask for these, under one new ballot."""
        seat, wanted = self._seat, list(units)
        if not wanted:
            return
        self._flush()  # What was done in this tenure is told in it.
        ballot = self._next_ballot(wanted)
        for unit in wanted:
            former = self.holdings.get(unit)
            if former and former.former and former.state != "open":
                former = former.former  # It was not renewed when this one began.
            elif former and former.state not in ("open", "yielding"):
                former = None
            if former:
                former.former = None
            seat.table.close(unit)
            holding = Holding(unit, ballot, seat.old(unit), seat.new(unit), former)
            holding.asked_at = seat.now
            self.holdings[unit] = holding
        self._prepare([self.holdings[unit] for unit in wanted])

    def _next_ballot(self, units: list[int]) -> Ballot:
        number = self._seat.number
        known = [self._keeper.promised[unit] for unit in units]
        known += [self.heard[unit] for unit in units]
        counters = [each.counter for each in known if each and each.view == number]
        self._counter = max([self._counter, *counters]) + 1
        me = PeerId(self._seat.me)
        return Ballot(number, self._counter, me, self._seat.start)

    def _prepare(self, holdings: Iterable[Holding]) -> None:
        asked: dict[tuple[Voter, int], tuple[Ballot, list[int]]] = {}
        for holding in holdings:
            for voter in holding.voters:
                if voter not in holding.granted:
                    key = voter, id(holding.ballot)
                    asked.setdefault(key, (holding.ballot, []))[1].append(holding.unit)
        for (voter, _), (ballot, units) in asked.items():
            self._seat.say(voter, say.Prepare(ballot, units))

    def granted(self, voter: Voter, granted: say.Granted) -> None:
        """A replica has promised."""
        touched: dict[int, Holding] = {}
        for before, units in granted.before:
            for unit in units:
                holding = self.holdings.get(unit)
                if holding and holding.ballot == granted.ballot:
                    holding.granted.setdefault(voter, before)
                    touched[unit] = holding
        for unit in granted.sealed:
            if unit in touched:
                touched[unit].seal_told = True
        acquired = []
        for holding in touched.values():
            if holding.seal_told and holding.old and holding.state != "asking":
                self._reseal(holding)  # A late answer tells of a seal.
            elif holding.state == "asking" and self._enough(holding):
                acquired.append(holding)
        for holding in acquired:
            self._acquire(holding)
        self.tell_opened(acquired)

    def _enough(self, holding: Holding) -> bool:
        new = holding.new.decided(holding.granted)
        old = holding.old is None or holding.old.decided(holding.granted)
        return new and (old or holding.seal_told)

    def _acquire(self, holding: Holding) -> None:
        if holding.seal_told and holding.old:
            self._reseal(holding)
        elif holding.undisturbed():
            self._reopen(holding)
        else:
            self.rounds.lose(holding.unit)
            holding.former = None
            self.learn(holding)

    def _reseal(self, holding: Holding) -> None:
        if holding.state == "resealing":
            return
        self._flush()
        holding.state = "resealing"
        self._seat.table.close(holding.unit)
        self.ask_seal(holding)

    def _reopen(self, holding: Holding) -> None:
        """Nobody came between: what we know is still so."""
        former, holding.former = holding.former, None
        assert former, "there was a tenure before"
        if former.new is holding.new and not holding.level_again:
            holding.level = dict(former.level)
        self._open(holding)
        self.rounds.resume(holding.unit)

    def learn(self, holding: Holding) -> None:
        """Find out what it has."""
        holding.state = "learning"
        self._learn(holding)

    def opened(self, holding: Holding) -> None:
        """All that was decided is known."""
        self._open(holding)
        self.tell_opened([holding])

    def _open(self, holding: Holding) -> None:
        holding.state, holding.since = "open", self._seat.now
        self._seat.table.open(holding.unit, holding.ballot)
        self.heard[holding.unit] = holding.ballot
        if len(holding.voters) > 1 and not self._seat.table.shared:
            self._seat.table.share()
        if not self._seat.table.shared:
            self._seat.table.graves[holding.unit].clear()  # Nobody else remembers.

    def tell_opened(self, holdings: Iterable[Holding]) -> None:
        """Let everybody know what we answer for."""
        opened = [each for each in holdings if each.state == "open"]
        if opened:
            self._tell(opened)
            self._seat.emit(Opened([each.unit for each in opened]))

    def _tell(self, holdings: Iterable[Holding]) -> None:
        by_ballot: dict[Ballot, list[int]] = {}
        for holding in holdings:
            by_ballot.setdefault(holding.ballot, []).append(holding.unit)
        for ballot, units in by_ballot.items():
            for peer in self._seat.alive:
                if peer != peer_of(self._seat.me):
                    self._seat.tell(peer, say.Owning(ballot, units))

    # Moving

    def ask_seal(self, holding: Holding) -> None:
        """Let it be written down that the unit has moved."""
        for voter in holding.new.voters:
            if voter not in holding.seals:
                self._seat.say(voter, say.Seal(holding.ballot, [holding.unit]))

    def sealed(self, voter: Voter, sealed: say.Sealed) -> None:
        """A new replica has."""
        done: list[Holding] = []
        for unit in sealed.units:
            holding = self.holdings.get(unit)
            if holding and holding.old and holding.ballot == sealed.ballot:
                holding.seals[voter] = None
                if holding.new.decided(holding.seals):
                    done.append(holding)
        for holding in done:
            holding.old = None
            self.rounds.sealed(holding)
            if holding.state == "resealing":
                self._acquire(holding)
        self.tell_opened(done)
        if done:
            units = [each.unit for each in done]
            self._seat.sealed |= dict.fromkeys(units)
            moved = say.Moved(self._seat.number, units, over=True)
            for peer in self._seat.alive:
                self._seat.tell(peer, moved)

    # Losing

    def taken(self, unit: int, ballot: Ballot) -> None:
        """Our own replica has promised it to somebody."""
        holding = self.holdings.get(unit)
        if holding and holding.ballot < ballot:
            self.lose(unit)
        self.heard[unit] = max(self.heard[unit] or ballot, ballot)
        self._heard_at[unit] = self._seat.now

    def refused(self, refused: say.Refused) -> None:
        """Units are promised to somebody else."""
        for unit in refused.units:
            holding = self.holdings.get(unit)
            same = holding is not None and holding.ballot == refused.ballot
            if same and refused.promised > refused.ballot:
                self.lose(unit)
                self.told(refused.promised, [unit])

    def lose(self, unit: int) -> None:
        """It is not ours any more."""
        del self.holdings[unit]
        self._seat.table.close(unit)
        self.rounds.lose(unit)
        self._retry_at[unit] = self._seat.now + self._seat.rng.uniform(*RETREAT_S)
        self._seat.emit(Rerouted())

    def lose_all(self) -> None:
        """Our disk has refused what we had in mind: begin anew."""
        for unit in list(self.holdings):
            self.lose(unit)

    def unpromised(self, voter: Voter, ballot: Ballot, units: Iterable[int]) -> None:
        """A replica has not heard that these are ours, nor of others, surely."""
        if any(self._is(unit, ballot) for unit in units):
            ours = [unit for unit in self.holdings if self._is(unit, ballot)]
            unheard = [u for u in ours if voter in self.holdings[u].voters]
            self._seat.say(voter, say.Prepare(ballot, unheard))

    def _is(self, unit: int, ballot: Ballot) -> bool:
        holding = self.holdings.get(unit)
        return holding is not None and holding.ballot == ballot

    # The view

    def renew(self) -> None:
        """There is a new view: all that we own is to be promised anew."""
        self.claim(list(self.holdings))

    # Time

    def tick(self) -> None:
        """Ask again whoever is silent."""
        now = self._seat.now
        held = self.holdings.values()
        waiting = [each for each in held if each.state == "asking" or each.sealing]
        silent = [each for each in waiting if now > each.asked_at + RESEND_S]
        for holding in silent:
            holding.asked_at = now + self._seat.rng.uniform(0, RESEND_S)
            if holding.sealing:
                self.ask_seal(holding)
        self._prepare(each for each in silent if each.state == "asking")
        self.rounds.tick()
        # A tenure anew parts what has a majority from what it shared a round with.
        self.claim(self.rounds.overdue())
        self.giver.go_on()

    def look_around(self) -> None:
        """Take what nobody owns, give what is another's, say what is ours."""
        now = self._seat.now
        self.claim([unit for unit in range(self._seat.units) if self._may_claim(unit)])
        self.giver.look_around()
        if now > self._told_at + OWNING_S:
            self._told_at = now
            self._tell(each for each in self.holdings.values() if each.serving)

    def _may_claim(self, unit: int) -> bool:
        seat, now = self._seat, self._seat.now
        if unit in self.holdings or now < self._retry_at[unit]:
            return False
        new, old, heard = seat.new(unit), seat.old(unit), self.heard[unit]
        if seat.me not in new.voters:
            return False
        owner = Voter(heard.peer) if heard else None
        there = owner and owner != seat.me and seat.sees(owner)
        waited = now - self._heard_at[unit]
        if there and waited < QUIET_S:
            return False
        first = [v for v in new.voters if old is None or v in old.voters]
        turns = [v for v in dict.fromkeys([*first, *new.voters]) if seat.sees(v)]
        return owner == seat.me or waited >= TURN_S * turns.index(seat.me)

    def yielded(self, yielded: say.Yielded) -> None:
        """Units are given to us."""
        units = [unit for unit in yielded.units if unit < self._seat.units]
        self.told(yielded.ballot, units)
        ours = [u for u in units if self._seat.me in self._seat.new(u).voters]
        self.claim([unit for unit in ours if unit not in self.holdings])
