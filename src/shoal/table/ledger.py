"""Batches of changes, from their making to their end, and what rests on which.

A batch is open while a turn's changes are made, then closed, committed to our own disk
one after the other, and safe at last, which may come in another order: where others
keep copies too, each batch waits for some of them.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from shoal.table.batches import Batch
from shoal.table.messages import Group, Note, Record

# A batch is written in one piece, which takes a disk half a second. With the longest
# record it stays far below the 4 GiB that a frame of the log can have.
BATCH_BYTES = 64 << 20

# One that travels, in a frame of a link: with the longest record it stays below 2^24.
SHARED_BATCH_BYTES = 4 << 20

# Batches that wait for other replicas: a second's work, ten times over.
MAX_PENDING = 1 << 13

# More than this is not to wait for the disk: nobody should ask for more changes then.
BURDEN_BYTES = 64 << 20

# And with more, copies for others are not taken either: what a few owners bring who
# are at that limit themselves. Beyond it a disk has halted, and memory is what ends.
CHOKED_BYTES = 4 * BURDEN_BYTES

# Answers may wait for those before them as long as so many batches more have failed.
MAX_FAILED = 1 << 16


class Feed(Protocol):
    """Who is told of every change when it is safe."""

    def changed(self, key: bytes, value: bytes | None, sequence: int) -> None:
        """A key has that now."""

    def flushed(self, sequence: int) -> None:
        """No key has anything now."""

    def closed(self, unit: int) -> None:
        """Somebody else may answer for its keys from now on."""


class Ledger:
    """Which batches there are, and what became of them."""

    def __init__(self) -> None:
        # The batch that the answers given since `begin` rest on; 0 if on none.
        self.rests_on = 0
        # Changed and not yet safe: which batch makes it so.
        self.dirty: dict[bytes, int] = {}
        self.pending: dict[int, Batch] = {}  # Closed, and not safe yet.
        self.batch_bytes = BATCH_BYTES
        self.paced = False  # Somebody says when the open batch is closed.
        self.feed: Feed | None = None
        self.closed: Callable[[Batch], None] | None = None  # Told of every batch.
        self._open = Batch(1)
        self._records: list[Record] = []  # Of the open batch, not grouped yet.
        self._closed: deque[Batch] = deque()  # To be committed next.
        self._committing: deque[Batch] = deque()
        self.unwritten = False  # Was anything refused that we are bound to?
        self._failed: dict[int, str] = {}  # Nobody may call them safe, and why.
        self._burden = 0  # Bytes of changes that our disk has not kept yet.
        self._flushed_by = 0  # If not safe yet: all there was went with that batch.

    @property
    def burdened(self) -> bool:
        """Is so much not safe yet that nobody should ask for more changes now?"""
        return self._burden > BURDEN_BYTES or len(self.pending) > MAX_PENDING

    @property
    def choked(self) -> bool:
        """Has our disk so much before it that nothing more is taken, from nobody?"""
        return self._burden > CHOKED_BYTES

    @property
    def changing(self) -> bool:
        """Does the open batch change anything?"""
        return bool(self._records or self._open.items)

    @property
    def empty(self) -> bool:
        """Is nothing in the open batch?"""
        return not (self._records or self._open.items or self._open.units)

    @property
    def urgent(self) -> bool:
        """Does somebody else wait for what the open batch keeps?"""
        return bool(self._open.items)

    @property
    def ticket(self) -> int:
        """The batch that is open."""
        return self._open.ticket

    @property
    def unkept(self) -> int:
        """The last batch that our disk has not kept yet; 0 if it has kept all."""
        latest = self._latest()
        return latest.ticket if latest else 0

    def rest_on_all(self) -> None:
        """The answer depends on every change made so far."""
        if latest := self._latest():
            self.rests_on = max(self.rests_on, latest.ticket)

    def note(self, note: Note) -> None:
        """We are bound to that, after all that was changed so far."""
        self._close_group()
        self._open.items.append(note)

    def after(self, ticket: int, news: Callable[[], object]) -> bool:
        """Tell it when that batch is safe; false if it is, and nothing was done."""
        batch = self._open if ticket == self._open.ticket else self.pending.get(ticket)
        if batch is None:
            return False
        batch.news.append(news)
        return True

    # The way of a batch

    def close_batch(self) -> Batch | None:
        """Begin another, unless there is nothing in this one."""
        self._close_group()
        batch = self._open
        if not (batch.items or batch.units):
            return None
        self.pending[batch.ticket] = batch
        self._open = Batch(batch.ticket + 1)
        if batch.items:
            self._closed.append(batch)
        if self.closed:
            self.closed(batch)
        return batch

    def take(self) -> Batch | None:
        """What is to be committed next, if anything; a new batch is begun."""
        if not self._closed:
            self.close_batch()
        if not self._closed:
            return None
        batch = self._closed.popleft()
        self._committing.append(batch)
        return batch

    def take_all(self) -> Iterator[Batch]:
        """What is to be committed next, in one piece."""
        if not self.paced:
            self.close_batch()
        weight = 0
        while self._closed and weight < self.batch_bytes:
            weight += self._closed[0].weight
            if batch := self.take():
                yield batch

    def committed(self, ticket: int) -> None:
        """Our disk has kept all batches up to that one."""
        while self._committing and self._committing[0].ticket <= ticket:
            batch = self._committing.popleft()
            self._burden -= batch.weight
            batch.kept = True
            if not batch.units:
                self.settle(batch)
        if self._flushed_by <= ticket:
            self._flushed_by = 0

    def settle(self, batch: Batch) -> None:
        """That batch is safe: whoever waits for it may be told."""
        self.pending.pop(batch.ticket, None)
        for item in batch.items:
            if isinstance(item, Group):
                for _, key, *_ in item.records:
                    if self.dirty.get(key) == batch.ticket:
                        del self.dirty[key]
        if self.feed:
            self._feed(batch, self.feed)
        for tell in batch.news:
            tell()

    def fail(self, batch: Batch, why: str) -> None:
        """Nobody will be told that it is safe. It may be, all the same."""
        self._failed[batch.ticket] = why
        if len(self._failed) > MAX_FAILED:
            del self._failed[next(iter(self._failed))]

    def fate(self, ticket: int) -> str | None:
        """What became of a batch: safe is nothing to say, None is not known yet."""
        if ticket in self._failed:
            return self._failed[ticket]
        undecided = ticket in self.pending or ticket >= self._open.ticket
        return None if undecided else ""

    def _latest(self) -> Batch | None:
        """The last batch that our disk has not kept yet, if any."""
        if self._records or self._open.items:
            return self._open
        waiting = self._closed or self._committing
        return waiting[-1] if waiting else None

    def _weigh(self, size_bytes: int) -> None:
        """The open batch has grown."""
        self._open.weight += size_bytes
        self._burden += size_bytes
        if self._open.weight >= self.batch_bytes:
            self.close_batch()

    def _close_group(self) -> None:
        raise NotImplementedError

    def _feed(self, batch: Batch, feed: Feed) -> None:
        """What was decided here; of what others own, they tell."""
        flushes = iter(batch.flushes)
        for at, item in enumerate(batch.items):
            if isinstance(item, Group) and at not in batch.foreign:
                if item.flushed:
                    feed.flushed(next(flushes))
                for _, key, sequence, _, value in item.records:
                    feed.changed(key, value, sequence)
