"""A directory of files on the real disk: what `core.disk.Disk` promises, kept."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from shoal.core.disk import checked
from shoal.errors import InvalidName

# The size of a file is synced too, the time of its change is not.
_sync_data = getattr(os, "fdatasync", os.fsync)


class Files:
    """Files by name, their owner's alone, one directory, nothing outside it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._unsure: dict[str, None] = {}  # Whose sync failed.

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
        handle = self._open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            end = os.fstat(handle).st_size
            try:
                _write_all(handle, data)
            except OSError:
                # Half a record would hide from recovery all that follow it.
                os.ftruncate(handle, end)
                raise
        finally:
            os.close(handle)

    def write(self, name: str, data: bytes) -> None:
        """Make a file, or replace what is in it. If it fails any part may be there."""
        handle = self._open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self._unsure.pop(name, None)
        try:
            _write_all(handle, data)
        finally:
            os.close(handle)

    def sync(self, name: str) -> None:
        """Wait until a file's bytes survive a power cut. Its name may yet be lost."""
        self._refuse_unsure(name)
        handle = self._open(name, os.O_RDONLY)
        try:
            _sync_data(handle)
        except OSError:
            self._unsure[name] = None
            raise
        finally:
            os.close(handle)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, at once, replacing what had it."""
        os.rename(self._path(old), self._path(new))
        self._unsure.pop(new, None)
        if old in self._unsure:
            self._unsure[new] = self._unsure.pop(old)

    def remove(self, name: str) -> None:
        """Take a file away."""
        self._path(name).unlink()
        self._unsure.pop(name, None)

    def sync_directory(self) -> None:
        """Wait until names, new, changed or removed, survive a power cut."""
        handle = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _path(self, name: str) -> Path:
        return self._directory / checked(name)

    def _open(self, name: str, flags: int) -> int:
        return os.open(self._path(name), flags, 0o600)

    def _refuse_unsure(self, name: str) -> None:
        if name in self._unsure:
            raise OSError(errno.EIO, "an earlier sync failed; write it anew", name)


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]
