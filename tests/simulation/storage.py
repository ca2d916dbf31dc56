"""A table with its log on a simulated disk, one life after the other.

What the clients of all lives saw is kept as one list of changes. The rule: a life
begins with what the changes up to some batch make of the table; all that was told is
among them, and nothing that was refused.
"""

import errno
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from shoal.core.machine import PeerId
from shoal.errors import DirectoryDamaged, NoSpace
from shoal.sim.disk import Crash, SimulatedDisk
from shoal.table.committer import Committer, Job, Lane
from shoal.table.messages import Ballot
from shoal.table.protocol import Table
from shoal.table.recovery import Remains
from shoal.table.storage import Log

PEER = PeerId("p")
KEYS = [b"key%d" % n for n in range(9)]

# Small enough that segments end and checkpoints are worth it all the time.
SEGMENT_BYTES, WORTH_BYTES, PORTION_BYTES = 1500, 3000, 2500

CRASHES: tuple[Crash, ...] = ("kept", "lost", "torn", "torn")

# A value and its deadline.
Had = tuple[bytes, int]
State = dict[bytes, Had]


class PowerCutError(Exception):
    """The machine stops in the middle of what it does."""


class Fragile(SimulatedDisk):
    """Stops at a chosen call, before or after it; its syncs fail in two ways."""

    def __init__(self, rng: Random) -> None:
        super().__init__()
        self._rng = rng
        self.calls_left = math.inf
        self.sync_failed = False

    def repair(self) -> None:
        """No misfortune lies ahead."""
        self.calls_left = self.capacity_bytes = math.inf
        self.failing_syncs, self.sync_failed = 0, False

    def _call(self, run: Callable[[], None]) -> None:
        self.calls_left -= 1
        after = self._rng.random() < 0.5
        if self.calls_left <= 0 and not after:
            raise PowerCutError
        run()
        if self.calls_left <= 0:
            raise PowerCutError

    def append(self, name: str, data: bytes) -> None:
        self._call(partial(super().append, name, data))

    def write(self, name: str, data: bytes) -> None:
        self._call(partial(super().write, name, data))

    def sync(self, name: str) -> None:
        self._call(partial(self._failing, partial(super().sync, name)))

    def rename(self, old: str, new: str) -> None:
        self._call(partial(super().rename, old, new))

    def remove(self, name: str) -> None:
        self._call(partial(super().remove, name))

    def sync_directory(self) -> None:
        self._call(partial(self._failing, super().sync_directory))

    def _failing(self, run: Callable[[], None]) -> None:
        try:
            run()
        except OSError as error:
            self.sync_failed = True
            # Where room is found late, a full disk is noticed by the sync.
            error.errno = self._rng.choice([errno.EIO, errno.ENOSPC])
            raise


@dataclass
class History:
    """What the clients of all lives changed, and what they were told."""

    changes: list[tuple[bytes | None, Had | None]] = field(default_factory=list)
    batches: list[int] = field(default_factory=lambda: [0])  # Where each ended.
    told: int = 0  # So many changes are known to somebody.
    synced: int = 0  # So many survive a power cut.

    def state(self, end: int | None = None) -> State:
        state: State = {}
        for key, had in self.changes[:end]:
            if key is None:
                state.clear()
            elif had is None:
                state.pop(key, None)
            else:
                state[key] = had
        return state

    def last_of(self, key: bytes) -> int:
        """How many changes there were when the key got what it has."""
        for n in range(len(self.changes), 0, -1):
            if self.changes[n - 1][0] in (key, None):
                return n
        return 0

    def cut(self, end: int) -> None:
        """What came later never was."""
        del self.changes[end:]
        self.batches = [each for each in self.batches if each <= end]


