"""Was a history linearizable? And if not, what could not have been answered?

    history: History[RegisterAsked] = History()
    number = history.call("client 1", "key", Write(b"a"), now=0.0)
    history.answer(number, None, now=0.1)  # left out when no answer ever comes
    verdict = check(history.operations, Register())
    assert verdict, verdict

Linearizable is local (Herlihy and Wing): a history is, if that of each key is. So each
key is judged alone. An operation called at the instant another returns counts as
concurrent with it; `History` never notes two things at one instant.

The search is Wing and Gong's with Lowe's memory ("Testing for Linearizability"): no
configuration is visited twice, nor one that is *dominated*: that placed the same and
left the same state as another, but spent more unknown operations, which nobody is owed.
"""

import math
from collections.abc import Hashable, Iterable
from heapq import heappop, heappush
from itertools import count
from typing import Generic

from msgspec import Struct

from shoal.errors import Misuse
from shoal.sim.history import AskedT, Operation
from shoal.sim.models import Model, StateT
from shoal.sim.moves import AT_REST, Configuration, Moves

# Spent on one key in ten to twenty seconds and two hundred megabytes (measured).
PATIENCE = 20_000_000

# Luck finds an order, where there is one, in a tenth of the time that thoroughness
# takes (measured), but cannot say that there is none. It is given up when it gets no
# further for this share of all patience.
_LUCK = 0.05

# An explanation that does not fit a screen is not read.
_SHOWN = 8


class TooHard(Misuse):
    """Whether there is an order was not settled within the patience given."""


class Linearizable(Struct, Generic[AskedT], frozen=True):
    """For each key an order that explains every answer."""

    orders: dict[Hashable, list[Operation[AskedT]]]


class Violation(Struct, Generic[AskedT], frozen=True, kw_only=True):
    """No order explains all answers that were given up to one return.

    Up to just before that return there is an order: this is the longest prefix. (If
    patience ends when the verdict stands, the answer shown may come somewhat early.)
    """

    key: Hashable
    culprit: Operation[AskedT]  # Its return is the first that nothing explains.
    order: list[Operation[AskedT]]  # What can be placed before it, in one of the ways.
    states: list[Hashable]  # Where `order`, and then the other ways, end.
    concurrent: list[Operation[AskedT]]  # Called before that return, and not placed.
    unspent: int  # Operations of unknown outcome that `order` has no use for.

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        states = ", ".join(str(each) for each in self.states[:_SHOWN])
        return "\n".join(
            [
                f"key {self.key!r}: no order explains this answer:",
                f"  {self.culprit}",
                f"{len(self.order)} operations can be placed before it, lastly:",
                *_listed(self.order[-_SHOWN:]),
                f"After them, in this order or another, the state is: {states}",
                "Called before that answer, and not placed either:",
                *_listed(self.concurrent[:_SHOWN]),
                f"  {self.unspent} of unknown outcome",
            ]
        )


Verdict = Linearizable[AskedT] | Violation[AskedT]


def check(
    history: Iterable[Operation[AskedT]],
    model: Model[StateT, AskedT],
    *,
    patience: int = PATIENCE,
) -> Verdict[AskedT]:
    """Order every key's operations, or tell why the first that fails cannot be.

    The verdict is true if the history is linearizable, and printed tells why not.
    `TooHard` if a key would take more than `patience` trials.
    """
    by_key: dict[Hashable, list[Operation[AskedT]]] = {}
    for each in history:
        if not each.refused:
            by_key.setdefault(each.key, []).append(each)
    orders = {}
    for key, operations in by_key.items():
        moves = Moves(operations, model)
        found = _try_luck(moves, patience)
        furthest = [found] if found else _search(moves, patience)
        if furthest[0].pending:
            return _explain(key, model, moves, furthest)
        orders[key] = moves.order(furthest[0])
    return Linearizable(orders)


class _Memory:
    """Which configurations were visited, or dominated by one that was."""

    def __init__(self) -> None:
        self._used: dict[tuple[int, tuple[int, ...], int, int], list[int]] = {}
        self.compared = 0

    def admit(self, at: Configuration) -> bool:
        """Whether this one is new, which it is only once."""
        key = (at.ahead, at.pending, at.state, at.noticed)
        visited = self._used.setdefault(key, [])
        self.compared += len(visited)
        for used in visited:
            if used & at.used == used:
                return False
        visited.append(at.used)
        return True


def _try_luck(moves: Moves[StateT, AskedT], patience: int) -> Configuration | None:
    """Depth first: place the likeliest, and go back only where nothing follows."""
    memory, furthest, pause = _Memory(), (0, 0), patience
    roads = [iter([moves.root()])]
    while roads and moves.tried + memory.compared < min(patience, pause):
        at = next(roads[-1], None)
        if at is None:
            roads.pop()
        elif at.doom == math.inf and memory.admit(at):
            if not at.pending:
                return at
            if at.progress > furthest:
                furthest = at.progress
                pause = moves.tried + memory.compared + int(patience * _LUCK)
            roads.append(moves.after(at))
    return None


def _search(moves: Moves[StateT, AskedT], patience: int) -> list[Configuration]:
    """A configuration with nothing left to place, or all those that got furthest.

    Those doomed last come first, of these the least placed, of these the thriftiest. So
    whoever dominates comes before whom it dominates, and only the few that nothing
    dominates are pursued, and no doomed ones unless all are.
    """
    memory, turn = _Memory(), count()
    waiting = [(-math.inf, 0, 0, next(turn), moves.root())]
    latest, furthest = -math.inf, list[Configuration]()
    while waiting:
        *_, at = heappop(waiting)
        if at.doom < latest:
            break
        if not memory.admit(at):
            continue
        if not at.pending:
            return [at]
        if moves.tried + memory.compared > patience:
            if at.doom < math.inf:
                break  # There is no order. Only how far one gets was not settled.
            raise TooHard(
                f"history of {len(moves.operations)} operations: not settled by "
                f"{patience} trials; give more patience, record less, or give every "
                "write a value of its own"
            )
        due = moves.due(at)
        if due > latest:
            latest, furthest = due, []
        if due == latest and at.noticed == AT_REST:
            furthest.append(at)
        for child in moves.after(at):
            heappush(waiting, (-child.doom, *child.progress, next(turn), child))
    return furthest


def _explain(
    key: Hashable,
    model: Model[StateT, AskedT],
    moves: Moves[StateT, AskedT],
    furthest: list[Configuration],
) -> Violation[AskedT]:
    plainest = min(furthest, key=lambda each: each.progress)
    culprit, *concurrent = moves.pending(plainest)
    ways: dict[int, Configuration] = {}
    for each in (plainest, *furthest):
        ways.setdefault(each.state, each)
    states = [_end(model, moves.order(each)) for each in ways.values()]
    return Violation(
        key=key,
        culprit=culprit,
        order=moves.order(plainest),
        states=states,
        concurrent=concurrent,
        unspent=moves.unspent(plainest),
    )


def _end(model: Model[StateT, AskedT], order: Iterable[Operation[AskedT]]) -> Hashable:
    """The state itself: the search may know several by one name."""
    state: StateT | None = model.start
    for each in order:
        assert state is not None, "an order is possible at every step"
        state = model.step(state, each.asked, each.told)
    return state


def _listed(operations: Iterable[Operation[AskedT]]) -> list[str]:
    return [f"  {each}" for each in operations]
