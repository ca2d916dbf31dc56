"""The table: what each key has, who may say so, and when it may be told.

One owner of all slots: an answer is a lookup, a change is a line in the batch that is
committed next. The invariant: nothing is told before all it rests on is committed. A
change is seen at once by the next command, but every answer names the batch it rests
on, and leaves when that one is safe; if it cannot be made safe, the table is again as
before it, and nobody was told otherwise.
"""

from binascii import crc_hqx
from bisect import bisect
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, islice
from random import Random
from typing import Protocol

from shoal.table.deadlines import Deadlines
from shoal.table.messages import NEVER, SLOTS, Ballot, Entry, Group, Record
from shoal.table.slots import slot_of

Slot = dict[bytes, Entry]

# Ended keys are dropped in portions, so that nobody waits for a million of them.
# It takes about a millisecond.
EXPIRE_AT_ONCE = 512

# A batch is written in one piece, which takes a disk half a second. With the longest
# record it stays far below the 4 GiB that a frame of the log can have.
BATCH_BYTES = 64 << 20

# More than this is not to wait for the disk: nobody should ask for more changes then.
BURDEN_BYTES = 64 << 20

# What a change takes in memory until it is safe, beside its key and value.
CHANGE_BYTES = 256

# What a flush takes: a dictionary for each slot.
FLUSH_BYTES = 80 * SLOTS

# So many keys are picked that have ended, before all are looked through.
RANDOM_TRIES = 32


