"""Copies of a unit, compared by sums and carried in portions."""

from collections.abc import Iterable, Iterator

import msgspec
from xxhash import xxh3_64_intdigest

from shoal.table.batches import Copy
from shoal.table.messages import NEVER, Ballot, Entry, Group, Record
from shoal.table.replication.messages import PARTS
from shoal.table.slots import slot_of

# What a message holds, far below a frame of a link.
FETCHED_BYTES = 1 << 20
ENTRY_BYTES = 64

_MASK = (1 << 62) - 1
_encode = msgspec.msgpack.Encoder().encode


def sums(copies: Iterable[tuple[int, bytes, Copy]]) -> list[int]:
    """One for each part of a unit: the same where all versions are."""
    totals, prints = [0] * PARTS, dict[Ballot, int]()
    for _, key, copy in copies:
        ballot = copy.ballot
        if (stamp := prints.get(ballot)) is None:
            stamp = prints[ballot] = xxh3_64_intdigest(_encode(ballot))
        version = xxh3_64_intdigest(key, stamp ^ copy.sequence)
        totals[part_of(key)] ^= version & _MASK
    return totals


def part_of(key: bytes) -> int:
    """Which part of its unit a key is in."""
    return xxh3_64_intdigest(key) % PARTS


def parted(
    copies: Iterable[tuple[int, bytes, Copy]], parts: Iterable[int]
) -> dict[int, list[tuple[int, bytes, Copy]]]:
    """What those parts hold."""
    by_part: dict[int, list[tuple[int, bytes, Copy]]] = {part: [] for part in parts}
    for each in copies:
        part = part_of(each[1])
        if part in by_part:
            by_part[part].append(each)
    return by_part


def weigh(key: bytes, copy: Copy) -> int:
    """What it takes in a message."""
    value = copy.value if isinstance(copy, Entry) else b""
    return ENTRY_BYTES + len(key) + len(value)


def grouped(copies: Iterable[tuple[bytes, Copy]]) -> list[Group]:
    """What is held of keys, as it travels."""
    groups: dict[Ballot, list[Record]] = {}
    for key, copy in copies:
        groups.setdefault(copy.ballot, []).append(record_of(key, copy))
    return [Group(ballot, records) for ballot, records in groups.items()]


def record_of(key: bytes, copy: Copy) -> Record:
    """The line that says so."""
    slot = slot_of(key)
    if isinstance(copy, Entry):
        return slot, key, copy.sequence, copy.deadline_ms, copy.value
    return slot, key, copy.sequence, NEVER, None


def portioned(copies: Iterable[tuple[bytes, Copy]]) -> Iterator[list[Group]]:
    """The same in portions of what a message holds."""
    portion, weight = list[tuple[bytes, Copy]](), 0
    for key, copy in copies:
        portion.append((key, copy))
        weight += weigh(key, copy)
        if weight > FETCHED_BYTES:
            yield grouped(portion)
            portion, weight = [], 0
    if portion:
        yield grouped(portion)
