"""Where the table's changes are kept: nowhere but in memory, or in a log on a disk.

The log is segments in the order of their numbers, each begun by saying how far the
one before is good, and checkpoints: all there was when a segment ended. What a
checkpoint holds is dropped from the log. A start never writes on in an old segment.
"""

from collections.abc import Generator, Iterator
from typing import Protocol

from shoal.core.disk import Disk
from shoal.core.machine import PeerId
from shoal.errors import DirectoryDamaged
from shoal.table import log
from shoal.table.messages import Group

# A file is read in one piece at the start.
SEGMENT_BYTES = 64 << 20

# A checkpoint is worth it when the log since the last one outweighs it, and this.
WORTH_BYTES = 8 << 20

# A restart begins a segment; so many small ones are worth a checkpoint too.
WORTH_SEGMENTS = 16

_UNFINISHED = "checkpoint.new"


class Storage(Protocol):
    """Keeps what the table commits. Called from one thread at a time, off the loop."""

    def recover(self) -> Iterator[Group]:
        """Everything committed before, in order; called once, first."""

    def commit(self, groups: list[Group], *, sync: bool) -> None:
        """Keep this: through a crash of the process, or of the machine if `sync`."""

    def sync(self) -> None:
        """Let all that is committed survive a crash of the machine."""

    def worth_checkpoint(self) -> bool:
        """Has the log grown beyond what it says?"""

    def begin_checkpoint(self) -> None:
        """From now on all that the table has is added, in any order."""

    def add(self, groups: list[Group]) -> None:
        """A part of what the table has."""

    def end_checkpoint(self) -> None:
        """That was all: the log up to where the checkpoint began can go."""


class Memory:
    """Keeps nothing: the peer forgets with its process."""

    def recover(self) -> Iterator[Group]:
        """Nothing was kept."""
        return iter(())

    def commit(self, groups: list[Group], *, sync: bool) -> None:
        """Not kept."""

    def sync(self) -> None:
        """Nothing to sync."""

    def worth_checkpoint(self) -> bool:
        """Never: there is no log."""
        return False

    def begin_checkpoint(self) -> None:
        """Not needed."""

    def add(self, groups: list[Group]) -> None:
        """Not needed."""

    def end_checkpoint(self) -> None:
        """Not needed."""


