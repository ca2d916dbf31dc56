"""Files of rows, read and written by workers alone.

Never through a memory map: a file cut short under one ends the process, and a short
read is an error by name. What was published is what is read: a file's size, time of
change and number are compared when it is opened and again when all is read.
"""

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import (
    ChangedFile,
    InvalidName,
    NoSpace,
    NotFound,
    ShoalError,
    UnreadableFile,
)
from shoal.flow.messages import (
    CHUNK_BYTES,
    HALF,
    Form,
    Hash,
    Hashed,
    Inspect,
    Inspected,
    Source,
    row_bytes,
)
from shoal.flow.work import npy

Rows = NDArray[Any]
Stamp = tuple[int, int, int]

DIGEST_BYTES = 20
READ_BYTES = 1 << 20

# FIFOs do not wait for a writer, terminals are not taken over.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

# EFBIG: the process may not write such large files; to the user it is the same.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class OpenFile:
    """A regular file, as it was when it was opened, or when it was added."""

    def __init__(self, path: str, stamp: Stamp | None = None) -> None:
        self.name = os.path.basename(path)
        try:
            self._number = os.open(path, _READ)
        except (OSError, ValueError) as error:
            raise _not_opened(self.name, error) from error
        try:
            self.stamp = stamp or self._stamp()
            self.check()
        except BaseException:
            self.close()
            raise

    def read(self, offset: int, into: memoryview) -> None:
        """All bytes asked for: there is no short read."""
        done = 0
        while done < len(into):
            try:
                count = os.preadv(self._number, [into[done:]], offset + done)
            except OSError as error:
                raise _unreadable(self.name, error) from error
            if not count:
                self.check()
                raise ChangedFile(
                    f"file {self.name}: it ends at byte {offset + done}, though rows "
                    f"should go on to byte {offset + len(into)}; write it again"
                )
            done += count

    def check(self) -> None:
        """Refuse a file that was changed."""
        if self._stamp() != self.stamp:
            raise ChangedFile(
                f"file {self.name}: it was changed after it was added; "
                "add it again with --replace"
            )

    def close(self) -> None:
        """Let go of it."""
        os.close(self._number)

    def _stamp(self) -> Stamp:
        found = os.fstat(self._number)
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableFile(f"{self.name}: no regular file; give a file of rows")
        return found.st_size, found.st_mtime_ns, found.st_ino


@contextmanager
def opened(path: str, stamp: Stamp | None) -> Iterator[OpenFile]:
    """A file that is the same in the end as at the beginning."""
    file = OpenFile(path, stamp)
    try:
        yield file
        file.check()
    finally:
        file.close()


def inspect(task: Inspect) -> Inspected:
    """What rows are in a file of the kind that `numpy.save` writes?"""
    with opened(task.path, None) as file:
        size = file.stamp[0]
        beginning = bytearray(min(size, npy.PROBE_BYTES))
        file.read(0, memoryview(beginning))
        form, rows, offset = npy.read_head(bytes(beginning), file.name)
        needed = offset + rows * row_bytes(form)
        if size < needed:
            raise UnreadableFile(
                f"file {file.name}: it was cut short, {size} bytes of {needed}; "
                "copy or write it again"
            )
        return Inspected(form, rows, offset, file.stamp)


def digest(task: Hash) -> Hashed:
    """The digests of a file's rows, chunk by chunk, and of all of them."""
    with opened(task.path, task.stamp) as file:
        stop = task.offset + task.size_bytes
        chunks = tuple(
            _digest_of(file, start, min(start + CHUNK_BYTES, stop))
            for start in range(task.offset, stop, CHUNK_BYTES)
        )
    whole = blake2b(f"{task.kind}\n{task.size_bytes}\n".encode(), digest_size=20)
    whole.update(b"".join(chunks))
    return Hashed(whole.digest(), chunks)


