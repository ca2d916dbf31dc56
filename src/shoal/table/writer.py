"""A thread that waits for the disk, so that the loop does not.

One job at a time, in the order they were given. A pool of threads does the same for
twice the price: of a commit of ten changes it takes more than the changes themselves.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread

Run = Callable[[], None]
Done = Callable[[BaseException | None], None]


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
            error: BaseException | None = None
            try:
                run()
            except BaseException as caught:
                error = caught
            with suppress(RuntimeError):  # The loop is closed: nobody is told.
                self._loop.call_soon_threadsafe(done, error)
