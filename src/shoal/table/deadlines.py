"""Which keys end when: the next first.

Told of every deadline and never of its withdrawal: whoever asks checks what the key
says of itself by then. What is out of date is thrown out when it outweighs the rest.
"""

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush

# Below this it is not worth counting what is out of date.
MIN_SWEEP = 1 << 10


class Deadlines:
    """A heap of deadlines that were set, some of them since replaced."""

    def __init__(self, stands: Callable[[bytes, int], bool]) -> None:
        """`stands` says whether a key still has that deadline."""
        self._stands = stands
        self._heap: list[tuple[int, bytes]] = []
        self._sweep_at = MIN_SWEEP

    @property
    def next_ms(self) -> float:
        """When something may be due."""
        return self._heap[0][0] if self._heap else math.inf

    def add(self, key: bytes, deadline_ms: int) -> None:
        """A key has got this deadline."""
        heappush(self._heap, (deadline_ms, key))
        if len(self._heap) > self._sweep_at:
            self._heap = [each for each in self._heap if self._stands(each[1], each[0])]
            heapify(self._heap)
            self._sweep_at = max(MIN_SWEEP, 2 * len(self._heap))

    def take_due(self, now_ms: int, limit: int) -> list[bytes]:
        """Keys whose deadline has come and stands, so many at once.

        There may be more, as long as `next_ms` has come.
        """
        due: dict[bytes, None] = {}  # A deadline may have been set twice.
        for _ in range(limit):
            if self.next_ms > now_ms:
                break
            deadline_ms, key = heappop(self._heap)
            if self._stands(key, deadline_ms):
                due[key] = None
        return list(due)

    def clear(self) -> None:
        """No key is left."""
        self._heap.clear()
        self._sweep_at = MIN_SWEEP