def _digest_of(file: OpenFile, start: int, stop: int) -> bytes:
    hashed = blake2b(digest_size=DIGEST_BYTES)
    buffer = memoryview(bytearray(min(READ_BYTES, stop - start)))
    while start < stop:
        piece = buffer[: stop - start]
        file.read(start, piece)
        hashed.update(piece)
        start += len(piece)
    return hashed.digest()


class RowReader:
    """Calls give rows, counted from the source's first."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._type = np.dtype(source.form.kind)
        self._row_bytes = row_bytes(source.form)
        self._file = OpenFile(source.path, source.stamp)

    @property
    def rows(self) -> int:
        """How many there are."""
        return self._source.stop - self._source.start

    def __call__(self, start: int, stop: int) -> Rows:
        """Rows from one on up to, not with, another."""
        assert 0 <= start <= stop <= self.rows, f"{start} to {stop} of {self.rows}"
        rows: Rows = np.empty((stop - start, *self._source.form.trailing), self._type)
        if rows.nbytes:
            offset = self._source.offset + (self._source.start + start) * (
                self._row_bytes
            )
            self._file.read(offset, rows.data.cast("B"))
        return rows

    def check(self) -> None:
        """Refuse what was read of a file that was changed meanwhile."""
        self._file.check()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


@contextmanager
def reader(source: Source) -> Iterator[RowReader]:
    """Rows of a file that is the same in the end as at the beginning."""
    rows = RowReader(source)
    try:
        yield rows
        rows.check()
    finally:
        rows.close()


def write_rows(
    target: str, chunks: Iterable[Rows], form: Form, rows: int, *, stays: bool
) -> None:
    """A file of all these rows, or no file; if it stays, a synced `.npy` file."""
    name, half = os.path.basename(target), target + HALF
    with _told_of_disk(name):
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "there already", target)
        number = os.open(half, _CREATE, 0o600)
    try:
        with _told_of_disk(name):
            if stays:
                os.write(number, npy.npy_head(form, rows))
            _write_all(number, chunks, form, rows)
            if stays:
                os.fsync(number)
            os.rename(half, target)
            if stays:
                _sync_directory(os.path.dirname(target) or ".")
    except BaseException:
        with suppress(OSError):
            os.unlink(half)
        raise
    finally:
        os.close(number)


def _write_all(number: int, chunks: Iterable[Rows], form: Form, rows: int) -> None:
    kind, written = np.dtype(form.kind), 0
    for chunk in chunks:
        # Another order of bytes is the same numbers; another type is a mistake.
        ready = chunk.astype(kind, order="C", casting="equiv", copy=False)
        assert ready.shape[1:] == form.trailing, f"rows of shape {ready.shape}"
        written += len(ready)
        rest = ready.data.cast("B") if ready.nbytes else memoryview(b"")
        while rest:
            rest = rest[os.write(number, rest) :]
    assert written == rows, f"{written} rows were computed, not {rows}"


def _sync_directory(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _told_of_disk(name: str) -> Iterator[None]:
    """Refusals of the disk that is written to, in words."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace(
                f"result {name}: the disk is full; free some room, then run it again"
            ) from error
        if error.errno == errno.EEXIST:
            raise InvalidName(
                f"result {name}: there is such a file already; choose another name"
            ) from error
        raise UnreadableFile(
            f"result {name}: it cannot be written, {_reason(error)}; "
            "look after the directory it goes to"
        ) from error


def _not_opened(name: str, error: OSError | ValueError) -> ShoalError:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NotFound(f"file {name}: it has gone; add it again")
    return _unreadable(name, error)


def _unreadable(name: str, error: OSError | ValueError) -> UnreadableFile:
    return UnreadableFile(
        f"file {name}: it cannot be read, {_reason(error)}; "
        "make it readable for the user who runs the peer"
    )


def _reason(error: OSError | ValueError) -> str:
    told = error.strerror if isinstance(error, OSError) else None
    return (told or str(error)).lower()
