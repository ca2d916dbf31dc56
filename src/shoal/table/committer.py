"""What the table's storage does next: commits, and checkpoints beside them.

A machine of two lanes with one job each: the log, and the checkpoint. The invariants:
batches are committed one after the other, so that one that cannot be takes all after it
back; a checkpoint is ended only when every change it may hold is committed and synced,
so that it brings back nothing that was refused, and never a part of a batch; and after
an error that is not a full disk nothing is committed, nor told, ever again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

from shoal.errors import NoSpace
from shoal.table.messages import Item
from shoal.table.portions import PORTION_BYTES, portions
from shoal.table.protocol import Table
from shoal.table.storage import Storage

Lane = Literal["log", "checkpoint"]

# What is less takes a disk no longer than a few lines do.
SMALL_BYTES = 64 << 10


class Audience(Protocol):
    """Who is told what became of batches."""

    def release(self, safe: int, refused: int, why: str) -> None:
        """All up to one batch is safe, all after it up to another refused."""

    def fail(self, error: Exception) -> None:
        """Nobody knows what the disk has kept: the end."""


@dataclass(frozen=True, slots=True)
class Job:
    """To be run off the loop; what came of it is told to the committer."""

    lane: Lane
    run: Callable[[], None]
    done: Callable[[], None]
    full: Callable[[NoSpace], None]
    small: bool = False  # A good disk is done with it at once.


@dataclass(slots=True)
class _Checkpoint:
    """One on its way."""

    portions: Iterator[list[Item]] | None = None  # Once it is begun.
    rests_on: int | None = None  # The last batch it may hold, once all is in.
    void: bool = False  # It may hold what was refused, or there was no room.
    ending: bool = False


class Committer:
    """Says what is to be done, one job a lane; never waits."""

    def __init__(
        self,
        table: Table,
        storage: Storage,
        audience: Audience,
        *,
        sync: bool,
        portion_bytes: int = PORTION_BYTES,
    ) -> None:
        """`sync`: each batch survives a crash of the machine before it is told."""
        self._table = table
        self._storage = storage
        self._audience = audience
        self._sync = sync
        self._portion_bytes = portion_bytes
        self._under_way: dict[Lane, Job] = {}
        self._checkpoint: _Checkpoint | None = None
        self._safe = self._synced = 0  # The last batch that is so.
        self._sync_due = False
        self._closing = False
        self._failed = False

    @property
    def committing(self) -> bool:
        """Is a batch under way, or something it waits for?"""
        return "log" in self._under_way

    @property
    def ended(self) -> bool:
        """After `due`: is nothing under way, and will nothing be?"""
        return not self._under_way and (self._failed or self._closing)

    def sync_soon(self) -> None:
        """Let what is committed survive a crash of the machine."""
        self._sync_due = True

    def close(self) -> None:
        """Commit and sync what is left, and no more."""
        self._closing = self._sync_due = self._sync = True
        self._table.paced = False

    def due(self) -> list[Job]:
        """What is to be begun now."""
        jobs = []
        if self._checkpoint and (job := self._next_for_checkpoint(self._checkpoint)):
            jobs.append(job)
        if "log" not in self._under_way and (job := self._next_for_log()):
            jobs.append(job)
        for job in jobs:
            self._under_way[job.lane] = job
        return jobs

    def done(self, job: Job, error: BaseException | None) -> None:
        """A job has ended, so."""
        del self._under_way[job.lane]
        if error is None:
            job.done()
        elif isinstance(error, NoSpace):
            job.full(error)
        else:
            self._failed = True
            bug = error if isinstance(error, Exception) else RuntimeError(error)
            self._audience.fail(bug)

    # The log

    def _next_for_log(self) -> Job | None:
        if self._failed:
            return None
        if self._sync_due:
            self._sync_due = False
            synced = partial(self._sync_to, self._safe)
            return Job("log", self._storage.sync, synced, _impossible)
        if not self._checkpoint and self._storage.worth_checkpoint():
            self._checkpoint = _Checkpoint()
            begin = self._storage.begin_checkpoint
            return Job("log", begin, self._walk, self._avoid)
        batches = list(self._table.take_all())
        if not batches:
            return None
        items = [item for batch in batches for item in batch.items]
        commit = partial(self._storage.commit, items, sync=self._sync)
        settle = partial(self._settle, batches[-1].ticket)
        small = sum(batch.weight for batch in batches) < SMALL_BYTES
        return Job("log", commit, settle, self._refuse, small)

    def _settle(self, ticket: int) -> None:
        self._safe = ticket
        if self._sync:
            self._synced = ticket
        self._table.committed(ticket)
        self._audience.release(ticket, 0, "")

    def _sync_to(self, ticket: int) -> None:
        self._synced = ticket

    def _refuse(self, error: NoSpace) -> None:
        """Nothing that is under way was done."""
        if self._checkpoint and not self._checkpoint.ending:
            self._checkpoint.void = True
        last = self._table.refused(f"NOSPACE {error}")
        self._audience.release(0, last, f"NOSPACE {error}")

    # The checkpoint

    def _next_for_checkpoint(self, checkpoint: _Checkpoint) -> Job | None:
        if "checkpoint" in self._under_way or self._failed or self._closing:
            return None
        if checkpoint.void:
            drop = self._storage.drop_checkpoint
            return Job("checkpoint", drop, self._forget, _impossible)
        if checkpoint.portions is None:
            return None
        if checkpoint.rests_on is None:
            if groups := next(checkpoint.portions, None):
                add = partial(self._storage.add, groups)
                return Job("checkpoint", add, _nothing, self._avoid)
            checkpoint.rests_on = self._last_batch()
        if checkpoint.rests_on > self._synced:
            self._sync_due |= checkpoint.rests_on <= self._safe
            return None
        checkpoint.ending = True
        end = self._storage.end_checkpoint
        return Job("checkpoint", end, self._forget, self._avoid)

    def _walk(self) -> None:
        assert self._checkpoint, "it was begun"
        self._checkpoint.portions = portions(self._table, self._portion_bytes)

    def _avoid(self, _: NoSpace) -> None:
        assert self._checkpoint, "it was begun"
        self._checkpoint.void = True

    def _forget(self) -> None:
        self._checkpoint = None

    def _last_batch(self) -> int:
        """What is committed counts too: it may not be synced."""
        self._table.rests_on = self._safe
        self._table.rest_on_all()
        return self._table.rests_on


def _nothing() -> None:
    """There is nobody to tell."""


def _impossible(error: NoSpace) -> None:
    raise error
