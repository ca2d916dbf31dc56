"""The task that keeps a catalog's history: changes in order, off the loop.

Changes of one loop turn are written together, and safe from the death of the process at
once; from that of the machine a second later. A disk that fails costs history, never
the catalog: another file is begun when it can be, with all records there are then.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from shoal.catalog.history import History
from shoal.catalog.messages import Change, Entry, Heard
from shoal.catalog.protocol import Catalog, order

log = logging.getLogger(__name__)

SYNC_S = 1.0

# While the disk says no, what changed is in the records themselves.
RETRY_S = 10.0
MAX_WAITING, MAX_WAITING_BYTES = 100_000, 16 << 20


class Keeper:
    """Writes what changed, one batch at a time."""

    def __init__(
        self, history: History, catalog: Catalog, fail: Callable[[Exception], None]
    ) -> None:
        self._history = history
        self._catalog = catalog
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._changes: list[Change] = []
        self._waiting_bytes = 0
        self._changed = asyncio.Event()
        self._stopping = False
        self._retry_at = 0.0
        self._trouble = ""

    def start(self) -> None:
        """Begin a file with what there is."""
        self._changed.set()
        self._task = self._loop.create_task(self._run())

    def keep(self, change: Change) -> None:
        """Write that soon."""
        self._changes.append(change)
        self._waiting_bytes += len(change.text) if isinstance(change, Heard) else 0
        too_many = len(self._changes) > MAX_WAITING
        if too_many or self._waiting_bytes > MAX_WAITING_BYTES:
            self._take_changes()
            self._history.give_up()
        self._changed.set()

    async def stop(self) -> None:
        """Write what is left, and sync it."""
        self._stopping = True
        self._changed.set()
        await self._task

    async def at(self, moment: float) -> list[Entry]:
        """The records there were then, as far as they are written: one at a time.

        No thread can be stopped: who asked and is gone is waited for all the same,
        lest many such read at once, and nobody writes.
        """
        reading = self._loop.run_in_executor(None, partial(self._read, moment))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            await asyncio.wait([reading])
            raise
        except OSError as error:  # It was forgotten meanwhile, or cannot be read.
            log.warning("history at %d: %s", moment, error)
            return []

    def _read(self, moment: float) -> list[Entry]:
        """Off the loop."""
        found = self._history.at(moment, self._catalog.lifetime_s)
        return sorted(found, key=order)

    async def _run(self) -> None:
        try:
            synced = self._loop.time()
            while not self._stopping:
                await self._changed.wait()
                self._changed.clear()
                await self._write()
                wait_s = synced + SYNC_S - self._loop.time()
                if wait_s <= 0 or self._stopping:
                    await self._attempt(self._history.sync)
                    synced = self._loop.time()
                elif not self._changed.is_set():
                    self._loop.call_later(wait_s, self._changed.set)
            await self._write()
            await self._attempt(self._history.sync)
        except Exception as error:
            self._fail(error)
            raise

    async def _write(self) -> None:
        now = time.time()
        if self._history.is_due(now):
            if self._loop.time() < self._retry_at:
                return
            found = self._catalog.in_order()
            entries = ((each.key, each.text) for each in found)
            ended = self._catalog.endings(now)
            self._take_changes()  # They are in there.
            await self._attempt(partial(self._history.begin, entries, now, ended))
        if self._changes and not self._history.is_due(now):
            changes = self._take_changes()
            await self._attempt(partial(self._history.append, changes))

    def _take_changes(self) -> list[Change]:
        changes, self._changes, self._waiting_bytes = self._changes, [], 0
        return changes

    async def _attempt(self, work: Callable[[], None]) -> None:
        why = ""
        try:
            await self._loop.run_in_executor(None, work)
        except OSError as error:
            why = f"history: {(error.strerror or str(error)).lower()}; it has a gap"
            self._retry_at = self._loop.time() + RETRY_S
            self._loop.call_later(RETRY_S, self._changed.set)
        if why != self._trouble:
            log.warning("%s", why or "the history is written again")
            self._trouble = why
