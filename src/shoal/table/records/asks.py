"""Our own requests under way: asked again until they are answered, or given up."""

import math
from collections.abc import Callable

from msgspec import Struct

from shoal.core.machine import PeerId
from shoal.table.messages import Ballot
from shoal.table.records.messages import What

# Asked again after so long without an answer, twice as long each time: a link that
# breaks loses what was sent over it, and a large body takes its time.
REPEAT_S = 0.5
LONGEST_S = 4.0

# Asked again after so long when nobody owns it: most units are taken within a second.
NOT_NOW_S = 0.1

MAX_ASKS = 8192


class Asked(Struct):
    """One of them."""

    what: What
    deadline: float
    repeat_at: float
    rest_s: float = REPEAT_S
    owner: PeerId | None = None  # Whom we asked last, and under which ballot.
    ballot: Ballot | None = None
    again: bool = False  # Was somebody asked under another?

    def goes_to(self, owner: PeerId, ballot: Ballot) -> None:
        """Ask that one now."""
        self.again |= self.ballot not in (None, ballot)
        self.owner, self.ballot = owner, ballot


class Asks:
    """What we have asked, by its number."""

    def __init__(self) -> None:
        self._asks: dict[int, Asked] = {}
        self.deadline = math.inf

    @property
    def full(self) -> bool:
        """Are so many under way that no more should be?"""
        return len(self._asks) >= MAX_ASKS

    def begin(self, request: int, what: What, now: float, within_s: float) -> None:
        """It is asked now, and from now on."""
        self._asks[request] = Asked(what, now + within_s, now)
        self.deadline = now

    def answered(self, request: int, owner: PeerId) -> bool:
        """An answer came; false if nobody waits for it any more.

        Only whoever was asked last may answer: what an earlier one declined, a later
        one may do.
        """
        asked = self._asks.get(request)
        if asked is None or asked.owner != owner:
            return False
        del self._asks[request]
        return True

    def put_off(self, request: int, now: float) -> None:
        """Whom we asked does not serve us yet."""
        if asked := self._asks.get(request):
            asked.repeat_at, asked.rest_s = now + NOT_NOW_S, REPEAT_S
            self.deadline = min(self.deadline, asked.repeat_at)

    def hurry(self, now: float, moved: Callable[[Asked], bool]) -> None:
        """Ask again now what belongs to somebody else since it was asked."""
        for asked in self._asks.values():
            if moved(asked):
                asked.repeat_at, asked.rest_s = now, REPEAT_S
                self.deadline = now

    def overdue(self, now: float) -> list[tuple[int, Asked]]:
        """Those whose time is over; they are forgotten."""
        over = [(n, asked) for n, asked in self._asks.items() if asked.deadline <= now]
        for request, _ in over:
            del self._asks[request]
        return over

    def due(self, now: float) -> list[tuple[int, Asked]]:
        """What is to be asked now. Then `deadline` is set anew."""
        due = [(n, each) for n, each in self._asks.items() if each.repeat_at <= now]
        for _, asked in due:
            asked.repeat_at = now + asked.rest_s
            asked.rest_s = min(2 * asked.rest_s, LONGEST_S)
        moments = (min(a.repeat_at, a.deadline) for a in self._asks.values())
        self.deadline = min(moments, default=math.inf)
        return due
