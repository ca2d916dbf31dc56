"""The real clock, and an alarm that is cheap to set.

A machine's deadline moves with almost every call. A timer of the event loop costs a
microsecond to set and another to cancel, so ours is moved only when it must ring
earlier; when it rings too early it is set again.
"""

import asyncio
import math
from collections.abc import Callable


class Clockwork:
    """Calls `ring` at the time last asked for, or at most a loop turn later."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        self._due = math.inf
        self._set_for = math.inf
        self._handle: asyncio.TimerHandle | None = None

    def time(self) -> float:
        """Seconds on the monotonic clock."""
        return self._loop.time()

    def alarm(self, at: float) -> None:
        """Ring then, and forget what was asked before."""
        self._due = at
        if at < self._set_for:
            self._set(at)

    def stop(self) -> None:
        """Never ring again."""
        if self._handle:
            self._handle.cancel()
        self._due = self._set_for = math.inf

    def _set(self, at: float) -> None:
        if self._handle:
            self._handle.cancel()
        self._set_for = at
        self._handle = self._loop.call_at(at, self._rung)

    def _rung(self) -> None:
        self._handle = None
        self._set_for = math.inf
        if self._loop.time() >= self._due:
            self._due = math.inf
            self._ring()
        if self._due < self._set_for:
            self._set(self._due)
