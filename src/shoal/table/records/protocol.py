"""Records: what a whole network keeps for itself. One peer's board, and its part in it.

Records lie in a replicated table of their own, hidden from all clients. Whoever owns a
record's unit there decides, one request after another, and answers when the batch that
it rests on is safe: so create, read, swap and claim are linearizable through crashes
and partitions of any kind, as long as a majority of the unit's replicas can talk.

Every peer has a board of all records. It hears of each change from its owner when that
is decided, and compares its board with each owner's every few seconds: what was told
and lost on its way is missed so long. Where nobody owns, it compares with somebody.
"""

import math
from collections.abc import Iterable
from random import Random

from shoal.core.machine import Effects, Emit, PeerId, Send
from shoal.table.messages import Ballot
from shoal.table.protocol import Table
from shoal.table.records.asks import Asked, Asks
from shoal.table.records.board import Board
from shoal.table.records.desk import Desk
from shoal.table.records.exchange import Exchange, parcelled, record_of
from shoal.table.records.facts import Answered, Changed, GaveUp, RecordsFact
from shoal.table.records.messages import (
    UNITS,
    Answer,
    Ask,
    Compare,
    Declined,
    Done,
    Fetch,
    Fetched,
    Found,
    Line,
    Listing,
    NotNow,
    RecordsMessage,
    Told,
    Vote,
    What,
)
from shoal.table.records.names import PARCELS_OF_UNIT, parcels_of, unit_of
from shoal.table.recovery import Remains
from shoal.table.replication.facts import Opened
from shoal.table.replication.protocol import Effects as ReplicaEffects
from shoal.table.replication.protocol import Replica

# How often a board is compared with the owners'. A pull of what is lacking included,
# it is level again within five seconds; in calm it is 2 kB.
COMPARE_S = 3.0

# And so soon after anything has found another owner, or one that was not sure.
SOON_S = 0.5

RecordsEffects = Effects[RecordsMessage, RecordsFact]


