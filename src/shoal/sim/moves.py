"""What may come next, when the operations on one object are put in order.

Wing and Gong ("Testing and Verifying Concurrent Objects") place, one after the other,
any operation that was called before every one not yet placed returned. What was placed
and the state that it left is a *configuration*.

What ruins such a search is operations of unknown outcome: each may be placed at any
time or never, so twenty of them make a million configurations of one. Hence these
rules. None of them changes the verdict:

- An unknown operation is placed only where the next one notices. Would the next be
  possible, and leave the same, without it, then it may as well never have happened.
- What only looks is placed as soon as it is possible: nobody notices it.
- Of several alike, only the first due is tried (the first called, of unknown ones).
  Exchanging two of them in an order that exists gives another that does.
- A state that somebody must still find, and that nobody remains to bring back, dooms
  whoever leaves it: no order gets beyond that somebody's return.
"""

import math
from collections.abc import Hashable, Iterable, Iterator
from functools import lru_cache
from itertools import takewhile
from typing import Generic

from msgspec import Struct

from shoal.sim.history import AskedT, Operation
from shoal.sim.models import Model, StateT

# States are numbered as they are met. Numbers below zero are none:
_IMPOSSIBLE = -1
AT_REST = -1
_ANY = -2
_NONE = -3


class Configuration(Struct, eq=False):
    """What was placed, and the state that it left."""

    ahead: int  # The first answered operation that may not be placed yet.
    pending: tuple[int, ...]  # Those before it not yet placed, the first due first.
    used: int  # The unknown operations placed, as bits.
    state: int
    noticed: int  # The state an unknown operation changed just now, or AT_REST.
    doom: float = math.inf  # When somebody returns who can no longer be placed.
    placed: int = _NONE
    parent: "Configuration | None" = None

    @property
    def progress(self) -> tuple[int, int]:
        """How many answered and unknown operations were placed."""
        return self.ahead - len(self.pending), self.used.bit_count()