class Life:
    """One process: a table, its log, and clients that wait."""

    def __init__(
        self, disk: Fragile, history: History, rng: Random, start: int, *, sync: bool
    ) -> None:
        self.disk, self.history, self.rng = disk, history, rng
        ballot = Ballot(view=1, counter=1, peer=PEER, start=start)
        self.table = Table(ballot, rng, logged=True)
        self.log = Log(
            disk, PEER, rng, segment_bytes=SEGMENT_BYTES, worth_bytes=WORTH_BYTES
        )
        for key, entry in Remains(self.log.recover()).entries.items():
            self.table.load(key, entry)
        self.committer = Committer(
            self.table, self.log, self, sync=sync, portion_bytes=PORTION_BYTES
        )
        self.sync = sync
        self.waiting: list[tuple[int, int]] = []  # The batch; changes it rests on.
        self.begun: dict[Lane, Job] = {}
        self.ended: list[tuple[Job, Exception | None]] = []
        self.committed = len(history.changes)  # So many are in the log.
        self.held = 0  # So many may be in the checkpoint that is written.
        self.error: Exception | None = None

    def state(self) -> State:
        return {
            key: (entry.value, entry.deadline_ms)
            for slot in self.table.slots
            for key, entry in slot.items()
        }

    # Clients

    def turn(self, now: float, act: Callable[[], int]) -> None:
        """A client does something; what it is told rests on so many changes."""
        self.table.begin(now)
        needs = act()
        if self.table.rests_on:
            self.waiting.append((self.table.rests_on, needs))
        else:
            self._tell(needs)

    def put(self, key: bytes, value: bytes, deadline_ms: int) -> int:
        self.table.put(key, value, deadline_ms)
        return self._changed(key, (value, deadline_ms))

    def drop(self, key: bytes) -> int:
        needs = self.find(key)
        return self._changed(key, None) if self.table.drop(key) else needs

    def flush(self) -> int:
        empty = not self.table.size
        self.table.flush()
        if empty:
            return len(self.history.changes)
        return self._changed(None, None)

    def find(self, key: bytes) -> int:
        before = self.history.state().get(key)
        entry = self.table.find(key)
        if before and 0 < before[1] <= self.table.now_ms:
            before = None
            self._changed(key, None)  # Its end is written down.
        found = (entry.value, entry.deadline_ms) if entry else None
        assert found == before, f"{key!r} has {found}, not {before}"
        return self.history.last_of(key)

    def wake(self, now: float) -> None:
        """Some keys end."""
        self.table.wake(now)
        left = self.state()
        for key, (_, deadline_ms) in self.history.state().items():
            if key not in left:
                assert 0 < deadline_ms <= self.table.now_ms, f"{key!r} ended too soon"
                self._changed(key, None)

    def _changed(self, key: bytes | None, had: Had | None) -> int:
        self.history.changes.append((key, had))
        return len(self.history.changes)

    def _tell(self, needs: int) -> None:
        assert needs <= self.committed, "told before it was committed"
        self.history.told = max(self.history.told, needs)

    # Audience

    def release(self, safe: int, refused: int, why: str) -> None:
        waiting, self.waiting = self.waiting, []
        for ticket, needs in waiting:
            if ticket <= safe:
                self._tell(needs)
            elif ticket > refused:
                self.waiting.append((ticket, needs))
        if why:
            self.history.cut(self.committed)
            assert self.state() == self.history.state(), "not as if it had never been"

    def fail(self, error: Exception) -> None:
        self.error = error

    # Writers

    def begin_jobs(self) -> None:
        end = len(self.history.changes)
        for job in self.committer.due():
            assert not self.error or job.lane != "log", "a batch after the end"
            self.begun[job.lane] = job
            does = getattr(job.run, "func", job.run)
            if does == self.log.commit:
                self.history.batches.append(end)
            elif does == self.log.add:
                self.held = end
            elif does == self.log.end_checkpoint:
                assert self.held <= self.history.synced, "a power cut takes less back"

    def run_job(self, lane: Lane) -> None:
        job, error = self.begun.pop(lane), None
        try:
            job.run()
        except (OSError, NoSpace) as trouble:
            error = trouble
        self.ended.append((job, error))
        if lane == "log" and not error:
            self.committed = self.history.batches[-1]
            if self.sync or job.run == self.log.sync:
                self.history.synced = self.committed

    def end_job(self) -> None:
        self.committer.done(*self.ended.pop(0))

    def go_on(self) -> bool:
        """Do some of what is to be done; false if there is nothing."""
        self.begin_jobs()
        steps: list[Callable[[], Any]] = [
            partial(self.run_job, lane) for lane in self.begun
        ]
        steps += [self.end_job] if self.ended else []
        if steps:
            self.rng.choice(steps)()
        return bool(steps)


class World:
    """A disk, and one life after the other upon it."""

    def __init__(self, seed: int, *, sync: bool = True) -> None:
        self.rng = Random(f"storage {seed}")
        self.disk = Fragile(self.rng)
        self.history = History()
        self.now = 1000.0
        self.sync = sync
        self.lives = 0
        self.life = self.live()

    def live(self) -> Life:
        """Recover, and check what is found."""
        self.lives += 1
        try:
            life = Life(self.disk, self.history, self.rng, self.lives, sync=self.sync)
        except DirectoryDamaged as error:
            raise AssertionError(
                f"life {self.lives} does not begin: {error}"
            ) from error
        self._check(life)
        return life

    def _check(self, life: Life) -> None:
        history, found = self.history, life.state()
        for end in dict.fromkeys(reversed(history.batches)):
            if history.told <= end and found == history.state(end):
                history.cut(end)
                history.told = history.synced = life.committed = end
                return
        there = {key: _short(had) for key, had in found.items()}
        changes = list(enumerate((key, _short(had)) for key, had in history.changes))
        raise AssertionError(
            f"life {self.lives} begins with {there}; told were {history.told} of "
            f"{changes}, batches end at {history.batches}"
        )

    def crash(self, mode: Crash | None = None) -> None:
        """End this life, and begin the next; its beginning may be cut short too."""
        while True:
            cut = self.rng.choice(CRASHES) if mode is None else mode
            if cut != "kept" or self.disk.sync_failed:
                self.history.told = min(self.history.told, self.history.synced)
            self.disk.crash(cut, self.rng)
            self.disk.repair()
            if self.rng.random() < 0.2:
                self.disk.calls_left = self.rng.randint(1, 8)
            try:
                self.life = self.live()
            except PowerCutError:
                mode = None
            else:
                self.disk.calls_left = math.inf
                return


def _short(had: Had | None) -> tuple[str, int] | None:
    return (had[0].split()[0].decode(), had[1]) if had else None
