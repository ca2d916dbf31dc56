"""Clients' requests for keys of other peers: to whom, together with which, how often.

A machine. All that one turn of the loop brings for one peer travels in one message,
what changes apart from what only reads, since a change is answered when it is safe.
The invariants: what changes is sent once, and if nobody can tell whether it was done,
that is the answer; what was certainly not done is tried again while there is patience,
with whoever owns the key by then; every errand is answered, by its deadline.
"""

import math
from collections import deque
from dataclasses import dataclass, field

from shoal.core.machine import PeerId
from shoal.table.errands import MAX_TOGETHER, TOGETHER_BYTES
from shoal.table.redis.replies import error
from shoal.table.routes import HERE, HOPELESS, LATER, NOBODY, Place, Route, Routes
from shoal.table.turns import Errand, Turn

# Five times the time to notice a silent death: nobody waits longer for an answer.
ANSWER_S = 10.0

# So long until somebody is looked for again, if nothing was heard meanwhile: a guess.
AGAIN_S = 0.1

# What may be unanswered by one peer, of changes and of reads each: the longest
# request fits in, and a gigabit brings it in 0.1 s. The rest waits here, and whoever
# asked it is not read from.
UNDER_WAY_BYTES = 12 << 20

_NOWHERE = "nobody owns the key now"
_MINORITY = "this peer sees too few others to answer"


@dataclass(slots=True, eq=False)
class Ask:
    """Please ask that peer, or do it here, and say what came of it."""

    to: PeerId | Place
    errands: list[Errand]
    size_bytes: int
    within_s: float


@dataclass(slots=True)
class _Lane:
    """To one peer, for what reads or for what changes."""

    to: PeerId | Place
    queue: deque[Errand] = field(default_factory=deque)
    under_way_bytes: int = 0
    # Whose errands are under way: those left of a turn wait for its first ones, which
    # may not be done, or not all.
    turns: dict[Turn, None] = field(default_factory=dict)


class Forwarding:
    """All errands of one peer's clients."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._lanes: dict[tuple[Route, bool], _Lane] = {}
        self._waiting: list[tuple[Errand, str]] = []  # And what for.
        self._again_at = math.inf

    @property
    def deadline(self) -> float:
        """When `wake` is due."""
        return self._again_at

    def offer(self, turn: Turn, now: float) -> None:
        """A client's turn: ask what it asks."""
        turn.until = now + ANSWER_S
        turn.patient_until = now + self._routes.patience_s
        errands, turn.errands = turn.errands, []
        for errand in errands:
            self._route(errand, _NOWHERE, now)

    def due(self, now: float) -> list[Ask]:
        """What is to be asked now."""
        asks: list[Ask] = []
        for key, lane in list(self._lanes.items()):
            while lane.queue and self._has_room(lane):
                ask = _together(lane, now)
                if ask is None:
                    break
                lane.under_way_bytes += ask.size_bytes
                lane.turns.update((each.turn, None) for each in ask.errands)
                asks.append(ask)
            if not (lane.queue or lane.under_way_bytes):
                del self._lanes[key]
        return asks

    def answered(self, ask: Ask, answers: list[bytes | None], now: float) -> None:
        """So far it was done; nothing of the rest, nor of what is elsewhere."""
        lane, elsewhere = self._landed(ask), list[Errand]()
        for errand, answer in zip(ask.errands, answers, strict=False):
            if answer is None:
                elsewhere.append(errand)
            else:
                errand.turn.answer(errand.number, answer)
        if not answers:
            self._return(lane, ask.errands, f"{_named(ask.to)} did nothing of it", now)
            return
        lane.queue.extendleft(reversed(ask.errands[len(answers) :]))
        if elsewhere:
            self._return(lane, elsewhere, f"{_named(ask.to)} does not own the key", now)

    def refused(self, ask: Ask, why: str, now: float) -> None:
        """It was certainly not done."""
        self._return(self._landed(ask), ask.errands, why, now)

    def lost(self, ask: Ask, why: str, now: float) -> None:
        """It may have been done: nobody can tell.

        What was read is read again, but not if its turn changes anything: that may have
        been done, and is not to be seen by what was asked before it.
        """
        lane, again = self._landed(ask), list[Errand]()
        unknown = error(f"UNKNOWN {why}; read what is there before you repeat it")
        for errand in ask.errands:
            if errand.changes:
                errand.turn.answer(errand.number, unknown)
            elif errand.turn.changes:
                _refuse(errand, why)
            else:
                again.append(errand)
        if again:
            self._return(lane, again, why, now)

    def wake(self, now: float) -> None:
        """Look again for whoever owns what waits."""
        waiting, self._waiting = self._waiting, []
        self._again_at = math.inf
        for errand, why in waiting:
            self._route(errand, why, now)

    def _route(self, errand: Errand, why: str, now: float) -> None:
        route = self._routes.owner(errand.key)
        if route is NOBODY:
            self._put_back(errand, why, now)
        elif route is HOPELESS:
            _refuse(errand, _MINORITY, self._routes.remedy)
        else:
            key = (route, errand.turn.changes)
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = _Lane(route)
            lane.queue.append(errand)

    def _return(self, lane: _Lane, errands: list[Errand], why: str, now: float) -> None:
        """They were not done; what their turns say after them is not done before."""
        turns = {errand.turn for errand in errands}
        queue, lane.queue = lane.queue, deque()
        behind = list(errands)
        for errand in queue:
            (behind if errand.turn in turns else lane.queue).append(errand)
        for errand in behind:
            self._put_back(errand, why, now)

    def _put_back(self, errand: Errand, why: str, now: float) -> None:
        """It was not done: it waits, while there is patience, for somebody who does."""
        if now >= errand.turn.patient_until:
            _refuse(errand, why)
            return
        self._waiting.append((errand, why))
        if self._again_at == math.inf:
            self._again_at = now + AGAIN_S

    def _landed(self, ask: Ask) -> _Lane:
        changes = ask.errands[0].turn.changes
        lane = self._lanes[ask.to, changes]
        lane.under_way_bytes -= ask.size_bytes
        for errand in ask.errands:
            lane.turns.pop(errand.turn, None)
        return lane

    def _has_room(self, lane: _Lane) -> bool:
        size = lane.under_way_bytes
        return not size or size + lane.queue[0].size_bytes <= UNDER_WAY_BYTES


def _together(lane: _Lane, now: float) -> Ask | None:
    """The next that travel in one message; none if those have waited too long, or
    wait for others of their turn.
    """
    errands: list[Errand] = []
    size, until, queue = 0, math.inf, lane.queue
    while queue and len(errands) < MAX_TOGETHER:
        errand = queue[0]
        if errand.turn.until <= now:
            _refuse(queue.popleft(), f"{_named(lane.to)} takes no more at present")
            continue
        if errand.turn in lane.turns:
            break
        if errands and size + errand.size_bytes > TOGETHER_BYTES:
            break
        errands.append(queue.popleft())
        size += errand.size_bytes
        until = min(until, errand.turn.until)
    return Ask(lane.to, errands, size, until - now) if errands else None


def _named(to: PeerId | Place) -> str:
    return "this peer" if to is HERE else f"peer {to}"


def _refuse(errand: Errand, why: str, remedy: str = LATER) -> None:
    refusal = error(f"CLUSTERDOWN NOQUORUM {why}; nothing was done, {remedy}")
    errand.turn.answer(errand.number, refusal)
