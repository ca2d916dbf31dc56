"""What a peer holds: keys that have something, and graves of those that had.

Every change is a line in the open batch with a way back, whoever decided it: this peer,
which owns the key, or another, of which it keeps a copy.
"""

from collections.abc import Callable, Iterator, Sequence

from shoal.table.batches import Before, Copy, Flushed, Forgotten, Slot
from shoal.table.deadlines import Deadlines
from shoal.table.ledger import SHARED_BATCH_BYTES, Ledger
from shoal.table.messages import (
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

# What a change takes in memory until it is safe, beside its key and value.
CHANGE_BYTES = 256


class Copies(Ledger):
    """All of it, by slots."""

    def __init__(self, ballot: Ballot, *, logged: bool) -> None:
        super().__init__()
        self.slots: list[Slot] = [{} for _ in range(SLOTS)]
        self.size = 0
        self.graves: list[dict[bytes, Grave]] = [{} for _ in range(UNITS)]
        # Under which tenure each unit is changed, and which units are answered for.
        self.ballots = [ballot] * UNITS
        self.opened = [True] * UNITS
        # Where others keep copies, what a batch reads and changes must be told of.
        self.shared = False
        # What the peer is bound to beside what it holds, for the log.
        self.bonds: Callable[[], Sequence[Item]] = tuple
        self.logged = logged
        self.sequence = 0
        self._deadlines = Deadlines(self._stands)

    def here(self, slot: int) -> Slot:
        """What a slot has, if this peer answers for it."""
        return self.slots[slot] if self.opened[slot >> UNIT_BITS] else {}

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

    def load(self, key: bytes, copy: Copy) -> None:
        """That was held of a key when the peer last ran."""
        self._restore(slot_of(key), key, copy)

    # Of others

    def share(self) -> None:
        """Others keep copies from now on."""
        self._close_group()
        self.shared = self.logged = self.paced = True
        self.batch_bytes = SHARED_BATCH_BYTES

    def accept(self, ballot: Ballot, records: list[Record]) -> None:
        """Hold what an owner says that keys have, where it is newer."""
        self._close_group()
        taken, weight = list[Record](), 0
        for record in records:
            slot, key, sequence, _, _ = record
            had = self.copy(slot, key)
            if had is None or (had.ballot, had.sequence) < (ballot, sequence):
                self._open.undo.append(had)
                self.lay(ballot, record)
                taken.append(record)
                weight += CHANGE_BYTES + len(key) + len(record[4] or b"")
        if taken:
            self._open.foreign[len(self._open.items)] = None
            self._open.items.append(Group(ballot, taken))
            self._weigh(weight)  # It may close the batch: all is in it by now.

    def lay(self, ballot: Ballot, record: Record) -> None:
        """A key has that now; nobody is told, and nothing is written."""
        slot, key, sequence, deadline_ms, value = record
        grave = Grave(ballot, sequence) if value is None else None
        entry = Entry(value or b"", deadline_ms, ballot, sequence)
        self._restore(slot, key, grave or entry)

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

    # Taking back

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
                else:
                    self.unwritten = True  # It binds us all the same.
            self.pending.pop(batch.ticket, None)
            self.fail(batch, why)
        self._committing.clear()
        self._burden = 0
        self.dirty.clear()
        self._flushed_by = 0
        return self._open.ticket - 1

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

    # Within

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

    def _watch(self, slot: int) -> None:
        """See to the ends of what a slot has."""
        for key, entry in self.slots[slot].items():
            if entry.deadline_ms:
                self._deadlines.add(key, entry.deadline_ms)

    def _stands(self, key: bytes, deadline_ms: int) -> bool:
        entry = self.slots[slot_of(key)].get(key)
        return entry is not None and entry.deadline_ms == deadline_ms