class Moves(Generic[StateT, AskedT]):
    """The operations on one object, to be put in order: answered ones, then unknown."""

    def __init__(
        self, history: Iterable[Operation[AskedT]], model: Model[StateT, AskedT]
    ) -> None:
        by_call = sorted(history, key=lambda each: each.called)
        answered = [each for each in by_call if not each.unknown]
        unknown = [each for each in by_call if each.unknown]
        self.operations = answered + unknown
        self.tried = 0
        self._answered = len(answered)
        self._called = [each.called for each in self.operations]
        self._due = [each.returned for each in answered]
        self._model = model
        self._numbers: dict[StateT, int] = {}
        self._states: list[StateT] = []
        self._steps: dict[tuple[int, int], int] = {}
        self._start = self._number(model.start)
        self._study([(each.asked, each.told) for each in self.operations])
        self._unused = lru_cache(maxsize=4096)(self._first_unused)

    def root(self) -> Configuration:
        """Where nothing was placed yet."""
        ahead, pending = self._admit(0, ())
        return Configuration(ahead, pending, 0, self._start, AT_REST)

    def after(self, at: Configuration) -> Iterator[Configuration]:
        """Each configuration with one more placed, the likeliest first."""
        answered = []
        for op in self._distinct(at.pending):
            left = self._step(at.state, op)
            if left != _IMPOSSIBLE and self._looks[op]:
                yield self._place(at, op, left)
                return
            answered.append((op, left))
        for op, left in answered:
            if left != _IMPOSSIBLE and not self._oblivious(at, op, left):
                yield self._place(at, op, left)
        unknown = [(op, self._step(at.state, op)) for op in self._startable(at)]
        witnesses = [each for each in answered + unknown if not self._blind[each[0]]]
        for op, left in unknown:
            if (
                left not in (at.state, _IMPOSSIBLE)
                and not self._oblivious(at, op, left)
                and self._noticed(op, left, witnesses)
            ):
                yield self._place(at, op, left)

    # What became of a configuration

    def due(self, at: Configuration) -> float:
        """When the first operation not yet placed returned."""
        return self._due[at.pending[0]] if at.pending else math.inf

    def order(self, at: Configuration) -> list[Operation[AskedT]]:
        """What was placed, in order."""
        placed = []
        here: Configuration | None = at
        while here is not None and here.placed != _NONE:
            placed.append(self.operations[here.placed])
            here = here.parent
        return placed[::-1]

    def pending(self, at: Configuration) -> list[Operation[AskedT]]:
        """The answered operations that might come next, the first due first."""
        return [self.operations[each] for each in at.pending]

    def unspent(self, at: Configuration) -> int:
        """How many unknown operations were called by now, and not placed."""
        called = [
            each for each in self._called[self._answered :] if each <= self.due(at)
        ]
        return len(called) - at.used.bit_count()

    # Placing

    def _place(self, at: Configuration, op: int, left: int) -> Configuration:
        ahead, pending, used, noticed = at.ahead, at.pending, at.used, AT_REST
        if op < self._answered:
            rest = tuple([each for each in pending if each != op])
            ahead, pending = self._admit(ahead, rest)
        else:
            used |= 1 << op - self._answered
            noticed = at.state
        child = Configuration(ahead, pending, used, left, noticed, at.doom, op, at)
        if left != at.state and not self._recoverable(child, at.state):
            child.doom = min(at.doom, self._first_need(child, at.state))
        return child

    def _admit(
        self, ahead: int, pending: tuple[int, ...]
    ) -> tuple[int, tuple[int, ...]]:
        """Let in what was called before all that is pending returned."""
        due, called, first = self._due, self._called, ahead
        end = due[pending[0]] if pending else math.inf
        while ahead < self._answered and called[ahead] <= end:
            end = min(end, due[ahead])
            ahead += 1
        if ahead == first:
            return ahead, pending
        admitted = (*pending, *range(first, ahead))
        return ahead, tuple(sorted(admitted, key=due.__getitem__))

    def _oblivious(self, at: Configuration, op: int, left: int) -> bool:
        """Whether this does not notice the unknown operation before it, if any."""
        return at.noticed != AT_REST and self._step(at.noticed, op) == left

    def _noticed(self, op: int, left: int, witnesses: list[tuple[int, int]]) -> bool:
        """Whether a witness would go elsewhere from here than without the operation."""
        for other, otherwise in witnesses:
            found = self._step(left, other)
            if (
                found not in (otherwise, _IMPOSSIBLE)
                # An unknown witness that changes nothing would not be placed.
                and (other < self._answered or found != left)
            ):
                return True
        return False

    def _recoverable(self, at: Configuration, state: int) -> bool:
        """Whether anybody is left who can bring a state back."""
        unknown = self._unknown_gifts.get(state, 0) | self._unknown_gifts.get(_ANY, 0)
        return (
            unknown & ~at.used != 0
            or self._last_gift.get(state, _NONE) >= at.ahead
            or self._last_gift.get(_ANY, _NONE) >= at.ahead
            or any(self._gives[each] in (state, _ANY) for each in at.pending)
        )

    def _first_need(self, at: Configuration, state: int) -> float:
        """When the first returns of those who must still find a state."""
        yet_to_come = takewhile(
            lambda op: op >= at.ahead, reversed(self._needers.get(state, ()))
        )
        waiting = [each for each in at.pending if self._needs[each] == state]
        return min(
            [self._due[each] for each in (*yet_to_come, *waiting)], default=math.inf
        )

    # Operations

    def _startable(self, at: Configuration) -> Iterator[int]:
        """The unknown operations that might come next, one of each kind."""
        due = self.due(at)
        return takewhile(lambda op: self._called[op] <= due, self._unused(at.used))

    def _first_unused(self, used: int) -> list[int]:
        """The first unknown operation of each kind that was not placed yet."""
        return self._distinct(
            each
            for each in range(self._answered, len(self.operations))
            if not (self._looks[each] or used >> each - self._answered & 1)
        )

    def _distinct(self, operations: Iterable[int]) -> list[int]:
        """The first of each kind, in the order given."""
        first: dict[int, int] = {}
        for each in operations:
            first.setdefault(self._kind[each], each)
        return list(first.values())

    def _step(self, state: int, op: int) -> int:
        """The model's step, remembered."""
        self.tried += 1
        kind = self._kind[op]
        left = self._steps.get((state, kind))
        if left is None:
            reached = self._model.step(self._states[state], *self._kinds[kind])
            left = _IMPOSSIBLE if reached is None else self._number(reached)
            self._steps[state, kind] = left
        return left

    def _number(self, state: StateT) -> int:
        number = self._numbers.setdefault(state, len(self._states))
        if number == len(self._states):
            self._states.append(state)
        return number

    def _study(self, exchanges: list[tuple[AskedT, Hashable]]) -> None:
        """Note what is known of each operation, and who needs and brings what."""
        numbers: dict[tuple[AskedT, Hashable], int] = {}
        simple = self._model.simplify(exchanges)
        self._kind = [numbers.setdefault(each, len(numbers)) for each in simple]
        self._kinds = list(numbers)
        hints = [self._model.hint(*self._kinds[kind]) for kind in self._kind]

        def known(state: StateT | None, otherwise: int) -> int:
            return otherwise if state is None else self._number(state)

        self._looks = [hint.looks for hint in hints]
        self._blind = [hint.blind for hint in hints]
        self._needs = [known(hint.needs, _NONE) for hint in hints]
        self._gives = [
            _NONE if hint.looks else known(hint.leaves, _ANY) for hint in hints
        ]
        answered = range(self._answered)
        self._needers: dict[int, list[int]] = {}
        for each in answered:
            self._needers.setdefault(self._needs[each], []).append(each)
        self._last_gift = {self._gives[each]: each for each in answered}
        self._unknown_gifts: dict[int, int] = {}
        for each, gift in enumerate(self._gives[self._answered :]):
            self._unknown_gifts[gift] = self._unknown_gifts.get(gift, 0) | 1 << each
