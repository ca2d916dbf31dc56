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
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from random import Random

from shoal.table.batches import Before, Copy, Flushed, Forgotten, Slot
from shoal.table.crowd import Crowd
from shoal.table.deadlines import Deadlines
from shoal.table.ledger import Ledger
from shoal.table.messages import (
    NEVER,
    SLOTS,
    UNIT_BITS,
    UNITS,
    Ballot,
    Entry,
    Forgetting,
    Grave,
    Group,
    Item,
    Record,
)
from shoal.table.slots import slot_of, slots_of

# Ended keys are dropped in portions, so that nobody waits for a million of them.
# It takes about a millisecond.
EXPIRE_AT_ONCE = 512

# What a change takes in memory until it is safe, beside its key and value.
CHANGE_BYTES = 256

# What a flush takes: a dictionary for each slot.
FLUSH_BYTES = 80 * SLOTS

# So many keys are picked that have ended, before all are looked through.
RANDOM_TRIES = 32


class Table(Ledger):
    """The keys of one peer: those it answers for, and copies of those of others."""

    def __init__(self, ballot: Ballot, rng: Random, *, logged: bool) -> None:
        """It is all ours, under that ballot, until somebody says otherwise.

        `logged`: changes are committed to a log before anybody is told of them.
        """
        super().__init__()
        self.slots: list[Slot] = [{} for _ in range(SLOTS)]
        self.size = 0
        self.now_ms = 0
        # Told what happened to keys, if anybody listens: the event and the key.
        self.told: Callable[[str, bytes], None] | None = None
        # Under which tenure each unit is changed, and which units are answered for.
        self.ballots = [ballot] * UNITS
        self.opened = [True] * UNITS
        # Where others keep copies, what a batch reads and changes must be told of.
        self.shared = False
        self.graves: list[dict[bytes, Grave]] = [{} for _ in range(UNITS)]
        # What the peer is bound to beside what it holds, for the log.
        self.bonds: Callable[[], Sequence[Item]] = tuple
        self.logged = logged
        self.sequence = 0
        self._rng = rng
        self.sequence = 0
        self._deadlines = Deadlines(self._stands)
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
        """The keys of a slot that have not ended; that the others did is written down.

        Whoever is told that they are gone is not told otherwise when a clock is set
        back.
        """
        now_ms, entries = self.now_ms, self.slots[slot]
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

    def refused(self, why: str = "") -> int:
        """No batch under way can be made safe: as if they had never been.

        The number of the last one: answers that rest on them are void.
        """
        while self.take():
            pass
        for batch in reversed(self._committing):
            for item in reversed(batch.items):
                if isinstance(item, Group):
                    self._take_back(item, batch.undo)
                elif isinstance(item, Forgetting):
                    self._unforget(batch.undo.pop())
            self.pending.pop(batch.ticket, None)
            self.fail(batch, why)
        self._committing.clear()
        self._burden = 0
        self.dirty.clear()
        self._flushed_by = 0
        return self._open.ticket - 1

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
        self.opened[unit] = False

    def share(self) -> None:
        """Others keep copies from now on."""
        self._close_group()
        self.shared = self.logged = True

    def copy(self, slot: int, key: bytes) -> Copy | None:
        """What is held of a key, be it its deletion."""
        return self.slots[slot].get(key) or self.graves[slot >> UNIT_BITS].get(key)

    def held(self, key: bytes) -> Copy | None:
        """The same, wherever it is."""
        return self.copy(slot_of(key), key)

    def copies(self, unit: int) -> Iterator[tuple[int, bytes, Copy]]:
        """All that is held of a unit, each with its slot."""
        for slot in slots_of(unit):
            for key, entry in self.slots[slot].items():
                yield slot, key, entry
        for key, grave in self.graves[unit].items():
            yield slot_of(key), key, grave

    def accept(self, ballot: Ballot, records: list[Record]) -> None:
        """Hold what an owner says that keys have, where it is newer."""
        self._close_group()
        taken = []
        for record in records:
            slot, key, sequence, _, _ = record
            had = self.copy(slot, key)
            if had is None or (had.ballot, had.sequence) < (ballot, sequence):
                self._open.undo.append(had)
                self.lay(ballot, record)
                taken.append(record)
                self._weigh(CHANGE_BYTES + len(key) + len(record[4] or b""))
        if taken:
            self._open.items.append(Group(ballot, taken))

    def lay(self, ballot: Ballot, record: Record) -> None:
        """A key has that now; nobody is told, and nothing is written."""
        slot, key, sequence, deadline_ms, value = record
        grave = Grave(ballot, sequence) if value is None else None
        entry = Entry(value or b"", deadline_ms, ballot, sequence)
        self._restore(slot, key, grave or entry)

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

    def forget(self, unit: int) -> None:
        """Hold nothing of a unit any more."""
        if not any(True for _ in self.copies(unit)):
            return
        self._close_group()
        entries: dict[bytes, Entry] = {}
        for slot in slots_of(unit):
            entries |= self.slots[slot]
            self.slots[slot] = {}
        self.size -= len(entries)
        self._open.undo.append(Forgotten(unit, entries, self.graves[unit]))
        self._open.items.append(Forgetting([unit]))
        self.graves[unit] = {}

    def load(self, key: bytes, copy: Copy) -> None:
        """That was held of a key when the peer last ran."""
        self._restore(slot_of(key), key, copy)

    def _close_group(self) -> None:
        if self._records:
            groups = self._grouped(self._records)
            self._open.items += groups
            if self.shared:
                self._open.own += groups
            self._records = []

    def _grouped(self, records: list[Record]) -> list[Group]:
        if not self.shared:
            return [Group(self.ballots[0], records)]
        by_ballot: dict[Ballot, list[Record]] = {}
        for record in records:
            by_ballot.setdefault(self.ballots[record[0] >> UNIT_BITS], []).append(
                record
            )
        return [Group(ballot, records) for ballot, records in by_ballot.items()]

    def _take_back(self, group: Group, undo: list[Before]) -> None:
        for record in reversed(group.records):
            self._restore(record[0], record[1], undo.pop())
        if group.flushed:
            self._unflush(undo.pop())

    def _restore(self, slot: int, key: bytes, before: Before) -> None:
        entries = self.slots[slot]
        self.size -= entries.pop(key, None) is not None
        self.graves[slot >> UNIT_BITS].pop(key, None)
        if isinstance(before, Entry):
            entries[key] = before
            self.size += 1
            if before.deadline_ms:
                self._deadlines.add(key, before.deadline_ms)
        elif isinstance(before, Grave):
            self.graves[slot >> UNIT_BITS][key] = before

    def _unflush(self, before: Before) -> None:
        assert isinstance(before, Flushed)
        self.slots, self.size = before.slots, before.size
        for slot in range(SLOTS):
            self._watch(slot)

    def _unforget(self, before: Before) -> None:
        assert isinstance(before, Forgotten)
        for key, entry in before.entries.items():
            self._restore(slot_of(key), key, entry)
        self.graves[before.unit] = before.graves

    def _watch(self, slot: int) -> None:
        """See to the ends of what a slot has."""
        for key, entry in self.slots[slot].items():
            if entry.deadline_ms:
                self._deadlines.add(key, entry.deadline_ms)

    def _stands(self, key: bytes, deadline_ms: int) -> bool:
        entry = self.slots[slot_of(key)].get(key)
        return entry is not None and entry.deadline_ms == deadline_ms
