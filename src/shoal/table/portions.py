"""All that a table has, a portion at a time, while it changes."""

from collections.abc import Iterator

from shoal.table.messages import NEVER, UNITS, Ballot, Entry, Group, Item, Record
from shoal.table.protocol import Table

# Gathering so much holds the loop for a millisecond, and a disk takes a few to sync it.
PORTION_BYTES = 1 << 20

# What a record weighs beside its key and value: a thousand short ones are a portion.
RECORD_BYTES = 1 << 10


def portions(table: Table, size_bytes: int = PORTION_BYTES) -> Iterator[list[Item]]:
    """Every key as it is when its unit's turn comes: later changes are in the log."""
    portion: dict[Ballot, list[Record]] = {}
    weight = 0
    for unit in range(UNITS):
        for slot, key, copy in list(table.copies(unit)):
            record: Record
            if isinstance(copy, Entry):
                record = (slot, key, copy.sequence, copy.deadline_ms, copy.value)
                weight += len(copy.value)
            else:
                record = (slot, key, copy.sequence, NEVER, None)
            portion.setdefault(copy.ballot, []).append(record)
            weight += RECORD_BYTES + len(key)
            if weight >= size_bytes:
                yield [Group(ballot, records) for ballot, records in portion.items()]
                portion, weight = {}, 0
    if portion:
        yield [Group(ballot, records) for ballot, records in portion.items()]
    if bonds := table.bonds():
        yield list(bonds)
