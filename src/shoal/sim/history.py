"""What clients asked and what they were told, and when: what a checker judges."""

import math
from collections.abc import Hashable
from enum import Enum
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from shoal.errors import Misuse

AskedT = TypeVar("AskedT", bound=Hashable)
AskedT_co = TypeVar("AskedT_co", bound=Hashable, covariant=True)


class Outcome(Enum):
    """What a client may know of an operation instead of its answer."""

    UNKNOWN = "unknown"  # It may have happened, may yet happen, or never will.
    REFUSED = "refused"  # It certainly did not happen, and never will.

    def __repr__(self) -> str:
        return self.name


class Operation(Struct, Generic[AskedT_co], frozen=True, kw_only=True):
    """One exchange of one client with the object behind one key.

    It happened at one moment between `called` and `returned`. One that never returned
    may have happened at any moment after its call, or not at all.
    """

    client: Hashable
    key: Hashable
    asked: AskedT_co
    called: float
    answered: Hashable = Outcome.UNKNOWN
    returned: float = math.inf

    def __post_init__(self) -> None:
        if not self.called <= self.returned:
            raise Misuse(f"{self}: it returned before it was called; swap the times")

    @property
    def unknown(self) -> bool:
        """Whether nobody can tell if it happened."""
        return self.returned == math.inf or self.answered is Outcome.UNKNOWN

    @property
    def refused(self) -> bool:
        """Whether it certainly did not happen."""
        return self.answered is Outcome.REFUSED

    @property
    def told(self) -> Hashable:
        """The answer, or that it is unknown."""
        return Outcome.UNKNOWN if self.unknown else self.answered

    def __str__(self) -> str:
        span = f"[{self.called:.9g}, {self.returned:.9g}]"
        return f"{self.client}: {self.asked} -> {self.told!r} {span}"


class History(Generic[AskedT]):
    """Writes operations down as clients call and hear.

    Simulated time stands still while much happens. What is noted later counts as
    later: times are pushed up by the least that a float can be.
    """

    def __init__(self) -> None:
        self.operations: list[Operation[AskedT]] = []
        self._now = -math.inf

    def call(self, client: Hashable, key: Hashable, asked: AskedT, now: float) -> int:
        """Note a call; the number names it to `answer`. Without one it is unknown."""
        called = self._moment(now)
        operation = Operation(client=client, key=key, asked=asked, called=called)
        self.operations.append(operation)
        return len(self.operations) - 1

    def answer(self, number: int, answered: Hashable, now: float) -> None:
        """Note what a client was told: an answer, or an `Outcome`."""
        returned = self._moment(now)
        operation = self.operations[number]
        if operation.returned != math.inf:
            raise Misuse(f"{operation}: answered twice; note the first answer alone")
        self.operations[number] = replace(
            operation, answered=answered, returned=returned
        )

    def _moment(self, now: float) -> float:
        self._now = max(now, math.nextafter(self._now, math.inf))
        return self._now
