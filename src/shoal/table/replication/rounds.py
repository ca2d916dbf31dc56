"""Batches on their way to the other replicas, and which of them are safe.

A batch is safe when enough replicas of each unit that it read or changed have answered
it, and every batch before it that touched one of those is safe. So it is all the same
which answer comes first. What goes in one round is safe together.

One round is under way at a time, as long as it is quick: what comes meanwhile goes
together in the next. Many who ask at once share the price of a round so, of which most
is not what is in it, and whoever asks alone waits for nobody.
"""

from collections import deque
from collections.abc import Iterable
from math import inf

from shoal.table.batches import Batch
from shoal.table.ledger import SHARED_BATCH_BYTES
from shoal.table.messages import UNIT_BITS, Entry, Voter
from shoal.table.replication import messages as say
from shoal.table.replication.holdings import Holding, Kind, decided
from shoal.table.replication.overdue import Overdue
from shoal.table.replication.round import RESEND_S, Pace, Round, asks
from shoal.table.replication.seat import Seat
from shoal.table.replication.trailing import Trailing

# So many at once are sent again to one replica.
RESENT_AT_ONCE = 32

# A client is told by then that nobody knows; the batch itself is never given up.
PATIENCE_S = 5.0

# Of two replicas half is enough, but both are waited for while both are there, so long.
BOTH_S = 4.0

UNKNOWN = "UNKNOWN the outcome: its replicas have not all answered; read it again"
LOST = "UNKNOWN the outcome: another peer owns it now; read it again"

# A round that takes longer than this is waited for no more before the next.
LINGER_S = 0.01


