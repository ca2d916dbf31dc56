"""Where the keys of a table are, counted so that each is as likely to be picked."""

from bisect import bisect
from itertools import accumulate
from random import Random

from shoal.table.batches import Slot


class Crowd:
    """How many keys are in all slots up to each; no older than a millisecond.

    To count takes half of one: not for each of a thousand commands in a turn.
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._counted, self._at_ms = [0], -1

    def pick(self, slots: list[Slot], size: int, now_ms: int) -> int:
        """A slot, the likelier the more keys it has; there must be a key."""
        counted = self._counted[-1]
        grown = abs(size - counted) > counted // 16
        if grown or not counted or self._at_ms != now_ms:
            self._counted = list(accumulate(map(len, slots)))
            self._at_ms = now_ms
        return bisect(self._counted, self._rng.randrange(self._counted[-1]))

    def recount(self) -> None:
        """What was counted is out of date."""
        self._at_ms = -1
