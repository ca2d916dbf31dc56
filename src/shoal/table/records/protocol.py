"""Records: what a whole network keeps. One peer's copy, and its part in keeping it.

The keeper is the eldest living member. It decides one request after another, and
answers when the change is safe on its disk; everybody has a copy of all. While one
keeper lives, create, read and swap are linearizable and durable; if it dies for good,
what it answered in its last moments may be lost with it; in a partition both sides go
on, and the higher version wins when it heals.

The invariant behind the first half: the keeper serves only who names a tenure of this
reign, and tells it only to who took it for the keeper when it was pulled from, and did
so ever since. So it knows all that a peer knows before it answers it, whoever kept the
records meanwhile:

  1. o is cut off, and n, the next in age, keeps.  2. o is back, and pulls from x.
  3. x, that has not noticed, has n change something.  4. o tells x its tenure. Had x
  taken it, o would answer x with what was before that change. It gave no oath in 2.
"""

import math
from random import Random

from shoal.core.machine import Effects, Emit, PeerId, Send
from shoal.table.protocol import Table
from shoal.table.records.asks import Asks
from shoal.table.records.desk import Desk
from shoal.table.records.exchange import Exchange, parcelled
from shoal.table.records.facts import Answered, Changed, GaveUp, RecordsFact
from shoal.table.records.messages import (
    Answer,
    Ask,
    Compare,
    Declined,
    Done,
    Fetch,
    Fetched,
    Found,
    Listing,
    NotNow,
    RecordsMessage,
    Reign,
    Told,
    What,
)
from shoal.table.records.shelf import Shelf

# How often copies are compared with the keeper's: a change that was told and lost on
# the way is missed for so long, and a comparison in calm is 2 kB.
COMPARE_S = 5.0

# Who starts in a network that it has not met yet does not take itself for the keeper.
WELCOME_S = 2.0

# A peer whose copy differed is not pulled from again sooner.
REST_S = 1.0

RecordsEffects = Effects[RecordsMessage, RecordsFact]


