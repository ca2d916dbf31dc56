"""Where the table's changes are kept: nowhere but in memory, or in a log on a disk.

The log is segments in the order of their numbers and checkpoints, each of which holds
all there was when a segment ended: those up to it can go. A file is whole and safe
before it gets its name, and says which one it follows. A start never writes on in an
old segment, and writes again what the last one cannot prove to be safe.
"""

import errno
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from random import Random
from typing import Protocol

from msgspec import MsgspecError

from shoal.core.disk import Disk
from shoal.core.machine import PeerId
from shoal.errors import DirectoryDamaged, NoSpace
from shoal.table import log
from shoal.table.messages import Item

# A segment is read in one piece at the start.
SEGMENT_BYTES = 64 << 20

# A checkpoint is worth it when the log since the last one outweighs it, and this.
WORTH_BYTES = 8 << 20

# A restart begins a segment; so many small ones are worth a checkpoint too.
WORTH_SEGMENTS = 16

FRESH_SEGMENT = "segment.new"
FRESH_CHECKPOINT = "checkpoint.new"

_OURS = re.compile(r"(?:(segment|checkpoint)-([0-9]{10})|(?:segment|checkpoint)\.new)")
_FULL = frozenset([errno.ENOSPC, errno.EDQUOT, errno.EFBIG])


class Storage(Protocol):
    """Keeps what the table commits, off the loop.

    Commits and the beginning of a checkpoint are called one after the other, the rest
    of the checkpoint beside them. `NoSpace` means that nothing was kept; any other
    error that nobody knows what was kept, and that nothing more may be called.
    """

    def recover(self) -> Iterator[Item]:
        """Everything committed before, in order; called once, first."""

    def commit(self, items: Sequence[Item], *, sync: bool) -> None:
        """Keep this: through a crash of the process, or of the machine if `sync`."""

    def sync(self) -> None:
        """Let all that is committed survive a crash of the machine."""

    def worth_checkpoint(self) -> bool:
        """Has the log grown beyond what it says, since one was last begun?"""

    def begin_checkpoint(self) -> None:
        """From now on all that the table has is added, in any order."""

    def add(self, items: Sequence[Item]) -> None:
        """A part of what the table has."""

    def end_checkpoint(self) -> None:
        """That was all: the log up to where the checkpoint began can go."""

    def drop_checkpoint(self) -> None:
        """It will not be ended."""


class Memory:
    """Keeps nothing: the peer forgets with its process."""

    def recover(self) -> Iterator[Item]:
        """Nothing was kept."""
        return iter(())

    def commit(self, items: Sequence[Item], *, sync: bool) -> None:
        """Not kept."""

    def sync(self) -> None:
        """Nothing to sync."""

    def worth_checkpoint(self) -> bool:
        """Never: there is no log."""
        return False

    def begin_checkpoint(self) -> None:
        """Not needed."""

    def add(self, items: Sequence[Item]) -> None:
        """Not needed."""

    def end_checkpoint(self) -> None:
        """Not needed."""

    def drop_checkpoint(self) -> None:
        """Not needed."""


