"""The table: what each key has, who may say so, and when it may be told.

An answer is a lookup, a change is a line in the batch that is committed next. The
invariant: nothing is told before all it rests on is safe. A change is seen at once by
the next command, but every answer names the batch it rests on, and leaves when that one
is safe; if it cannot be made safe, the table is again as before it, and nobody was told
otherwise.

A batch is safe when our own disk has kept it, and where others keep copies too, when
enough of them say that they hold it and that we still own what it read and changed: so
every answer about such a unit rests on a batch, even if it only read. Whoever asks
about a unit that is not open here is not to be answered here.
"""

from binascii import crc_hqx
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from random import Random

from shoal.table.batches import Flushed
from shoal.table.copies import CHANGE_BYTES, Copies
from shoal.table.crowd import Crowd
from shoal.table.messages import (
    NEVER,
    SLOTS,
    UNIT_BITS,
    UNITS,
    Ballot,
    Entry,
    Grave,
    Group,
)
from shoal.table.slots import slot_of, slots_of

# Ended keys are dropped in portions, so that nobody waits for a million of them.
# It takes about a millisecond.
EXPIRE_AT_ONCE = 512

# What a flush takes: a dictionary for each slot.
FLUSH_BYTES = 80 * SLOTS

# So many keys are picked that have ended, before all are looked through.
RANDOM_TRIES = 32


class Table(Copies):
    """The keys of one peer: those it answers for, and copies of those of others."""

    def __init__(self, ballot: Ballot, rng: Random, *, logged: bool) -> None:
        """It is all ours, under that ballot, until somebody says otherwise.

        `logged`: changes are committed to a log before anybody is told of them.
        """
        super().__init__(ballot, logged=logged)
        self.now_ms = 0
        # Told what happened to keys, if anybody listens: the event and the key.
        self.told: Callable[[str, bytes], None] | None = None
        self._rng = rng
        self._crowd = Crowd(rng)

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
            if self.opened[slot_of(key) >> UNIT_BITS]:  # Else its owner ends it.
                self._end(key)

    # One key

    def find(self, key: bytes) -> Entry | None:
        """What a key has, if anything."""
        slot = slot_of(key)
        entry = self.slots[slot].get(key)
        if self.shared:
            self.read(slot >> UNIT_BITS)
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
        entries[key] = Entry(value, deadline_ms, self.ballots[slot >> 4], sequence)
        if deadline_ms:
            self._deadlines.add(key, deadline_ms)
        if self.logged:
            if self.shared:
                self._open.units[slot >> 4] = None
                grave = (
                    self.graves[slot >> 4].pop(key, None) if before is None else None
                )
                self._open.undo.append(before or grave)
            else:
                self._open.undo.append(before)
            self._records.append((slot, key, sequence, deadline_ms, value))
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
        if self.shared:
            unit = slot >> UNIT_BITS
            self._open.units[unit] = None
            self.graves[unit][key] = Grave(self.ballots[unit], self.sequence)
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
        if self.shared:
            for slot in self.slots_here():
                for key, _ in self.living(slot):
                    self.drop(key)
            return
        before = Flushed(self.slots, self.size)
        self.slots, self.size = [{} for _ in range(SLOTS)], 0
        self._deadlines.clear()
        self.sequence += 1
        if self.logged:
            self._close_group()
            self._open.items.append(Group(self.ballots[0], [], flushed=True))
            self._open.undo.append(before)
            self._open.flushes.append(self.sequence)
            self.rests_on = self._flushed_by = self._open.ticket
            self._weigh(FLUSH_BYTES)
        elif self.feed:
            self.feed.flushed(self.sequence)

    def living(self, slot: int) -> list[tuple[bytes, Entry]]:
        """Its keys that are answered for here and have not ended.

        That the others did is written down.

        Whoever is told that they are gone is not told otherwise when a clock is set
        back.
        """
        now_ms, entries = self.now_ms, self.here(slot)
        if self.shared:
            self.read(slot >> UNIT_BITS)
        ended = [key for key, e in entries.items() if 0 < e.deadline_ms <= now_ms]
        for key in ended:
            self._end(key)
        return list(entries.items())

    def random_key(self) -> bytes | None:
        """Some key, if there is any; all are as likely."""
        here = self.slots_here()
        for _ in range(RANDOM_TRIES):
            if not self.size:
                return None
            slot = self._crowd.pick(self.slots, self.size, self.now_ms)
            if slot not in here:
                continue
            entries = self.slots[slot]
            if not entries:
                self._crowd.recount()  # Its keys have gone in this very millisecond.
                continue
            key = next(islice(entries, self._rng.randrange(len(entries)), None))
            if self.find(key):
                return key
        for slot in [n for n in here if self.slots[n]]:
            if living := self.living(slot):
                return self._rng.choice(living)[0]
        return None

    def slots_here(self) -> Sequence[int]:
        """The slots that this peer answers for."""
        if not self.shared:
            return range(SLOTS)
        units = [unit for unit in range(UNITS) if self.opened[unit]]
        return [n for unit in units for n in range(unit << 4, unit + 1 << 4)]

    def count(self) -> int:
        """How many keys this peer answers for; it reads them all."""
        if not self.shared:
            return self.size
        for unit in range(UNITS):
            if self.opened[unit]:
                self.read(unit)
        return sum(len(self.slots[slot]) for slot in self.slots_here())

    def read(self, unit: int) -> None:
        """An answer depends on what a unit has, of which others keep copies."""
        self._open.units[unit] = None
        self.rests_on = self._open.ticket

    # Committing

    # Copies of what others own

    def open(self, unit: int, ballot: Ballot) -> None:
        """From now on a unit is answered for here, and changed under that ballot."""
        self._close_group()
        self.ballots[unit], self.opened[unit] = ballot, True
        for slot in slots_of(unit):
            self._watch(slot)

    def close(self, unit: int) -> None:
        """Somebody else may answer for it from now on."""
        self._close_group()
        was_open, self.opened[unit] = self.opened[unit], False
        if was_open and self.feed:
            # What is under way may be told twice, or never be: better not at all.
            self.feed.closed(unit)

    def bury(self, key: bytes) -> None:
        """Let a key have nothing, and say so even if it has nothing already."""
        if not self.drop(key):
            slot = slot_of(key)
            self.sequence += 1
            self._open.undo.append(self.graves[slot >> UNIT_BITS].get(key))
            grave = Grave(self.ballots[slot >> UNIT_BITS], self.sequence)
            self.graves[slot >> UNIT_BITS][key] = grave
            self._open.units[slot >> UNIT_BITS] = None
            self._records.append((slot, key, self.sequence, NEVER, None))
            self.dirty[key] = self.rests_on = self._open.ticket
            self._weigh(CHANGE_BYTES + len(key))
