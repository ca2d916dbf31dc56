"""Processor time for questions: a slice each, and who took least goes first.

Whoever asks for little never waits for those who ask for much, however many of these
there are. Where too much is begun, whoever took most is refused.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Generator
from heapq import heapify, heappop, heappush
from itertools import count
from time import perf_counter
from typing import Any, TypeVar

from shoal.errors import OutOfTime

# Nobody notices a loop that is busy for so long.
SLICE_S = 0.002

# One piece of work goes on for so long, then another.
QUANTUM_S = 0.0005

# Of processor time for one question: a hundred times what five thousand records take.
PATIENCE_S = 5.0

# While there is more to do the loop goes round so often for others: whoever comes is
# accepted, heard, understood, and answered, in a round each.
ROUNDS = 5

# Each has a list of all records in its hands.
MAX_BEGUN = 64

_ResultT = TypeVar("_ResultT")

# It yields wherever others may have their turn.
Work = Generator[None, None, _ResultT]


class _Begun:
    """Work, what it took so far, and who waits for what comes of it."""

    def __init__(self, work: Work[Any], host: str, number: int, guess_s: float) -> None:
        self.work = work
        self.host = host
        self.number = number  # Of two that took the same the first goes on.
        self.took_s = guess_s
        self.begun = False
        self.result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def __lt__(self, other: "_Begun") -> bool:
        return (self.took_s, self.number) < (other.took_s, other.number)


class Shares:
    """Carries work on, a slice at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Begun] = []
        self._numbers = count()
        self._begun = 0
        self._of_host: Counter[str] = Counter()

    @property
    def idle(self) -> bool:
        """Does nobody wait?"""
        return not self._waiting

    def carry_out(
        self, work: Work[_ResultT], host: str, guess_s: float = 0.0
    ) -> Awaitable[_ResultT]:
        """What comes of it, or `OutOfTime`; `guess_s` is what it will take at least.

        Who asks for much at once comes behind who asks for little.
        """
        before_s = self._of_host[host] * QUANTUM_S
        self._of_host[host] += 1
        each = _Begun(work, host, next(self._numbers), guess_s + before_s)
        heappush(self._waiting, each)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._turn)
        return each.result

    def _turn(self) -> None:
        end = perf_counter() + SLICE_S
        while self._waiting and perf_counter() < end:
            each = heappop(self._waiting)
            if each.result.done() or self._carry_on(each, end):
                self._end(each)
            else:
                heappush(self._waiting, each)
        if self._waiting:
            self._loop.call_soon(self._let_others, ROUNDS)

    def _let_others(self, rounds: int) -> None:
        if rounds:
            self._loop.call_soon(self._let_others, rounds - 1)
        else:
            self._turn()

    def _carry_on(self, each: _Begun, end: float) -> bool:
        """Do some of it; has it ended?"""
        if not each.begun:
            self._make_room()
            self._begun, each.begun = self._begun + 1, True
        began = now = perf_counter()
        try:
            end = min(end, began + QUANTUM_S)
            while now < end:
                next(each.work)
                now = perf_counter()
        except StopIteration as ended:
            each.result.set_result(ended.value)
        except Exception as error:
            each.result.set_exception(error)
        each.took_s += now - began
        if each.took_s > PATIENCE_S and not each.result.done():
            each.result.set_exception(_costly())
        return each.result.done()

    def _make_room(self) -> None:
        """Who took most makes room, where too much is begun."""
        if self._begun >= MAX_BEGUN:
            most = max(each for each in self._waiting if each.begun)
            if not most.result.done():
                most.result.set_exception(_costly())
            self._waiting.remove(most)
            heapify(self._waiting)
            self._end(most)

    def _end(self, each: _Begun) -> None:
        each.work.close()
        self._begun -= each.begun
        self._of_host[each.host] -= 1
        if not self._of_host[each.host]:
            del self._of_host[each.host]


def _costly() -> OutOfTime:
    return OutOfTime("question: it takes more than its share; ask for less")