class Log:
    """Keeps everything, in files of frames."""

    def __init__(
        self,
        disk: Disk,
        peer: PeerId,
        rng: Random,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        worth_bytes: int = WORTH_BYTES,
    ) -> None:
        self._disk = disk
        self._peer = peer
        self._rng = rng
        self._segment_bytes = segment_bytes
        self._worth_bytes = worth_bytes
        # The segment that is written, its length, and how much of it is safe.
        self._number = self._salt = self._place = self._safe = 0
        self._log_bytes = 0  # Since a checkpoint was last begun.
        self._begun = 0  # The last segment then.
        self._covered = 0  # The last segment that the last checkpoint covers.
        self._checkpoint_bytes = 0
        self._fresh: FreshCheckpoint | None = None
        self.checkpoints = 0  # Since the start.

    # Recovery

    def recover(self) -> Iterator[Item]:
        """Everything committed before; then a new segment is begun."""
        self.drop_checkpoint()  # A crash may have left one.
        _expect_ours(self._disk.names())
        numbers = _numbers(self._disk.names())
        self._covered = self._begun = max(numbers["checkpoint"], default=0)
        after = 0
        if self._covered:
            after = yield from self._read_checkpoint()
        fresh = [n for n in numbers["segment"] if n > self._covered]
        self._expect_no_gap(fresh)
        last = yield from self._read_segments(fresh, after)
        self._disk.sync_directory()  # A checkpoint's name, before what it covers goes.
        self._clean()
        if last:
            self._number, self._salt = last.opening.number, last.opening.salt
            self._begin_segment(last.safe_bytes, last.unproven())
        else:
            self._begin_segment(0, [])

    def _read_checkpoint(self) -> Generator[Item, None, int]:
        """What it says; returns the salt of the last segment it covers."""
        name = _checkpoint(self._covered)
        with _readable(name):
            read = partial(self._disk.read, name)
            found = log.Checkpoint(read, name, self._peer, self._covered)
            yield from found.items()
        self._checkpoint_bytes = found.length
        return found.opening.after

    def _expect_no_gap(self, numbers: list[int]) -> None:
        """Each follows its neighbour, and one follows every checkpoint."""
        end = max(numbers, default=self._covered + (self._covered > 0))
        for number in range(self._covered + 1, end + 1):
            log.expect(number in numbers, _segment(number), "it is missing")

    def _read_segments(
        self, numbers: list[int], after: int
    ) -> Generator[Item, None, log.Segment | None]:
        """What they say; returns the last."""
        last: log.Segment | None = None
        for number in numbers:
            name = _segment(number)
            with _readable(name):
                data = self._disk.read(name)
                found = log.read_segment(data, name, self._peer, number)
            followed = "it does not follow the file before it, which is another's"
            log.expect(found.opening.after == after, name, followed)
            if last:
                end = found.opening.previous_bytes
                last.expect_whole(end)
                yield from last.items(end)
            last, after = found, found.opening.salt
            self._log_bytes += len(data)
        if last:
            yield from last.items(last.good_bytes)
        return last

    def _clean(self) -> None:
        """Remove what the last checkpoint covers."""
        numbers = _numbers(self._disk.names())
        for number in numbers["segment"]:
            if number <= self._covered:
                self._disk.remove(_segment(number))
        for number in numbers["checkpoint"]:
            if number < self._covered:
                self._disk.remove(_checkpoint(number))

    # Committing

    def commit(self, items: Sequence[Item], *, sync: bool) -> None:
        """Keep this."""
        if self._place >= self._segment_bytes:
            self._next_segment()
        data = log.frame(log.Commit(self._safe, items), self._salt, self._place)
        with _room():
            self._disk.append(_segment(self._number), data)
        self._place += len(data)
        self._log_bytes += len(data)
        if sync:
            self.sync()

    def sync(self) -> None:
        """Let all that is committed survive a crash of the machine."""
        if self._safe < self._place:
            self._disk.sync(_segment(self._number))
            self._safe = self._place

    def _next_segment(self) -> None:
        self.sync()
        self._begin_segment(self._place, [])

    def _begin_segment(self, previous_bytes: int, again: Sequence[Item]) -> None:
        number, salt = self._number + 1, self._rng.getrandbits(64)
        data = log.opening_frame(
            log.Opening(
                *(log.FORMAT, self._peer, number, salt),
                *(self._salt, previous_bytes, again),
            )
        )
        with _room():
            self._disk.write(FRESH_SEGMENT, data)
        self._disk.sync(FRESH_SEGMENT)
        with _room():
            self._disk.rename(FRESH_SEGMENT, _segment(number))
        self._disk.sync_directory()
        self._number, self._salt = number, salt
        self._place = self._safe = len(data)

    # Checkpoints

    def worth_checkpoint(self) -> bool:
        """Has the log grown beyond what it says, since one was last begun?"""
        worth = max(self._worth_bytes, self._checkpoint_bytes)
        full = self._log_bytes // self._segment_bytes
        many = self._number - self._begun > WORTH_SEGMENTS + full
        return self._log_bytes > worth or many

    def begin_checkpoint(self) -> None:
        """From now on all that the table has is added, in any order."""
        self._log_bytes, self._begun = 0, self._number  # Tried again after as much.
        covers, after = self._number, self._salt
        self._next_segment()
        salt = self._rng.getrandbits(64)
        opening = log.Opening(log.FORMAT, self._peer, covers, salt, after)
        with _room():
            self._fresh = FreshCheckpoint(self._disk, opening)

    def add(self, items: Sequence[Item]) -> None:
        """A part of what the table has."""
        assert self._fresh, "none was begun"
        with _room():
            self._fresh.append(log.Commit(self._fresh.length, items))
        # Bit by bit: a commit's sync waits for no more than this one's.
        self._disk.sync(FRESH_CHECKPOINT)

    def end_checkpoint(self) -> None:
        """That was all: the log up to where the checkpoint began can go."""
        assert self._fresh, "none was begun"
        with _room():
            self._fresh.append(log.Closing(self._fresh.records))
        self._disk.sync(FRESH_CHECKPOINT)
        with _room():
            self._disk.rename(FRESH_CHECKPOINT, _checkpoint(self._fresh.covers))
        self._disk.sync_directory()
        self._covered, self._checkpoint_bytes = self._fresh.covers, self._fresh.length
        self.checkpoints += 1
        self._clean()

    def drop_checkpoint(self) -> None:
        """It will not be ended: make room."""
        if FRESH_CHECKPOINT in self._disk.names():
            self._disk.remove(FRESH_CHECKPOINT)


class FreshCheckpoint:
    """A checkpoint that is being written."""

    def __init__(self, disk: Disk, opening: log.Opening) -> None:
        data = log.opening_frame(opening)
        disk.write(FRESH_CHECKPOINT, data)
        self._disk = disk
        self._salt = opening.salt
        self.covers = opening.number
        self.length = len(data)
        self.records = 0

    def append(self, body: log.Commit | log.Closing) -> None:
        """Add a frame."""
        data = log.frame(body, self._salt, self.length)
        self._disk.append(FRESH_CHECKPOINT, data)
        self.length += len(data)
        if isinstance(body, log.Commit):
            self.records += log.count(body.items)


@contextmanager
def _room() -> Iterator[None]:
    """A full disk is told apart from a broken one: before a sync, nothing was kept."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise NoSpace(
            "nothing was written to the peer's disk: "
            f"{(error.strerror or '').lower()}; free some space on it"
        ) from error


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """What cannot be read is damaged."""
    try:
        yield
    except (OSError, MsgspecError) as error:
        raise log.damaged(name, str(error)) from error


def _segment(number: int) -> str:
    return f"segment-{number:010}"


def _checkpoint(number: int) -> str:
    return f"checkpoint-{number:010}"


def _expect_ours(names: list[str]) -> None:
    """A start reads nothing beside files of others; what is put there later may lie."""
    for name in names:
        if not _OURS.fullmatch(name):
            cause = "it is not of a table; move it out of the directory"
            raise DirectoryDamaged(f"table file {name}: {cause}")


def _numbers(names: list[str]) -> dict[str, list[int]]:
    """The numbers of the files of each kind, in order."""
    numbers: dict[str, list[int]] = {"segment": [], "checkpoint": []}
    for name in names:
        ours = _OURS.fullmatch(name)
        if ours and ours[1]:
            numbers[ours[1]].append(int(ours[2]))
    return numbers