@dataclass(slots=True)
class Batch:
    """What is committed together: the changes, and how to take each back."""

    ticket: int
    weight: int = 0  # In bytes.
    groups: list[Group] = field(default_factory=list)
    undo: list["Entry | _Flushed | None"] = field(default_factory=list)
    flushes: list[int] = field(default_factory=list)  # When, in the order of changes.
    # What is told when it is safe: what happened to keys, what was published.
    news: list[Callable[[], object]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Flushed:
    """All there was."""

    slots: list[Slot]
    size: int


class Feed(Protocol):
    """Who is told of every change when it is safe."""

    def changed(self, key: bytes, value: bytes | None, sequence: int) -> None:
        """A key has that now."""

    def flushed(self, sequence: int) -> None:
        """No key has anything now."""


class Table:
    """The keys of one peer that owns all slots."""

    def __init__(self, ballot: Ballot, rng: Random, *, logged: bool) -> None:
        """`logged`: changes are committed to a log before anybody is told of them."""
        self.slots: list[Slot] = [{} for _ in range(SLOTS)]
        self.size = 0
        self.now_ms = 0
        # The batch that the answers given since `begin` rest on; 0 if on none.
        self.rests_on = 0
        # Changed and not yet safe: which batch makes it so.
        self.dirty: dict[bytes, int] = {}
        self._flushed_by = 0  # So is every key there was, if that batch is not safe.
        # Told what happened to keys, if anybody listens: the event and the key.
        self.told: Callable[[str, bytes], None] | None = None
        self.feed: Feed | None = None
        self._ballot = ballot
        self._rng = rng
        self.logged = logged
        self.sequence = 0
        self._open = Batch(1)
        self._burden = 0  # Bytes of changes that are not safe yet.
        self._records: list[Record] = []
        self._closed: deque[Batch] = deque()  # Full, and to be committed next.
        self._committing: deque[Batch] = deque()
        self._deadlines = Deadlines(self._stands)
        self._crowded, self._crowd_ms = [0], -1  # Counted for RANDOMKEY, and when.

    @property
    def burdened(self) -> bool:
        """Is so much not safe yet that nobody should ask for more changes now?"""
        return self._burden > BURDEN_BYTES

    # Time

    @property
    def deadline(self) -> float:
        """When a key may end, in seconds since 1970."""
        return self._deadlines.next_ms / 1000

    def begin(self, now: float) -> None:
        """A turn of commands begins: it is now, and they rest on nothing yet."""
        self.now_ms = int(now * 1000)
        self.rests_on = 0

    def wake(self, now: float) -> None:
        """Drop some of the keys that have ended."""
        self.begin(now)
        for key in self._deadlines.take_due(self.now_ms, EXPIRE_AT_ONCE):
            self._end(key)

    # One key

    def find(self, key: bytes) -> Entry | None:
        """What a key has, if anything."""
        entry = self.slots[slot_of(key)].get(key)
        if key in self.dirty:
            self.rests_on = max(self.rests_on, self.dirty[key])
        if entry is None and self._flushed_by:
            self.rests_on = max(self.rests_on, self._flushed_by)
        if entry is not None and entry.deadline_ms and entry.deadline_ms <= self.now_ms:
            # Its end is written down before anybody is told: no slower clock, not
            # even our own after a restart, may bring it back.
            self._end(key)
            return None
        return entry

    def put(self, key: bytes, value: bytes, deadline_ms: int = NEVER) -> None:
        """Let a key have that from now on."""
        slot = slot_of(key) if b"{" in key else crc_hqx(key, 0) & (SLOTS - 1)
        entries = self.slots[slot]
        before = entries.get(key)
        self.sequence = sequence = self.sequence + 1
        entries[key] = Entry(value, deadline_ms, self._ballot, sequence)
        if deadline_ms:
            self._deadlines.add(key, deadline_ms)
        if self.logged:
            self._records.append((slot, key, sequence, deadline_ms, value))
            self._open.undo.append(before)
            self.dirty[key] = self.rests_on = self._open.ticket
            self._weigh(CHANGE_BYTES + len(key) + len(value))
        elif self.feed:
            self.feed.changed(key, value, sequence)
        if before is None:
            self.size += 1
            if self.told:
                self.tell("new", key)

    def drop(self, key: bytes) -> bool:
        """Let a key have nothing; false if it had nothing."""
        slot = slot_of(key)
        before = self.slots[slot].pop(key, None)
        if before is None:
            return False
        self.size -= 1
        self.sequence += 1
        if self.logged:
            self._records.append((slot, key, self.sequence, NEVER, None))
            self._open.undo.append(before)
            self.dirty[key] = self.rests_on = self._open.ticket
            self._weigh(CHANGE_BYTES + len(key))
        elif self.feed:
            self.feed.changed(key, None, self.sequence)
        return True

    def tell(self, event: str, key: bytes) -> None:
        """Something happened to a key, and is told when all before is safe."""
        if not self.told:
            return
        if latest := self._latest():
            latest.news.append(partial(self._tell_now, event, key))
        else:
            self.told(event, key)

    def after(self, ticket: int, news: Callable[[], object]) -> bool:
        """Tell it when that batch is safe; false if it is, and nothing was done."""
        for batch in (self._open, *self._closed, *self._committing):
            if batch.ticket == ticket:
                batch.news.append(news)
                return True
        return False

    def _tell_now(self, event: str, key: bytes) -> None:
        if self.told:
            self.told(event, key)

    def _end(self, key: bytes) -> None:
        self.drop(key)
        self.tell("expired", key)

    # Many keys

    def flush(self) -> None:
        """Let no key have anything."""
        if not self.size:
            self.rest_on_all()
            return
        before = _Flushed(self.slots, self.size)
        self.slots, self.size = [{} for _ in range(SLOTS)], 0
        self._deadlines.clear()
        self.sequence += 1
        if self.logged:
            self._close_group()
            self._open.groups.append(Group(self._ballot, [], flushed=True))
            self._open.undo.append(before)
            self._open.flushes.append(self.sequence)
            self.rests_on = self._flushed_by = self._open.ticket
            self._weigh(FLUSH_BYTES)
        elif self.feed:
            self.feed.flushed(self.sequence)

    def rest_on_all(self) -> None:
        """The answer depends on every change made so far."""
        if latest := self._latest():
            self.rests_on = max(self.rests_on, latest.ticket)

    def living(self, slot: int) -> list[tuple[bytes, Entry]]:
        """The keys of a slot that have not ended; that the others did is written down.

        Whoever is told that they are gone is not told otherwise when a clock is set
        back.
        """
        now_ms, entries = self.now_ms, self.slots[slot]
        ended = [key for key, e in entries.items() if 0 < e.deadline_ms <= now_ms]
        for key in ended:
            self._end(key)
        return list(entries.items())

    def random_key(self) -> bytes | None:
        """Some key, if there is any; all are as likely."""
        for _ in range(RANDOM_TRIES):
            if not self.size:
                return None
            crowd = self._crowd()
            entries = self.slots[bisect(crowd, self._rng.randrange(crowd[-1]))]
            if not entries:
                self._crowd_ms = -1  # Its keys have gone in this very millisecond.
                continue
            key = next(islice(entries, self._rng.randrange(len(entries)), None))
            if self.find(key):
                return key
        for slot in [n for n, entries in enumerate(self.slots) if entries]:
            if living := self.living(slot):
                return self._rng.choice(living)[0]
        return None

    def _crowd(self) -> list[int]:
        """How many keys are in all slots up to each; no older than a millisecond.

        To count takes half of one: not for each of a thousand commands in a turn.
        """
        counted = self._crowded[-1]
        grown = abs(self.size - counted) > counted // 16
        if grown or not counted or self._crowd_ms != self.now_ms:
            self._crowded = list(accumulate(map(len, self.slots)))
            self._crowd_ms = self.now_ms
        return self._crowded

    # Committing

    def take(self) -> Batch | None:
        """What is to be committed next, if anything; a new batch is begun."""
        if not self._closed:
            self._close_batch()
        if not self._closed:
            return None
        batch = self._closed.popleft()
        self._committing.append(batch)
        return batch

    def committed(self, ticket: int) -> None:
        """All batches up to that one are safe."""
        while self._committing and self._committing[0].ticket <= ticket:
            batch = self._committing.popleft()
            self._burden -= batch.weight
            for group in batch.groups:
                for _, key, *_ in group.records:
                    if self.dirty.get(key) == batch.ticket:
                        del self.dirty[key]
            self._tell_all(batch)
        if self._flushed_by <= ticket:
            self._flushed_by = 0

    def refused(self) -> int:
        """No batch under way can be made safe: as if they had never been.

        The number of the last one: answers that rest on them are void.
        """
        while self.take():
            pass
        for batch in reversed(self._committing):
            for group in reversed(batch.groups):
                for record in reversed(group.records):
                    self._restore(record, batch.undo.pop())
                if group.flushed:
                    self._unflush(batch.undo.pop())
        self._committing.clear()
        self._burden = 0
        self.dirty.clear()
        self._flushed_by = 0
        return self._open.ticket - 1

    def load(self, key: bytes, entry: Entry) -> None:
        """A key had that when the peer last ran."""
        self.slots[slot_of(key)][key] = entry
        self.size += 1
        if entry.deadline_ms:
            self._deadlines.add(key, entry.deadline_ms)

    def _tell_all(self, batch: Batch) -> None:
        if self.feed:
            flushes = iter(batch.flushes)
            for group in batch.groups:
                if group.flushed:
                    self.feed.flushed(next(flushes))
                for _, key, sequence, _, value in group.records:
                    self.feed.changed(key, value, sequence)
        for tell in batch.news:
            tell()

    def _latest(self) -> Batch | None:
        """The last batch that is not safe yet, if any."""
        if self._records or self._open.groups:
            return self._open
        waiting = self._closed or self._committing
        return waiting[-1] if waiting else None

    def _weigh(self, size_bytes: int) -> None:
        """The open batch has grown."""
        self._open.weight += size_bytes
        self._burden += size_bytes
        if self._open.weight >= BATCH_BYTES:
            self._close_batch()

    def _close_batch(self) -> None:
        self._close_group()
        if self._open.groups:
            self._closed.append(self._open)
            self._open = Batch(self._open.ticket + 1)

    def _close_group(self) -> None:
        if self._records:
            self._open.groups.append(Group(self._ballot, self._records))
            self._records = []

    def _restore(self, record: Record, before: "Entry | _Flushed | None") -> None:
        assert not isinstance(before, _Flushed)
        slot, key = record[0], record[1]
        entries = self.slots[slot]
        self.size += (before is not None) - (key in entries)
        if before is None:
            entries.pop(key, None)
        else:
            entries[key] = before
            if before.deadline_ms:
                self._deadlines.add(key, before.deadline_ms)

    def _unflush(self, before: "Entry | _Flushed | None") -> None:
        assert isinstance(before, _Flushed)
        self.slots, self.size = before.slots, before.size
        for entries in self.slots:
            for key, entry in entries.items():
                if entry.deadline_ms:
                    self._deadlines.add(key, entry.deadline_ms)

    def _stands(self, key: bytes, deadline_ms: int) -> bool:
        entry = self.slots[slot_of(key)].get(key)
        return entry is not None and entry.deadline_ms == deadline_ms