class Archive:
    """The records of one peer."""

    def __init__(
        self,
        me: PeerId,
        start: int,
        table: Table,
        remains: Remains,
        *,
        host: str,
        rng: Random,
        now: float,
        founding: bool,
        guest: bool = False,
        units: int = UNITS,
    ) -> None:
        """`founding`: the first of its network, unless its log says otherwise."""
        self.me = me
        self.board = Board()
        self.replica = Replica(
            *(me, start, table, remains),
            host=host,
            rng=rng,
            now=now,
            founding=founding,
            guest=guest,
            units=units,
        )
        self._table = table
        self._rng = rng
        self._units = units
        self._asks = Asks()
        self._desk = Desk(table, self.board)
        self._exchange = Exchange(self.board)
        self._rerouted = False
        self._flush_at = math.inf
        self._compare_at = now + SOON_S
        self._behind = dict.fromkeys(range(units))

    @property
    def level(self) -> bool:
        """Was every part of the board as its owner had it, since we began?"""
        return not self._behind

    def owner(self, kind: str, id: str) -> PeerId | None:  # noqa: A002
        """Who decides about that record, if anybody is known to."""
        return self._route(unit_of(kind, id))

    def _route(self, unit: int) -> PeerId | None:
        return self.replica.owner.route(unit) if self.replica.seat.views else None

    def _others(self) -> list[PeerId]:
        return [peer for peer in self.replica.seat.alive if peer != self.me]

    # Members

    def found(self, peer: PeerId, now: float) -> RecordsEffects:
        """A member is there, for the first time or again."""
        self._exchange.drop(peer)
        self._compare_soon(now)
        return self._settle(self._voted(self.replica.found(peer, now), now), now)

    def gone(self, peer: PeerId, now: float) -> RecordsEffects:
        """A member is lost, or has left."""
        self._exchange.drop(peer)
        return self._settle(self._voted(self.replica.gone(peer, now), now), now)

    # Requests of ours

    def ask(
        self, request: int, what: What, now: float, within_s: float
    ) -> RecordsEffects:
        """Have this done; the answer is a fact of that number."""
        if self._asks.full:
            why = "records: thousands of requests are under way here; ask more slowly"
            return [Emit(Answered(request, Declined(request, "Overloaded", why)))]
        self._asks.begin(request, what, now, within_s)
        return self._settle(self._ask_due(now), now)

    def _ask_due(self, now: float) -> RecordsEffects:
        effects: RecordsEffects = []
        for request, asked in self._asks.due(now):
            effects += self._ask_owner(request, asked, now)
        return effects

    def _ask_owner(self, request: int, asked: Asked, now: float) -> RecordsEffects:
        what = asked.what
        unit = unit_of(what.kind, what.id)
        owner, ballot = self._route(unit), self._ballot(unit)
        if owner is None or ballot is None:
            self.replica.want(unit)
            self._asks.put_off(request, now)
            return []
        asked.goes_to(owner, ballot)
        ask = Ask(ballot, request, asked.again, what)
        if owner != self.me:
            return [Send(owner, ask)]
        answer = self._desk.take(self.me, ask, now)
        return self._answer(self.me, answer, now) if answer else []

    def _ballot(self, unit: int) -> Ballot | None:
        return self.replica.owner.heard[unit]

    def _moved(self, asked: Asked) -> bool:
        """Does it belong to another, or under another ballot, since it was asked?"""
        unit = unit_of(asked.what.kind, asked.what.id)
        return self._route(unit) is not None and self._ballot(unit) != asked.ballot

    def _answer(
        self, asker: PeerId, answer: Answer | NotNow, now: float
    ) -> RecordsEffects:
        if asker != self.me:
            return [Send(asker, answer)]
        return self._answered(self.me, answer, now)

    def _answered(
        self, sender: PeerId, answer: Answer | NotNow, now: float
    ) -> RecordsEffects:
        if isinstance(answer, NotNow):
            self._asks.put_off(answer.request, now)
            return []
        waited = self._asks.answered(answer.request, sender)
        return [Emit(Answered(answer.request, answer))] if waited else []

    # Time

    @property
    def deadline(self) -> float:
        """When `wake` is next due."""
        return min(
            self.replica.deadline,
            self._asks.deadline,
            self._exchange.deadline,
            self._compare_at,
            self._flush_at,
        )

    def wake(self, now: float) -> RecordsEffects:
        """Give up, ask again, compare; end the turn of what was decided."""
        effects: RecordsEffects = []
        if self.replica.deadline <= now:
            effects += self._voted(self.replica.wake(now), now)
        elif self._flush_at <= now:
            effects += self._voted(self.replica.flush(now), now)
        self._flush_at = math.inf
        self._exchange.expire(now)
        if self._compare_at <= now:
            effects += self._compare(now)
        for request, asked in self._asks.overdue(now):
            effects.append(Emit(GaveUp(request, asked.owner)))
        return self._settle(effects + self._ask_due(now), now)

    # From others

    def receive(
        self, sender: PeerId, message: RecordsMessage, now: float
    ) -> RecordsEffects:
        """React to a message from another peer."""
        return self._settle(self._dispatch(sender, message, now), now)

    def _dispatch(
        self, sender: PeerId, message: RecordsMessage, now: float
    ) -> RecordsEffects:
        match message:
            case Vote(said):
                return self._voted(self.replica.receive(sender, said, now), now)
            case Ask():
                answer = self._desk.take(sender, message, now)
                return [Send(sender, answer)] if answer else []
            case Done() | Found() | Declined() | NotNow():
                return self._answered(sender, message, now)
            case Told(lines):
                self._learn(lines)
                return []
            case Compare(_, parcels):
                units = {parcel // PARCELS_OF_UNIT: None for parcel in parcels}
                sure = all(self._desk.sure(unit) for unit in units)
                return [Send(sender, self._exchange.compared(message, sure=sure))]
            case Fetch():
                return [Send(sender, self._exchange.fetch(message))]
            case Listing():
                if not message.sure:
                    self._compare_soon(now)
                return _next(sender, self._exchange.listed(sender, message, now))
            case Fetched():
                self._learn(message.lines)
                return _next(sender, self._exchange.fetched(sender, message, now))

    # Boards

    def _learn(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self.board.learn(record_of(line))

    def _compare_soon(self, now: float) -> None:
        self._compare_at = min(self._compare_at, now + SOON_S)

    def _compare(self, now: float) -> RecordsEffects:
        """Each part with who owns it; where nobody does, with somebody."""
        self._compare_at = now + COMPARE_S * self._rng.uniform(0.9, 1.1)
        others = self._others()
        somebody = self._rng.choice(others) if others else self.me
        parts: dict[PeerId, list[int]] = {}
        for unit in range(self._units):
            parts.setdefault(self._route(unit) or somebody, []).extend(parcels_of(unit))
        parts.pop(self.me, None)
        effects: RecordsEffects = []
        for peer, parcels in parts.items():
            compare = self._exchange.begin(peer, tuple(parcels), now)
            effects += _next(peer, compare)
        return effects

    # The table

    def leave(self, now: float) -> RecordsEffects:
        """Keep nothing any more, once others have all that is ours."""
        return self._settle(self._voted(self.replica.leave(now), now), now)

    def refound(self, at: int, now: float) -> RecordsEffects:
        """Let the network go on from our copy alone."""
        return self._settle(self._voted(self.replica.refound(at, now), now), now)

    def forget(self) -> list[PeerId]:
        """All is another's from now on; who is there."""
        self.replica.owner.lose_all()
        for unit in range(self._units):
            self._table.forget(unit)
        return list(self.replica.seat.alive)

    def released(self, safe: int, refused: int, why: str, now: float) -> RecordsEffects:
        """All up to one batch is kept here, all after it up to another refused."""
        effects = self._voted(self.replica.released(safe, refused, now), now)
        if why:
            self._desk.void(now)
        return self._settle(effects, now)

    def _voted(self, effects: ReplicaEffects, now: float) -> RecordsEffects:
        """What the replica has to say, and what it means for us."""
        said: RecordsEffects = []
        for effect in effects:
            match effect:
                case Send(to, message):
                    said.append(Send(to, Vote(message)))
                case Emit(Opened(units)):
                    self._desk.opened(units, now)
                    self._rerouted = True
                case Emit():
                    self._rerouted = True
        return said

    def _settle(self, effects: RecordsEffects, now: float) -> RecordsEffects:
        """Tell what was decided, before who asked for it hears."""
        self._desk.read()
        if self._rerouted:
            self._rerouted = False
            self._asks.hurry(now, self._moved)
            self._compare_soon(now)
        told, decided = self._desk.look()
        news: RecordsEffects = []
        for portion in parcelled(decided):
            message = Told(portion)
            news += [Send(peer, message) for peer in self._others()]
        for asker, answer in told:
            effects += self._answer(asker, answer, now)
        if self._table.shared and self._desk.restless:
            self._flush_at = max(now, self.replica.close_at())
        self._note_level()
        learned, self.board.learned = self.board.learned, []
        changes: RecordsEffects = [Emit(Changed(each)) for each in learned]
        return changes + news + effects

    def _note_level(self) -> None:
        if self._behind:
            for unit in list(self._behind):
                if self._desk.sure(unit):
                    del self._behind[unit]
            for parcels in self._exchange.done:
                for parcel in parcels:
                    self._behind.pop(parcel // PARCELS_OF_UNIT, None)
        self._exchange.done.clear()


def _next(peer: PeerId, step: Compare | Fetch | None) -> RecordsEffects:
    return [Send(peer, step)] if step else []
