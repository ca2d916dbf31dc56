"""Tasks for worker processes: one queue, in the order they came, each told its outcome.

A worker that dies fails the task it had and no other, and another takes its place. A
task that takes too long, or that nobody waits for any more, costs its worker's life:
there is no other way to end what it does.
"""

import asyncio
import logging
import os
from asyncio import Future, TimerHandle
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from shoal.errors import (
    Misuse,
    OutOfTime,
    Overloaded,
    Refused,
    WorkerLost,
    named,
)
from shoal.flow.messages import (
    HALF,
    Evaluate,
    Evaluated,
    Failed,
    Hash,
    Hashed,
    Inspect,
    Inspected,
    Outcome,
    Source,
    Task,
)
from shoal.flow.work.forkserver import Settings
from shoal.flow.work.nursery import Nursery, Worker

log = logging.getLogger(__name__)

# A job has a task a part, so this is two of the largest jobs; more is refused. A guess.
MAX_QUEUED = 10_000

# Between births that fail: from a blink to what a person would wait.
FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 10.0

# When so many births in a row have failed and nobody works, those who wait are told.
MAX_STILLBORN = 3

# Imported once, by the process that workers are forked from.
PRELOAD = ("shoal.flow.work.worker", "shoal.flow.arithmetic.kernel", "numpy")

_encode = msgspec.msgpack.Encoder().encode

Done = Evaluated | Inspected | Hashed


