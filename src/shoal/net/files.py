"""A directory of files on the real disk: what `core.disk.Disk` promises, kept.

A file that is written stays open until it goes, or others are written: an append and
its sync cost two calls of the system, and a failure to write back that the system met
meanwhile is told by the sync; it may be forgotten with the last open handle. Two
threads may work on two files at once.
"""

import errno
import os
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from threading import Lock

from shoal.core.disk import checked
from shoal.errors import InvalidName

# The size of a file is synced too, the time of its change is not.
_sync_data = getattr(os, "fdatasync", os.fsync)

# Who keeps a log and a checkpoint writes two files at a time; one more of each is
# begun before the last is let go.
MAX_OPEN = 4


class _Handle:
    """An open file: closed when nobody uses it any more."""

    def __init__(self, path: Path, flags: int) -> None:
        self.number = os.open(path, os.O_WRONLY | os.O_APPEND | flags, 0o600)
        self.end = os.fstat(self.number).st_size

    def __del__(self) -> None:
        with suppress(AttributeError):  # It could not be opened.
            os.close(self.number)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.number, rest) :]
        self.end += len(data)


class Files:
    """Files by name, their owner's alone, one directory, nothing outside it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._unsure: dict[str, None] = {}  # What their last bytes are nobody knows.
        self._open: OrderedDict[str, _Handle] = OrderedDict()
        self._lock = Lock()  # Of what is open.

    def names(self) -> list[str]:
        """The files there are, in alphabetical order."""
        found = []
        with os.scandir(self._directory) as entries:
            for entry in entries:
                with suppress(InvalidName):
                    if entry.is_file():
                        found.append(checked(entry.name))
        return sorted(found)

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """What is written, synced or not: all of it, or that part if there."""
        with self._path(name).open("rb") as file:
            file.seek(start)
            return file.read(size)

    def append(self, name: str, data: bytes) -> None:
        """Add to the end of a file, made if missing. If it fails nothing is added."""
        self._refuse_unsure(name)
        handle = self._handle(name, os.O_CREAT)
        try:
            handle.write(data)
        except OSError:
            self._take_back(name, handle)
            raise

    def write(self, name: str, data: bytes) -> None:
        """Make a file, or replace what is in it. If it fails any part may be there."""
        path = self._path(name)
        self._let_go(name)
        handle = _Handle(path, os.O_CREAT | os.O_TRUNC)
        self._unsure.pop(name, None)
        handle.write(data)
        self._keep(name, handle)

    def sync(self, name: str) -> None:
        """Wait until a file's bytes survive a power cut. Its name may yet be lost."""
        self._refuse_unsure(name)
        handle = self._handle(name)
        try:
            _sync_data(handle.number)
        except OSError:
            self._unsure[name] = None
            raise

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, at once, replacing what had it."""
        os.rename(self._path(old), self._path(new))
        if old == new:
            return
        self._unsure.pop(new, None)
        if old in self._unsure:
            self._unsure[new] = self._unsure.pop(old)
        self._let_go(new)
        if handle := self._let_go(old):
            self._keep(new, handle)

    def remove(self, name: str) -> None:
        """Take a file away."""
        self._path(name).unlink()
        self._unsure.pop(name, None)
        self._let_go(name)

    def sync_directory(self) -> None:
        """Wait until names, new, changed or removed, survive a power cut."""
        handle = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _path(self, name: str) -> Path:
        return self._directory / checked(name)

    def _refuse_unsure(self, name: str) -> None:
        if name in self._unsure:
            raise OSError(errno.EIO, "an earlier write or sync failed", name)

    def _take_back(self, name: str, handle: _Handle) -> None:
        """Half a record would hide from recovery all that follow it."""
        try:
            os.ftruncate(handle.number, handle.end)
        except OSError as error:
            self._unsure[name] = None
            raise OSError(errno.EIO, "half a record is left", name) from error

    # What is open

    def _handle(self, name: str, flags: int = 0) -> _Handle:
        with self._lock:
            if handle := self._open.get(name):
                self._open.move_to_end(name)
                return handle
        handle = _Handle(self._path(name), flags)
        self._keep(name, handle)
        return handle

    def _keep(self, name: str, handle: _Handle) -> None:
        with self._lock:
            self._open[name] = handle
            while len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)

    def _let_go(self, name: str) -> _Handle | None:
        with self._lock:
            return self._open.pop(name, None)
