"""How the table lies on the disk: files of frames, each with its checksum.

A frame is a mark, the length and the checksum of its body, and the body. The checksum
is seeded with the file's number and the place in it, so nothing that lay there before
passes for what was written. Recovery is a pure function over bytes, and tells apart
what a crash may do from what only damage does: each frame says up to where its file
was safe when it was written. A bad frame beyond that was never acknowledged and ends
the file; a bad frame before it is damage.

After the log-structured stores, Bitcask above all.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from struct import Struct as Layout

import msgspec
from msgspec import Struct
from xxhash import xxh3_64_intdigest

from shoal.core.machine import PeerId
from shoal.errors import DirectoryDamaged
from shoal.table.messages import Group

FORMAT = 1

_MARK = b"\xf5SHL"
_HEAD = Layout("<4sIQ")
HEAD_BYTES = _HEAD.size


class Opening(Struct, frozen=True, tag="opening", array_like=True):
    """The first frame of a file: what it is, and up to where the one before is good."""

    format: int
    peer: PeerId
    number: int
    previous_bytes: int = 0


class Commit(Struct, frozen=True, tag="commit", array_like=True):
    """What was committed together, and how much of the file was safe before it."""

    safe_bytes: int
    groups: list[Group]


class Closing(Struct, frozen=True, tag="closing", array_like=True):
    """The last frame of a checkpoint."""

    records: int


Body = Opening | Commit | Closing

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Body).decode


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be read of a file."""

    bodies: list[Body]
    good_bytes: int  # Up to here every frame is whole.
    safe_bytes: int  # Up to here every frame should have been, by what stands later.


def frame(body: Body, number: int, place: int) -> bytes:
    """The bytes of one frame at its place in the file of that number."""
    data = _encode(body)
    return _HEAD.pack(_MARK, len(data), _checksum(data, number, place)) + data


def read(data: bytes, number: int) -> Reading:
    """Every whole frame, up to the first that is not."""
    bodies: list[Body] = []
    place = safe = 0
    while (found := _frame_at(data, number, place)) is not None:
        body, place = found
        bodies.append(body)
    for later in _later(data, number, place):
        if isinstance(later, Commit):
            safe = max(safe, later.safe_bytes)
    return Reading(bodies, place, safe)


def _frame_at(data: bytes, number: int, place: int) -> tuple[Body, int] | None:
    start = place + HEAD_BYTES
    if start > len(data):
        return None
    mark, length, checksum = _HEAD.unpack_from(data, place)
    body = memoryview(data)[start : start + length]
    if mark != _MARK or checksum != _checksum(body, number, place):
        return None
    try:
        return _decode(body), start + length
    except msgspec.MsgspecError as error:  # Whole, and not of this format.
        raise damaged(f"number {number}", f"byte {place}: {error}") from error


def _later(data: bytes, number: int, place: int) -> Iterator[Body]:
    """Whole frames beyond a broken one."""
    place = data.find(_MARK, place + 1)
    while place >= 0:
        found = _frame_at(data, number, place)
        if found:
            yield found[0]
        place = data.find(_MARK, found[1] if found else place + 1)


def _checksum(body: bytes | memoryview, number: int, place: int) -> int:
    return xxh3_64_intdigest(body, seed=(number << 40) ^ place)


# Recovery


def opened(reading: Reading, name: str, peer: PeerId, number: int) -> Opening:
    """The file's first frame, if it is one of ours."""
    first = reading.bodies[0] if reading.bodies else None
    if not isinstance(first, Opening) or first.number != number:
        raise damaged(name, "it does not begin as a file of a table does")
    expect(
        first.format == FORMAT,
        name,
        f"its format is {first.format}, this program's {FORMAT}",
    )
    expect(first.peer == peer, name, f"it belongs to {first.peer}, not to {peer}")
    return first


def checked(reading: Reading, name: str, at_least: int = 0) -> list[Group]:
    """All groups of a file, if it is whole as far as it was ever safe."""
    needed = max(at_least, reading.safe_bytes)
    cause = f"byte {reading.good_bytes} of {needed} that were safe is not whole"
    expect(reading.good_bytes >= needed, name, cause)
    return list(_groups(reading.bodies))


def checkpointed(reading: Reading, name: str) -> list[Group]:
    """All groups of a checkpoint, which is whole or damaged."""
    last = reading.bodies[-1] if reading.bodies else None
    groups = list(_groups(reading.bodies))
    count = sum(len(group.records) for group in groups)
    whole = isinstance(last, Closing) and last.records == count
    expect(whole, name, f"it is whole to byte {reading.good_bytes} only")
    return groups


def _groups(bodies: Iterable[Body]) -> Iterator[Group]:
    for body in bodies:
        if isinstance(body, Commit):
            yield from body.groups


def expect(held: bool, name: str, cause: str) -> None:
    """What must hold of a file, or it is damaged."""
    if not held:
        raise damaged(name, cause)


def damaged(name: str, cause: str) -> DirectoryDamaged:
    """The error that says so."""
    return DirectoryDamaged(
        f"table file {name}: {cause}; restore the directory from a backup, or move "
        "it away and let the peer begin anew"
    )
