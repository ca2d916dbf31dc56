"""What an object may answer: the sequential half of linearizability.

A model is one object used by one client at a time. Writing one takes `start` and
`step`; what else is here only lets the checker search less, and has defaults.
"""

from collections.abc import Hashable, Sequence
from enum import Enum
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from shoal.sim.history import AskedT, Outcome

StateT = TypeVar("StateT", bound=Hashable)


class Hint(Struct, Generic[StateT], frozen=True, kw_only=True):
    """What holds of an operation in every state. A wrong hint is a wrong verdict."""

    needs: StateT | None = None  # Only here is it possible, or does it do anything.
    leaves: StateT | None = None  # If it changes the state, then to this.
    blind: bool = False  # Possible everywhere, and always leaves `leaves`.
    looks: bool = False  # Never changes the state.


class Model(Protocol[StateT, AskedT]):
    """One object, one operation at a time. States are hashable and never None."""

    start: StateT

    def step(self, state: StateT, asked: AskedT, answered: Hashable) -> StateT | None:
        """The state that follows, or None if this could not have been answered.

        Where the answer is `Outcome.UNKNOWN`: the state that follows if it happened.
        """

    def hint(self, asked: AskedT, answered: Hashable) -> Hint[StateT]:
        """What is known of an operation before any state is: by default nothing."""
        return Hint()

    def simplify(
        self, exchanges: Sequence[tuple[AskedT, Hashable]]
    ) -> Sequence[tuple[AskedT, Hashable]]:
        """The same history told with fewer distinct operations, and as explicable."""
        return exchanges


# What is asked of a register, and what it answers


class Read(Struct, frozen=True):
    """The value, or None when there is none. (Of a counter: its count.)"""


class Write(Struct, frozen=True):
    """Leaves this value. Its answer, once it has one, says only that it happened."""

    value: Hashable


class Swap(Struct, frozen=True):
    """Leaves `new` and answers True where `expected` was found, else False."""

    expected: Hashable
    new: Hashable


class Delete(Struct, frozen=True):
    """Leaves nothing; answers whether there was something, or None: not said."""


RegisterAsked = Read | Write | Swap | Delete

# A state is a tuple of one value, because None is a value: there is nothing.
Cell = tuple[Hashable]
_EMPTY: Cell = (None,)


def _no(answered: Hashable) -> bool:
    return answered == False  # noqa: E712  An answer may also be 0, but not None.


class Nobody(Enum):
    """Stands for every value that nobody ever asked about."""

    ASKED = "a value nobody asked about"


class Register(Model[Cell, RegisterAsked]):
    """A value that is read, written, swapped and deleted.

    Give every write a value of its own: a history whose values repeat is far harder
    to decide, and hides more.
    """

    start: Cell = _EMPTY

    def step(
        self, state: Cell, asked: RegisterAsked, answered: Hashable
    ) -> Cell | None:
        """Obey the four definitions above."""
        match asked:
            case Read():
                return state if answered in (*state, Outcome.UNKNOWN) else None
            case Write(value):
                return (value,)
            case Swap(expected, new):
                found = state == (expected,)
                after = (new,) if found else state
                return after if answered in (found, Outcome.UNKNOWN) else None
            case Delete():
                found = state != _EMPTY
                possible = answered in (found, None, Outcome.UNKNOWN)
                return _EMPTY if possible else None

    def hint(self, asked: RegisterAsked, answered: Hashable) -> Hint[Cell]:
        """Nearly everything about a register is known beforehand."""
        match asked:
            case Read():
                known = answered is not Outcome.UNKNOWN
                return Hint(needs=(answered,) if known else None, looks=True)
            case Write(value):
                return Hint(leaves=(value,), blind=True)
            case Swap(expected, new):
                if _no(answered):
                    return Hint(looks=True)
                return Hint(needs=(expected,), leaves=(new,))
            case Delete():
                if _no(answered):
                    return Hint(needs=_EMPTY, looks=True)
                return Hint(leaves=_EMPTY, blind=answered in (None, Outcome.UNKNOWN))

    def simplify(
        self, exchanges: Sequence[tuple[RegisterAsked, Hashable]]
    ) -> Sequence[tuple[RegisterAsked, Hashable]]:
        """Make one value of all those that were never read and never expected.

        Whatever a register answers depends on its value only through comparison with
        a value that was read or expected, and with None. All other values differ from
        these and are never compared with each other, so they may as well be one.
        That makes unknown writes that nobody saw alike, and one of each kind is tried.
        """
        named = dict.fromkeys(
            [answered for asked, answered in exchanges if isinstance(asked, Read)]
            + [asked.expected for asked, _ in exchanges if isinstance(asked, Swap)]
            + [None]
        )

        def alike(asked: RegisterAsked) -> RegisterAsked:
            match asked:
                case Write(value) if value not in named:
                    return Write(Nobody.ASKED)
                case Swap(expected, new) if new not in named:
                    return Swap(expected, Nobody.ASKED)
            return asked

        return [(alike(asked), answered) for asked, answered in exchanges]


class Add(Struct, frozen=True):
    """Adds to a counter; answers the new count, or None: not said."""

    amount: int = 1


CounterAsked = Read | Add


class Counter(Model[int, CounterAsked]):
    """A number that is read and added to."""

    start: int = 0

    def step(self, state: int, asked: CounterAsked, answered: Hashable) -> int | None:
        """Obey the two definitions above."""
        match asked:
            case Read():
                return state if answered in (state, Outcome.UNKNOWN) else None
            case Add(amount):
                after = state + amount
                possible = answered in (after, None, Outcome.UNKNOWN)
                return after if possible else None

    def hint(self, asked: CounterAsked, answered: Hashable) -> Hint[int]:
        """Whoever was told a count pins it down."""
        count = answered if isinstance(answered, int) else None
        match asked:
            case Read():
                return Hint(needs=count, looks=True)
            case Add(amount) if count is not None:
                return Hint(needs=count - amount, leaves=count)
        return Hint()
