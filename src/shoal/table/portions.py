"""All that a table has, a portion at a time, while it changes."""

from collections.abc import Iterator

from shoal.table.messages import SLOTS, Ballot, Group, Record
from shoal.table.protocol import Table

# Gathering so much holds the loop for a millisecond, and a disk takes a few to sync it.
PORTION_BYTES = 1 << 20

# What a record weighs beside its key and value: a thousand short ones are a portion.
RECORD_BYTES = 1 << 10


def portions(table: Table, size_bytes: int = PORTION_BYTES) -> Iterator[list[Group]]:
    """Every key as it is when its slot's turn comes: later changes are in the log."""
    portion: dict[Ballot, list[Record]] = {}
    weight = 0
    for slot in range(SLOTS):
        entries = table.slots[slot]
        for key, entry in list(entries.items()) if entries else ():
            record = (slot, key, entry.sequence, entry.deadline_ms, entry.value)
            portion.setdefault(entry.ballot, []).append(record)
            weight += RECORD_BYTES + len(key) + len(entry.value)
            if weight >= size_bytes:
                yield [Group(ballot, records) for ballot, records in portion.items()]
                portion, weight = {}, 0
    if portion:
        yield [Group(ballot, records) for ballot, records in portion.items()]
