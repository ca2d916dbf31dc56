"""How the table lies on the disk: files of frames, each with its checksum.

A frame is a mark, the length of its body, a checksum of that length, one of the body,
and the body. A file's first frame says whose it is, its number, which file it follows,
and a salt that nobody can guess; the checksums of all others are seeded with that salt
and their place. So nothing that lay there before, nothing of another file and nothing a
client wrote into a value passes for a frame.

Recovery is a pure function over bytes, and tells apart what a crash may do from what
only damage does: each frame says up to where its file was safe when it was written. A
bad frame beyond that was never acknowledged and ends the file; a bad frame before it is
damage. After the log-structured stores, Bitcask above all.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from struct import Struct as Layout

import msgspec
from msgspec import Struct
from xxhash import xxh3_64_intdigest

from shoal.core.machine import PeerId
from shoal.errors import DirectoryDamaged
from shoal.table.messages import Group, Item

FORMAT = 3

_MARK = b"\xf5SHL"
_HEAD = Layout("<4sIIQ")
HEAD_BYTES = _HEAD.size

_RESTORE = (
    "restore the directory from a backup, or move it away and let the peer begin anew"
)
_UPGRADE = "run the version that wrote it"


class Opening(Struct, frozen=True, tag="opening", array_like=True):
    """The first frame of a file: what it is, and how far the one before counts.

    `again`: what the one before says beyond that, since no crash proved it safe there.
    A checkpoint follows the last segment it covers.
    """

    format: int
    peer: PeerId
    number: int
    salt: int
    after: int = 0  # The salt of the file before.
    previous_bytes: int = 0
    again: Sequence[Item] = []


class Commit(Struct, frozen=True, tag="commit", array_like=True):
    """What was committed together, and how much of the file was safe before it."""

    safe_bytes: int
    items: Sequence[Item]


class Closing(Struct, frozen=True, tag="closing", array_like=True):
    """The last frame of a checkpoint."""

    records: int


Body = Opening | Commit | Closing

# Some bytes of a file: from where, how many at most.
Reader = Callable[[int, int], bytes | memoryview]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Body).decode


# Frames


def opening_frame(opening: Opening) -> bytes:
    """The bytes that begin a file."""
    return _frame(opening, opening.number)


def frame(body: Commit | Closing, salt: int, place: int) -> bytes:
    """The bytes of one frame at its place in the file of that salt."""
    return _frame(body, salt ^ place)


def _frame(body: Body, seed: int) -> bytes:
    data = _encode(body)
    length, checksum = len(data), xxh3_64_intdigest(data, seed)
    return _HEAD.pack(_MARK, length, _check(length, seed), checksum) + data


def _check(length: int, seed: int) -> int:
    """Tells a frame from a mark within a value without a look at what would follow.

    A torn batch full of marks, each with a length to its end, took an hour to read.
    """
    return xxh3_64_intdigest(length.to_bytes(4, "little"), seed) & 0xFFFF_FFFF


def _frame_at(read: Reader, place: int, seed: int) -> bytes | memoryview | None:
    """The body of a whole frame."""
    head = read(place, HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        return None
    mark, length, check, checksum = _HEAD.unpack(head)
    if mark != _MARK or check != _check(length, seed):
        return None
    body = read(place + HEAD_BYTES, length)
    whole = len(body) == length and checksum == xxh3_64_intdigest(body, seed)
    return body if whole else None


def _frames(read: Reader, salt: int, place: int) -> Iterator[tuple[Body, int]]:
    """Whole frames, each with the place after it, up to the first that is not."""
    while (body := _frame_at(read, place, salt ^ place)) is not None:
        place += HEAD_BYTES + len(body)
        yield _decode(body), place


# Recovery


@dataclass(frozen=True, slots=True)
class Segment:
    """What could be read of a segment."""

    name: str
    opening: Opening
    commits: list[tuple[Commit, int]]  # Each with the place after it.
    good_bytes: int  # Up to here every frame is whole.
    safe_bytes: int  # Up to here every frame was safe, by what others say.

    def items(self, end: float) -> list[Item]:
        """What it says up to there."""
        before = [commit for commit, place in self.commits if place <= end]
        return [*self.opening.again, *_items(before)]

    def unproven(self) -> list[Item]:
        """What it says that may not be safe."""
        return list(_items(c for c, place in self.commits if place > self.safe_bytes))

    def expect_whole(self, needed: int) -> None:
        """It is damaged if it is not whole up to there."""
        cause = f"byte {self.good_bytes} of {needed} that were safe is not whole"
        expect(self.good_bytes >= needed, self.name, cause)


def read_segment(data: bytes, name: str, peer: PeerId, number: int) -> Segment:
    """All that a segment says; it is damaged if what was safe is not whole."""
    view = memoryview(data)

    def read(start: int, size: int) -> memoryview:
        return view[start : start + size]

    opening, good = _opened(read, name, peer, number)
    commits, safe = [], good
    for body, place in _frames(read, opening.salt, good):
        expect(isinstance(body, Commit), name, f"byte {good} is not of a segment")
        assert isinstance(body, Commit)
        commits.append((body, place))
        good, safe = place, max(safe, body.safe_bytes)
    for later in _later(data, read, opening.salt, good):
        safe = max(safe, later.safe_bytes)
    segment = Segment(name, opening, commits, good, safe)
    segment.expect_whole(safe)
    return segment


def _later(data: bytes, read: Reader, salt: int, place: int) -> Iterator[Commit]:
    """Whole frames beyond a broken one."""
    while (place := data.find(_MARK, place + 1)) >= 0:
        body = _frame_at(read, place, salt ^ place)
        if body is not None and isinstance(commit := _decode(body), Commit):
            yield commit


class Checkpoint:
    """What a checkpoint says; it is as long as a table, and read bit by bit."""

    def __init__(self, read: Reader, name: str, peer: PeerId, number: int) -> None:
        self._read = read
        self._name = name
        self.opening, self.length = _opened(read, name, peer, number)

    def items(self) -> Iterator[Item]:
        """All that it says: it is whole to its end, or damaged."""
        records, closing = 0, None
        for body, place in _frames(self._read, self.opening.salt, self.length):
            self.length, closing = place, body
            if isinstance(body, Commit):
                records += count(body.items)
                yield from body.items
        whole = isinstance(closing, Closing) and closing.records == records
        whole = whole and not self._read(self.length, 1)
        expect(whole, self._name, f"it is whole to byte {self.length} only")


def _opened(read: Reader, name: str, peer: PeerId, number: int) -> tuple[Opening, int]:
    """A file's first frame, if it is one of ours, and the place after it."""
    body = _frame_at(read, 0, number)
    if body is None:
        raise damaged(name, "it does not begin as a file of a table does")
    raw = msgspec.msgpack.decode(body, type=list[msgspec.Raw])[1]
    if (format_ := msgspec.msgpack.decode(raw)) != FORMAT:
        cause = f"its format is {format_}, this program's {FORMAT}"
        raise damaged(name, cause, _UPGRADE)
    opening = _decode(body)
    assert isinstance(opening, Opening), "only these are seeded with a number alone"
    expect(opening.peer == peer, name, f"it belongs to {opening.peer}, not to {peer}")
    return opening, HEAD_BYTES + len(body)


def _items(commits: Iterable[Commit]) -> Iterator[Item]:
    for commit in commits:
        yield from commit.items


def count(items: Iterable[Item]) -> int:
    """How many records they hold."""
    return sum(len(each.records) for each in items if isinstance(each, Group))


def expect(held: bool, name: str, cause: str) -> None:
    """What must hold of a file, or it is damaged."""
    if not held:
        raise damaged(name, cause)


def damaged(name: str, cause: str, remedy: str = _RESTORE) -> DirectoryDamaged:
    """The error that says so."""
    return DirectoryDamaged(f"table file {name}: {cause}; {remedy}")
