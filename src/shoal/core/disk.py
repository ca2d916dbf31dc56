"""What durable machines need of a disk: one directory of files, synced on purpose.

Every error is an `OSError`: `FileNotFoundError`, ENOSPC when full, EIO when damaged. A
file whose sync failed takes no more appends and syncs, only a new `write`: the system
may have dropped what it could not write, and would call the next sync a success.
"""

import re
from typing import Protocol

from shoal.errors import InvalidName

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}\Z")


class Disk(Protocol):
    """A directory of files. Nothing survives a power cut before it is synced."""

    def names(self) -> list[str]:
        """The files there are, in alphabetical order."""

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        """What is written, synced or not: all of it, or that part if there."""

    def append(self, name: str, data: bytes) -> None:
        """Add to the end of a file, made if missing. If it fails nothing is added."""

    def write(self, name: str, data: bytes) -> None:
        """Make a file, or replace what is in it. If it fails any part may be there."""

    def sync(self, name: str) -> None:
        """Wait until a file's bytes survive a power cut. Its name may yet be lost."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, at once, replacing what had it."""

    def remove(self, name: str) -> None:
        """Take a file away."""

    def sync_directory(self) -> None:
        """Wait until names, new, changed or removed, survive a power cut."""


def checked(name: str) -> str:
    """A name that stays in its directory, on any file system, or `InvalidName`."""
    if not _NAME.match(name):
        raise InvalidName(
            f"file name {name!r}: up to 100 letters, digits, . _ and - only, and none "
            "that begins with . or -; choose another"
        )
    return name