class Log:
    """Keeps everything, in files of frames."""

    def __init__(
        self, disk: Disk, peer: PeerId, *, worth_bytes: int = WORTH_BYTES
    ) -> None:
        self._disk = disk
        self._peer = peer
        self._worth_bytes = worth_bytes
        self._number = 0  # Of the segment that is written.
        self._place = self._safe = 0  # In it.
        self._log_bytes = 0  # Since the last checkpoint.
        self._checkpoint_bytes = 0
        self._covered = 0  # The last segment that the last checkpoint covers.
        # The checkpoint being written: what it will cover, its length, its records.
        self._covers = self._length = self._records = 0
        self.checkpoints = 0  # Since the start.

    # Recovery

    def recover(self) -> Iterator[Group]:
        """Everything committed before; then a new segment is begun."""
        names = self._disk.names()
        checkpoints = _numbered(names, "checkpoint-")
        self._covered = max(checkpoints, default=0)
        if self._covered:
            yield from self._read_checkpoint()
        segments = _numbered(names, "segment-")
        segments = [number for number in segments if number > self._covered]
        number, good = yield from self._read_segments(segments)
        self._begin_segment(number, previous_bytes=good)
        self._clean(names)

    def _read_checkpoint(self) -> list[Group]:
        name = _checkpoint(self._covered)
        data = self._disk.read(name)
        reading = log.read(data, self._covered)
        log.opened(reading, name, self._peer, self._covered)
        self._checkpoint_bytes = len(data)
        return log.checkpointed(reading, name)

    def _read_segments(
        self, numbers: list[int]
    ) -> Generator[Group, None, tuple[int, int]]:
        """What they say; returns the next one's number, how far the last is good."""
        before: log.Reading | None = None
        name, expected = "", self._covered + 1
        for number in numbers:
            reading = log.read(self._disk.read(_segment(number)), number)
            if number == numbers[-1] and not reading.good_bytes | reading.safe_bytes:
                break  # Begun in a crash, never used: begin it again.
            opening = log.opened(reading, _segment(number), self._peer, number)
            log.expect(number == expected, _segment(expected), "it is missing")
            if before:
                yield from log.checked(before, name, opening.previous_bytes)
            before, name, expected = reading, _segment(number), number + 1
            self._log_bytes += reading.good_bytes
        if before:
            yield from log.checked(before, name)
        return expected, before.good_bytes if before else 0

    def _clean(self, names: list[str]) -> None:
        """Remove what a crash left: it is covered, or was never finished."""
        for name in names:
            covered = [
                _segment(number)
                for number in _numbered([name], "segment-")
                if number <= self._covered
            ]
            older = [
                _checkpoint(number)
                for number in _numbered([name], "checkpoint-")
                if number < self._covered
            ]
            if covered or older or name == _UNFINISHED:
                self._disk.remove(name)

    # Committing

    def commit(self, groups: list[Group], *, sync: bool) -> None:
        """Keep this."""
        if self._place >= SEGMENT_BYTES:
            self._next_segment()
        data = log.frame(log.Commit(self._safe, groups), self._number, self._place)
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
        self._begin_segment(self._number + 1, previous_bytes=self._place)

    def _begin_segment(self, number: int, *, previous_bytes: int) -> None:
        opening = log.Opening(log.FORMAT, self._peer, number, previous_bytes)
        data = log.frame(opening, number, 0)
        self._disk.write(_segment(number), data)
        self._disk.sync(_segment(number))
        self._disk.sync_directory()
        self._number, self._place, self._safe = number, len(data), len(data)

    # Checkpoints

    def worth_checkpoint(self) -> bool:
        """Has the log grown beyond what it says?"""
        worth = max(self._worth_bytes, self._checkpoint_bytes)
        many = self._number - self._covered > WORTH_SEGMENTS
        return self._log_bytes > worth or many

    def begin_checkpoint(self) -> None:
        """From now on all that the table has is added, in any order."""
        self._next_segment()
        self._covers, self._records = self._number - 1, 0
        opening = log.Opening(log.FORMAT, self._peer, self._covers)
        data = log.frame(opening, self._covers, 0)
        self._disk.write(_UNFINISHED, data)
        self._length, self._log_bytes = len(data), 0

    def add(self, groups: list[Group]) -> None:
        """A part of what the table has."""
        self._records += sum(len(group.records) for group in groups)
        self._extend(log.Commit(self._length, groups))

    def end_checkpoint(self) -> None:
        """That was all: the log up to where the checkpoint began can go."""
        self._extend(log.Closing(self._records))
        self._disk.sync(_UNFINISHED)
        self._disk.rename(_UNFINISHED, _checkpoint(self._covers))
        self._disk.sync_directory()
        self._covered, self._checkpoint_bytes = self._covers, self._length
        self.checkpoints += 1
        self._clean(self._disk.names())

    def _extend(self, body: log.Body) -> None:
        data = log.frame(body, self._covers, self._length)
        self._disk.append(_UNFINISHED, data)
        self._length += len(data)


def _segment(number: int) -> str:
    return f"segment-{number:010}"


def _checkpoint(number: int) -> str:
    return f"checkpoint-{number:010}"


def _numbered(names: list[str], prefix: str) -> list[int]:
    """The numbers of files of one kind, in order; another name is a foreign file."""
    try:
        return sorted(
            int(name.removeprefix(prefix)) for name in names if name.startswith(prefix)
        )
    except ValueError as error:
        raise DirectoryDamaged(
            f"table directory: {error}; a file of another program lies there"
        ) from error