class Archive:
    """The records of one peer."""

    def __init__(
        self,
        me: PeerId,
        since: int,
        table: Table,
        *,
        rng: Random,
        now: float,
        founding: bool,
    ) -> None:
        """`since`: when this life began; `founding`: there is nobody to wait for."""
        self.me = me
        self.shelf = Shelf(table)
        self._table = table
        self._rng = rng
        self._living = {me: since}
        self.keeper = me  # The eldest.
        self._asks = Asks()
        self._desk = Desk(self.shelf, rng)
        self._exchange = Exchange(self.shelf)
        self._named = 0  # The tenure we name when we ask: its keeper knows us.
        self._reigns: dict[int, None] = {}  # Our own tenures, if we are the keeper.
        self._taking_over = False
        self._known: dict[PeerId, int] = {}  # Whom we serve, with their oaths.
        self._oath = 0  # Ours to our keeper.
        self._pulled: dict[PeerId, float] = {}  # When we last began to, as the keeper.
        self._welcome_at = now if founding else now + WELCOME_S
        self._compare_at = math.inf

    # Who keeps

    @property
    def keeping(self) -> bool:
        """Do we decide?"""
        return bool(self._reigns)

    def _age(self, peer: PeerId) -> tuple[bool, int, PeerId]:
        """Who does not say since when it lives does not keep records."""
        since = self._living[peer]
        return since == 0, since, peer

    def found(self, peer: PeerId, since: int, now: float) -> RecordsEffects:
        """A member is there, for the first time or again."""
        self._forget(peer)
        self._living[peer] = since
        effects = self._reconsider(now)
        if self.keeping or self._taking_over or peer == self.keeper:
            effects += self._pull(peer, now)
        return self._settle(effects)

    def gone(self, peer: PeerId, now: float) -> RecordsEffects:
        """A member is lost, or has left."""
        self._living.pop(peer, None)
        self._forget(peer)
        return self._settle(self._reconsider(now))

    def _forget(self, peer: PeerId) -> None:
        """What we knew of it is of the past."""
        self._known.pop(peer, None)
        self._pulled.pop(peer, None)
        self._exchange.drop(peer)

    def _reconsider(self, now: float) -> RecordsEffects:
        before, self.keeper = self.keeper, min(self._living, key=self._age)
        if self.keeper == self.me:
            begins = not self.keeping and not self._taking_over
            if begins and self._welcome_at == math.inf:
                return self._take_over(now)
            return self._reign_when_known(now)
        self._reigns.clear()
        self._known.clear()
        self._taking_over = False
        if self.keeper == before and self._oath:
            return []
        self._oath = self._rng.getrandbits(61) + 1
        return [*self._pull(self.keeper, now), *self._hurry(now)]

    def _take_over(self, now: float) -> RecordsEffects:
        self._taking_over, self._compare_at, self._oath = True, math.inf, 0
        effects: RecordsEffects = []
        for peer in self._others():
            effects += self._pull(peer, now)
        return effects + self._reign_when_known(now)

    def _reign_when_known(self, now: float) -> RecordsEffects:
        if not self._taking_over or self._exchange.pulling(self._others()):
            return []
        self._taking_over = False
        return [*self._reign(), *self._hurry(now)]

    def _reign(self) -> RecordsEffects:
        """Begin a tenure, and say so."""
        self._desk.reign(self._exchange.tenure)
        return self._announce()

    def _announce(self) -> RecordsEffects:
        tenure = self._desk.tenure
        self._reigns[tenure] = None
        return [Send(to, Reign(tenure, oath)) for to, oath in self._known.items()]

    def _others(self) -> list[PeerId]:
        return [peer for peer in self._living if peer != self.me]

    # Requests of ours

    def ask(
        self, request: int, what: What, now: float, within_s: float
    ) -> RecordsEffects:
        """Have the keeper do this; the answer is a fact of that number."""
        if self._asks.full:
            why = "records: thousands of requests are under way here; ask more slowly"
            return [Emit(Answered(request, Declined(request, "Overloaded", why)))]
        self._asks.begin(request, what, now, within_s)
        return self._settle(self._ask_keeper(request, what, now))

    def _hurry(self, now: float) -> RecordsEffects:
        self._asks.hurry(now)
        return self._ask_due(now)

    def _ask_due(self, now: float) -> RecordsEffects:
        effects: RecordsEffects = []
        for request, what in self._asks.due(now):
            effects += self._ask_keeper(request, what, now)
        return effects

    def _ask_keeper(self, request: int, what: What, now: float) -> RecordsEffects:
        if self.keeper != self.me:
            return [Send(self.keeper, Ask(self._named, request, what))]
        if not self.keeping:
            self._asks.put_off(request, now)
            return []
        answer = self._desk.take(self.me, Ask(0, request, what))
        return self._answer(self.me, answer) if answer else []

    def _answer(self, asker: PeerId, answer: Answer) -> RecordsEffects:
        if asker != self.me:
            return [Send(asker, answer)]
        waited = self._asks.answered(answer.request)
        return [Emit(Answered(answer.request, answer))] if waited else []

    # Time

    @property
    def deadline(self) -> float:
        """When `wake` is next due."""
        return min(
            self._asks.deadline,
            self._exchange.deadline,
            self._compare_at,
            self._welcome_at,
        )

    def wake(self, now: float) -> RecordsEffects:
        """Give up, ask again, compare, take over."""
        self._exchange.expire(now)
        if self._welcome_at <= now:
            self._welcome_at = math.inf
        effects = self._reconsider(now)
        if self._compare_at <= now:
            self._compare_at = math.inf
            effects += self._pull(self.keeper, now)
        effects += [Emit(GaveUp(request)) for request in self._asks.overdue(now)]
        return self._settle(effects + self._ask_due(now))

    # From others

    def receive(
        self, sender: PeerId, message: RecordsMessage, now: float
    ) -> RecordsEffects:
        """React to a message from another peer."""
        return self._settle(self._dispatch(sender, message, now))

    def _dispatch(
        self, sender: PeerId, message: RecordsMessage, now: float
    ) -> RecordsEffects:
        match message:
            case Ask():
                return self._asked(sender, message, now)
            case Done() | Found() | Declined() if sender == self.keeper:
                return self._answer(self.me, message)
            case Done() | Found() | Declined():
                return []  # Our keeper is another now, and was asked too.
            case NotNow(request):
                self._asks.put_off(request, now)
                return []
            case Reign():
                return self._hear(sender, message, now)
            case Told(entries):
                self.shelf.learn(entries)
                return []
            case Compare():
                return self._compared(sender, message, now)
            case Fetch():
                return [Send(sender, self._exchange.fetch(message))]
            case Listing():
                step = self._exchange.listed(sender, message, now)
                return self._go_on(sender, step, now)
            case Fetched():
                self.shelf.learn(message.entries)
                step = self._exchange.fetched(sender, message, now)
                return self._go_on(sender, step, now)

    def _asked(self, asker: PeerId, ask: Ask, now: float) -> RecordsEffects:
        if ask.tenure in self._reigns:
            answer = self._desk.take(asker, ask)
            return self._answer(asker, answer) if answer else []
        effects: RecordsEffects = [Send(asker, NotNow(ask.request))]
        if self.keeping:
            effects += self._pull(asker, now)
        return effects

    def _hear(self, sender: PeerId, reign: Reign, now: float) -> RecordsEffects:
        self._exchange.heard = max(self._exchange.heard, reign.tenure)
        if sender != self.keeper or reign.oath != self._oath:
            return []
        if reign.tenure == self._named:
            return []
        self._named = reign.tenure
        return [*self._pull(sender, now), *self._hurry(now)]

    # Copies

    def _pull(self, peer: PeerId, now: float) -> RecordsEffects:
        if peer == self.me:
            return []
        if peer == self.keeper:
            self._compare_at = now + COMPARE_S * self._rng.uniform(0.9, 1.1)
        if self.keeping:
            self._pulled[peer] = now
        compare = self._exchange.begin(peer, now)
        return [Send(peer, compare)] if compare else []

    def _compared(self, sender: PeerId, compare: Compare, now: float) -> RecordsEffects:
        level = self._exchange.is_level(compare)
        oath = self._oath if sender == self.keeper else 0
        listing = self._exchange.compared(compare, oath)
        effects: RecordsEffects = [Send(sender, listing)]
        rested = now - self._pulled.get(sender, -math.inf) >= REST_S
        unsure = not level or sender not in self._known
        if self.keeping and rested and unsure:
            effects += self._pull(sender, now)
        return effects

    def _go_on(
        self, peer: PeerId, step: Compare | Fetch | None, now: float
    ) -> RecordsEffects:
        if step:
            return [Send(peer, step)]
        oath = self._exchange.oaths.pop(peer, None)
        if oath is None:
            return []
        if oath and (self.keeping or self._taking_over):
            self._known[peer] = oath
        if not self.keeping:
            return self._reign_when_known(now)
        if self._exchange.tenure > self._desk.tenure:
            return self._reign()
        return [Send(peer, Reign(self._desk.tenure, oath))] if oath else []

    # The disk

    def released(self, safe: int, refused: int, why: str, now: float) -> RecordsEffects:
        """All up to one batch is safe, all after it up to another refused."""
        if why:
            self.shelf.refused()
        effects: RecordsEffects = []
        for asker, answer in self._desk.released(safe, refused, why):
            effects += self._answer(asker, answer)
        return self._settle(effects)

    def _settle(self, effects: RecordsEffects) -> RecordsEffects:
        """Tell what has become safe, before who asked for it hears, and who reigns."""
        shelf = self.shelf
        decided, shelf.decided = shelf.decided, []
        learned, shelf.learned = shelf.learned, []
        shelf.forget_removed()
        news: RecordsEffects = [Emit(Changed(each)) for each in decided + learned]
        # What we decided, also if we are the keeper no more.
        for portion in parcelled(decided + learned if self.keeping else decided):
            told = Told(portion)
            news += [Send(peer, told) for peer in self._others()]
        if self.keeping and self._desk.tenure not in self._reigns:
            news += self._announce()
        return news + effects
