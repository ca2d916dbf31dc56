"""Rows cut at every border of the parts involved, and who holds each piece."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple

from shoal.core.machine import PeerId
from shoal.errors import Missing
from shoal.flow.arithmetic.types import Typed
from shoal.flow.messages import DatasetRecord, Part, Rows, row_bytes

Loads = Mapping[PeerId, int]


class Piece(NamedTuple):
    """Rows of one part, and those present who hold it."""

    rows: Rows
    holders: tuple[PeerId, ...]


class Segment(NamedTuple):
    """The same rows of several datasets, each within one part."""

    rows: int
    pieces: dict[str, Piece]  # By the id of the dataset.

    @property
    def holders(self) -> tuple[tuple[PeerId, ...], ...]:
        """Who holds each piece: what decides where the segment is computed."""
        return tuple(piece.holders for piece in self.pieces.values())

    @property
    def key(self) -> tuple[Rows, ...]:
        """Equal for the same rows of the same parts."""
        return tuple(piece.rows for piece in self.pieces.values())


def leaves(node: Typed, *, through: bool = False) -> dict[str, DatasetRecord]:
    """The datasets whose rows it takes by id; `through` reductions, too."""
    if node.record is not None:
        return {node.record.id: node.record}
    found: dict[str, DatasetRecord] = {}
    for argument in node.arguments:
        if through or argument.rows is not None:
            found |= leaves(argument, through=through)
    return found


def segments(node: Typed, present: Loads) -> list[Segment]:
    """All rows of a node in order, or `Missing`."""
    records = list(leaves(node).values())
    borders = sorted({each for record in records for each in _borders(record)})
    cut = [list(_cut(record, borders, present)) for record in records]
    ids = [record.id for record in records]
    starts = [0, *borders]
    return [
        Segment(stop - start, dict(zip(ids, pieces, strict=True)))
        for start, stop, *pieces in zip(starts, borders, *cut, strict=False)
    ]


def _borders(record: DatasetRecord) -> list[int]:
    return [end for end in accumulate(part.rows for part in record.parts) if end]


def _cut(
    record: DatasetRecord, borders: Sequence[int], present: Loads
) -> Iterator[Piece]:
    """The pieces of one dataset between these borders."""
    ends = iter(borders)
    first = 0
    for part in record.parts:
        if not part.rows:
            continue
        holders = _present(part, present)
        if not holders:
            raise _missing(record, part, first)
        start = 0
        while start < part.rows:
            stop = next(ends) - first
            yield Piece(Rows(part.id, start, stop), holders)
            start = stop
        first += part.rows


def _present(part: Part, present: Loads) -> tuple[PeerId, ...]:
    return tuple(dict.fromkeys(peer for peer in part.holders if peer in present))


def _missing(record: DatasetRecord, part: Part, first: int) -> Missing:
    last = " and ".join(dict.fromkeys(part.holders)) or "nobody we know of"
    return Missing(
        f"rows {first:,} to {first + part.rows:,} of `{record.name}` (part "
        f"`{part.name}`) are with nobody who is present: {last} held them last; "
        "start it again, or compute without this dataset"
    )


# Who holds how much


def held_bytes(node: Typed, present: Loads) -> dict[PeerId, int]:
    """How many bytes of all its datasets each of those present holds."""
    held: dict[PeerId, int] = {}
    for record in leaves(node, through=True).values():
        for part in record.parts:
            for peer in _present(part, present):
                held[peer] = held.get(peer, 0) + _size(record, part)
    return held


def lacking_bytes(node: Typed, peer: PeerId) -> int:
    """How many bytes of its datasets a peer does not hold."""
    lacking = {
        part.id: _size(record, part)
        for record in leaves(node, through=True).values()
        for part in record.parts
        if peer not in part.holders
    }
    return sum(lacking.values())


def _size(record: DatasetRecord, part: Part) -> int:
    return part.rows * row_bytes(record.form)


def collector(
    held: Mapping[PeerId, int], present: Loads, asked: PeerId, rng: Random | None
) -> PeerId:
    """Who holds the most, or with `rng` somebody who holds something."""
    if not held:
        return asked
    if rng is not None:
        return rng.choice(sorted(held))
    return min(held, key=lambda peer: (-held[peer], present[peer], peer))
