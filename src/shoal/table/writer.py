"""Who waits for the disk: a thread, or for a quick disk the loop itself.

One job at a time, in the order they were given. A pool of threads does the same for
twice the price: of a commit of ten changes it takes more than the changes themselves.

To wake a thread and be woken by it takes longer than a good disk does, so a small job
is done where we are, as long as the disk is usually quick. What that is rises fast and
falls slowly: a disk that is slow now and then holds the loop up once, then threads wait
for it for a while.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from time import perf_counter
from typing import NamedTuple

from shoal.table.committer import Committer, Job, Lane

# A full disk is not tried again at once, unless somebody asks for something.
REST_S = 0.1

# A disk is quick if it usually takes no longer than that.
QUICK_S = 0.002

# Each job that took longer than usual counts an eighth, each that did not a little.
SLOWER, QUICKER = 1 / 8, 1 / 64


class Outcome(NamedTuple):
    """What came of a job."""

    error: BaseException | None
    took_s: float


Run = Callable[[], None]
Done = Callable[[Outcome], None]


def outcome(run: Run) -> Outcome:
    """Run it, whatever comes of it."""
    began = perf_counter()
    error: BaseException | None = None
    try:
        run()
    except BaseException as caught:
        error = caught
    return Outcome(error, perf_counter() - began)


class Writer:
    """Runs what is given to it, and tells the loop what came of it."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[tuple[Run, Done] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def give(self, run: Run, done: Done) -> None:
        """Run this when its turn comes; then `done` is called in the loop."""
        self._jobs.put((run, done))

    def end(self) -> None:
        """Run no more than what was given already."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while job := self._jobs.get():
            run, done = job
            came = outcome(run)
            with suppress(RuntimeError):  # The loop is closed: nobody is told.
                self._loop.call_soon_threadsafe(done, came)


class Scribe:
    """Has done what a committer says is due, each of its lanes by a writer."""

    def __init__(self, committer: Committer, name: str) -> None:
        """To be made in the loop that it works for."""
        self._loop = asyncio.get_running_loop()
        self._committer = committer
        self._writers: dict[Lane, Writer] = {
            "log": Writer(f"{name}-log"),
            "checkpoint": Writer(f"{name}-checkpoint"),
        }
        self._usual_s = 0.0  # What a small job takes.
        self._due = False  # A look for changes is due at the end of this turn.
        self._idle: asyncio.Future[None] = self._loop.create_future()

    def soon(self) -> None:
        """Commit at the end of this turn, with all that it brings."""
        if not self._due and not self._committer.committing:
            self._due = True
            self._loop.call_soon(self.look)

    def look(self) -> None:
        """Have done what is to be done."""
        self._due = False
        if self._idle.done():
            return
        for job in self._committer.due():
            done = partial(self._done, job)
            if job.small and self._usual_s < QUICK_S:
                self._loop.call_soon(done, outcome(job.run))
            else:
                self._writers[job.lane].give(job.run, done)
        if self._committer.ended:
            self._idle.set_result(None)

    async def end(self) -> None:
        """Commit what is left, and no more."""
        self._committer.close()
        self.look()
        await asyncio.shield(self._idle)
        for writer in self._writers.values():
            writer.end()

    def _done(self, job: Job, came: Outcome) -> None:
        if job.small:
            more_s = came.took_s - self._usual_s
            self._usual_s += more_s * (SLOWER if more_s > 0 else QUICKER)
        self._committer.done(job, came.error)
        if came.error and not self._committer.ended:
            self._loop.call_later(REST_S, self.look)
        else:
            self.look()