@dataclass(eq=False, slots=True)
class _Errand:
    """A task, and who waits for it."""

    task: Task
    body: bytes
    within_s: float
    done: Future[Done]
    worker: Worker | None = None
    alarm: TimerHandle | None = None
    given_up: bool = False

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Workers:
    """Some processes that do what the loop must not."""

    def __init__(
        self,
        count: int,
        fail: Callable[[Exception], None],
        *,
        memory_bytes: int | None = None,
        max_queued: int = MAX_QUEUED,
        preload: Sequence[str] = (),
    ) -> None:
        """`preload` names modules that workers have from the beginning."""
        if count < 1:
            raise Misuse(f"workers {count}: at least one; see: shoal up --help")
        self._count = count
        self._fail = fail
        self._max_queued = max_queued
        memory_bytes = memory_bytes or _quarter_of_memory()
        settings = Settings(memory_bytes, (*PRELOAD, *preload))
        self._nursery = Nursery(settings, self._heard, fail)
        self._waiting: OrderedDict[_Errand, None] = OrderedDict()
        self._busy: dict[Worker, _Errand] = {}
        self._idle: dict[Worker, None] = {}
        self._stillborn = 0  # Births that failed since one succeeded.
        self._seats: list[asyncio.Task[None]] = []
        self._stopped = False

    @property
    def queued(self) -> int:
        """How many tasks wait or are carried out."""
        return len(self._waiting) + len(self._busy)

    @property
    def pids(self) -> list[int]:
        """The processes there are now."""
        return list(self._nursery.workers)

    async def start(self) -> None:
        """Have a first worker, or say why there is none; the others follow."""
        first = await self._nursery.hire()
        for number in range(self._count):
            seat = asyncio.create_task(self._keep(None if number else first))
            seat.add_done_callback(self._unless_bug)
            self._seats.append(seat)

    async def stop(self) -> None:
        """End all workers; who waits is told."""
        self._stopped = True
        for seat in self._seats:
            seat.cancel()
        for errand in [*self._waiting, *self._busy.values()]:
            self._over(errand)
            errand.fail(Refused(f"{_about(errand.task)}: the peer stops"))
        self._waiting.clear()
        await self._nursery.stop()

    async def run(self, task: Task, *, within_s: float) -> Done:
        """What came of a task, or the error it failed with.

        Its time begins when a worker begins.
        """
        if self._stopped:
            raise Refused(f"{_about(task)}: the peer stops")
        if self.queued >= self._max_queued:
            raise Overloaded(
                f"workers: {self._max_queued} tasks wait already; try later"
            )
        errand = _Errand(
            task, _encoded(task), within_s, asyncio.get_running_loop().create_future()
        )
        self._waiting[errand] = None
        self._hand_out()
        try:
            return await errand.done
        except asyncio.CancelledError:
            self._give_up(errand)
            raise

    # Workers come and go

    async def _keep(self, worker: Worker | None) -> None:
        """One seat: somebody works there, and when they are gone somebody else."""
        while True:
            worker = worker or await self._hire()
            self._idle[worker] = None
            self._hand_out()
            how = await worker.ended
            self._idle.pop(worker, None)
            if errand := self._busy.get(worker):
                self._lost(errand, how)
            worker = None

    async def _hire(self) -> Worker:
        while True:
            try:
                worker = await self._nursery.hire()
            except WorkerLost as error:
                await self._mourn(error)
            else:
                self._stillborn = 0
                return worker

    async def _mourn(self, error: WorkerLost) -> None:
        log.warning("%s", error)
        self._stillborn += 1
        if self._stillborn >= MAX_STILLBORN and not self._nursery.workers:
            while self._waiting:
                self._waiting.popitem(last=False)[0].fail(WorkerLost(str(error)))
        await asyncio.sleep(min(FIRST_PAUSE_S * 2**self._stillborn, LAST_PAUSE_S))

    def _unless_bug(self, seat: asyncio.Task[None]) -> None:
        if not seat.cancelled() and (error := seat.exception()):
            assert isinstance(error, Exception)
            self._fail(error)

    # Tasks begin and end

    def _hand_out(self) -> None:
        while self._waiting and self._idle:
            worker, _ = self._idle.popitem()
            if worker.gone:
                continue  # Its seat is about to hear of it.
            errand, _ = self._waiting.popitem(last=False)
            errand.worker = worker
            self._busy[worker] = errand
            errand.alarm = asyncio.get_running_loop().call_later(
                errand.within_s, self._too_late, errand
            )
            worker.give(errand.body)

    def _heard(self, worker: Worker, outcome: Outcome) -> None:
        errand = self._busy.get(worker)
        if errand is None or errand.given_up:  # It is about to be killed.
            return
        self._over(errand)
        self._idle[worker] = None
        if isinstance(outcome, Failed):
            errand.fail(named(outcome.kind, outcome.message))
        elif not errand.done.done():
            errand.done.set_result(outcome)
        self._hand_out()

    def _lost(self, errand: _Errand, how: str) -> None:
        assert errand.worker
        self._over(errand)
        _remove_half(errand.task)
        errand.fail(
            WorkerLost(f"{_about(errand.task)}: the worker {how}; run it again")
        )

    def _too_late(self, errand: _Errand) -> None:
        errand.fail(
            OutOfTime(
                f"{_about(errand.task)}: it took more than {errand.within_s:g} s and "
                "was given up; give it more time, or less to do"
            )
        )
        self._kill(errand)

    def _give_up(self, errand: _Errand) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(errand, None)
        if errand.worker and self._busy.get(errand.worker) is errand:
            self._kill(errand)

    def _kill(self, errand: _Errand) -> None:
        """It stays busy until it is dead: so does what it has half done."""
        assert errand.worker
        errand.given_up = True
        if errand.alarm:
            errand.alarm.cancel()
        self._nursery.kill(errand.worker)

    def _over(self, errand: _Errand) -> None:
        if errand.alarm:
            errand.alarm.cancel()
        if errand.worker:
            del self._busy[errand.worker]


def _encoded(task: Task) -> bytes:
    try:
        return _encode(task)
    except (OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise Misuse(f"{_about(task)}: it cannot be told to a worker, {error}") from (
            error
        )


def _about(task: Task) -> str:
    """A task for people."""
    match task:
        case Inspect(path) | Hash(path):
            return f"file {os.path.basename(path)}"
        case Evaluate():
            names = [
                os.path.basename(each.path)
                for each in task.given
                if isinstance(each, Source)
            ]
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            return f"task with {', '.join(names[:3]) or 'no files'}{more}"


def _remove_half(task: Task) -> None:
    """What a dead worker was writing is nobody's."""
    if isinstance(task, Evaluate) and task.target:
        with suppress(OSError):
            os.unlink(task.target + HALF)


def _quarter_of_memory() -> int:
    """A guess: four large tasks at once fill a machine, and no more."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
    except (ValueError, OSError):  # The system does not say.
        return 1 << 30