class Rounds:
    """All that are not safe yet, in order."""

    def __init__(self, seat: Seat, holdings: dict[int, Holding]) -> None:
        self._seat = seat
        self._table = seat.table
        self._holdings = holdings
        self._rounds: dict[int, Round] = {}
        self._trailing = Trailing(seat, holdings)
        self._overdue = Overdue(holdings)
        self._last: dict[int, int] = {}  # Of each unit.
        self._fresh: list[Batch] = []  # Not begun yet.
        self._unborn: dict[int, None] = {}  # Waited for, and not begun yet.
        # The last that is waited for before the next: does it change anything?
        self._ahead: dict[bool, Round] = {}
        self._thrifty: dict[int, Round] = {}  # Not all were asked.
        self._slow: dict[Voter, None] = {}  # Who let us wait.
        self.linger_s = LINGER_S
        self.pace = Pace()

    def touching(self, unit: int) -> bool:
        """Is any under way for that unit?"""
        last = self._last.get(unit)
        return last in self._rounds or last in self._unborn

    # Beginning

    def add(self, batch: Batch) -> None:
        """Ask the replicas of all that it read and changed, soon."""
        if batch.units:
            self._fresh.append(batch)

    def free_at(self, *, changes: bool) -> float:
        """When a round may begin: at once, if none of the kind is under way.

        What only reads does not wait for what waits for disks.
        """
        ahead = self._ahead.get(changes)
        return ahead.began + self.linger_s if ahead and not ahead.decided else 0.0

    @property
    def deadline(self) -> float:
        """When something is to be done."""
        at = inf
        if self._fresh:
            at = self.free_at(changes=any(each.items for each in self._fresh))
        for round_ in self._thrifty.values():
            return min(at, round_.began + self.linger_s)
        return at

    def go_on(self) -> None:
        """Begin what need not wait for what is under way."""
        if self._seat.now >= self.deadline:
            self.begin()
            self._ask_the_others()

    def begin(self) -> None:
        """Begin all that is not begun yet."""
        while self._fresh:
            weight, batches = 0, list[Batch]()
            while self._fresh and weight < SHARED_BATCH_BYTES:
                batches.append(self._fresh.pop(0))
                weight += batches[-1].weight
            self._begin(batches)

    def _begin(self, batches: list[Batch]) -> None:
        needs: dict[Kind, dict[int, Holding]] = {}
        for batch in batches:
            for unit in batch.units:
                if self._serves(unit):
                    holding = self._holdings[unit]
                    needs.setdefault(holding.kind, {})[unit] = holding
                else:
                    self._give_up(batch, LOST)
        now, ticket = self._seat.now, batches[-1].ticket
        self._bear(batches)
        units = [unit for kind in needs.values() for unit in kind]
        after = self._touched_last(units)
        self._last.update(dict.fromkeys(units, ticket))
        round_ = Round(ticket, batches, needs, {**after}, now, now + RESEND_S)
        self._rounds[ticket] = self._ahead[round_.changes] = round_
        if round_.kept:
            round_.acked[self._seat.me] = None
        asked = round_.silent(self._seat.me)
        few = self._few(round_, asked)
        self._send(round_, few or asked)
        self._look(round_)
        if 0 < len(few) < len(asked) and ticket in self._rounds:
            round_.few = few
            self._thrifty[ticket] = round_

    def _touched_last(self, units: list[int]) -> dict[int, dict[int, None]]:
        """The rounds under way that touched these last; and which of them."""
        found: dict[int, dict[int, None]] = {}
        for unit in units:
            if (last := self._last.get(unit)) in self._rounds:
                found.setdefault(last, {})[unit] = None
        return found

    def _few(self, round_: Round, asked: list[Voter]) -> list[Voter]:
        """So many of them as suffice for what only reads: others are spared it."""
        if round_.changes:
            return asked
        few, by = list[Voter](), dict(round_.acked)
        for voter in sorted(asked, key=self._slow.__contains__):
            if not self._seat.sees(voter):
                continue
            if any(
                asks(kind, voter) and not self._decides(kind, by, round_.began)
                for kind in round_.needs
            ):
                by[voter] = None
                few.append(voter)
        return few

    def _ask_the_others(self) -> None:
        """Those who were asked have had their time."""
        for ticket, round_ in list(self._thrifty.items()):
            if self._seat.now < round_.began + self.linger_s:
                return
            del self._thrifty[ticket]
            silent = round_.silent(self._seat.me)
            self._slow |= {each: None for each in silent if each in round_.few}
            self._send(round_, [each for each in silent if each not in round_.few])

    def _bear(self, batches: list[Batch]) -> None:
        """Who waits for one of these waits for the round that they are in."""
        for batch in batches:
            if batch.ticket in self._unborn:
                del self._unborn[batch.ticket]
                for each in self._rounds.values():
                    if batch.ticket in each.after:
                        each.after[batches[-1].ticket] = None

    def _send(self, round_: Round, voters: Iterable[Voter]) -> None:
        """What is the same for several is made, and encoded, once."""
        made: dict[tuple[Kind, ...], say.Accept] = {}
        for voter in voters:
            kinds = tuple(kind for kind in round_.needs if asks(kind, voter))
            if not self._stand(round_, kinds):
                continue
            if kinds not in made:
                shares = round_.shares(kinds)
                made[kinds] = say.Accept(self._seat.start, round_.ticket, shares)
            self._seat.say(voter, made[kinds])

    def _stand(self, round_: Round, kinds: tuple[Kind, ...]) -> bool:
        """Are the tenures that it was made under still ours?

        If not, an answer would be to another question: a replica that has promised a
        unit anew may hold what a rival has decided since.
        """
        return all(
            self._holdings.get(unit) is holding
            and holding.state in ("open", "yielding")
            for kind in kinds
            for unit, holding in round_.needs[kind].items()
        )

    # Answers

    def accepted(self, voter: Voter, accepted: say.Accepted) -> None:
        """A replica has answered."""
        number = accepted.round
        if accepted.start != self._seat.start:
            return
        self._slow.pop(voter, None)
        self._trailing.accepted(voter, number)
        if round_ := self._rounds.get(number):
            round_.acked[voter] = None
            self._look(round_)

    def kept(self) -> None:
        """Our disk has kept more."""
        for round_ in list(self._rounds.values()):
            if self._seat.me not in round_.acked and round_.kept:
                round_.acked[self._seat.me] = None
                self._look(round_)

    def _look(self, round_: Round) -> None:
        """Is it safe now, and what waited for it?

        Thousands may wait for one, each for the one before it: a queue, no recursion.
        """
        queue = deque([round_])
        while queue:
            each = queue.popleft()
            if self._safe(each):
                self._settle(each)
                later = self._rounds.values()
                queue += [one for one in later if each.ticket in one.after]

    def _safe(self, round_: Round) -> bool:
        if round_.ticket not in self._rounds:
            return False
        if not round_.decided:
            round_.decided = self._enough(round_)
        return round_.decided and not self._waits(round_)

    def _waits(self, round_: Round) -> bool:
        """Is one not decided, of all that it waits for, directly or not?

        Two may wait for each other: what a renewed tenure says again is in a batch
        that touches other units of the one it was said in first.
        """
        seen, ahead = {round_.ticket: None}, list(round_.after)
        while ahead:
            ticket = ahead.pop()
            if ticket in self._unborn:
                return True
            earlier = self._rounds.get(ticket)
            if earlier is not None and ticket not in seen:
                if not earlier.decided:
                    return True
                seen[ticket] = None
                ahead += earlier.after
        return False

    def _enough(self, round_: Round) -> bool:
        if not (round_.needs or round_.kept):
            return False
        return all(
            self._decides(kind, round_.acked, round_.began) for kind in round_.needs
        )

    def _decides(self, kind: Kind, by: dict[Voter, None], began: float) -> bool:
        """Are these enough? Of two both, while both are there."""
        if not decided(kind, by):
            return False
        late = self._seat.now > began + BOTH_S
        return late or not any(
            circle
            and len(circle.voters) == 2
            and any(v not in by and self._seat.sees(v) for v in circle.voters)
            for circle in kind
        )

    def _settle(self, round_: Round) -> None:
        ticket = round_.ticket
        del self._rounds[ticket]
        self._thrifty.pop(ticket, None)
        self.pace.rounds += 1
        self.pace.seconds += self._seat.now - round_.began
        self._overdue.settled(round_)
        for batch in round_.batches:
            self._table.settle(batch)
        self._trailing.add(round_)

    def overdue(self) -> list[int]:
        """Units to be asked for anew, lest they wait for what has no majority."""
        return self._overdue.units(self._rounds.values(), self._seat.now)

    def _serves(self, unit: int) -> bool:
        holding = self._holdings.get(unit)
        return holding is not None and holding.serving

    # Changes of tenure

    def resume(self, unit: int) -> None:
        """We own it again and nobody came between: what is under way goes on, anew."""
        table, keys, waiting = self._table, dict[bytes, None](), list[Round]()
        for round_ in self._rounds.values():
            if round_.drop(unit):
                waiting.append(round_)
                for group in round_.own:
                    keys |= {
                        r[1]: None for r in group.records if r[0] >> UNIT_BITS == unit
                    }
        for key in keys:
            copy = table.held(key)
            if isinstance(copy, Entry):
                table.put(key, copy.value, copy.deadline_ms)
            else:
                table.bury(key)
        if waiting:
            table.read(unit)
            self._last[unit] = table.ticket  # It says all again that was before it.
            self._unborn[table.ticket] = None
        for round_ in waiting:
            round_.pass_on(unit, table.ticket)
        for round_ in waiting:
            self._look(round_)

    def lose(self, unit: int) -> None:
        """Somebody else owns it: nobody knows what became of what is under way."""
        lost = list[Round]()
        for round_ in self._rounds.values():
            if round_.drop(unit) or unit in round_.passed_on:
                round_.part(unit)
                lost.append(round_)
        for round_ in lost:  # All of them, before any that waited is looked at.
            self._fail(round_, LOST)
        for round_ in lost:
            self._look(round_)

    def void(self) -> None:
        """Our disk has refused batches: they are nobody's any more."""
        pending = self._table.pending
        self._fresh = [each for each in self._fresh if each.ticket in pending]
        for ticket, round_ in list(self._rounds.items()):
            round_.batches = [b for b in round_.batches if b.ticket in pending]
            if round_.batches:
                self._look(round_)
            else:
                del self._rounds[ticket]
                self._thrifty.pop(ticket, None)
        self._unborn.clear()

    def sealed(self, holding: Holding) -> None:
        """Its old replicas count no more, for what was made in that tenure."""
        unit, kind = holding.unit, holding.kind
        for round_ in list(self._rounds.values()):
            if any(units.get(unit) is holding for units in round_.needs.values()):
                round_.drop(unit)
                round_.needs.setdefault(kind, {})[unit] = holding
                self._look(round_)

    def gone(self) -> None:
        """Somebody is: nobody waits for it any more."""
        for round_ in list(self._rounds.values()):
            self._look(round_)

    # Time

    def tick(self) -> None:
        """Ask again, and let nobody wait for ever."""
        now, sent = self._seat.now, dict[Voter, int]()
        for round_ in list(self._rounds.values()):
            if now < round_.resend_at:
                continue
            round_.rest(now, PATIENCE_S)
            silent = []
            for voter in round_.silent(self._seat.me):
                sent[voter] = sent.get(voter, 0) + 1
                if sent[voter] <= RESENT_AT_ONCE and self._seat.sees(voter):
                    silent.append(voter)
            self._send(round_, silent)
            self._look(round_)
            if now >= round_.began + PATIENCE_S and self._waited_for(round_):
                self._fail(round_, UNKNOWN)
        self._trailing.tick()

    def _waited_for(self, round_: Round) -> bool:
        fates = [self._table.fate(each.ticket) for each in round_.batches]
        return round_.ticket in self._rounds and None in fates

    def _fail(self, round_: Round, why: str) -> None:
        for batch in round_.batches:
            self._give_up(batch, why)

    def _give_up(self, batch: Batch, why: str) -> None:
        self.pace.unknown += self._table.fate(batch.ticket) is None
        self._table.fail(batch, why)
