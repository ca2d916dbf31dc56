"""A directory of files on the real disk."""

import os
from pathlib import Path


class Files:
    """Files by name, one directory, nothing outside it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, name: str) -> bytes:
        """All of a file."""
        return (self._directory / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Make a file, or replace what is in it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        handle = os.open(self._directory / name, flags, 0o600)
        try:
            os.write(handle, data)
        finally:
            os.close(handle)

    def sync(self, name: str) -> None:
        """Wait until what was written to a file survives a power cut."""
        self._sync(self._directory / name)

    def rename(self, old: str, new: str) -> None:
        """Let a file take another's place, whole."""
        os.rename(self._directory / old, self._directory / new)

    def sync_directory(self) -> None:
        """Wait until names survive a power cut."""
        self._sync(self._directory)

    @staticmethod
    def _sync(path: Path) -> None:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
