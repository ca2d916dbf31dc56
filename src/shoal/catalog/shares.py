"""Processor time for questions: a slice each, and who took least goes first.

First of the hosts, then of the questions of one: whoever asks for little never waits
for those who ask for much, however many of these there are, and who asks for much waits
for the other hosts, not for all their questions. Where too much is begun, whoever took
most is refused, of the host that began most.
"""

import asyncio
import math
from collections.abc import Awaitable, Generator
from functools import partial
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
# accepted, heard, understood, and answered, in a round each. Where rounds are long they
# have as much time instead.
ROUNDS = 5
OTHERS_S = SLICE_S

# Each has a list of all records in its hands.
MAX_BEGUN = 64

# So many that have ended may stand in a line of those that have not.
MAX_ENDED = 64

_ResultT = TypeVar("_ResultT")

# It yields wherever others may have their turn.
Work = Generator[None, None, _ResultT]


class _Line:
    """What one host waits for, and what it took."""

    def __init__(self, host: str, number: int, took_s: float) -> None:
        self.host = host
        self.number = number  # Of two that took the same the first goes on.
        self.took_s = took_s
        self.works: list[_Begun] = []  # Some may have ended.
        self.alive = 0

    @property
    def begun(self) -> list["_Begun"]:
        """What was begun of it and has not ended."""
        return [each for each in self.works if each.begun]

    def __lt__(self, other: "_Line") -> bool:
        return (self.took_s, self.number) < (other.took_s, other.number)


class _Begun:
    """Work, what it took so far, and who waits for what comes of it."""

    def __init__(
        self, line: _Line, work: Work[Any], number: int, took_s: float
    ) -> None:
        self.line = line
        self.work = work
        self.number = number
        self.took_s = took_s  # With what it will take, or what came before it.
        self.worked_s = 0.0
        self.begun = self.ended = False
        self.result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def __lt__(self, other: "_Begun") -> bool:
        return (self.took_s, self.number) < (other.took_s, other.number)


class Shares:
    """Carries work on, a slice at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines: dict[str, _Line] = {}
        self._waiting: list[_Line] = []
        self._numbers = count()
        self._begun = 0
        self._took_s = 0.0  # Of who was served last: whoever comes begins there.
        self._resting = True  # Nothing waits, and no turn is to come.

    @property
    def idle(self) -> bool:
        """Does nobody wait?"""
        return self._resting

    def carry_out(
        self, work: Work[_ResultT], host: str, guess_s: float = 0.0
    ) -> Awaitable[_ResultT]:
        """What comes of it, or `OutOfTime`; `guess_s` is what it will take at least.

        Who asks for much at once comes behind who asks for little.
        """
        line = self._lines.get(host)
        if line is None:
            line = _Line(host, next(self._numbers), self._took_s + guess_s)
        before_s = line.alive * QUANTUM_S
        each = _Begun(line, work, next(self._numbers), guess_s + before_s)
        line.alive += 1
        each.result.add_done_callback(partial(self._forget, each))
        at_once, self._resting = self._resting, False
        if at_once:  # Who finds nobody here need not wait for the loop.
            self._loop.call_soon(self._turn)
            if self._carry_on(each, math.inf):
                self._end(each)
                return each.result
        heappush(line.works, each)
        if host not in self._lines:
            self._lines[host] = line
            heappush(self._waiting, line)
        return each.result

    def _turn(self) -> None:
        end = perf_counter() + SLICE_S
        while self._waiting and perf_counter() < end:
            line = heappop(self._waiting)
            if line.works:
                self._serve(line, end)
            if line.works:
                heappush(self._waiting, line)
            else:
                del self._lines[line.host]
        self._resting = not self._waiting
        if self._waiting:
            until = perf_counter() + OTHERS_S
            self._loop.call_soon(self._let_others, ROUNDS, until)

    def _let_others(self, rounds: int, until: float) -> None:
        if rounds and perf_counter() < until:
            self._loop.call_soon(self._let_others, rounds - 1, until)
        else:
            self._turn()

    def _serve(self, line: _Line, end: float) -> None:
        """The next of what a host waits for."""
        each, began = heappop(line.works), perf_counter()
        self._took_s = line.took_s
        if each.result.done() or self._carry_on(each, end):
            self._end(each)
        else:
            heappush(line.works, each)
        line.took_s += perf_counter() - began

    def _carry_on(self, each: _Begun, end: float) -> bool:
        """Do some of it; has it ended?"""
        if not each.begun:
            self._make_room()
            each.begun = True
            self._begun += 1
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
        each.worked_s += now - began
        if each.worked_s > PATIENCE_S and not each.result.done():
            each.result.set_exception(_costly())
        return each.result.done()

    def _make_room(self) -> None:
        """Where too much is begun, who took most makes room: first of the hosts."""
        if self._begun >= MAX_BEGUN:
            most = max(max(self._lines.values(), key=_weight).begun)
            if not most.result.done():
                most.result.set_exception(_costly())
            self._end(most)

    def _forget(self, each: _Begun, _: object) -> None:
        """Perhaps nobody waits for it any more: what it holds is let go of at once."""
        self._end(each)
        line = each.line
        if len(line.works) > 2 * line.alive + MAX_ENDED:
            line.works = [work for work in line.works if not work.ended]
            heapify(line.works)

    def _end(self, each: _Begun) -> None:
        """It may stand in its line still."""
        if each.ended:
            return
        each.work.close()
        each.line.alive -= 1
        self._begun -= each.begun
        each.begun, each.ended = False, True


def _weight(line: _Line) -> tuple[int, float]:
    begun = line.begun
    return len(begun), max((each.took_s for each in begun), default=0.0)


def _costly() -> OutOfTime:
    return OutOfTime("question: it takes more than its share; ask for less")
